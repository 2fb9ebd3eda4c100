import { type Case, type Group, get, type Reply, request, respond } from '../case.ts';
import { ATTEMPTS, RETRY_COUNTERS, routesWith, TRUSTED } from './retries.ts';

const OK = respond('200 OK', [], 'ok');
const LATE: Reply = { send: [700, 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate'] };
const STUCK: Reply = { send: ['HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab', 700, 'cd'] };

function timeout(name: string, action: string, replies: readonly Reply[], more: Partial<Case> = {}): Case {
  return {
    name: `timeout: ${name}`,
    routes: routesWith(action),
    backends: { backend: { kind: 'http', replies } },
    connections: [get('/')],
    format: ATTEMPTS,
    counters: RETRY_COUNTERS,
    ...more,
  };
}

/** Connecting hangs, and goes on hanging while the counters are read. */
const UNREACHED: Partial<Case> = {
  backends: { backend: { kind: 'silent' } },
  cluster: 'connect_timeout: 60s',
};
const BACK = 'retry_back_off: {base_interval: 0.001s}';

const routes: readonly Case[] = [
  timeout('route', 'timeout: 0.1s', [LATE]),
  timeout('route, after the response began', 'timeout: 0.1s', [STUCK]),
  timeout('route, without a connection', 'timeout: 0.1s', [], UNREACHED),
  timeout(
    'route, while a retry waits',
    `timeout: 0.1s, retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 20s}}`,
    [respond('503 No', [], 'no')],
  ),
  timeout('route, over all attempts', `timeout: 0.2s, retry_policy: {retry_on: 5xx, ${BACK}}`, [
    respond('503 No', [], 'no'),
    LATE,
  ]),
  timeout('route, only from the end of the request', 'timeout: 0.2s', [OK], {
    connections: [
      { acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { wait: 400 }, 'cd'] },
    ],
  }),
  timeout('per try', `retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s, ${BACK}}`, [LATE, OK]),
  timeout(
    'per try, every time',
    `retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.1s, ${BACK}}`,
    [LATE],
  ),
  timeout('per try, without retries', 'retry_policy: {per_try_timeout: 0.1s}', [LATE]),
  timeout('per try, retried for reset', `retry_policy: {retry_on: reset, per_try_timeout: 0.1s, ${BACK}}`, [
    LATE,
    OK,
  ]),
  timeout(
    'per try, not for connect-failure',
    `retry_policy: {retry_on: connect-failure, per_try_timeout: 0.1s}`,
    [LATE, OK],
  ),
  timeout('per try, after the response began', `retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s}`, [
    STUCK,
  ]),
  timeout('per try above the route', 'timeout: 0.2s, retry_policy: {retry_on: 5xx, per_try_timeout: 1s}', [
    LATE,
  ]),
  timeout(
    'per try, without a connection',
    'timeout: 0.6s, retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s}',
    [],
    UNREACHED,
  ),
  timeout(
    'per try, only from the end of the request',
    'retry_policy: {retry_on: 5xx, per_try_timeout: 0.2s}',
    [OK],
    {
      connections: [
        { acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { wait: 400 }, 'cd'] },
      ],
    },
  ),
  timeout('per try idle', `retry_policy: {retry_on: 5xx, per_try_idle_timeout: 0.1s, ${BACK}}`, [LATE, OK]),
  timeout('per try idle, in the body', `retry_policy: {retry_on: 5xx, per_try_idle_timeout: 0.1s}`, [STUCK]),
  timeout('per try idle, every time', `retry_policy: {retry_on: 5xx, per_try_idle_timeout: 0.1s, ${BACK}}`, [
    LATE,
  ]),
  timeout('route idle', 'idle_timeout: 0.1s', [LATE]),
  timeout('is-timeout-retry', `retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s, ${BACK}}`, [LATE, OK], {
    vhost: 'include_is_timeout_retry_header: true\ninclude_request_attempt_count: true',
  }),
];

const DURATION = '{retry_on: 5xx, retry_back_off: {base_interval: 0.001s}}';
const durations: readonly Case[] = [
  timeout('max_stream_duration of the cluster', '', [LATE], {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}"}}]',
    cluster: 'common_http_protocol_options: {max_stream_duration: 0.1s}',
  }),
  timeout(
    'max_stream_duration of the cluster, after the response began',
    `retry_policy: ${DURATION}`,
    [STUCK],
    {
      cluster: 'common_http_protocol_options: {max_stream_duration: 0.1s}',
    },
  ),
  timeout('max_stream_duration of the cluster, retried', `retry_policy: ${DURATION}`, [LATE, OK], {
    cluster: 'common_http_protocol_options: {max_stream_duration: 0.1s}',
  }),
  timeout('max_stream_duration of the route', 'max_stream_duration: {max_stream_duration: 0.1s}', [LATE]),
  timeout(
    'max_stream_duration of the route replaces the timeout',
    'timeout: 0.1s, max_stream_duration: {max_stream_duration: 2s}',
    [LATE],
  ),
  timeout('max_stream_duration 0 of the route', 'max_stream_duration: {max_stream_duration: 0s}', [LATE], {
    hcm: 'common_http_protocol_options: {max_stream_duration: 0.1s}',
  }),
  timeout('grpc_timeout_header_max', 'max_stream_duration: {grpc_timeout_header_max: 0.1s}', [LATE], {
    connections: [get('/', 'content-type: application/grpc', 'grpc-timeout: 1S')],
  }),
  timeout(
    'grpc_timeout_header_max 0 takes what is asked',
    'max_stream_duration: {grpc_timeout_header_max: 0s}',
    [LATE],
    {
      connections: [get('/', 'content-type: application/grpc', 'grpc-timeout: 100m')],
    },
  ),
  timeout(
    'grpc_timeout_header_offset',
    'max_stream_duration: {grpc_timeout_header_max: 5s, grpc_timeout_header_offset: 0.4s}',
    [LATE],
    { connections: [get('/', 'content-type: application/grpc', 'grpc-timeout: 500m')] },
  ),
  timeout(
    'grpc-timeout that breaks the format',
    'max_stream_duration: {grpc_timeout_header_max: 0.1s}',
    [OK],
    {
      connections: [get('/', 'grpc-timeout: 1x')],
    },
  ),
  timeout('max_grpc_timeout', 'max_grpc_timeout: 0.1s', [LATE], {
    connections: [get('/', 'content-type: application/grpc', 'grpc-timeout: 1S')],
  }),
  timeout('max_grpc_timeout without a header', 'max_grpc_timeout: 0.1s', [LATE], {
    connections: [get('/', 'content-type: application/grpc')],
  }),
  timeout('max_grpc_timeout leaves others alone', 'max_grpc_timeout: 0.1s', [OK], {
    connections: [get('/', 'grpc-timeout: 1S')],
  }),
  timeout('grpc_timeout_offset', 'max_grpc_timeout: 2s, grpc_timeout_offset: 0.4s', [LATE], {
    connections: [get('/', 'content-type: application/grpc', 'grpc-timeout: 500m')],
  }),
];

const asking = (
  name: string,
  headers: string[],
  replies: readonly Reply[],
  more: Partial<Case> = {},
): Case => ({
  name: `timeout: ${name}`,
  hcm: TRUSTED,
  backends: { backend: { kind: 'http', replies } },
  connections: [get('/', ...headers)],
  format: ATTEMPTS,
  counters: RETRY_COUNTERS,
  ...more,
});
const RESPECT =
  'http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, respect_expected_rq_timeout: true}}]';

const headers: readonly Case[] = [
  asking('x-envoy-upstream-rq-timeout-ms', ['x-envoy-upstream-rq-timeout-ms: 100'], [LATE]),
  asking('x-envoy-upstream-rq-timeout-ms of a stranger', ['x-envoy-upstream-rq-timeout-ms: 100'], [OK], {
    hcm: '{}',
  }),
  asking('x-envoy-upstream-rq-timeout-ms is no number', ['x-envoy-upstream-rq-timeout-ms: soon'], [OK]),
  asking('x-envoy-upstream-rq-timeout-ms 0', ['x-envoy-upstream-rq-timeout-ms: 0'], [LATE], {
    routes: routesWith('timeout: 0.1s'),
  }),
  asking(
    'x-envoy-upstream-rq-per-try-timeout-ms',
    ['x-envoy-upstream-rq-per-try-timeout-ms: 100', 'x-envoy-retry-on: 5xx'],
    [LATE, OK],
  ),
  asking(
    'x-envoy-upstream-rq-timeout-alt-response',
    ['x-envoy-upstream-rq-timeout-ms: 100', 'x-envoy-upstream-rq-timeout-alt-response: 1'],
    [LATE],
  ),
  asking('x-envoy-upstream-stream-duration-ms', ['x-envoy-upstream-stream-duration-ms: 100'], [LATE]),
  asking('x-envoy-expected-rq-timeout-ms is replaced', ['x-envoy-expected-rq-timeout-ms: 100'], [OK]),
  asking('respect_expected_rq_timeout', ['x-envoy-expected-rq-timeout-ms: 100'], [LATE], {
    hcm: `${TRUSTED}\n${RESPECT}`,
  }),
  asking('respect_expected_rq_timeout without it', ['x-envoy-upstream-rq-timeout-ms: 100'], [LATE], {
    hcm: `${TRUSTED}\n${RESPECT}`,
  }),
  asking('expected timeout of a per-try timeout', [], [OK], {
    routes: routesWith('timeout: 5s, retry_policy: {retry_on: 5xx, per_try_timeout: 2s}'),
  }),
  asking('expected timeout under hedging', [], [OK], {
    routes: routesWith(
      'timeout: 5s, retry_policy: {retry_on: 5xx, per_try_timeout: 2s}, hedge_policy: {hedge_on_per_try_timeout: true}',
    ),
  }),
];

const HEDGE = `timeout: 2s, retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s, ${BACK}}, hedge_policy: {hedge_on_per_try_timeout: true}`;
const SLOW: Reply = { send: [300, 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst'] };
const hedging: readonly Case[] = [
  timeout('hedging, the second answers first', HEDGE, [LATE, OK]),
  timeout('hedging, the first answers after all', HEDGE, [SLOW, LATE]),
  timeout('hedging, the second fails', HEDGE, [SLOW, respond('503 No', [], 'no')]),
  timeout('hedging, the first fails later', HEDGE, [
    { send: [200, 'HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno'] },
    { send: [300, 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond'] },
  ]),
  timeout('hedging, no time left', HEDGE.replace('timeout: 2s', 'timeout: 0.3s'), [LATE, LATE]),
  timeout(
    'hedging asked for by header',
    'retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s}',
    [SLOW, LATE],
    {
      hcm: TRUSTED,
      connections: [get('/', 'x-envoy-hedge-on-per-try-timeout: true')],
    },
  ),
  timeout(
    'hedging of the virtual host',
    `timeout: 2s, retry_policy: {retry_on: 5xx, per_try_timeout: 0.1s, ${BACK}}`,
    [LATE, OK],
    {
      vhost: 'hedge_policy: {hedge_on_per_try_timeout: true}',
    },
  ),
];

const leaving: readonly Case[] = [
  timeout('the client leaves', `retry_policy: {retry_on: 5xx}`, [LATE], {
    connections: [{ acts: [request('GET', '/'), { wait: 100 }, { reset: true }], responses: 0 }],
  }),
  timeout(
    'the client leaves while a retry waits',
    'retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 20s}}',
    [respond('503 No', [], 'no')],
    {
      connections: [{ acts: [request('GET', '/'), { wait: 100 }, { reset: true }], responses: 0 }],
    },
  ),
];

export const timeouts: readonly Group[] = [
  { name: 'timeouts', cases: [...routes, ...durations, ...headers, ...hedging, ...leaving] },
];
