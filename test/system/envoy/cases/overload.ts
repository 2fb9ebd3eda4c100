import { resolve } from 'node:path';
import { type Case, type Connection, type Group, get, request, respond } from '../case.ts';

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http';
const ROUTER = `{name: r, typed_config: {"@type": ${FILTERS}.router.v3.Router}}`;
const MONITORS = 'type.googleapis.com/envoy.extensions.resource_monitors';
const FILE = 'envoy.resource_monitors.injected_resource';
/** Holds 0.9. */
const INJECTED = `{name: ${FILE}, typed_config: {"@type": ${MONITORS}.injected_resource.v3.InjectedResourceConfig, filename: ${resolve(import.meta.dirname, '../pressure.txt')}}}`;

const CODES = ['1xx', '2xx', '4xx', '5xx', 'completed', 'total'];
const HTTP = [...CODES, 'overload_close'].map((name) => `http.{{id}}.downstream_rq_${name}`);

const check = (text: string): string =>
  `http_filters: [{name: health, typed_config: {"@type": ${FILTERS}.health_check.v3.HealthCheck, ${text}}}, ${ROUTER}]`;
function health(
  name: string,
  text: string,
  connections: readonly Connection[],
  more: Partial<Case> = {},
): Case {
  return { name: `health: ${name}`, hcm: check(text), connections, counters: HTTP, ...more };
}
const PATH = 'headers: [{name: ":path", string_match: {exact: /hc}}]';
const FAILING = { backend: { kind: 'http', replies: [respond('503 Service Unavailable')] } } as const;
const DEGRADED = {
  backend: { kind: 'http', replies: [respond('200 OK', ['x-envoy-degraded: 1'], 'fine')] },
} as const;
const percent = (name: string, value: number): string =>
  `cluster_min_healthy_percentages: {"${name}": {value: ${value}}}`;
const HOSTS = (text: string): string =>
  `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${text}]}]}`;
const HOST = (status: string): string =>
  `{health_status: ${status}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{backend}}}}}}`;

const checks: readonly Case[] = [
  health('answered here', `pass_through_mode: false, ${PATH}`, [get('/hc'), get('/other'), get('/hc?x=1')]),
  health('HEAD answered here', `pass_through_mode: false, ${PATH}`, [{ acts: [request('HEAD', '/hc')] }]),
  health('answered here on one connection', `pass_through_mode: false, ${PATH}`, [
    { acts: [request('GET', '/hc'), request('GET', '/x')], responses: 2 },
  ]),
  health(
    'several headers',
    'pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /hc}}, {name: x-hc, present_match: true}]',
    [get('/hc'), get('/hc', 'X-HC: 1')],
  ),
  health('every request', 'pass_through_mode: false', [get('/')]),
  health('passed through', `pass_through_mode: true, ${PATH}`, [get('/hc'), get('/other')]),
  health('passed through, failing', `pass_through_mode: true, ${PATH}`, [get('/hc')], { backends: FAILING }),
  health('cached', `pass_through_mode: true, cache_time: 60s, ${PATH}`, [
    get('/hc'),
    get('/hc'),
    get('/other'),
  ]),
  health('cached failure', `pass_through_mode: true, cache_time: 60s, ${PATH}`, [get('/hc'), get('/hc')], {
    backends: FAILING,
  }),
  health('cached degraded', `pass_through_mode: true, cache_time: 60s, ${PATH}`, [get('/hc'), get('/hc')], {
    backends: DEGRADED,
  }),
  health('cache_time without pass through', `pass_through_mode: false, cache_time: 60s, ${PATH}`, [
    get('/hc'),
  ]),
  health('percentages with pass through', `pass_through_mode: true, ${percent('{{id}}', 50)}, ${PATH}`, [
    get('/hc'),
  ]),
  health('healthy cluster', `pass_through_mode: false, ${percent('{{id}}', 100)}, ${PATH}`, [get('/hc')]),
  health('unknown cluster', `pass_through_mode: false, ${percent('nope', 0)}, ${PATH}`, [get('/hc')]),
  health('empty cluster', `pass_through_mode: false, ${percent('{{id}}', 50)}, ${PATH}`, [get('/hc')], {
    cluster: HOSTS(''),
  }),
  health(
    'empty cluster, nothing wanted',
    `pass_through_mode: false, ${percent('{{id}}', 0)}, ${PATH}`,
    [get('/hc')],
    { cluster: HOSTS('') },
  ),
  health('unhealthy cluster', `pass_through_mode: false, ${percent('{{id}}', 50)}, ${PATH}`, [get('/hc')], {
    cluster: HOSTS(HOST('UNHEALTHY')),
  }),
  health('degraded cluster', `pass_through_mode: false, ${percent('{{id}}', 50)}, ${PATH}`, [get('/hc')], {
    cluster: HOSTS(HOST('DEGRADED')),
  }),
  health('half of a cluster', `pass_through_mode: false, ${percent('{{id}}', 50)}, ${PATH}`, [get('/hc')], {
    cluster: HOSTS(
      `${HOST('UNHEALTHY')}, {endpoint: {address: {socket_address: {address: 127.0.0.2, port_value: 1}}}}`,
    ),
  }),
  health(
    'checks are left out of an access log',
    `pass_through_mode: false, ${PATH}`,
    [get('/hc'), get('/other')],
    {
      accessLog:
        '[{filter: {not_health_check_filter: {}}, name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{{log}}", log_format: {text_format_source: {inline_string: "%REQ(:PATH)%\\n"}}}}]',
    },
  ),
];

const manager = (more: string): string =>
  `overload_manager: {refresh_interval: 0.05s, resource_monitors: [${INJECTED}], ${more}}\n`;
const threshold = (value: number): string => `triggers: [{name: ${FILE}, threshold: {value: ${value}}}]`;
const scaled = (from: number, to: number): string =>
  `triggers: [{name: ${FILE}, scaled: {scaling_threshold: ${from}, saturation_threshold: ${to}}}]`;
const action = (name: string, trigger: string): string =>
  manager(`actions: [{name: envoy.overload_actions.${name}, ${trigger}}]`);
const point = (name: string, trigger: string): string =>
  manager(`loadshed_points: [{name: envoy.load_shed_points.${name}, ${trigger}}]`);

/** Until the overload manager has looked. */
const LATER = { wait: 250 };
const later = (...acts: string[]): Connection => ({ acts: [LATER, ...acts], responses: acts.length });
const stats = (kind: string, name: string): string[] => [
  `overload.${FILE}.pressure`,
  `overload.${FILE}.failed_updates`,
  `overload.envoy.${kind}.${name}.scale_percent`,
  ...(kind === 'overload_actions' ? [`overload.envoy.${kind}.${name}.active`] : []),
];
const reducing = (timer: string, least: string): string =>
  manager(
    `actions: [{name: envoy.overload_actions.reduce_timeouts, ${threshold(0.8)}, typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: [{timer: ${timer}, ${least}}]}}]`,
  );
const idle: Connection = { acts: [request('GET', '/')], settleMs: 1500 };
const GRPC = ['Content-Type: application/grpc', 'TE: trailers'];

function overload(group: string, bootstrap: string, cases: readonly Case[]): Group {
  return { name: `overload-${group}`, bootstrap, cases };
}
const under = (
  name: string,
  connections: readonly Connection[],
  counters: readonly string[],
  more: Partial<Case> = {},
): Case => ({
  name: `overload: ${name}`,
  connections,
  counters: [
    ...HTTP,
    'http.{{id}}.downstream_cx_overload_disable_keepalive',
    'listener.127.0.0.1_{{port}}.downstream_cx_overload_reject',
    'listener.127.0.0.1_{{port}}.downstream_global_cx_overflow',
    ...counters,
  ],
  ...more,
});
const refused: Connection = { acts: [LATER], responses: 0, settleMs: 400 };

export const overloads: readonly Group[] = [
  { name: 'health-check', cases: checks },
  overload('stop', action('stop_accepting_requests', threshold(0.8)), [
    under(
      'stop_accepting_requests',
      [later(request('GET', '/')), later(request('POST', '/', [], 'body')), later(request('HEAD', '/'))],
      stats('overload_actions', 'stop_accepting_requests'),
    ),
    under(
      'stop_accepting_requests and keep-alive',
      [{ ...later(request('GET', '/a'), request('GET', '/b')), responses: 2 }],
      [],
    ),
    under('stop_accepting_requests of gRPC', [later(request('POST', '/a/b', GRPC, 'x'))], []),
    under('stop_accepting_requests before response headers are added', [later(request('GET', '/'))], [], {
      vhost: 'response_headers_to_add: [{header: {key: x-r, value: "1"}}]',
    }),
  ]),
  overload('idle', action('stop_accepting_requests', threshold(0.95)), [
    under(
      'below the threshold',
      [later(request('GET', '/'))],
      stats('overload_actions', 'stop_accepting_requests'),
    ),
  ]),
  overload('exact', action('stop_accepting_requests', threshold(0.9)), [
    under(
      'at the threshold',
      [later(request('GET', '/'))],
      stats('overload_actions', 'stop_accepting_requests'),
    ),
  ]),
  overload('scaled', action('disable_http_keepalive', scaled(0.8, 1)), [
    under('scaled, half way', [later()], stats('overload_actions', 'disable_http_keepalive')),
  ]),
  overload('saturated', action('stop_accepting_requests', scaled(0.5, 0.7)), [
    under(
      'scaled, saturated',
      [later(request('GET', '/'))],
      stats('overload_actions', 'stop_accepting_requests'),
    ),
  ]),
  overload('keepalive', action('disable_http_keepalive', threshold(0.8)), [
    under(
      'disable_http_keepalive',
      [later(request('GET', '/'))],
      stats('overload_actions', 'disable_http_keepalive'),
    ),
    under('disable_http_keepalive of a local reply', [later(request('GET', '/'))], [], {
      routes: '[{match: {prefix: /}, direct_response: {status: 200}}]',
    }),
  ]),
  overload('reject', action('reject_incoming_connections', threshold(0.8)), [
    under(
      'reject_incoming_connections',
      [refused, refused],
      stats('overload_actions', 'reject_incoming_connections'),
    ),
    under('reject_incoming_connections, bypassed', [later(request('GET', '/'))], [], {
      listener: 'bypass_overload_manager: true',
    }),
  ]),
  overload('accept', point('tcp_listener_accept', threshold(0.8)), [
    under('tcp_listener_accept', [refused, refused], stats('load_shed_points', 'tcp_listener_accept')),
  ]),
  overload('decode', point('http_connection_manager_decode_headers', threshold(0.8)), [
    under(
      'http_connection_manager_decode_headers',
      [later(request('GET', '/'))],
      stats('load_shed_points', 'http_connection_manager_decode_headers'),
    ),
  ]),
  overload('timeouts', reducing('HTTP_DOWNSTREAM_CONNECTION_IDLE', 'min_timeout: 0.3s'), [
    under('reduce_timeouts of idle connections', [idle], stats('overload_actions', 'reduce_timeouts'), {
      hcm: 'drain_timeout: 0.1s',
      counters: ['http.{{id}}.downstream_cx_idle_timeout'],
    }),
  ]),
  overload('stream-timeouts', reducing('HTTP_DOWNSTREAM_STREAM_IDLE', 'min_scale: {value: 1}'), [
    under('reduce_timeouts of idle streams', [later(request('GET', '/'))], [], {
      hcm: 'stream_idle_timeout: 30s',
      backends: {
        backend: {
          kind: 'http',
          replies: [{ send: [2000, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'] }],
        },
      },
      counters: ['http.{{id}}.downstream_rq_idle_timeout'],
    }),
  ]),
  overload('shrink', action('shrink_heap', threshold(0.8)), [
    under('shrink_heap', [later(request('GET', '/'))], stats('overload_actions', 'shrink_heap')),
  ]),
  overload(
    'heap',
    `overload_manager: {refresh_interval: 0.05s, resource_monitors: [{name: envoy.resource_monitors.fixed_heap, typed_config: {"@type": ${MONITORS}.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000000}}], actions: [{name: envoy.overload_actions.stop_accepting_requests, triggers: [{name: envoy.resource_monitors.fixed_heap, threshold: {value: 0.9}}]}]}\n`,
    [
      under(
        'fixed_heap',
        [later(request('GET', '/'))],
        ['overload.envoy.overload_actions.stop_accepting_requests.active'],
      ),
    ],
  ),
  overload(
    'cgroup',
    `overload_manager: {refresh_interval: 0.05s, resource_monitors: [{name: envoy.resource_monitors.cgroup_memory, typed_config: {"@type": ${MONITORS}.cgroup_memory.v3.CgroupMemoryConfig, max_memory_bytes: 1000}}], actions: [{name: envoy.overload_actions.stop_accepting_requests, triggers: [{name: envoy.resource_monitors.cgroup_memory, threshold: {value: 0.9}}]}]}\n`,
    [
      under(
        'cgroup_memory',
        [later(request('GET', '/'))],
        ['overload.envoy.overload_actions.stop_accepting_requests.active'],
      ),
    ],
  ),
  overload(
    'cpu',
    `overload_manager: {refresh_interval: 0.05s, resource_monitors: [{name: envoy.resource_monitors.cpu_utilization, typed_config: {"@type": ${MONITORS}.cpu_utilization.v3.CpuUtilizationConfig, mode: CONTAINER}}], actions: [{name: envoy.overload_actions.stop_accepting_requests, triggers: [{name: envoy.resource_monitors.cpu_utilization, threshold: {value: 1}}]}]}\n`,
    [
      under(
        'cpu_utilization',
        [later(request('GET', '/'))],
        ['overload.envoy.overload_actions.stop_accepting_requests.active'],
      ),
    ],
  ),
  overload(
    'connections',
    `overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {"@type": ${MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 1}}]}\n`,
    [
      under(
        'global_downstream_max_connections',
        [
          { acts: [request('GET', '/'), { responses: 1 }, { wait: 500 }] },
          { acts: [{ wait: 200 }], responses: 0, settleMs: 300 },
        ],
        [],
        { parallel: true, unorderedClient: true },
      ),
    ],
  ),
  overload(
    'connections-ignored',
    `overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {"@type": ${MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 1}}]}\n`,
    [
      under(
        'ignore_global_conn_limit',
        [
          { acts: [request('GET', '/'), { responses: 1 }, { wait: 300 }] },
          { acts: [{ wait: 100 }, request('GET', '/')] },
        ],
        [],
        { parallel: true, unorderedClient: true, listener: 'ignore_global_conn_limit: true' },
      ),
    ],
  ),
  overload(
    'runtime-connections',
    'layered_runtime: {layers: [{name: s, static_layer: {overload.global_downstream_max_connections: 1}}]}\n',
    [
      under(
        'overload.global_downstream_max_connections',
        [
          { acts: [request('GET', '/'), { responses: 1 }, { wait: 500 }] },
          { acts: [{ wait: 200 }], responses: 0, settleMs: 300 },
        ],
        [],
        { parallel: true, unorderedClient: true },
      ),
    ],
  ),
  {
    name: 'drain',
    cases: [
      { name: 'drain: drain_type', listener: 'drain_type: MODIFY_ONLY', connections: [get('/')] },
      { name: 'drain: traffic_direction', listener: 'traffic_direction: INBOUND', connections: [get('/')] },
      {
        name: 'drain: admin pages',
        connections: [get('/')],
        admin: [
          { path: '/drain_listeners', compare: 'exact' },
          { path: '/drain_listeners?skip_exit', method: 'POST', compare: 'exact' },
          { path: '/drain_listeners?graceful&skip_exit', method: 'POST', compare: 'exact' },
          { path: '/healthcheck/fail', method: 'POST', compare: 'exact' },
          { path: '/ready', compare: 'exact' },
          { path: '/healthcheck/ok', method: 'POST', compare: 'exact' },
          { path: '/ready', compare: 'exact' },
          { path: '/drain_listeners?inboundonly', method: 'POST', compare: 'exact' },
          { path: '/drain_listeners?graceful', method: 'POST', compare: 'exact' },
        ],
      },
    ],
  },
];
