import { type Case, type Group, get, pipelined, request, respond } from '../case.ts';

const DNS =
  '{"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig';
const RESOLVER = '[{socket_address: {address: 127.0.0.1, port_value: {{dns}}}}]';
const NAMED =
  'load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {protocol: TCP, address: some.test, port_value: {{backend}}}}}}]}]}';
const dns = (name: string, text: string): Case => ({
  name: `dns: ${name}`,
  cluster: `type: STRICT_DNS\ndns_lookup_family: V4_ONLY\n${text}\n${NAMED}`,
  backends: { backend: { kind: 'http' }, dns: { kind: 'dns' } },
  connections: [get('/')],
});

const resolvers: readonly Case[] = [
  dns('dns_resolvers', `dns_resolvers: ${RESOLVER}`),
  dns(
    'dns_resolution_config',
    `dns_resolution_config: {resolvers: ${RESOLVER}, dns_resolver_options: {no_default_search_domain: true}}`,
  ),
  dns(
    'c-ares resolver',
    `typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: ${DNS}, resolvers: ${RESOLVER}, use_resolvers_as_fallback: false, dns_resolver_options: {no_default_search_domain: true}}}`,
  ),
  {
    name: 'dns: fallback resolvers',
    cluster: `type: STRICT_DNS\ndns_lookup_family: V4_ONLY\ntyped_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: ${DNS}, resolvers: ${RESOLVER}, use_resolvers_as_fallback: true}}\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: {{backend}}}}}}]}]}`,
    backends: { backend: { kind: 'http' }, dns: { kind: 'dns' } },
    connections: [get('/')],
  },
];

const UPSTREAM = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const endpoints = (...groups: string[]): string =>
  `load_assignment: {cluster_name: x, endpoints: [${groups.join(', ')}]`;
const locality = (name: string, more: string, health = 'HEALTHY'): string =>
  `{${more}lb_endpoints: [{health_status: ${health}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{${name}}}}}}}]}`;
const TWO = { one: { kind: 'http' }, two: { kind: 'http' } } as const;
/** Enough for the shares of a random choice to settle. */
const FORTY = [pipelined(40, () => request('GET', '/'))];
const CLOSING = { backend: { kind: 'http', replies: [respond('200 OK', ['a: 1', 'b: 2'], 'ok')] } } as const;

const clusters: readonly Case[] = [
  {
    name: 'field: priority 1 is not used while 0 is healthy',
    cluster: `${endpoints(locality('one', ''), locality('two', 'priority: 1, '))}}`,
    backends: TWO,
    connections: FORTY,
    sharesWithinPercent: 10,
  },
  {
    name: 'field: priority 1 takes over',
    cluster: `${endpoints(locality('one', '', 'UNHEALTHY'), locality('two', 'priority: 1, '))}}`,
    backends: TWO,
    connections: FORTY,
    sharesWithinPercent: 10,
  },
  {
    name: 'field: overprovisioning_factor',
    cluster: `${endpoints('{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{one}}}}}}, {health_status: UNHEALTHY, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{two}}}}}}]}', locality('three', 'priority: 1, '))}, policy: {overprovisioning_factor: 200}}`,
    backends: { ...TWO, three: { kind: 'http' } },
    connections: FORTY,
    sharesWithinPercent: 10,
  },
  {
    name: 'field: healthy_panic_threshold of zero',
    cluster: `common_lb_config: {healthy_panic_threshold: {value: 0}}\n${endpoints(locality('backend', '', 'UNHEALTHY'))}}`,
    connections: [get('/')],
    counters: ['cluster.{{id}}.upstream_cx_none_healthy', 'cluster.{{id}}.lb_healthy_panic'],
  },
  {
    name: 'field: healthy_panic_threshold of 90',
    cluster: `common_lb_config: {healthy_panic_threshold: {value: 90}}\n${endpoints(locality('one', ''), locality('two', '', 'UNHEALTHY'))}}`,
    backends: TWO,
    connections: FORTY,
    sharesWithinPercent: 10,
  },
  {
    name: 'field: fail_traffic_on_panic',
    cluster: `common_lb_config: {zone_aware_lb_config: {fail_traffic_on_panic: true}}\n${endpoints(locality('backend', '', 'UNHEALTHY'))}}`,
    connections: [get('/')],
  },
  { name: 'field: round_robin_lb_config', cluster: 'round_robin_lb_config: {}', connections: [get('/')] },
  {
    name: 'field: cluster common_http_protocol_options',
    cluster: 'common_http_protocol_options: {max_headers_count: 2}',
    backends: CLOSING,
    connections: [get('/')],
  },
  {
    name: 'field: cluster http_protocol_options',
    cluster: 'http_protocol_options: {enable_trailers: true}',
    backends: {
      backend: {
        kind: 'http',
        replies: [
          { send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n'] },
        ],
      },
    },
    hcm: 'http_protocol_options: {enable_trailers: true}',
    connections: [get('/')],
  },
  {
    name: 'field: cluster max_requests_per_connection',
    cluster: 'max_requests_per_connection: 1',
    connections: [get('/1'), get('/2')],
    counters: ['cluster.{{id}}.upstream_cx_total', 'cluster.{{id}}.upstream_cx_max_requests'],
  },
  {
    name: 'field: use_downstream_protocol_config',
    cluster: `typed_extension_protocol_options: {${UPSTREAM}: {"@type": type.googleapis.com/${UPSTREAM}, use_downstream_protocol_config: {http_protocol_options: {enable_trailers: true}}}}`,
    connections: [get('/')],
  },
  {
    name: 'field: breakers of both priorities',
    cluster:
      'circuit_breakers: {thresholds: [{priority: DEFAULT, track_remaining: true, max_connections: 10, max_requests: 20, max_pending_requests: 30}, {priority: HIGH, max_connections: 1, track_remaining: true}]}',
    connections: [get('/')],
    counters: [
      'remaining_cx',
      'remaining_rq',
      'remaining_pending',
      'cx_open',
      'rq_open',
      'rq_pending_open',
    ].flatMap((name) => [
      `cluster.{{id}}.circuit_breakers.default.${name}`,
      `cluster.{{id}}.circuit_breakers.high.${name}`,
    ]),
  },
  {
    name: 'field: route priority HIGH',
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", priority: HIGH}}]',
    cluster: 'circuit_breakers: {thresholds: [{priority: HIGH, max_pending_requests: 0}]}',
    connections: [get('/')],
    counters: ['cluster.{{id}}.upstream_rq_pending_overflow'],
  },
  {
    name: 'field: least request full scan',
    cluster: `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest, selection_method: FULL_SCAN}}}]}\n${endpoints(locality('one', ''), locality('two', ''))}}`,
    backends: TWO,
    connections: FORTY,
    sharesWithinPercent: 51,
  },
  {
    name: 'field: least request enable_full_scan',
    cluster: `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest, enable_full_scan: true}}}]}\n${endpoints(locality('one', ''), locality('two', ''))}}`,
    backends: TWO,
    connections: FORTY,
    sharesWithinPercent: 51,
  },
];

const others: readonly Case[] = [
  {
    name: 'field: filter_chain_match and transport_socket',
    listener:
      'filter_chains: [{name: only, filter_chain_match: {}, transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}, filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "{{id}}", cluster: "{{id}}"}}]}]',
    connections: [get('/')],
  },
  {
    name: 'field: disabled http filter',
    hcm: 'http_filters: [{name: m, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-r, value: "1"}}}]}}}, {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]',
    connections: [get('/')],
  },
  {
    name: 'field: max_direct_response_body_size_bytes',
    routeConfig: 'max_direct_response_body_size_bytes: 6000',
    routes: `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${'b'.repeat(5000)}}}}]`,
    connections: [get('/')],
  },
  {
    name: 'field: ignore_path_parameters_in_path_matching',
    routeConfig: 'ignore_path_parameters_in_path_matching: true',
    routes:
      '[{match: {path: /a}, direct_response: {status: 200}}, {match: {path_separated_prefix: /b}, direct_response: {status: 201}}, {match: {safe_regex: {regex: "/c"}}, direct_response: {status: 202}}]',
    connections: [get('/a;x=1'), get('/a;x?q'), get('/b;x/c'), get('/b/c;x'), get('/c;x'), get('/a')],
  },
  {
    name: 'field: weighted cluster by cluster_header',
    routes:
      '[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{cluster_header: x-c, weight: 1}]}}}]',
    connections: [get('/', 'X-C: {{id}}'), get('/', 'X-C: nope'), get('/')],
  },
];

const LOG = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';
const logs: readonly Case[] = [
  ['format', 'format: "%REQ(:PATH)% %RESPONSE_CODE%\\n"'],
  ['json_format', 'json_format: {path: "%REQ(:PATH)%", code: "%RESPONSE_CODE%"}'],
  [
    'typed_json_format',
    'typed_json_format: {path: "%REQ(:PATH)%", code: "%RESPONSE_CODE%", none: "%REQ(X)%"}',
  ],
].map(([name = '', text = '']) => ({
  name: `field: access log ${name}`,
  accessLog: `[{name: f, typed_config: {"@type": ${LOG}, path: "{{log}}", ${text}}}]`,
  connections: [get('/')],
}));

const BOOTSTRAP = `
typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig}}
node: {id: n, cluster: c, metadata: {a: b}, locality: {region: r, zone: z, sub_zone: s}}
`;

export const fields: readonly Group[] = [
  { name: 'dns', cases: resolvers },
  { name: 'cluster-fields', cases: clusters },
  { name: 'other-fields', cases: [...others, ...logs] },
  {
    name: 'bootstrap-fields',
    bootstrap: BOOTSTRAP,
    cases: [
      {
        name: 'field: bootstrap resolver and node',
        cluster:
          'type: STRICT_DNS\ndns_lookup_family: V4_ONLY\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: {{backend}}}}}}]}]}',
        connections: [get('/')],
      },
    ],
  },
];
