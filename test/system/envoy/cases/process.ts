import { type AdminRequest, type Case, type Group, get, request, respond } from '../case.ts';

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
const ROUTER = `{name: r, typed_config: {"@type": ${FILTERS}.http.router.v3.Router}}`;

const listeners: readonly Case[] = [
  {
    name: 'listener: stat_prefix',
    listener: 'stat_prefix: "{{id}}_listener"',
    connections: [get('/')],
    counters: [
      'listener.{{id}}_listener.downstream_cx_total',
      'listener.{{id}}_listener.http.{{id}}.downstream_rq_2xx',
      'listener.{{id}}_listener.no_filter_chain_match',
    ],
  },
  {
    name: 'listener: stats by address',
    connections: [get('/')],
    counters: [
      'listener.127.0.0.1_{{port}}.downstream_cx_total',
      'listener.127.0.0.1_{{port}}.downstream_cx_active',
      'listener.127.0.0.1_{{port}}.http.{{id}}.downstream_rq_completed',
      'listener.127.0.0.1_{{port}}.worker_0.downstream_cx_total',
    ],
  },
  {
    name: 'listener: default_filter_chain',
    listener: `filter_chains: []\ndefault_filter_chain: {name: d, filters: [{name: h, typed_config: {"@type": ${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: "{{id}}", route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 204}}]}]}, http_filters: [${ROUTER}]}}]}`,
    connections: [get('/')],
  },
  {
    name: 'listener: enable_reuse_port false',
    listener: 'enable_reuse_port: false',
    connections: [get('/')],
  },
  { name: 'listener: tcp_backlog_size', listener: 'tcp_backlog_size: 7', connections: [get('/')] },
  {
    name: 'listener: per_connection_buffer_limit_bytes',
    listener: 'per_connection_buffer_limit_bytes: 2048',
    connections: [get('/')],
    backends: { backend: { kind: 'http', replies: [respond('200 OK', [], 'y'.repeat(100_000))] } },
  },
  {
    name: 'listener: bind_to_port false',
    listener: 'bind_to_port: false',
    connections: [{ acts: [], responses: 0, settleMs: 200 }],
  },
  {
    name: 'listener: named filter chain',
    listener: 'metadata: {filter_metadata: {a: {b: c}}}\ntraffic_direction: OUTBOUND',
    connections: [get('/')],
  },
];

const filters: readonly Case[] = [
  {
    name: 'filter: header_mutation',
    hcm: `http_filters:
- name: m
  typed_config:
    "@type": ${FILTERS}.http.header_mutation.v3.HeaderMutation
    mutations:
      request_mutations:
      - remove: x-gone
      - append: {header: {key: x-a, value: "%REQ(:METHOD)%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
      - append: {header: {key: x-b, value: added}}
      response_mutations:
      - remove: content-type
      - append: {header: {key: x-r, value: "%RESPONSE_CODE%"}, append_action: ADD_IF_ABSENT}
- ${ROUTER}`,
    connections: [get('/', 'X-Gone: 1', 'X-A: old', 'X-B: old')],
  },
  {
    name: 'filter: header_mutation on a local reply',
    hcm: `http_filters: [{name: m, typed_config: {"@type": ${FILTERS}.http.header_mutation.v3.HeaderMutation, most_specific_header_mutations_wins: true, mutations: {response_mutations: [{append: {header: {key: x-r, value: "1"}}}]}}}, ${ROUTER}]`,
    routes: '[{match: {prefix: /}, direct_response: {status: 404}}]',
    connections: [get('/')],
  },
];

const levelled = (value: string): string =>
  `typed_per_filter_config: {m: {"@type": ${FILTERS}.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-a, value: ${value}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}, {append: {header: {key: x-all, value: ${value}}}}], response_mutations: [{append: {header: {key: x-r, value: ${value}}}}]}}}`;
const levels = (wins: boolean): Case => ({
  name: `filter: header_mutation of a route, a virtual host and a table, ${wins ? 'most specific wins' : 'least specific wins'}`,
  hcm: `http_filters: [{name: m, typed_config: {"@type": ${FILTERS}.http.header_mutation.v3.HeaderMutation, most_specific_header_mutations_wins: ${wins}, mutations: {request_mutations: [{append: {header: {key: x-a, value: filter}}}], response_mutations: [{append: {header: {key: x-r, value: filter}}}]}}}, ${ROUTER}]`,
  routeConfig: levelled('table'),
  vhost: levelled('vhost'),
  routes: `[{match: {prefix: /a}, route: {cluster: "{{id}}"}, ${levelled('route')}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]`,
  connections: [get('/a'), get('/b')],
  backends: { backend: { kind: 'http' } },
});

const sources: readonly Case[] = [
  {
    name: 'source: environment_variable',
    routes:
      '[{match: {prefix: /}, direct_response: {status: 200, body: {environment_variable: INOX_TEST_VALUE}}}]',
    connections: [get('/')],
  },
  {
    name: 'source: filename',
    routes: '[{match: {prefix: /}, direct_response: {status: 200, body: {filename: "{{data}}"}}}]',
    connections: [get('/')],
  },
  {
    name: 'source: node and locality',
    connections: [get('/', 'X-A: 1')],
    vhost: 'request_headers_to_add: [{header: {key: x-zone, value: "%REQ(X-A)%"}}]',
  },
];

const PIPE =
  '{name: "{{id}}_pipe", load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "{{log}}.sock"}}}}]}]}}';
const pipes: readonly Case[] = [
  {
    name: 'pipe: upstream over a Unix socket, to a listener on it',
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}_pipe"}}]',
    clusters: `[${PIPE}]`,
    listeners: `[{name: "{{id}}_pipe", address: {pipe: {path: "{{log}}.sock", mode: 384}}, filter_chains: [{filters: [{name: h, typed_config: {"@type": ${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: "{{id}}_pipe", route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "over a pipe"}}}]}]}, http_filters: [${ROUTER}]}}]}]}]`,
    connections: [get('/')],
  },
];

const admin = (name: string, pages: readonly AdminRequest[]): Case => ({
  name: `admin: ${name}`,
  connections: [get('/'), { acts: [request('GET', '/x')] }],
  admin: pages,
});

const pages: readonly Case[] = [
  admin('ready', [
    { path: '/ready', compare: 'exact' },
    { path: '/ready', method: 'POST', compare: 'status' },
  ]),
  admin('clusters', [
    { path: '/clusters', compare: 'text', lines: 'admin_pages_1::' },
    { path: '/clusters?format=json', compare: 'json' },
  ]),
  admin('listeners', [
    { path: '/listeners', compare: 'text' },
    { path: '/listeners?format=json', compare: 'json' },
  ]),
  admin('server_info', [{ path: '/server_info', compare: 'status' }]),
  admin('stats', [
    {
      path: '/stats?filter=^cluster.admin_pages_4.(membership|upstream_cx_(total|active))',
      compare: 'exact',
    },
    { path: '/stats?usedonly&filter=^http.admin_pages_4.downstream_rq_.xx', compare: 'exact' },
    { path: '/stats?format=json&filter=^http.admin_pages_4.downstream_rq_2xx', compare: 'exact' },
    { path: '/stats?type=Gauges&filter=^http.admin_pages_4', compare: 'exact' },
    { path: '/stats?filter=(', compare: 'status' },
    { path: '/stats/prometheus?filter=^http.admin_pages_4.downstream_rq_xx', compare: 'exact' },
    { path: '/stats/prometheus?filter=^cluster.admin_pages_4.membership', compare: 'exact' },
    { path: '/stats/prometheus', compare: 'status' },
    { path: '/stats?format=prometheus&filter=^http.admin_pages_4.downstream_cx_total', compare: 'exact' },
  ]),
  admin('others', [
    { path: '/config_dump', compare: 'status' },
    { path: '/logging', method: 'POST', compare: 'status' },
    { path: '/logging', compare: 'status' },
    { path: '/logging?level=error', method: 'POST', compare: 'status' },
    { path: '/logging?nope=error', method: 'POST', compare: 'status' },
    { path: '/nope', compare: 'status' },
    { path: '/quitquitquit', compare: 'status' },
    { path: '/healthcheck/fail', compare: 'status' },
    { path: '/help', compare: 'status' },
    { path: '/', compare: 'status' },
    { path: '/memory', compare: 'status' },
    { path: '/certs', compare: 'status' },
    { path: '/runtime', compare: 'status' },
    { path: '/reset_counters', compare: 'status' },
    { path: '/hot_restart_version', compare: 'status' },
  ]),
  admin('config_dump', [
    { path: '/config_dump', compare: 'text', lines: '"@type"' },
    { path: '/config_dump?resource=static_clusters', compare: 'status' },
    { path: '/config_dump?mask=bootstrap.admin', compare: 'status' },
  ]),
];

const RUNTIME = `
layered_runtime:
  layers:
  - name: base
    static_layer:
      route.zero: {numerator: 0, denominator: HUNDRED}
      route.full: 100
      log.least: 404
      re2.max_program_size.error_level: 1000
admin:
  access_log:
  - name: f
    typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}
node: {id: n, cluster: c, locality: {region: r, zone: z, sub_zone: s}}
`;

const runtime: readonly Case[] = [
  {
    name: 'runtime: fractions from the static layer',
    routes: [
      '- {match: {path: /a, runtime_fraction: {default_value: {numerator: 100}, runtime_key: route.zero}}, direct_response: {status: 200}}',
      '- {match: {path: /b, runtime_fraction: {default_value: {numerator: 0}, runtime_key: route.full}}, direct_response: {status: 200}}',
      '- {match: {path: /c, runtime_fraction: {default_value: {numerator: 1000000, denominator: MILLION}, runtime_key: route.unset}}, direct_response: {status: 200}}',
    ].join('\n'),
    connections: [get('/a'), get('/b'), get('/c')],
  },
  {
    name: 'runtime: values from the static layer',
    accessLog:
      '[{filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 200, runtime_key: log.least}}}}, name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{{log}}", log_format: {text_format_source: {inline_string: "%RESPONSE_CODE%\\n"}}}}]',
    routes: '[{match: {prefix: /a}, direct_response: {status: 200}}]',
    connections: [get('/a'), get('/b')],
  },
];

export const processes: readonly Group[] = [
  { name: 'listeners', cases: listeners },
  { name: 'filters', cases: [...filters, levels(true), levels(false)] },
  { name: 'sources', cases: sources },
  { name: 'pipes', cases: pipes },
  { name: 'admin-pages', cases: pages },
  { name: 'runtime', bootstrap: RUNTIME, cases: runtime },
];
