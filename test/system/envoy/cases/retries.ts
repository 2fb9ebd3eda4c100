import {
  type Case,
  type Group,
  get,
  pipelined,
  type Reply,
  request,
  respond,
  SUPPRESS_ENVOY_HEADERS,
} from '../case.ts';
import { THIS } from '../h2-backend.ts';
import { data, type Fields, headers as frames, rst } from '../h2-frames.ts';

/** The upstream's host is left out: which one it was is the balancer's business. */
export const ATTEMPTS =
  '%RESPONSE_FLAGS% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_TRANSPORT_FAILURE_REASON%';

export const RETRY_COUNTERS = [
  'upstream_rq_total',
  'upstream_rq_completed',
  'upstream_rq_2xx',
  'upstream_rq_4xx',
  'upstream_rq_5xx',
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_retry_overflow',
  'upstream_rq_retry_limit_exceeded',
  'upstream_rq_retry_backoff_exponential',
  'upstream_rq_retry_backoff_ratelimited',
  'retry_or_shadow_abandoned',
  'retry.upstream_rq_completed',
  'retry.upstream_rq_5xx',
  'retry.upstream_rq_503',
  'upstream_rq_timeout',
  'upstream_rq_per_try_timeout',
  'upstream_rq_per_try_idle_timeout',
  'upstream_rq_max_duration_reached',
  'upstream_rq_rx_reset',
  'upstream_rq_cancelled',
  'upstream_rq_active',
  'upstream_rq_pending_active',
  'circuit_breakers.default.rq_retry_open',
  'upstream_cx_connect_fail',
].map((name) => `cluster.{{id}}.${name}`);

export const routesWith = (action: string): string =>
  `[{match: {prefix: /}, route: {cluster: "{{id}}", ${action}}}]`;

const FAIL = respond('503 Service Unavailable', [], 'no');
const OK = respond('200 OK', [], 'ok');
/** An answer that the backend ends by closing, before or after some bytes. */
const closing = (...send: string[]): Reply => ({ send, closes: 'end' });
const resetting: Reply = { send: [], closes: 'reset' };

function retry(name: string, policy: string, replies: readonly Reply[], more: Partial<Case> = {}): Case {
  return {
    name: `retry: ${name}`,
    routes: routesWith(`timeout: 0s, retry_policy: {retry_back_off: {base_interval: 0.001s}, ${policy}}`),
    backends: { backend: { kind: 'http', replies } },
    connections: [get('/')],
    format: ATTEMPTS,
    counters: RETRY_COUNTERS,
    ...more,
  };
}

const status = (code: number, ...headers: string[]): Reply => respond(`${code} Some`, headers, 'no');
const grpc = (code: number): Reply => ({
  send: [
    `HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: ${code}\r\ncontent-length: 0\r\n\r\n`,
  ],
});
const GRPC_CALL = [get('/s/m', 'Content-Type: application/grpc', 'TE: trailers')];

const conditions: readonly Case[] = [
  retry('5xx', 'retry_on: 5xx', [FAIL, OK]),
  retry('5xx takes 500 too', 'retry_on: 5xx', [status(500), OK]),
  retry('5xx on a close without an answer', 'retry_on: 5xx', [closing(), OK]),
  retry('5xx on a reset', 'retry_on: 5xx', [resetting, OK]),
  retry('no policy', 'num_retries: 3', [FAIL, OK]),
  retry('an unknown condition', 'retry_on: "nothing,5xx"', [FAIL, OK]),
  retry('spaces in retry_on', 'retry_on: "5xx, reset"', [resetting, OK]),
  retry('gateway-error', 'retry_on: gateway-error', [status(502), OK]),
  retry('gateway-error leaves 500 alone', 'retry_on: gateway-error', [status(500), OK]),
  retry('gateway-error on a close', 'retry_on: gateway-error', [closing(), OK]),
  retry('reset', 'retry_on: reset', [closing(), OK]),
  retry('reset leaves 503 alone', 'retry_on: reset', [FAIL, OK]),
  retry('reset-before-request after the request was sent', 'retry_on: reset-before-request', [closing(), OK]),
  retry('retriable-4xx', 'retry_on: retriable-4xx', [status(409), OK]),
  retry('retriable-4xx leaves 404 alone', 'retry_on: retriable-4xx', [status(404), OK]),
  retry('refused-stream is not a close', 'retry_on: refused-stream', [closing(), OK]),
  retry('connect-failure is not a close', 'retry_on: connect-failure', [closing(), OK]),
  retry('http3-post-connect-failure does nothing', 'retry_on: http3-post-connect-failure', [FAIL, OK]),
  retry('retriable-status-codes', 'retry_on: retriable-status-codes, retriable_status_codes: [418, 429]', [
    status(429),
    OK,
  ]),
  retry('retriable_status_codes alone do nothing', 'retriable_status_codes: [418]', [status(418), OK]),
  retry(
    'retriable-headers',
    'retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: "yes"}}]',
    [respond('200 OK', ['x-again: yes'], 'no'), OK],
  ),
  retry(
    'retriable-headers with another value',
    'retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: "yes"}}]',
    [respond('200 OK', ['x-again: no'], 'no'), OK],
  ),
  retry(
    'retriable-headers by status',
    'retry_on: retriable-headers, retriable_headers: [{name: ":status", string_match: {exact: "404"}}]',
    [status(404), OK],
  ),
  retry('envoy-ratelimited', 'retry_on: envoy-ratelimited', [status(429, 'x-envoy-ratelimited: true'), OK]),
  retry('rate limited answers are not retried for 5xx', 'retry_on: 5xx', [
    status(503, 'x-envoy-ratelimited: true'),
    OK,
  ]),
  retry('an overloaded upstream is retried', 'retry_on: 5xx', [status(503, 'x-envoy-overloaded: true'), OK]),
  ...(
    [
      ['cancelled', 1],
      ['deadline-exceeded', 4],
      ['resource-exhausted', 8],
      ['internal', 13],
      ['unavailable', 14],
    ] as const
  ).map(([name, code]) =>
    retry(`grpc ${name}`, `retry_on: ${name}`, [grpc(code), grpc(0)], { connections: GRPC_CALL }),
  ),
  retry('grpc unavailable leaves internal alone', 'retry_on: unavailable', [grpc(13), grpc(0)], {
    connections: GRPC_CALL,
  }),
  retry('grpc status counts for any request', 'retry_on: unavailable', [grpc(14), OK]),
  retry('after the response began there is none', 'retry_on: "5xx,reset"', [
    closing('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
    OK,
  ]),
  retry('a garbled answer', 'retry_on: 5xx', [closing('garbage\r\n\r\n'), OK]),
];

const REFUSED = {
  backends: { backend: { kind: 'refused' } },
} as const;

const connecting: readonly Case[] = [
  retry('connect-failure', 'retry_on: connect-failure, num_retries: 2', [], REFUSED),
  retry('5xx on a refused connection', 'retry_on: 5xx', [], REFUSED),
  retry('reset-before-request on a refused connection', 'retry_on: reset-before-request', [], REFUSED),
  retry('reset on a refused connection', 'retry_on: reset', [], REFUSED),
  retry('refused-stream on a refused connection', 'retry_on: refused-stream', [], REFUSED),
  retry('connect timeout', 'retry_on: connect-failure', [], {
    backends: { backend: { kind: 'silent' } },
    cluster: 'connect_timeout: 0.1s',
  }),
  retry('no host at all', 'retry_on: 5xx', [], {
    cluster: 'load_assignment: {cluster_name: x}',
    backends: {},
  }),
  retry('overflow is not retried', 'retry_on: 5xx', [], {
    cluster: 'circuit_breakers: {thresholds: [{max_pending_requests: 0}]}',
  }),
];

const PAIR = {
  backends: { backend: { kind: 'http', replies: [FAIL] }, good: { kind: 'http', replies: [OK] } },
  cluster:
    'load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{backend}}}}}, metadata: {filter_metadata: {envoy.lb: {canary: true, kind: bad}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{good}}}}}}]}]}',
} as const;
const PREDICATES = 'type.googleapis.com/envoy.extensions.retry.host';
const predicate = (text: string): string =>
  `retry_on: 5xx, host_selection_retry_max_attempts: 30, retry_host_predicate: [{name: p, typed_config: {"@type": ${PREDICATES}.${text}}}]`;
const TEN = [pipelined(10, () => request('GET', '/'))];

const limits: Case[] = [
  retry('num_retries is 1 by default', 'retry_on: 5xx', [FAIL]),
  retry('num_retries 0', 'retry_on: 5xx, num_retries: 0', [FAIL, OK]),
  retry('num_retries 3', 'retry_on: 5xx, num_retries: 3', [FAIL, FAIL, FAIL, OK]),
  retry('num_retries 3 is not enough', 'retry_on: 5xx, num_retries: 3', [FAIL]),
  retry('limit reached by resets', 'retry_on: reset, num_retries: 2', [closing()]),
  retry('max_retries 0', 'retry_on: 5xx', [FAIL, OK], {
    cluster: 'circuit_breakers: {thresholds: [{max_retries: 0, track_remaining: true}]}',
    counters: [...RETRY_COUNTERS, 'cluster.{{id}}.circuit_breakers.default.remaining_retries'],
  }),
  retry('max_retries 0 of priority HIGH', 'retry_on: 5xx', [FAIL, OK], {
    routes: routesWith('timeout: 0s, priority: HIGH, retry_policy: {retry_on: 5xx}'),
    cluster: 'circuit_breakers: {thresholds: [{priority: HIGH, max_retries: 0}]}',
  }),
  retry('max_retries 0 of another priority', 'retry_on: 5xx', [FAIL, OK], {
    cluster: 'circuit_breakers: {thresholds: [{priority: HIGH, max_retries: 0}]}',
  }),
  retry('retry_budget of nothing', 'retry_on: 5xx', [FAIL, OK], {
    cluster:
      'circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 0}, min_retry_concurrency: 0}}]}',
  }),
  retry('retry_budget with a floor', 'retry_on: 5xx', [FAIL, OK], {
    cluster:
      'circuit_breakers: {thresholds: [{max_retries: 0, retry_budget: {budget_percent: {value: 1}, min_retry_concurrency: 1}}]}',
  }),
  retry('retry_budget by default', 'retry_on: 5xx', [FAIL, OK], {
    cluster: 'circuit_breakers: {thresholds: [{retry_budget: {}}]}',
  }),
  retry(
    'retriable_request_headers hold',
    'retry_on: 5xx, retriable_request_headers: [{name: ":method", string_match: {exact: GET}}]',
    [FAIL, OK],
  ),
  retry(
    'retriable_request_headers do not hold',
    'retry_on: 5xx, retriable_request_headers: [{name: ":method", string_match: {exact: POST}}]',
    [FAIL, OK],
  ),
  retry('virtual host policy', '', [FAIL, OK], {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}"}}]',
    vhost: 'retry_policy: {retry_on: 5xx}',
  }),
  retry('the route policy stands alone', 'num_retries: 5', [FAIL, OK], {
    vhost: 'retry_policy: {retry_on: 5xx}',
  }),
  retry('back-off with a maximum', '', [FAIL, FAIL, OK], {
    routes: routesWith(
      'retry_policy: {retry_on: 5xx, num_retries: 3, retry_back_off: {base_interval: 0.002s, max_interval: 0.003s}}',
    ),
  }),
  retry(
    'rate-limited back-off in seconds',
    'retry_on: 5xx, rate_limited_retry_back_off: {reset_headers: [{name: X-Reset, format: SECONDS}]}',
    [status(503, 'x-reset: 1'), OK],
  ),
  retry(
    'rate-limited back-off beyond max_interval',
    'retry_on: 5xx, rate_limited_retry_back_off: {reset_headers: [{name: x-reset, format: SECONDS}], max_interval: 1s}',
    [status(503, 'x-reset: 5'), OK],
  ),
  retry(
    'rate-limited back-off at a time gone by',
    'retry_on: 5xx, rate_limited_retry_back_off: {reset_headers: [{name: x-reset, format: UNIX_TIMESTAMP}]}',
    [status(503, 'x-reset: 5'), OK],
  ),
  retry('previous_hosts', predicate('previous_hosts.v3.PreviousHostsPredicate'), [], {
    ...PAIR,
    connections: TEN,
    sharesWithinPercent: 300,
    counters: [],
  }),
  retry('omit_canary_hosts', predicate('omit_canary_hosts.v3.OmitCanaryHostsPredicate'), [], {
    ...PAIR,
    connections: TEN,
    sharesWithinPercent: 300,
    counters: [],
  }),
  retry(
    'omit_host_metadata',
    predicate(
      'omit_host_metadata.v3.OmitHostMetadataConfig, metadata_match: {filter_metadata: {envoy.lb: {kind: bad}}}',
    ),
    [],
    { ...PAIR, connections: TEN, sharesWithinPercent: 300, counters: [] },
  ),
];

const PRIORITIES = {
  backends: PAIR.backends,
  cluster:
    'load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{backend}}}}}}]}, {priority: 1, lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{good}}}}}}]}]}',
} as const;
const priorities = (frequency: number): string =>
  `retry_on: 5xx, num_retries: 3, retry_priority: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: ${frequency}}}`;
limits.push(
  retry('previous_priorities', priorities(1), [], PRIORITIES),
  retry('previous_priorities after every two attempts', priorities(2), [], PRIORITIES),
);

const post = (body: string): Case['connections'] => [{ acts: [request('POST', '/', [], body)] }];
const bodies: readonly Case[] = [
  retry('a body is sent again', 'retry_on: 5xx', [FAIL, OK], { connections: post('hello') }),
  retry('a chunked body with trailers is sent again', 'retry_on: 5xx', [FAIL, OK], {
    hcm: 'http_protocol_options: {enable_trailers: true}',
    connections: [
      {
        acts: [
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
        ],
      },
    ],
  }),
  retry('a body beyond request_body_buffer_limit', 'retry_on: 5xx', [FAIL, OK], {
    vhost: 'request_body_buffer_limit: 4',
    connections: post('hello'),
  }),
  retry('a body beyond per_request_buffer_limit_bytes of the route', 'retry_on: 5xx', [FAIL, OK], {
    routes:
      '[{match: {prefix: /}, per_request_buffer_limit_bytes: 4, route: {cluster: "{{id}}", retry_policy: {retry_on: 5xx}}}]',
    connections: post('hello'),
  }),
  retry('a body within request_body_buffer_limit of the route', 'retry_on: 5xx', [FAIL, OK], {
    routes:
      '[{match: {prefix: /}, request_body_buffer_limit: 5, route: {cluster: "{{id}}", retry_policy: {retry_on: 5xx}}}]',
    vhost: 'per_request_buffer_limit_bytes: 4',
    connections: post('hello'),
  }),
  retry('an early failure before the body is complete', 'retry_on: 5xx', [{ ...FAIL, early: true }, OK], {
    connections: [
      { acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { wait: 200 }, 'cd'] },
    ],
  }),
];

export const TRUSTED =
  'use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}';
const asking = (
  name: string,
  headers: string[],
  replies: readonly Reply[],
  more: Partial<Case> = {},
): Case => ({
  name: `retry: ${name}`,
  hcm: TRUSTED,
  backends: { backend: { kind: 'http', replies } },
  connections: [get('/', ...headers)],
  format: ATTEMPTS,
  counters: RETRY_COUNTERS,
  ...more,
});

const headers: readonly Case[] = [
  asking('x-envoy-retry-on', ['x-envoy-retry-on: 5xx'], [FAIL, OK]),
  asking('x-envoy-retry-on of a stranger', ['x-envoy-retry-on: 5xx'], [FAIL, OK], { hcm: '{}' }),
  asking('x-envoy-retry-on at an edge', ['x-envoy-retry-on: 5xx'], [FAIL, OK], {
    hcm: 'use_remote_address: true',
  }),
  asking(
    'x-envoy-retry-on behind a proxy',
    ['x-envoy-retry-on: 5xx', 'x-forwarded-for: 127.0.0.1'],
    [FAIL, OK],
  ),
  asking(
    'x-envoy-retry-on by x-forwarded-for',
    ['x-envoy-retry-on: 5xx', 'x-forwarded-for: 127.0.0.1'],
    [FAIL, OK],
    {
      hcm: 'internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}',
    },
  ),
  asking('x-envoy-max-retries', ['x-envoy-retry-on: 5xx', 'x-envoy-max-retries: 3'], [FAIL, FAIL, FAIL, OK]),
  asking('x-envoy-max-retries 0', ['x-envoy-max-retries: 0'], [FAIL, OK], {
    routes: routesWith('retry_policy: {retry_on: 5xx, num_retries: 3}'),
  }),
  asking(
    'x-envoy-retry-grpc-on',
    ['x-envoy-retry-grpc-on: unavailable', 'content-type: application/grpc'],
    [grpc(14), grpc(0)],
  ),
  asking(
    'x-envoy-retriable-status-codes',
    ['x-envoy-retry-on: retriable-status-codes', 'x-envoy-retriable-status-codes: 410,x,411'],
    [status(411), OK],
  ),
  asking(
    'x-envoy-retriable-header-names',
    ['x-envoy-retry-on: retriable-headers', 'x-envoy-retriable-header-names: X-Again'],
    [respond('200 OK', ['x-again: 1'], 'no'), OK],
  ),
  asking('attempt counts', [], [FAIL, OK], {
    hcm: '{}',
    routes: routesWith('timeout: 0s, retry_policy: {retry_on: 5xx}'),
    vhost:
      'include_request_attempt_count: true\ninclude_attempt_count_in_response: true\ninclude_is_timeout_retry_header: true',
  }),
  asking('attempt counts of local answers', [], [], {
    hcm: '{}',
    backends: { backend: { kind: 'refused' } },
    routes: routesWith('retry_policy: {retry_on: connect-failure}'),
    vhost: 'include_attempt_count_in_response: true',
  }),
  asking('attempt counts of a client', ['x-envoy-attempt-count: 7'], [OK], { hcm: '{}' }),
  asking('a retry policy by request_headers_to_add', [], [FAIL, OK], {
    hcm: '{}',
    vhost: 'request_headers_to_add: [{header: {key: x-envoy-retry-on, value: 5xx}}]',
  }),
  asking('strict_check_headers', ['x-envoy-max-retries: many'], [OK], {
    hcm: `${TRUSTED}\nhttp_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, strict_check_headers: [x-envoy-max-retries, x-envoy-retry-on]}}]`,
    connections: [
      get('/', 'x-envoy-max-retries: many'),
      get('/', 'x-envoy-retry-on: 5xx,nonsense'),
      get('/', 'x-envoy-retry-on: 5xx'),
    ],
  }),
  asking('suppress_envoy_headers', [], [FAIL, OK], {
    hcm: SUPPRESS_ENVOY_HEADERS,
    routes: routesWith('timeout: 0s, retry_policy: {retry_on: 5xx}'),
    vhost: 'include_request_attempt_count: true',
  }),
];

const reused: readonly Case[] = [
  retry('a reused connection that died is not replayed by Envoy', '', [OK, closing(), OK], {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}"}}]',
    connections: [
      {
        acts: [request('GET', '/1'), { responses: 1 }, request('GET', '/2'), { responses: 2 }],
        responses: 2,
      },
    ],
  }),
];

/** HTTP/2 towards the host, whose replies are made of frames. */
function overHttp2(name: string, policy: string, replies: readonly string[], more: Partial<Case> = {}): Case {
  return retry(`http2, ${name}`, policy, [], {
    cluster: 'http2_protocol_options: {}',
    backends: { backend: { kind: 'http2', replies: replies.map((bytes) => ({ send: [bytes] })) } },
    ...more,
  });
}

const h2Head = (fields: Fields, end: boolean): string => frames(THIS, [[':status', '200'], ...fields], end);
const H2_OK = h2Head([], false) + data(THIS, 'ok', true);
const h2Grpc = (code: number): string =>
  h2Head(
    [
      ['content-type', 'application/grpc'],
      ['grpc-status', String(code)],
    ],
    true,
  );
const H2_CALL = {
  connections: [
    { acts: [request('POST', '/s/m', ['content-type: application/grpc', 'te: trailers'], 'body')] },
  ],
};

const http2: readonly Case[] = [
  overHttp2('refused-stream', 'retry_on: refused-stream', [rst(THIS, 7), H2_OK]),
  overHttp2('refused-stream, every time', 'retry_on: refused-stream, num_retries: 2', [rst(THIS, 7)]),
  overHttp2('refused-stream is not a cancelled one', 'retry_on: refused-stream', [rst(THIS, 8), H2_OK]),
  overHttp2('reset', 'retry_on: reset', [rst(THIS, 2), H2_OK]),
  overHttp2('5xx on a reset', 'retry_on: 5xx', [rst(THIS, 8), H2_OK]),
  overHttp2('connect-failure leaves resets alone', 'retry_on: connect-failure', [rst(THIS, 2), H2_OK]),
  overHttp2('never after the response began', 'retry_on: "5xx,reset"', [
    h2Head([], false) + rst(THIS, 2),
    H2_OK,
  ]),
  overHttp2('trailers-only unavailable', 'retry_on: unavailable', [h2Grpc(14), h2Grpc(0)], H2_CALL),
  overHttp2('trailers-only, another status', 'retry_on: unavailable', [h2Grpc(5), h2Grpc(0)], H2_CALL),
  overHttp2(
    'a status in trailers comes too late',
    'retry_on: unavailable',
    [
      h2Head([['content-type', 'application/grpc']], false) + frames(THIS, [['grpc-status', '14']], true),
      h2Grpc(0),
    ],
    H2_CALL,
  ),
];

export const retries: readonly Group[] = [
  {
    name: 'retries',
    cases: [...conditions, ...connecting, ...limits, ...bodies, ...headers, ...reused, ...http2],
  },
];
