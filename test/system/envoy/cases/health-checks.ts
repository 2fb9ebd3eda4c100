import type { AdminRequest, Backend, Case, Connection, Group, Reply } from '../case.ts';
import { request } from '../case.ts';
import { THIS } from '../h2-backend.ts';
import { data, type Fields, headers } from '../h2-frames.ts';

const COUNTERS = [
  'attempt',
  'success',
  'failure',
  'passive_failure',
  'network_failure',
  'verify_cluster',
  'healthy',
  'degraded',
]
  .map((name) => `cluster.{{id}}.health_check.${name}`)
  .concat(['healthy', 'degraded', 'excluded', 'total'].map((name) => `cluster.{{id}}.membership_${name}`));

const ADMIN: readonly AdminRequest[] = [
  { path: '/clusters?filter=^{{id}}$', compare: 'exact', lines: 'health_flags' },
  { path: '/clusters?format=json&filter=^{{id}}$', compare: 'json' },
];

const GET: Connection = { acts: [request('GET', '/')], settleMs: 40 };

function later(waitMs: number): Connection {
  return { acts: [{ wait: waitMs }, request('GET', '/')], settleMs: 40 };
}

function answer(status: number, headers: readonly string[] = [], body = ''): Reply {
  const lines = headers.map((line) => `${line}\r\n`).join('');
  return { send: [`HTTP/1.1 ${status} Status\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`] };
}

function replies(...all: readonly Reply[]): Backend {
  return { kind: 'http', replies: all };
}

/** One check at start, then none for a minute, unless the case says otherwise. */
const ONCE = 'timeout: 0.5s, interval: 60s, unhealthy_threshold: 2, healthy_threshold: 2';
/** Checks all the time; what is compared is where that leads. */
const OFTEN =
  'timeout: 0.2s, interval: 0.1s, no_traffic_interval: 0.1s, unhealthy_threshold: 2, healthy_threshold: 3';
const NO_PANIC = 'common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}';

function check(
  name: string,
  check: string,
  backend: Backend,
  connections: readonly Connection[] = [GET],
  extra: Partial<Case> & { readonly more?: string } = {},
): Case {
  const { more = '', ...rest } = extra;
  return {
    name: `health check: ${name}`,
    cluster: `${NO_PANIC}\nhealth_checks: [{${check}}]\n${more}`,
    backends: { backend },
    connections,
    counters: / interval: 0\.[123]s/.test(check)
      ? COUNTERS.filter((counter) => !/attempt|success|failure|verify/.test(counter))
      : COUNTERS,
    admin: ADMIN,
    // Checks come when they come: the host's view is compared where there is exactly one.
    ...(/ interval: 0\.[123]s/.test(check) ? { sharesWithinPercent: 100 } : {}),
    ...rest,
  };
}

const OK = answer(200);

const http: readonly Case[] = [
  check('HTTP 200', `${ONCE}, http_health_check: {path: /health}`, replies(OK)),
  check('HTTP 503', `${ONCE}, http_health_check: {path: /health}`, replies(answer(503), OK)),
  check('HTTP 204 is not expected', `${ONCE}, http_health_check: {path: /health}`, replies(answer(204), OK)),
  check(
    'HTTP expected_statuses',
    `${ONCE}, http_health_check: {path: /health, expected_statuses: [{start: 200, end: 205}, {start: 404, end: 405}]}`,
    replies(answer(404), OK),
  ),
  check('HTTP host', `${ONCE}, http_health_check: {path: "/h?x=1", host: check.example}`, replies(OK)),
  check(
    'HTTP method HEAD',
    `${ONCE}, http_health_check: {path: /health, method: HEAD}`,
    replies({ send: ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'] }, OK),
  ),
  check('HTTP method OPTIONS', `${ONCE}, http_health_check: {path: /health, method: OPTIONS}`, replies(OK)),
  check(
    'HTTP send',
    `${ONCE}, http_health_check: {path: /health, method: POST, send: {text: "68656c6c6f"}}`,
    replies(OK),
  ),
  check(
    'HTTP request headers',
    `${ONCE}, http_health_check: {path: /health, request_headers_to_add: [{header: {key: x-check, value: "a %UPSTREAM_REMOTE_PORT% %PROTOCOL%"}}, {header: {key: user-agent, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}`,
    replies(OK),
  ),
  check(
    'HTTP request headers removed',
    `${ONCE}, http_health_check: {path: /health, request_headers_to_remove: [user-agent]}`,
    replies(OK),
  ),
  check(
    'HTTP receive',
    `${ONCE}, http_health_check: {path: /health, receive: [{text: "6865"}, {text: "6c6f"}]}`,
    replies(answer(200, [], 'well, hello'), OK),
  ),
  check(
    'HTTP receive is not there',
    `${ONCE}, http_health_check: {path: /health, receive: [{text: "6c6f"}, {text: "6865"}]}`,
    replies(answer(200, [], 'well, hello'), OK),
  ),
  check(
    'HTTP receive beyond the buffer',
    `${ONCE}, http_health_check: {path: /health, response_buffer_size: 4, receive: [{text: "6865"}]}`,
    replies(answer(200, [], 'well, hello'), OK),
  ),
  check(
    'HTTP receive without a limit',
    `${ONCE}, http_health_check: {path: /health, response_buffer_size: 0, receive: [{binary: aGVsbG8=}]}`,
    replies(answer(200, [], `${'x'.repeat(2000)} hello`), OK),
  ),
  check(
    'HTTP service name',
    `${ONCE}, http_health_check: {path: /health, service_name_matcher: {prefix: loc}}`,
    replies(answer(200, ['x-envoy-upstream-healthchecked-cluster: locations']), OK),
  ),
  check(
    'HTTP wrong service name',
    `${ONCE}, http_health_check: {path: /health, service_name_matcher: {prefix: loc}}`,
    replies(answer(200, ['x-envoy-upstream-healthchecked-cluster: other']), OK),
  ),
  check(
    'HTTP degraded',
    `${ONCE}, http_health_check: {path: /health}`,
    replies(answer(200, ['x-envoy-degraded: 1']), OK),
  ),
  check(
    'HTTP immediate failure',
    `${ONCE}, http_health_check: {path: /health}`,
    replies(answer(503, ['x-envoy-immediate-health-check-fail: 1']), OK),
  ),
  check(
    'HTTP connection closed',
    `${ONCE}, http_health_check: {path: /health}`,
    replies({ send: [], closes: 'end' }, OK),
  ),
  check(
    'HTTP connection reset',
    `${ONCE}, http_health_check: {path: /health}`,
    replies({ send: [], closes: 'reset' }, OK),
  ),
  check(
    'HTTP answer is garbage',
    `${ONCE}, http_health_check: {path: /health}`,
    replies({ send: ['garbage\r\n\r\n'] }, OK),
  ),
  check(
    'HTTP answer closes',
    `${ONCE}, http_health_check: {path: /health}`,
    replies(answer(200, ['Connection: close']), OK),
  ),
  check(
    'HTTP reuse_connection false',
    `${ONCE}, reuse_connection: false, http_health_check: {path: /health}`,
    replies(OK),
  ),
  check('HTTP nobody listens', `${ONCE}, http_health_check: {path: /health}`, { kind: 'refused' }),
  check('HTTP no answer', `${ONCE}, http_health_check: {path: /health}`, replies({ send: [3000, 'x'] }, OK)),
  check('HTTP no connection', `${ONCE}, http_health_check: {path: /health}`, { kind: 'silent' }),
  check(
    'HTTP 100 first',
    `${ONCE}, http_health_check: {path: /health}`,
    replies({ send: ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'] }, OK),
  ),
];

const states: readonly Case[] = [
  check(
    'becomes unhealthy at once by a status',
    `${OFTEN}, http_health_check: {path: /health}`,
    replies(OK, answer(500)),
    [later(400)],
  ),
  check(
    'retriable statuses need the threshold',
    `${OFTEN}, unhealthy_threshold: 1000, http_health_check: {path: /health, retriable_statuses: [{start: 500, end: 600}]}`.replace(
      'unhealthy_threshold: 2, ',
      '',
    ),
    replies(OK, answer(500)),
    [later(400)],
  ),
  check(
    'comes back after healthy_threshold',
    `${OFTEN}, http_health_check: {path: /health}`,
    replies(answer(500), answer(500), OK),
    [later(900)],
  ),
  check(
    'intervals',
    `${OFTEN}, initial_jitter: 0.01s, interval_jitter: 0.01s, interval_jitter_percent: 10, unhealthy_interval: 0.05s, unhealthy_edge_interval: 0.05s, healthy_edge_interval: 0.05s, no_traffic_healthy_interval: 0.1s, http_health_check: {path: /health}`,
    replies(answer(500), answer(500), OK),
    [later(900)],
  ),
  check(
    'pending hosts are excluded',
    `${ONCE}, http_health_check: {path: /health}`,
    replies(answer(503), OK),
    [GET],
    {
      cluster: `common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s, ignore_new_hosts_until_first_hc: true}\nhealth_checks: [{${ONCE}, http_health_check: {path: /health}}]\nignore_health_on_host_removal: true\nclose_connections_on_host_health_failure: true`,
    },
  ),
  check('panic', `${ONCE}, http_health_check: {path: /health}`, replies(answer(503), OK), [GET], {
    cluster: `health_checks: [{${ONCE}, http_health_check: {path: /health}}]`,
  }),
  check(
    'success brings an ejected host back',
    `${OFTEN}, http_health_check: {path: /health}`,
    replies(OK),
    [later(200)],
    {
      more: 'outlier_detection: {consecutive_5xx: 1, interval: 60s, max_ejection_percent: 100, successful_active_health_check_uneject_host: true}',
    },
  ),
];

const ENDPOINT = (config: string): string =>
  `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {hostname: h.example, address: {socket_address: {address: 127.0.0.1, port_value: {{backend}}}}, health_check_config: {${config}}}}]}]}`;

const endpoints: readonly Case[] = [
  check(
    'endpoint hostname',
    `${ONCE}, http_health_check: {path: /health, host: x.example}`,
    replies(OK),
    [GET],
    {
      more: ENDPOINT('hostname: own.example'),
    },
  ),
  check('endpoint port', `${ONCE}, http_health_check: {path: /health}`, replies(OK), [GET], {
    more: ENDPOINT('port_value: {{other}}'),
    backends: { backend: replies(OK), other: replies(answer(503)) },
  }),
  check('endpoint address', `${ONCE}, http_health_check: {path: /health}`, replies(OK), [GET], {
    more: ENDPOINT('address: {socket_address: {address: 127.0.0.1, port_value: {{other}}}}'),
    backends: { backend: replies(OK), other: replies(answer(503)) },
  }),
  check('endpoint disabled', `${ONCE}, http_health_check: {path: /health}`, replies(OK), [GET], {
    more: ENDPOINT('disable_active_health_check: true'),
  }),
];

const tcp: readonly Case[] = [
  check('TCP connect', `${ONCE}, tcp_health_check: {}`, { kind: 'http' }),
  check('TCP nobody listens', `${ONCE}, tcp_health_check: {}`, { kind: 'refused' }),
  check(
    'TCP send and receive',
    `${ONCE}, tcp_health_check: {send: {text: "474554202f20485454502f312e310d0a486f73743a20780d0a0d0a"}, receive: [{text: "48545450"}]}`,
    replies(OK),
  ),
  check(
    'TCP receive something else',
    `${ONCE}, tcp_health_check: {send: {text: "474554202f20485454502f312e310d0a486f73743a20780d0a0d0a"}, receive: [{text: "00ff"}]}`,
    replies(OK),
  ),
  check(
    'TCP proxy protocol',
    `${ONCE}, reuse_connection: false, tcp_health_check: {proxy_protocol_config: {version: V2}, send: {text: "6869"}, receive: [{text: "6869"}]}`,
    { kind: 'tcp-echo' },
    [GET],
  ),
];

const H2 = 'http2_protocol_options: {}';
const head = (end: boolean, status: string, ...more: Fields): string =>
  headers(THIS, [[':status', status], ...more], end);
const GRPC = ['content-type', 'application/grpc'] as const;
const serving = (status: number): string =>
  data(THIS, `\0\0\0\0\x02\x08${String.fromCharCode(status)}`, false);
const trailers = (status: string): string => headers(THIS, [['grpc-status', status]], true);
const REST = head(true, '200');

/** The first answer is the check's, the others are for requests. */
function http2(
  name: string,
  settings: string,
  first: readonly string[],
  extra: Partial<Case> & { readonly more?: string } = {},
): Case {
  const backend: Backend = { kind: 'http2', replies: [{ send: first }, { send: [REST] }] };
  return check(name, `${ONCE}, ${settings}`, backend, [GET], {
    ...extra,
    more: `${H2}\n${extra.more ?? ''}`,
  });
}

const streams: readonly Case[] = [
  http2('HTTP/2', 'http_health_check: {path: /health, codec_client_type: HTTP2}', [head(true, '200')]),
  http2('HTTP/2 503', 'http_health_check: {path: /health, codec_client_type: HTTP2}', [head(true, '503')]),
  http2('gRPC serving', 'grpc_health_check: {}', [head(false, '200', GRPC) + serving(1) + trailers('0')]),
  http2(
    'gRPC service',
    'grpc_health_check: {service_name: my.Service, authority: check.example, initial_metadata: [{header: {key: x-m, value: "1"}}]}',
    [head(false, '200', GRPC) + serving(1) + trailers('0')],
  ),
  http2('gRPC not serving', 'grpc_health_check: {}', [head(false, '200', GRPC) + serving(2) + trailers('0')]),
  http2('gRPC error', 'grpc_health_check: {}', [head(false, '200', GRPC) + serving(1) + trailers('14')]),
  http2('gRPC unimplemented', 'grpc_health_check: {}', [head(true, '200', GRPC, ['grpc-status', '12'])]),
  http2('gRPC answered by HTTP', 'grpc_health_check: {}', [head(true, '404')]),
  http2('gRPC with another content type', 'grpc_health_check: {}', [
    head(false, '200', ['content-type', 'text/plain']) + serving(1) + trailers('0'),
  ]),
  http2('gRPC without trailers', 'grpc_health_check: {}', [
    head(false, '200', GRPC) + data(THIS, '\0\0\0\0\x02\x08\x01', true),
  ]),
  http2('gRPC two messages', 'grpc_health_check: {}', [
    head(false, '200', GRPC) + serving(1) + serving(1) + trailers('0'),
  ]),
  http2(
    'ALPN',
    'tls_options: {alpn_protocols: [h2]}, http_health_check: {path: /health, codec_client_type: HTTP2}',
    [head(true, '200')],
  ),
];

const LOG = `always_log_health_check_failures: true, event_log_path: "{{log}}"`;

const logs: readonly Case[] = [
  check('event log: healthy', `${ONCE}, ${LOG}, http_health_check: {path: /health}`, replies(OK), [GET], {
    accessLog: '[]',
    maskLogNumbers: true,
  }),
  check(
    'event log: unhealthy',
    `${ONCE}, ${LOG}, http_health_check: {path: /health}`,
    replies(answer(503), OK),
    [GET],
    { accessLog: '[]', maskLogNumbers: true },
  ),
  check(
    'event log: network',
    `${ONCE}, ${LOG}, http_health_check: {path: /health}`,
    { kind: 'refused' },
    [GET],
    { accessLog: '[]', maskLogNumbers: true },
  ),
  check(
    'event log: timeout',
    `${ONCE}, ${LOG}, http_health_check: {path: /health}`,
    { kind: 'silent' },
    [GET],
    { accessLog: '[]', maskLogNumbers: true },
  ),
  check(
    'event log: degraded',
    `${ONCE}, ${LOG}, http_health_check: {path: /health}`,
    replies(answer(200, ['x-envoy-degraded: 1']), OK),
    [GET],
    { accessLog: '[]', maskLogNumbers: true },
  ),
  check(
    'event log: sink, ejected',
    `timeout: 0.2s, interval: 0.3s, no_traffic_interval: 0.3s, unhealthy_interval: 60s, unhealthy_threshold: 2, healthy_threshold: 3, always_log_health_check_success: true, event_logger: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink, event_log_path: "{{log}}"}}], http_health_check: {path: /health}`,
    replies(OK, OK, answer(500)),
    [later(1200)],
    { accessLog: '[]', maskLogNumbers: true },
  ),
];

const refused: readonly Case[] = [
  check(
    'without a timeout',
    'interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}',
    { kind: 'http' },
  ),
  check('two', `${ONCE}, tcp_health_check: {}}, {${ONCE}, tcp_health_check: {}`, { kind: 'http' }),
  check(
    'status range is empty',
    `${ONCE}, http_health_check: {path: /, expected_statuses: [{start: 200, end: 200}]}`,
    replies(OK),
  ),
  check(
    'status range below 100',
    `${ONCE}, http_health_check: {path: /, retriable_statuses: [{start: 99, end: 200}]}`,
    replies(OK),
  ),
  check('payload with GET', `${ONCE}, http_health_check: {path: /, send: {text: "00"}}`, replies(OK)),
  check('payload is not hexadecimal', `${ONCE}, tcp_health_check: {receive: [{text: "0g"}]}`, replies(OK)),
  check(
    'more is expected than is buffered',
    `${ONCE}, http_health_check: {path: /, response_buffer_size: 1, receive: [{text: "0000"}]}`,
    replies(OK),
  ),
  check('gRPC without HTTP/2', `${ONCE}, grpc_health_check: {}`, replies(OK)),
];

export const healthChecks: readonly Group[] = [
  {
    name: 'health-checks',
    cases: [...http, ...states, ...endpoints, ...tcp, ...streams, ...logs, ...refused],
  },
];
