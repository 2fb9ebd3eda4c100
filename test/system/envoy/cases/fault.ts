import { type Case, type Connection, type Group, get, request, respond } from '../case.ts';

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http';
const ROUTER = `{name: r, typed_config: {"@type": ${FILTERS}.router.v3.Router}}`;
const FAULT = `"@type": ${FILTERS}.fault.v3.HTTPFault`;
const WRAPPER = '"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig';
const ALWAYS = 'percentage: {numerator: 100}';
const STATS = [
  'delays_injected',
  'aborts_injected',
  'response_rl_injected',
  'faults_overflow',
  'active_faults',
];
const COUNTERS = STATS.map((name) => `http.{{id}}.fault.${name}`);

const chain = (fault: string, more = ''): string =>
  `http_filters: [{name: fault, ${more}typed_config: {${FAULT}, ${fault}}}, ${ROUTER}]`;

/** The filter's configuration and the requests that show it. */
function fault(
  name: string,
  config: string,
  connections: readonly Connection[],
  more: Partial<Case> = {},
): Case {
  return { name: `fault: ${name}`, hcm: chain(config), connections, counters: COUNTERS, ...more };
}

const abort = (text: string, percentage = ALWAYS): string => `abort: {${text}, ${percentage}}`;
const GRPC = ['Content-Type: application/grpc', 'TE: trailers'];
const BODY = { backend: { kind: 'http', replies: [respond('200 OK', [], 'z'.repeat(3000))] } } as const;

const aborts: readonly Case[] = [
  fault('abort http_status', abort('http_status: 418'), [get('/')]),
  fault('abort of HEAD', abort('http_status: 503'), [{ acts: [request('HEAD', '/')] }]),
  fault('abort with a request body', abort('http_status: 503'), [
    { acts: [request('POST', '/', [], 'hello')] },
  ]),
  fault('abort http_status of a gRPC request', abort('http_status: 503'), [
    { acts: [request('POST', '/a/b', GRPC, 'x')] },
  ]),
  fault('abort grpc_status', abort('grpc_status: 5'), [
    get('/'),
    { acts: [request('POST', '/a/b', GRPC, 'x')] },
  ]),
  fault('abort never', abort('http_status: 503', 'percentage: {numerator: 0}'), [get('/')]),
  fault(
    'abort of a million',
    abort('http_status: 503', 'percentage: {numerator: 1000000, denominator: MILLION}'),
    [get('/')],
  ),
  fault('abort without a percentage', 'abort: {http_status: 503}', [get('/')]),
  fault('abort by header', abort('header_abort: {}'), [
    get('/', 'x-envoy-fault-abort-request: 451'),
    get('/', 'x-envoy-fault-abort-request: 199'),
    get('/', 'x-envoy-fault-abort-request: 600'),
    get('/', 'x-envoy-fault-abort-request: none'),
    get('/', 'x-envoy-fault-abort-grpc-request: 7'),
    { acts: [request('POST', '/a/b', [...GRPC, 'x-envoy-fault-abort-grpc-request: 7'], 'x')] },
    get('/', 'x-envoy-fault-abort-request: 500', 'x-envoy-fault-abort-grpc-request: 7'),
    get('/'),
  ]),
  fault('abort percentage by header', abort('header_abort: {}'), [
    get('/', 'x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: 0'),
    get('/', 'x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: 100'),
    get('/', 'x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: 900'),
    get('/', 'x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: x'),
  ]),
  fault(
    'abort percentage by header is no more than the configured one',
    abort('header_abort: {}', 'percentage: {numerator: 0}'),
    [get('/', 'x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: 100')],
  ),
  fault('abort runs before a direct response', abort('http_status: 418'), [get('/')], {
    routes: '[{match: {prefix: /}, direct_response: {status: 200}}]',
  }),
  fault('abort without a route', abort('http_status: 418'), [get('/')], {
    routes: '[{match: {prefix: /a}, direct_response: {status: 200}}]',
  }),
  fault(
    'downstream cluster counters',
    abort('http_status: 418'),
    [get('/', 'x-envoy-downstream-service-cluster: web')],
    { counters: [...COUNTERS, 'http.{{id}}.fault.web.aborts_injected'] },
  ),
  fault(
    'disable_downstream_cluster_stats',
    `${abort('http_status: 418')}, disable_downstream_cluster_stats: true`,
    [get('/', 'x-envoy-downstream-service-cluster: web')],
    { counters: [...COUNTERS, 'http.{{id}}.fault.web.aborts_injected'] },
  ),
];

const DELAYED = 'delay: {fixed_delay: 0.05s, percentage: {numerator: 100}}';
const delays: readonly Case[] = [
  fault('fixed_delay', DELAYED, [get('/')]),
  fault('fixed_delay with a request body', DELAYED, [
    { acts: [request('POST', '/', [], 'hello'), { wait: 20 }] },
    {
      acts: [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n',
        { wait: 100 },
        '2\r\ncd\r\n0\r\n\r\n',
      ],
    },
  ]),
  fault('delay, then abort', `${DELAYED}, ${abort('http_status: 418')}`, [get('/')]),
  fault('delay by header', `delay: {header_delay: {}, ${ALWAYS}}`, [
    get('/', 'x-envoy-fault-delay-request: 60'),
    get('/', 'x-envoy-fault-delay-request: 0'),
    get('/', 'x-envoy-fault-delay-request: -5'),
    get('/', 'x-envoy-fault-delay-request: 60', 'x-envoy-fault-delay-request-percentage: 0'),
    get('/'),
  ]),
  fault('delay never', 'delay: {fixed_delay: 30s, percentage: {numerator: 0}}', [get('/')]),
  fault('delay while the client leaves', 'delay: {fixed_delay: 0.4s, percentage: {numerator: 100}}', [
    { acts: [request('GET', '/'), { wait: 60 }, { end: true }], responses: 0, settleMs: 600 },
  ]),
];

const conditions: readonly Case[] = [
  fault(
    'headers',
    `${abort('http_status: 418')}, headers: [{name: x-a, string_match: {exact: "1"}}, {name: x-b, present_match: true}]`,
    [get('/', 'X-A: 1'), get('/', 'X-A: 1', 'X-B: 2'), get('/')],
  ),
  fault('upstream_cluster', `${abort('http_status: 418')}, upstream_cluster: "{{id}}"`, [get('/')]),
  fault('another upstream_cluster', `${abort('http_status: 418')}, upstream_cluster: other`, [get('/')]),
  fault('downstream_nodes', `${abort('http_status: 418')}, downstream_nodes: [n1, n2]`, [
    get('/'),
    get('/', 'x-envoy-downstream-service-node: n2'),
    get('/', 'x-envoy-downstream-service-node: n3'),
  ]),
  fault('max_active_faults of zero', `${abort('http_status: 418')}, max_active_faults: 0`, [get('/')]),
  fault(
    'max_active_faults',
    'delay: {fixed_delay: 0.5s, percentage: {numerator: 100}}, max_active_faults: 1, abort: {http_status: 418, percentage: {numerator: 100}}',
    [get('/1'), { acts: [{ wait: 150 }, request('GET', '/2')] }],
    { parallel: true, unorderedClient: true },
  ),
  fault('filter_metadata', `${abort('http_status: 418')}, filter_metadata: {a: b}`, [get('/')]),
];

const limits: readonly Case[] = [
  fault(
    'response_rate_limit',
    `response_rate_limit: {fixed_limit: {limit_kbps: 16}, ${ALWAYS}}`,
    [get('/')],
    {
      backends: BODY,
    },
  ),
  fault(
    'response_rate_limit by header',
    `response_rate_limit: {header_limit: {}, ${ALWAYS}}`,
    [
      get('/', 'x-envoy-fault-throughput-response: 16'),
      get('/', 'x-envoy-fault-throughput-response: 0'),
      get('/', 'x-envoy-fault-throughput-response: 16', 'x-envoy-fault-throughput-response-percentage: 0'),
      get('/'),
    ],
    { backends: BODY },
  ),
  fault('response_rate_limit never', 'response_rate_limit: {fixed_limit: {limit_kbps: 1}}', [get('/')], {
    backends: BODY,
  }),
  fault(
    'response_rate_limit and trailers',
    `response_rate_limit: {fixed_limit: {limit_kbps: 16}, ${ALWAYS}}`,
    [get('/')],
    {
      hcm: `${chain(`response_rate_limit: {fixed_limit: {limit_kbps: 16}, ${ALWAYS}}`)}\nhttp_protocol_options: {enable_trailers: true}`,
      cluster: 'http_protocol_options: {enable_trailers: true}',
      backends: {
        backend: {
          kind: 'http',
          replies: [
            {
              send: [
                `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n${'z'.repeat(2000)}\r\n0\r\nX-T: 1\r\n\r\n`,
              ],
            },
          ],
        },
      },
    },
  ),
  fault(
    'response_rate_limit without a body',
    `response_rate_limit: {fixed_limit: {limit_kbps: 1}, ${ALWAYS}}`,
    [get('/')],
    {
      backends: { backend: { kind: 'http', replies: [respond('204 No Content')] } },
    },
  ),
];

const per = (text: string): string => `typed_per_filter_config: {fault: {${text}}}`;
const own = (status: number): string => `${FAULT}, abort: {http_status: ${status}, ${ALWAYS}}`;
const TEAPOT = abort('http_status: 418');
const overrides: readonly Case[] = [
  fault('per route', TEAPOT, [get('/a'), get('/b')], {
    routes: `[{match: {prefix: /a}, route: {cluster: "{{id}}"}, ${per(own(501))}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]`,
  }),
  fault('per virtual host', TEAPOT, [get('/')], { vhost: per(own(502)) }),
  fault('per route configuration', TEAPOT, [get('/')], { routeConfig: per(own(503)) }),
  fault('most specific level wins', TEAPOT, [get('/a'), get('/b')], {
    routeConfig: per(own(503)),
    vhost: per(own(502)),
    routes: `[{match: {prefix: /a}, route: {cluster: "{{id}}"}, ${per(own(501))}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]`,
  }),
  fault('per weighted cluster', TEAPOT, [get('/')], {
    routes: `[{match: {prefix: /}, ${per(own(501))}, route: {weighted_clusters: {clusters: [{name: "{{id}}", weight: 1, ${per(own(504))}}]}}}]`,
  }),
  fault('weighted cluster without its own', TEAPOT, [get('/')], {
    routes: `[{match: {prefix: /}, ${per(own(501))}, route: {weighted_clusters: {clusters: [{name: "{{id}}", weight: 1}]}}}]`,
  }),
  fault('a route without faults of its own', TEAPOT, [get('/')], { vhost: per(FAULT) }),
  fault('disabled by the route', TEAPOT, [get('/')], { vhost: per(`${WRAPPER}, disabled: true`) }),
  fault('disabled by the virtual host, configured by the route', TEAPOT, [get('/a'), get('/b')], {
    vhost: per(`${WRAPPER}, disabled: true`),
    routes: `[{match: {prefix: /a}, route: {cluster: "{{id}}"}, ${per(own(501))}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]`,
  }),
  fault('wrapped configuration', TEAPOT, [get('/')], { vhost: per(`${WRAPPER}, config: {${own(505)}}`) }),
  fault('an empty wrapper', TEAPOT, [get('/')], { vhost: per(WRAPPER) }),
  fault('a name of no filter', TEAPOT, [get('/')], {
    vhost: `typed_per_filter_config: {other: {${own(505)}}}`,
  }),
  fault('an optional unknown configuration', TEAPOT, [get('/')], {
    vhost: per(
      `${WRAPPER}, is_optional: true, config: {"@type": type.googleapis.com/google.protobuf.Struct, value: {}}`,
    ),
  }),
  fault('disabled by default', TEAPOT, [get('/')], { hcm: chain(TEAPOT, 'disabled: true, ') }),
  fault('disabled by default, configured by a route', TEAPOT, [get('/a'), get('/b')], {
    hcm: chain(TEAPOT, 'disabled: true, '),
    routes: `[{match: {prefix: /a}, route: {cluster: "{{id}}"}, ${per(own(501))}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]`,
  }),
  fault('disabled router', TEAPOT, [get('/')], {
    hcm: `http_filters: [{name: r, disabled: true, typed_config: {"@type": ${FILTERS}.router.v3.Router}}]`,
  }),
  fault('an optional unknown filter', TEAPOT, [get('/')], {
    hcm: `http_filters: [{name: x, is_optional: true, typed_config: {"@type": type.googleapis.com/google.protobuf.Struct, value: {}}}, ${ROUTER}]`,
  }),
  fault('per direct response', TEAPOT, [get('/')], {
    routes: `[{match: {prefix: /}, direct_response: {status: 200}, ${per(own(501))}}]`,
  }),
];

const RUNTIME = `
layered_runtime:
  layers:
  - name: base
    static_layer:
      my.delay_share: 100
      my.delay_ms: 30
      my.abort_share: {numerator: 100, denominator: HUNDRED}
      my.abort_http: 419
      my.abort_grpc: 9
      my.rate_share: 100
      my.max: 0
      fault.http.web.abort.abort_percent: 100
      fault.http.web.abort.http_status: 420
`;
const runtime: readonly Case[] = [
  fault(
    'runtime delay',
    'delay: {fixed_delay: 30s}, delay_percent_runtime: my.delay_share, delay_duration_runtime: my.delay_ms',
    [get('/')],
  ),
  fault(
    'runtime abort',
    'abort: {http_status: 418}, abort_percent_runtime: my.abort_share, abort_http_status_runtime: my.abort_http',
    [get('/')],
  ),
  fault('runtime abort grpc', `${abort('grpc_status: 5')}, abort_grpc_status_runtime: my.abort_grpc`, [
    { acts: [request('POST', '/a/b', GRPC, 'x')] },
  ]),
  fault(
    'runtime rate',
    'response_rate_limit: {fixed_limit: {limit_kbps: 16}}, response_rate_limit_percent_runtime: my.rate_share',
    [get('/')],
    { backends: BODY },
  ),
  fault('runtime max_active_faults', `${TEAPOT}, max_active_faults_runtime: my.max`, [get('/')]),
  fault('runtime of a downstream cluster', 'abort: {http_status: 418}', [
    get('/', 'x-envoy-downstream-service-cluster: web'),
    get('/', 'x-envoy-downstream-service-cluster: other'),
  ]),
];

export const faults: readonly Group[] = [
  { name: 'fault', cases: [...aborts, ...delays, ...conditions, ...limits, ...overrides] },
  { name: 'fault-runtime', bootstrap: RUNTIME, cases: runtime },
];
