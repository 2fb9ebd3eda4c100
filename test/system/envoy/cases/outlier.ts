import type { AdminRequest, Backend, Case, Connection, Group, Reply } from '../case.ts';
import { request } from '../case.ts';

/** Statistics of `cluster.<name>.outlier_detection.`. */
const COUNTERS = [
  'ejections_active',
  'ejections_consecutive_5xx',
  'ejections_detected_consecutive_5xx',
  'ejections_detected_consecutive_gateway_failure',
  'ejections_detected_consecutive_local_origin_failure',
  'ejections_detected_failure_percentage',
  'ejections_detected_local_origin_failure_percentage',
  'ejections_detected_local_origin_success_rate',
  'ejections_detected_success_rate',
  'ejections_enforced_consecutive_5xx',
  'ejections_enforced_consecutive_gateway_failure',
  'ejections_enforced_consecutive_local_origin_failure',
  'ejections_enforced_failure_percentage',
  'ejections_enforced_local_origin_failure_percentage',
  'ejections_enforced_local_origin_success_rate',
  'ejections_enforced_success_rate',
  'ejections_enforced_total',
  'ejections_overflow',
  'ejections_success_rate',
  'ejections_total',
].map((name) => `cluster.{{id}}.outlier_detection.${name}`);

const ADMIN: readonly AdminRequest[] = [
  {
    path: '/clusters?filter=^{{id}}$',
    compare: 'exact',
    lines: 'outlier::|health_flags|success_rate|rq_(error|success|timeout)',
  },
  { path: '/clusters?format=json&filter=^{{id}}$', compare: 'json' },
];

const GET: Connection = { acts: [request('GET', '/')], settleMs: 40 };

const CALL: Connection = {
  acts: [request('POST', '/s/m', ['Content-Type: application/grpc'])],
  settleMs: 40,
};

function later(waitMs: number): Connection {
  return { acts: [{ wait: waitMs }, request('GET', '/')], settleMs: 40 };
}

function answer(status: number, headers = ''): Reply {
  return { send: [`HTTP/1.1 ${status} Status\r\n${headers}Content-Length: 0\r\n\r\n`] };
}

function statuses(...all: readonly number[]): Backend {
  return { kind: 'http', replies: all.map((status) => answer(status)) };
}

interface Extra extends Partial<Case> {
  readonly common?: string;
}

/** One host, no panic, no sweep unless the case asks for it. */
function outlier(
  name: string,
  settings: string,
  backend: Backend,
  connections: readonly Connection[],
  extra: Extra = {},
): Case {
  const { common = '', ...rest } = extra;
  return {
    name: `outlier: ${name}`,
    cluster: `common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}\noutlier_detection: {${unlessSet(settings, 'interval: 60s')}${unlessSet(settings, 'max_ejection_percent: 100')}${settings}}\n${common}`,
    backends: { backend },
    connections,
    counters: COUNTERS,
    admin: ADMIN,
    ...rest,
  };
}

function unlessSet(settings: string, field: string): string {
  const name = field.slice(0, field.indexOf(':'));
  return new RegExp(`(^|, )${name}:`).test(settings) ? '' : `${field}, `;
}

const times = (n: number, one: Connection = GET): readonly Connection[] =>
  Array.from({ length: n }, () => one);

const consecutive: readonly Case[] = [
  outlier('five 500s', '', statuses(500), times(7)),
  outlier('consecutive_5xx 2', 'consecutive_5xx: 2', statuses(500), times(3)),
  outlier(
    'a success between',
    'consecutive_5xx: 3',
    statuses(500, 500, 200, 500, 500, 404, 500, 500),
    times(8),
  ),
  outlier(
    'third time after a success',
    'consecutive_5xx: 3',
    statuses(500, 500, 200, 500, 500, 500),
    times(8),
  ),
  outlier('501 counts', 'consecutive_5xx: 2', statuses(501), times(3)),
  outlier('4xx does not', 'consecutive_5xx: 2', statuses(404, 429, 499), times(4)),
  outlier('consecutive_5xx 0', 'consecutive_5xx: 0', statuses(500), times(6)),
  outlier(
    'enforcing_consecutive_5xx 0',
    'consecutive_5xx: 2, enforcing_consecutive_5xx: 0',
    statuses(500),
    times(5),
  ),
  outlier(
    '502 is a gateway failure, not enforced',
    'consecutive_5xx: 9, consecutive_gateway_failure: 2',
    statuses(502),
    times(4),
  ),
  outlier(
    'gateway failures enforced',
    'consecutive_5xx: 9, consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 100',
    statuses(502, 503, 504),
    times(5),
  ),
  outlier(
    'a 500 ends a run of gateway failures',
    'consecutive_5xx: 9, consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 100',
    statuses(502, 503, 500, 504, 502, 200),
    times(6),
  ),
  outlier(
    'both at once',
    'consecutive_5xx: 2, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100',
    statuses(503),
    times(3),
  ),
  outlier('max_ejection_percent 0', 'consecutive_5xx: 2, max_ejection_percent: 0', statuses(500), times(5)),
  outlier(
    'always_eject_one_host',
    'consecutive_5xx: 2, max_ejection_percent: 0, always_eject_one_host: true',
    statuses(500),
    times(4),
  ),
  outlier('panic ignores the ejection', 'consecutive_5xx: 2', statuses(500, 500, 200), times(4), {
    cluster: 'outlier_detection: {interval: 60s, max_ejection_percent: 100, consecutive_5xx: 2}',
  }),
  outlier(
    'reset by the host',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [{ send: [], closes: 'reset' }] },
    times(4),
  ),
  outlier(
    'closed by the host',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [{ send: [], closes: 'end' }] },
    times(4),
  ),
  outlier(
    'gRPC unavailable',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [answer(200, 'Content-Type: application/grpc\r\ngrpc-status: 14\r\n')] },
    times(4, CALL),
  ),
  outlier(
    'gRPC not found',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [answer(200, 'Content-Type: application/grpc\r\ngrpc-status: 5\r\n')] },
    times(4, CALL),
  ),
  outlier(
    'grpc-status for a request that is no gRPC',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [answer(200, 'grpc-status: 14\r\n')] },
    times(4),
  ),
  outlier('retries count each attempt', 'consecutive_5xx: 3', statuses(503), times(3), {
    routes:
      '[{match: {prefix: /}, route: {cluster: "{{id}}", retry_policy: {retry_on: 5xx, num_retries: 1, retry_back_off: {base_interval: 0.2s}}}}]',
  }),
  outlier(
    'per-try timeout',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [{ send: [2000, 'x'] }] },
    times(2),
    {
      routes:
        '[{match: {prefix: /}, route: {cluster: "{{id}}", retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s, retry_back_off: {base_interval: 0.001s}}}}]',
    },
  ),
  outlier(
    'reset within the body',
    'consecutive_5xx: 2',
    {
      kind: 'http',
      replies: [{ send: ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'], closes: 'reset' }],
    },
    times(4),
  ),
  outlier('nobody listens', 'consecutive_5xx: 2', { kind: 'refused' }, times(4)),
  outlier('connect timeout', 'consecutive_5xx: 2', { kind: 'silent' }, times(3), {
    common: 'connect_timeout: 0.2s',
  }),
  outlier(
    'no answer in time',
    'consecutive_5xx: 2',
    { kind: 'http', replies: [{ send: [2000, 'x'] }] },
    times(3),
    {
      routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.2s}}]',
    },
  ),
];

const SPLIT =
  'split_external_local_origin_errors: true, consecutive_5xx: 2, consecutive_local_origin_failure: 3';

const local: readonly Case[] = [
  outlier('split: nobody listens', SPLIT, { kind: 'refused' }, times(5)),
  outlier('split: 500s', SPLIT, statuses(500), times(4)),
  outlier(
    'split: reset by the host',
    SPLIT,
    { kind: 'http', replies: [{ send: [], closes: 'reset' }] },
    times(5),
  ),
  outlier('split: connect timeout', SPLIT, { kind: 'silent' }, times(4), { common: 'connect_timeout: 0.2s' }),
  outlier(
    'split: not enforced',
    `${SPLIT}, enforcing_consecutive_local_origin_failure: 0`,
    { kind: 'refused' },
    times(5),
  ),
];

const time: readonly Case[] = [
  outlier(
    'comes back after base_ejection_time',
    'consecutive_5xx: 2, interval: 0.1s, base_ejection_time: 0.3s',
    statuses(500, 500, 200),
    [...times(3), later(600)],
  ),
  outlier(
    'max_ejection_time and jitter',
    'consecutive_5xx: 2, interval: 0.1s, base_ejection_time: 0.3s, max_ejection_time: 0.4s, max_ejection_time_jitter: 0.05s',
    statuses(500, 500, 200),
    [...times(3), later(700)],
  ),
  outlier(
    'longer the second time',
    'consecutive_5xx: 2, interval: 0.1s, base_ejection_time: 0.5s',
    statuses(500, 500, 500, 500, 200),
    [...times(2), later(800), GET, later(700), later(700)],
  ),
];

const FIVE = ['one', 'two', 'three', 'four', 'five'];
const FIVE_ENDPOINTS = `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${FIVE.map(
  (name) => `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{${name}}}}}}}`,
).join(', ')}]}]}`;

/** 25 requests at once over five hosts, of which the first fails, and one that waits for the sweep. */
function rates(name: string, settings: string, failing: Backend = statuses(500)): Case {
  const backends = Object.fromEntries(FIVE.map((host, i) => [host, i === 0 ? failing : statuses(200)]));
  return {
    name: `outlier: ${name}`,
    cluster: `lb_policy: ROUND_ROBIN\ncommon_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}\noutlier_detection: {interval: 1.6s, max_ejection_percent: 100, consecutive_5xx: 0, consecutive_gateway_failure: 0, ${settings}}\n${FIVE_ENDPOINTS}`,
    backends,
    connections: [
      { ...GET, repeat: 25 },
      { acts: [request('GET', '/'), { wait: 1900 }], settleMs: 10 },
    ],
    parallel: true,
    unorderedClient: true,
    sharesWithinPercent: 100,
    counters: COUNTERS,
    admin: [{ path: '/clusters?filter=^{{id}}$', compare: 'exact', lines: 'health_flags' }],
  };
}

const SPLIT_RATES = 'split_external_local_origin_errors: true, consecutive_local_origin_failure: 0';

const statistics: readonly Case[] = [
  rates('success rate', 'success_rate_request_volume: 4, success_rate_minimum_hosts: 5'),
  rates('success rate, not enforced', 'success_rate_request_volume: 4, enforcing_success_rate: 0'),
  rates('success rate, too few hosts', 'success_rate_request_volume: 4, success_rate_minimum_hosts: 6'),
  rates('success rate, too few requests', 'success_rate_request_volume: 400'),
  rates('success rate, stdev factor', 'success_rate_request_volume: 4, success_rate_stdev_factor: 2500'),
  rates(
    'failure percentage',
    'failure_percentage_request_volume: 4, enforcing_failure_percentage: 100, failure_percentage_threshold: 90, enforcing_success_rate: 0',
  ),
  rates(
    'failure percentage, not enforced',
    'failure_percentage_request_volume: 4, failure_percentage_minimum_hosts: 5',
  ),
  rates(
    'local origin success rate',
    `${SPLIT_RATES}, success_rate_request_volume: 4, enforcing_local_origin_success_rate: 100`,
    { kind: 'refused' },
  ),
  rates(
    'local origin failure percentage',
    `${SPLIT_RATES}, failure_percentage_request_volume: 4, failure_percentage_threshold: 90, enforcing_failure_percentage_local_origin: 100`,
    { kind: 'refused' },
  ),
];

const tcp: readonly Case[] = [
  {
    name: 'outlier: TCP proxy, nobody listens',
    filters:
      '[{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: "{{id}}"}}]',
    cluster:
      'common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}\noutlier_detection: {interval: 60s, max_ejection_percent: 100, consecutive_5xx: 3}',
    backends: { backend: { kind: 'refused' } },
    connections: times(5, { acts: [], raw: true, responses: 0, settleMs: 150 }),
    counters: COUNTERS,
    admin: ADMIN,
  },
  {
    name: 'outlier: TCP proxy, local origin failures',
    filters:
      '[{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: "{{id}}"}}]',
    cluster: `common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}\noutlier_detection: {interval: 60s, max_ejection_percent: 100, ${SPLIT}}`,
    backends: { backend: { kind: 'refused' } },
    connections: times(5, { acts: [], raw: true, responses: 0, settleMs: 150 }),
    counters: COUNTERS,
    admin: ADMIN,
  },
];

const refused: readonly Case[] = [
  outlier('max_ejection_time below base', 'base_ejection_time: 2s, max_ejection_time: 1s', statuses(200), [
    GET,
  ]),
  outlier('percent above 100', 'enforcing_consecutive_5xx: 101', statuses(200), [GET]),
];

export const outliers: readonly Group[] = [
  { name: 'outlier', cases: [...consecutive, ...local, ...time, ...statistics, ...tcp, ...refused] },
  {
    name: 'outlier-runtime',
    bootstrap:
      'cluster_manager: {outlier_detection: {event_log_path: /dev/null}}\nlayered_runtime: {layers: [{name: s, static_layer: {outlier_detection: {consecutive_5xx: 3, base_ejection_time_ms: 400, interval_ms: 100}}}]}',
    cases: [
      outlier('runtime overrides', 'consecutive_5xx: 9', statuses(500, 500, 500, 200), [
        ...times(4),
        later(800),
      ]),
    ],
  },
];
