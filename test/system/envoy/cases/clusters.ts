import {
  type Case,
  type Connection,
  type Group,
  get,
  MANY_TIMEOUT_MS,
  pipelined,
  request,
  respond,
} from '../case.ts';

const COUNTERS = [
  'upstream_cx_total',
  'upstream_cx_active',
  'upstream_cx_http1_total',
  'upstream_cx_connect_fail',
  'upstream_cx_connect_timeout',
  'upstream_cx_overflow',
  'upstream_cx_max_requests',
  'upstream_cx_max_duration_reached',
  'upstream_cx_idle_timeout',
  'upstream_cx_none_healthy',
  'upstream_cx_destroy',
  'upstream_cx_destroy_local',
  'upstream_cx_destroy_remote',
  'upstream_cx_destroy_with_active_rq',
  'upstream_cx_destroy_remote_with_active_rq',
  'upstream_cx_protocol_error',
  'upstream_rq_total',
  'upstream_rq_completed',
  'upstream_rq_200',
  'upstream_rq_2xx',
  'upstream_rq_503',
  'upstream_rq_5xx',
  'upstream_rq_pending_total',
  'upstream_rq_pending_overflow',
  'upstream_rq_pending_failure_eject',
  'upstream_rq_active_overflow',
  'upstream_rq_timeout',
  'upstream_rq_cancelled',
  'upstream_rq_rx_reset',
  'upstream_rq_tx_reset',
  'membership_total',
  'membership_healthy',
].map((name) => `cluster.{{id}}.${name}`);

function cluster(
  name: string,
  text: string,
  connections: readonly Connection[],
  more: Partial<Case> = {},
): Case {
  return { name: `cluster: ${name}`, cluster: text, connections, counters: COUNTERS, ...more };
}

const endpoint = (port: string, more = ''): string =>
  `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}${more}}`;
const THREE = { one: { kind: 'http' }, two: { kind: 'http' }, three: { kind: 'http' } } as const;
const THREE_ENDPOINTS = `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{one}}')}, ${endpoint('{{two}}')}, ${endpoint('{{three}}')}]}]}`;
const WEIGHTED = `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{one}}', ', load_balancing_weight: 1')}, ${endpoint('{{two}}', ', load_balancing_weight: 2')}, ${endpoint('{{three}}', ', load_balancing_weight: 5')}]}]}`;
const SLOW = {
  kind: 'http',
  replies: [{ send: [300, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }],
} as const;
const MANY: Connection = { ...pipelined(300, () => request('GET', '/')), timeoutMs: MANY_TIMEOUT_MS };
const POLICIES = 'type.googleapis.com/envoy.extensions.load_balancing_policies';
const policy = (name: string, more = ''): string =>
  `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": ${POLICIES}.${name}${more}}}}]}`;

function spread(name: string, text: string, sharesWithinPercent = 34): Case {
  return cluster(name, text, [MANY], { backends: THREE, sharesWithinPercent, counters: [] });
}

const balancing: readonly Case[] = [
  spread('ROUND_ROBIN', `lb_policy: ROUND_ROBIN\n${THREE_ENDPOINTS}`),
  spread('RANDOM', `lb_policy: RANDOM\n${THREE_ENDPOINTS}`),
  spread(
    'LEAST_REQUEST',
    `lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 3}\n${THREE_ENDPOINTS}`,
  ),
  spread('ROUND_ROBIN weighted', `lb_policy: ROUND_ROBIN\n${WEIGHTED}`),
  spread(
    'LEAST_REQUEST weighted',
    `lb_policy: LEAST_REQUEST\nleast_request_lb_config: {active_request_bias: {default_value: 2.0, runtime_key: x}}\n${WEIGHTED}`,
  ),
  spread('round robin by policy', `${policy('round_robin.v3.RoundRobin')}\n${THREE_ENDPOINTS}`),
  spread('random by policy', `${policy('random.v3.Random')}\n${THREE_ENDPOINTS}`),
  spread(
    'least request by policy',
    `${policy('least_request.v3.LeastRequest', ', choice_count: 4, active_request_bias: {default_value: 1.5, runtime_key: y}')}\n${THREE_ENDPOINTS}`,
  ),
  spread(
    'unhealthy hosts get nothing',
    `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{one}}')}, ${endpoint('{{two}}', ', health_status: UNHEALTHY')}, ${endpoint('{{three}}', ', health_status: DRAINING')}]}]}`,
  ),
  spread(
    'degraded hosts come last',
    `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{one}}', ', health_status: DEGRADED')}, ${endpoint('{{two}}')}, ${endpoint('{{three}}', ', health_status: HEALTHY')}]}]}`,
  ),
  spread(
    'localities without weights',
    `load_assignment: {cluster_name: x, endpoints: [{locality: {region: r, zone: z, sub_zone: s}, lb_endpoints: [${endpoint('{{one}}')}]}, {locality: {region: q}, lb_endpoints: [${endpoint('{{two}}')}, ${endpoint('{{three}}')}]}]}`,
  ),
  cluster(
    'ROUND_ROBIN hits each once',
    `lb_policy: ROUND_ROBIN\n${THREE_ENDPOINTS}`,
    [{ ...get('/'), repeat: 3 }],
    { backends: THREE, sharesWithinPercent: 5 },
  ),
  cluster(
    'panic mode when all are unhealthy',
    `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{backend}}', ', health_status: UNHEALTHY')}]}]}`,
    [get('/')],
  ),
  cluster('no endpoints', 'load_assignment: {cluster_name: x, endpoints: []}', [get('/')]),
];

const LOCALHOST =
  'load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {hostname: h.example, address: {socket_address: {address: localhost, port_value: {{backend}}}}}}]}]}';

const discovery: readonly Case[] = [
  cluster('STRICT_DNS', `type: STRICT_DNS\ndns_lookup_family: V4_ONLY\n${LOCALHOST}`, [get('/')]),
  cluster(
    'STRICT_DNS with rates',
    `type: STRICT_DNS\ndns_lookup_family: V4_ONLY\nrespect_dns_ttl: true\ndns_refresh_rate: 0.5s\ndns_failure_refresh_rate: {base_interval: 0.2s, max_interval: 1s}\n${LOCALHOST}`,
    [get('/')],
  ),
  cluster(
    'STRICT_DNS with an address',
    `type: STRICT_DNS\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${endpoint('{{backend}}')}]}]}`,
    [get('/')],
  ),
  cluster(
    'STRICT_DNS name that is not there',
    'type: STRICT_DNS\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nope.invalid, port_value: 80}}}}]}]}',
    [get('/')],
  ),
  cluster('LOGICAL_DNS', `type: LOGICAL_DNS\ndns_lookup_family: V4_ONLY\n${LOCALHOST}`, [get('/')]),
  cluster(
    'LOGICAL_DNS with rates',
    `type: LOGICAL_DNS\ndns_lookup_family: V4_ONLY\nrespect_dns_ttl: true\ndns_refresh_rate: 0.5s\ndns_failure_refresh_rate: {base_interval: 0.2s, max_interval: 1s}\n${LOCALHOST.replace('endpoints: [{', 'endpoints: [{priority: 1, ')}`,
    [get('/')],
  ),
  cluster(
    'LOGICAL_DNS name that is not there',
    'type: LOGICAL_DNS\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nope.invalid, port_value: 80}}}}]}]}',
    [get('/')],
  ),
  cluster('STATIC by default', '{}', [get('/')]),
];

const pools: readonly Case[] = [
  cluster('connect refused', '{}', [get('/')], { backends: { backend: { kind: 'refused' } } }),
  cluster('connect timeout', 'connect_timeout: 0.2s', [get('/')], {
    backends: { backend: { kind: 'silent' } },
  }),
  cluster('connection is reused', '{}', [get('/1'), get('/2')]),
  cluster('connections in parallel', '{}', [{ ...get('/'), repeat: 3 }], {
    parallel: true,
    backends: { backend: SLOW },
  }),
  cluster(
    'max_requests_per_connection 1',
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {max_requests_per_connection: 1}, explicit_http_config: {http_protocol_options: {}}}}',
    [get('/1'), get('/2')],
  ),
  cluster(
    'idle_timeout of pooled connections',
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {idle_timeout: 0.2s}, explicit_http_config: {http_protocol_options: {}}}}',
    [{ ...get('/1'), settleMs: 500 }, get('/2')],
  ),
  cluster(
    'max_connection_duration of pooled connections',
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {max_connection_duration: 0.2s}, explicit_http_config: {http_protocol_options: {}}}}',
    [{ ...get('/1'), settleMs: 500 }, get('/2')],
  ),
  cluster(
    'max_headers_count of answers',
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {max_headers_count: 3}, explicit_http_config: {http_protocol_options: {}}}}',
    [get('/1')],
    {
      backends: { backend: { kind: 'http', replies: [respond('200 OK', ['a: 1', 'b: 2', 'c: 3'], 'ok')] } },
    },
  ),
  cluster(
    'breaker max_connections',
    'circuit_breakers: {thresholds: [{max_connections: 1}]}',
    [{ ...get('/'), repeat: 3 }],
    { parallel: true, backends: { backend: SLOW } },
  ),
  cluster(
    'breaker max_pending_requests of zero',
    'circuit_breakers: {thresholds: [{max_pending_requests: 0}]}',
    [get('/')],
  ),
  cluster(
    'breaker max_requests',
    'circuit_breakers: {thresholds: [{max_requests: 1}]}',
    [{ ...get('/'), repeat: 2 }],
    { parallel: true, backends: { backend: SLOW }, unorderedClient: true },
  ),
  cluster('upstream closes an idle connection', '{}', [{ ...get('/1'), settleMs: 300 }, get('/2')], {
    backends: {
      backend: {
        kind: 'http',
        replies: [
          { send: ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 100], closes: 'end' },
          respond('200 OK'),
        ],
      },
    },
  }),
  cluster('upstream closes before it answers', '{}', [get('/')], {
    backends: { backend: { kind: 'http', replies: [{ send: [], closes: 'end' }] } },
  }),
  cluster('upstream resets before it answers', '{}', [get('/')], {
    backends: { backend: { kind: 'http', replies: [{ send: [], closes: 'reset' }] } },
  }),
  cluster('upstream closes within the head', '{}', [get('/')], {
    backends: { backend: { kind: 'http', replies: [{ send: ['HTTP/1.1 200 OK\r\nx: '], closes: 'end' }] } },
  }),
  cluster('upstream resets within the body', '{}', [{ ...get('/'), settleMs: 300 }], {
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 80], closes: 'reset' }],
      },
    },
  }),
  cluster('upstream sends more than its length', '{}', [get('/1'), get('/2')], {
    backends: {
      backend: {
        kind: 'http',
        replies: [
          { send: ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokEXTRA'] },
          respond('200 OK', [], 'b'),
        ],
      },
    },
  }),
  cluster('upstream speaks before it is asked', '{}', [get('/1')], {
    backends: { backend: { kind: 'tcp', replies: [respond('200 OK', [], 'early')] } },
  }),
  cluster('alt_stat_name', 'alt_stat_name: "{{id}}_alt"', [get('/')], {
    counters: ['cluster.{{id}}_alt.upstream_rq_total', 'cluster.{{id}}.upstream_rq_total'],
  }),
  cluster('per_connection_buffer_limit_bytes', 'per_connection_buffer_limit_bytes: 1024', [get('/')], {
    backends: { backend: { kind: 'http', replies: [respond('200 OK', [], 'x'.repeat(200_000))] } },
  }),
  cluster('upstream tcp_keepalive', 'upstream_connection_options: {tcp_keepalive: {keepalive_time: 30}}', [
    get('/'),
  ]),
  cluster(
    'raw_buffer transport socket',
    'transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}',
    [get('/')],
  ),
  cluster(
    'enable_trailers upstream',
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}',
    [get('/')],
  ),
];

export const clusters: readonly Group[] = [
  { name: 'cluster-balancing', cases: balancing },
  { name: 'cluster-discovery', cases: discovery },
  { name: 'cluster-pools', cases: pools },
];
