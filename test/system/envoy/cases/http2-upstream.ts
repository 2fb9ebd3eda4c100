import {
  type Backend,
  type Case,
  type Connection,
  type Group,
  get,
  type Reply,
  request,
  respond,
} from '../case.ts';
import { THIS } from '../h2-backend.ts';
import {
  data,
  type Fields,
  frame,
  request as h2Request,
  headers,
  rst,
  settings,
  word,
} from '../h2-frames.ts';

// HTTP/1 and HTTP/2 in all combinations; what only concerns HTTP/2 clients is in http2-downstream.ts.

const COUNTERS = [
  'cluster.{{id}}.upstream_cx_total',
  'cluster.{{id}}.upstream_cx_http1_total',
  'cluster.{{id}}.upstream_cx_http2_total',
  'cluster.{{id}}.upstream_cx_active',
  'cluster.{{id}}.upstream_cx_close_notify',
  'cluster.{{id}}.upstream_cx_destroy',
  'cluster.{{id}}.upstream_cx_destroy_local',
  'cluster.{{id}}.upstream_cx_destroy_remote',
  'cluster.{{id}}.upstream_cx_destroy_with_active_rq',
  'cluster.{{id}}.upstream_cx_destroy_local_with_active_rq',
  'cluster.{{id}}.upstream_cx_destroy_remote_with_active_rq',
  'cluster.{{id}}.upstream_cx_max_requests',
  'cluster.{{id}}.upstream_cx_protocol_error',
  'cluster.{{id}}.upstream_rq_total',
  'cluster.{{id}}.upstream_rq_active',
  'cluster.{{id}}.upstream_rq_completed',
  'cluster.{{id}}.upstream_rq_2xx',
  'cluster.{{id}}.upstream_rq_5xx',
  'cluster.{{id}}.upstream_rq_rx_reset',
  'cluster.{{id}}.upstream_rq_tx_reset',
  'cluster.{{id}}.upstream_rq_cancelled',
  'cluster.{{id}}.upstream_rq_pending_total',
  'cluster.{{id}}.upstream_rq_pending_overflow',
  'cluster.{{id}}.upstream_rq_pending_failure_eject',
  'cluster.{{id}}.upstream_rq_timeout',
  'cluster.{{id}}.http2.rx_reset',
  'cluster.{{id}}.http2.tx_reset',
  'cluster.{{id}}.http2.header_overflow',
  'cluster.{{id}}.http2.rx_messaging_error',
  'cluster.{{id}}.http2.goaway_sent',
  'cluster.{{id}}.http2.trailers',
  'cluster.{{id}}.http2.stream_refused_errors',
  'cluster.{{id}}.http2.streams_active',
];

const H2 = 'http2_protocol_options: {}';
const TRAILERS = 'http_protocol_options: {enable_trailers: true}';
const TYPED = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const typed = (text: string): string =>
  `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": ${TYPED}, ${text}}}`;

const status = (code: string, ...more: Fields): Fields => [[':status', code], ...more];
const head = (fields: Fields, end: boolean): string => headers(THIS, fields, end);
const SEVENTY_KB: Fields = Array.from({ length: 20 }, (_, i) => [`x-${i}`, 'x'.repeat(3500)]);
const OK = head(status('200'), false) + data(THIS, 'ok', true);

function backend(send: Reply['send'], more: Partial<Reply> = {}): Readonly<Record<string, Backend>> {
  return { backend: { kind: 'http2', replies: [{ send, ...more }] } };
}

/** HTTP/1 client, HTTP/2 host. */
function up(
  name: string,
  send: Reply['send'] | null,
  connection: Connection = get('/'),
  more: Partial<Case> = {},
): Case {
  return {
    name: `http2: ${name}`,
    cluster: H2,
    backends: send === null ? { backend: { kind: 'http2' } } : backend(send),
    connections: [{ timeoutMs: 2500, ...connection }],
    counters: COUNTERS,
    ...more,
  };
}

/** HTTP/2 client. */
const h2 = (acts: Connection['acts'], more: Partial<Connection> = {}): Connection => ({
  http2: true,
  acts,
  ...more,
});
const one = (method = 'GET', more: Fields = []): Connection => h2([h2Request(1, method, '/', more)]);

/** HTTP/2 on both sides. */
function both(
  name: string,
  send: Reply['send'] | null,
  connection: Connection = one(),
  more: Partial<Case> = {},
): Case {
  return up(`h2 to h2, ${name}`, send, connection, more);
}

const post = (...more: string[]): Connection => ({ acts: [request('POST', '/', more, 'hello')] });
const CHUNKED =
  'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';

const conversions: readonly Case[] = [
  up('GET', null),
  up('POST with a length', null, post()),
  up('POST in chunks', null, { acts: [CHUNKED] }),
  up('HEAD', [head(status('200', ['content-length', '5']), true)], { acts: [request('HEAD', '/')] }),
  up(
    'fields of the connection are left out',
    null,
    get('/', 'Connection: keep-alive, x-hop', 'Keep-Alive: 5', 'X-Hop: 1', 'Proxy-Connection: x', 'TE: gzip'),
  ),
  up('te: trailers', null, get('/', 'TE: trailers')),
  up('te: trailers among others', null, get('/', 'TE: gzip, trailers;q=0.5')),
  up('cookies of two lines', null, get('/', 'Cookie: a=1; b=2', 'Cookie: c=3')),
  up('names in upper case', null, get('/', 'X-Upper: Yes')),
  up('a path with a query, and a host with a port', null, {
    acts: [request('GET', '/p?q=1', ['Host: a.example:81'])],
  }),
  up('expect: 100-continue', null, {
    acts: [request('POST', '/', ['Expect: 100-continue', 'Content-Length: 2']), { wait: 60 }, 'ok'],
  }),
  up('answer without a length', [OK]),
  up('answer with a length', [head(status('200', ['content-length', '2']), false), data(THIS, 'ok', true)]),
  up('answer of a head alone', [head(status('200'), true)]),
  up('204', [head(status('204'), true)]),
  up('304 with a length', [head(status('304', ['content-length', '7']), true)]),
  up('status of its own', [head(status('299', ['x-a', 'b']), true)]),
  up('1xx before the answer', [head(status('103', ['link', '</a>']), false), OK]),
  up('100 before the answer', [head(status('100'), false), OK]),
  up('trailers are dropped', [
    head(status('200'), false),
    data(THIS, 'ok', false),
    head([['x-end', 'yes']], true),
  ]),
  up(
    'trailers with enable_trailers',
    [head(status('200'), false), data(THIS, 'ok', false), head([['x-end', 'yes']], true)],
    get('/'),
    { hcm: TRAILERS },
  ),
  up('trailers alone behind a head', [head(status('200'), false), head([['x-end', 'yes']], true)], get('/'), {
    hcm: TRAILERS,
  }),
  up('set-cookie twice', [head(status('200', ['set-cookie', 'a=1'], ['set-cookie', 'b=2']), true)]),
  up('fields of the connection in an answer', [head(status('200', ['connection', 'close']), true)]),
  up('transfer-encoding in an answer', [
    head(status('200', ['transfer-encoding', 'chunked']), false),
    data(THIS, 'ok', true),
  ]),
  up('host as a field', null, get('/', 'Host: b.example', 'X-Host: 1')),
  up(
    'request trailers',
    null,
    {
      acts: [
        'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: yes\r\n\r\n',
      ],
    },
    { hcm: TRAILERS },
  ),
  up('OPTIONS *', null, { acts: [request('OPTIONS', '*')] }, { counters: [] }),
  up('two requests of one client', null, {
    acts: [request('GET', '/one'), { responses: 1 }, request('GET', '/two')],
    responses: 2,
  }),
];

const ends: readonly Case[] = [
  up('reset before the head', [rst(THIS, 2)]),
  up('reset with CANCEL before the head', [rst(THIS, 8)]),
  up('reset with NO_ERROR before the head', [rst(THIS, 0)]),
  up('refused stream', [rst(THIS, 7)]),
  up('reset after the head', [head(status('200'), false), 60, rst(THIS, 2)]),
  up('reset within the body', [
    head(status('200', ['content-length', '10']), false),
    data(THIS, 'half', false),
    60,
    rst(THIS, 2),
  ]),
  up('connection closed before the head', [60], get('/'), { backends: backend([60], { closes: 'end' }) }),
  up('connection reset before the head', [60], get('/'), { backends: backend([60], { closes: 'reset' }) }),
  up('connection closed after the head', [60], get('/'), {
    backends: backend([head(status('200'), false), 60], { closes: 'end' }),
  }),
  up('connection closed within a body of known length', [60], get('/'), {
    backends: backend([head(status('200', ['content-length', '9']), false), data(THIS, 'ab', false), 60], {
      closes: 'end',
    }),
  }),
  up('GOAWAY that includes the stream', [frame('goaway', 0, 0, word(THIS) + word(0)), 60, OK], {
    acts: [request('GET', '/one'), { responses: 1 }, { wait: 60 }, request('GET', '/two')],
    responses: 2,
  }),
  up('GOAWAY that leaves the stream out', [frame('goaway', 0, 0, word(0) + word(0))]),
  up('GOAWAY with an error and the stream left out', [frame('goaway', 0, 0, word(0) + word(2))]),
  up('GOAWAY and close behind an answer', [OK + frame('goaway', 0, 0, word(THIS) + word(0))], {
    acts: [request('GET', '/one'), { responses: 1 }, { wait: 80 }, request('GET', '/two')],
    responses: 2,
  }),
  up('body shorter than its length', [
    head(status('200', ['content-length', '9']), false),
    data(THIS, 'short', true),
  ]),
  up('body longer than its length', [
    head(status('200', ['content-length', '2']), false),
    data(THIS, 'longer', true),
  ]),
  up('length without a body', [head(status('200', ['content-length', '9']), true)]),
  up('no status', [head([['x-a', 'b']], true)]),
  up('status that is no number', [head(status('abc'), true)]),
  up('a name in upper case in an answer', [head(status('200', ['X-Upper', 'b']), true)]),
  up('a request pseudo header in an answer', [
    head(
      [
        [':status', '200'],
        [':path', '/'],
      ],
      true,
    ),
  ]),
  up('101 in an answer', [head(status('101'), false), OK]),
  up('DATA before the head', [data(THIS, 'early', true)]),
  up('interim head that ends the stream', [head(status('103'), true)]),
  up('second head in place of trailers', [
    head(status('200'), false),
    head(status('200'), false),
    data(THIS, '', true),
  ]),
  up('bytes that are no HTTP/2', ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok']),
  up('a frame that is too long', [frame('data', 0, 0, 'x'.repeat(20_000))]),
  up('WINDOW_UPDATE of zero on the connection', [frame('windowUpdate', 0, 0, word(0))]),
  up('PUSH_PROMISE', [frame('push', 4, THIS, word(2))]),
  up(
    'malformed answer with stream errors on',
    [head(status('200', ['content-length', '9']), false), data(THIS, 'short', true)],
    get('/'),
    {
      cluster: 'http2_protocol_options: {override_stream_error_on_invalid_http_message: true}',
    },
  ),
  up('head of 70 KB', [head(status('200', ...SEVENTY_KB), true)]),
  up('head of 50 KB', [head(status('200', ['x-big', 'x'.repeat(50_000)]), true)]),
  up('head of 150 fields', [
    head(status('200', ...Array.from({ length: 150 }, (_, i): [string, string] => [`x-${i}`, 'v'])), true),
  ]),
  up(
    'head of 150 fields that are allowed',
    [head(status('200', ...Array.from({ length: 150 }, (_, i): [string, string] => [`x-${i}`, 'v'])), true)],
    get('/'),
    {
      cluster: typed(
        'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {max_headers_count: 300}',
      ),
    },
  ),
  up('head of 70 KB that is allowed', [head(status('200', ...SEVENTY_KB), true)], get('/'), {
    cluster: typed(
      'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {max_response_headers_kb: 96}',
    ),
  }),
  up('no answer in time', [2000], get('/'), {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.2s}}]',
  }),
  up('client leaves', [1500, OK], {
    acts: [request('GET', '/'), { wait: 150 }, { reset: true }],
    responses: 0,
    settleMs: 20,
  }),
  up(
    'answer before the request has ended',
    null,
    { acts: ['POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf', { responses: 1 }] },
    {
      backends: backend([OK], { early: true }),
    },
  ),
  up(
    'answer and NO_ERROR before the request has ended',
    null,
    { acts: ['POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf', { responses: 1 }] },
    {
      backends: backend([OK + rst(THIS, 0)], { early: true }),
    },
  ),
];

const GRPC: Fields = [
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
];
const pairs: readonly Case[] = [
  both('GET', null),
  both(
    'POST with trailers',
    [head(status('200'), false), data(THIS, 'ok', false), head([['x-end', 'yes']], true)],
    h2([
      h2Request(1, 'POST', '/', [['te', 'trailers']], false),
      data(1, 'abc', false),
      headers(1, [['x-sum', '6']], true),
    ]),
  ),
  both(
    'gRPC that ends with trailers',
    [
      head(status('200', ['content-type', 'application/grpc']), false),
      data(THIS, '\0\0\0\0\0', false),
      head([['grpc-status', '0']], true),
    ],
    h2([h2Request(1, 'POST', '/a.B/C', GRPC, false), data(1, '\0\0\0\0\0', true)]),
  ),
  both(
    'gRPC of a head alone',
    [
      head(
        status('200', ['content-type', 'application/grpc'], ['grpc-status', '5'], ['grpc-message', 'no']),
        true,
      ),
    ],
    h2([h2Request(1, 'POST', '/a.B/C', GRPC, false), data(1, '\0\0\0\0\0', true)]),
  ),
  both(
    'gRPC whose stream is reset',
    [rst(THIS, 2)],
    h2([h2Request(1, 'POST', '/a.B/C', GRPC, false), data(1, '\0\0\0\0\0', true)]),
  ),
  both(
    'gRPC whose stream is reset within the answer',
    [
      head(status('200', ['content-type', 'application/grpc']), false),
      data(THIS, '\0\0\0\0\0', false),
      60,
      rst(THIS, 8),
    ],
    h2([h2Request(1, 'POST', '/a.B/C', GRPC, false), data(1, '\0\0\0\0\0', true)]),
  ),
  both('HEAD', [head(status('200', ['content-length', '5']), true)], one('HEAD')),
  both('interim heads', [head(status('103', ['link', '</a>']), false), OK]),
  both(
    'cookie crumbs',
    null,
    one('GET', [
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['cookie', 'c=3'],
    ]),
  ),
  both('reset before the head', [rst(THIS, 2)]),
  both('refused stream', [rst(THIS, 7)]),
  both('reset within the body', [head(status('200'), false), data(THIS, 'half', false), 60, rst(THIS, 2)]),
  both('connection closed within the body', [60], one(), {
    backends: backend([head(status('200'), false), data(THIS, 'half', false), 60], { closes: 'end' }),
  }),
  both('body shorter than its length', [
    head(status('200', ['content-length', '9']), false),
    data(THIS, 'short', true),
  ]),
  both(
    'a client that resets its stream',
    [300, OK],
    h2([h2Request(1, 'GET', '/'), { wait: 100 }, rst(1, 8), { wait: 80 }, h2Request(3, 'GET', '/next')], {
      responses: 1,
    }),
  ),
  both(
    'streams side by side',
    [100, OK],
    h2([h2Request(1, 'GET', '/1'), h2Request(3, 'GET', '/3'), h2Request(5, 'GET', '/5')], { responses: 3 }),
  ),
  both(
    'no more streams than the host allows',
    [100, OK],
    h2(
      [
        h2Request(1, 'GET', '/1'),
        { responses: 1 },
        h2Request(3, 'GET', '/3'),
        h2Request(5, 'GET', '/5'),
        h2Request(7, 'GET', '/7'),
      ],
      { responses: 4 },
    ),
    {
      parallel: true,
      backends: { backend: { kind: 'http2', settings: settings([3, 1]), replies: [{ send: [100, OK] }] } },
    },
  ),
  both(
    'max_concurrent_streams of the cluster',
    [100, OK],
    h2(
      [
        h2Request(1, 'GET', '/1'),
        { responses: 1 },
        h2Request(3, 'GET', '/3'),
        h2Request(5, 'GET', '/5'),
        h2Request(7, 'GET', '/7'),
      ],
      { responses: 4 },
    ),
    {
      parallel: true,
      cluster: typed('explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 2}}'),
    },
  ),
  both(
    'max_requests_per_connection',
    [OK],
    h2(
      [
        h2Request(1, 'GET', '/1'),
        { responses: 1 },
        h2Request(3, 'GET', '/3'),
        { responses: 2 },
        h2Request(5, 'GET', '/5'),
      ],
      { responses: 3 },
    ),
    {
      cluster: typed(
        'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {max_requests_per_connection: 2}',
      ),
    },
  ),
  both(
    'a host that allows no stream',
    [OK],
    h2([h2Request(1, 'GET', '/1'), { responses: 1 }, { wait: 50 }, h2Request(3, 'GET', '/3')], {
      responses: 2,
    }),
    {
      backends: { backend: { kind: 'http2', settings: settings([3, 0]), replies: [{ send: [OK] }] } },
    },
  ),
  both(
    'circuit breaker of requests',
    [200, OK],
    h2([h2Request(1, 'GET', '/1'), { wait: 60 }, h2Request(3, 'GET', '/3')], { responses: 2 }),
    {
      cluster: `${H2}\ncircuit_breakers: {thresholds: [{max_requests: 1}]}`,
    },
  ),
  both('connection refused', null, one(), { backends: { backend: { kind: 'refused' } } }),
  both(
    'no authority',
    null,
    h2([
      headers(
        1,
        [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/'],
          ['host', 'b.example'],
        ],
        true,
      ),
    ]),
  ),
  both(
    'scheme https',
    null,
    h2([
      headers(
        1,
        [
          [':method', 'GET'],
          [':scheme', 'https'],
          [':authority', 'a.example'],
          [':path', '/'],
        ],
        true,
      ),
    ]),
  ),
];

const BACK_H1 = { backend: { kind: 'http' } } as const;
const down = (
  name: string,
  connection: Connection,
  replies?: readonly Reply[],
  more: Partial<Case> = {},
): Case => ({
  name: `http2: h2 to h1, ${name}`,
  backends: { backend: { kind: 'http', ...(replies === undefined ? {} : { replies }) } },
  connections: [{ timeoutMs: 2500, ...connection }],
  counters: COUNTERS.filter((name) => !name.includes('.http2.')),
  ...more,
});

const downstream: readonly Case[] = [
  down(
    'h1 client leaves',
    { acts: [request('GET', '/'), { wait: 150 }, { reset: true }], responses: 0, settleMs: 20 },
    [{ send: [1000, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }],
  ),
  down('no answer in time', one(), [{ send: [2000] }], {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.2s}}]',
  }),
  down('GET', one()),
  down(
    'POST with a length',
    h2([h2Request(1, 'POST', '/', [['content-length', '3']], false), data(1, 'abc', true)]),
  ),
  down('POST without a length', h2([h2Request(1, 'POST', '/', [], false), data(1, 'abc', true)])),
  down('POST of a head alone', one('POST')),
  down(
    'cookie crumbs',
    one('GET', [
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
    ]),
  ),
  down('te: trailers', one('GET', [['te', 'trailers']])),
  down(
    'request trailers are dropped',
    h2([h2Request(1, 'POST', '/', [], false), data(1, 'abc', false), headers(1, [['x-end', 'yes']], true)]),
  ),
  down(
    'request trailers with enable_trailers',
    h2([h2Request(1, 'POST', '/', [], false), data(1, 'abc', false), headers(1, [['x-end', 'yes']], true)]),
    undefined,
    {
      cluster: TRAILERS,
    },
  ),
  down(
    'response trailers with enable_trailers',
    one(),
    [{ send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: yes\r\n\r\n'] }],
    { cluster: TRAILERS },
  ),
  down('response trailers without', one(), [
    { send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: yes\r\n\r\n'] },
  ]),
  down('answer with fields of the connection', one(), [
    respond('200 OK', ['Connection: keep-alive', 'Keep-Alive: timeout=5', 'X-Upper: Yes'], 'ok'),
  ]),
  down('answer until the connection ends', one(), [{ send: ['HTTP/1.1 200 OK\r\n\r\nok'], closes: 'end' }]),
  down('answer cut short', one(), [
    { send: ['HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'], closes: 'end' },
  ]),
  down('answer cut short in chunks', one(), [
    { send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n', 60], closes: 'reset' },
  ]),
  down('connection closed before an answer', one(), [{ send: [], closes: 'end' }]),
  down('malformed answer', one(), [{ send: ['nonsense\r\n\r\n'] }]),
  down('interim answers', one(), [
    {
      send: [
        'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      ],
    },
  ]),
  down('HEAD', one('HEAD'), [respond('200 OK', [], 'hello')]),
  down(
    '204 and 304',
    h2([h2Request(1, 'GET', '/1'), { responses: 1 }, h2Request(3, 'GET', '/3')], { responses: 2 }),
    [
      { send: ['HTTP/1.1 204 No Content\r\n\r\n'] },
      { send: ['HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n'] },
    ],
  ),
  down(
    'streams side by side',
    h2([h2Request(1, 'GET', '/1'), h2Request(3, 'GET', '/3'), h2Request(5, 'GET', '/5')], { responses: 3 }),
    [{ send: [100, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }],
  ),
  down(
    'a client that resets its stream',
    h2([h2Request(1, 'GET', '/'), { wait: 80 }, rst(1, 8), { wait: 80 }, h2Request(3, 'GET', '/next')], {
      responses: 1,
    }),
    [
      { send: [200, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] },
      { send: ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] },
    ],
  ),
  down(
    'no :path for CONNECT',
    h2([
      headers(
        1,
        [
          [':method', 'CONNECT'],
          [':authority', 'a.example:1'],
        ],
        false,
      ),
    ]),
  ),
];

const TWICE: Connection = {
  acts: [request('GET', '/one'), { responses: 1 }, { wait: 600 }, request('GET', '/two')],
  responses: 2,
};
const times: readonly Case[] = [
  up('idle_timeout', null, TWICE, {
    cluster: typed(
      'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {idle_timeout: 0.2s}',
    ),
    counters: [...COUNTERS, 'cluster.{{id}}.upstream_cx_idle_timeout'],
  }),
  up('max_connection_duration of an idle connection', null, TWICE, {
    cluster: typed(
      'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {max_connection_duration: 0.3s}',
    ),
    counters: [...COUNTERS, 'cluster.{{id}}.upstream_cx_max_duration_reached'],
  }),
  up('max_connection_duration of a busy connection', [600, OK], get('/'), {
    cluster: typed(
      'explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options: {max_connection_duration: 0.3s}',
    ),
    counters: [...COUNTERS, 'cluster.{{id}}.upstream_cx_max_duration_reached'],
  }),
  up('a host that does not answer PING', [1500, OK], get('/'), {
    cluster: 'http2_protocol_options: {connection_keepalive: {interval: 0.1s, timeout: 0.1s}}',
    backends: { backend: { kind: 'http2', silent: true, replies: [{ send: [1500, OK] }] } },
    counters: [...COUNTERS, 'cluster.{{id}}.http2.keepalive_timeout'],
  }),
  up('connect timeout', null, get('/'), {
    cluster: `${H2}\nconnect_timeout: 0.2s`,
    backends: { backend: { kind: 'silent' } },
    counters: COUNTERS.filter((name) => !name.includes('.http2.')),
  }),
];

const selection: readonly Case[] = [
  ...(['http1', 'http2'] as const).map(
    (version): Case => ({
      name: `http2: use_downstream_protocol_config, ${version} client`,
      cluster: typed(
        'use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}',
      ),
      backends: version === 'http2' ? { backend: { kind: 'http2' } } : BACK_H1,
      connections: [version === 'http2' ? one() : get('/')],
      counters: COUNTERS.filter((name) => !name.includes('.http2.')),
    }),
  ),
  ...(['http1', 'http2'] as const).map(
    (version): Case => ({
      name: `http2: protocol_selection USE_DOWNSTREAM_PROTOCOL, ${version} client`,
      cluster: `${H2}\nprotocol_selection: USE_DOWNSTREAM_PROTOCOL`,
      backends: version === 'http2' ? { backend: { kind: 'http2' } } : BACK_H1,
      connections: [version === 'http2' ? one() : get('/')],
      counters: COUNTERS.filter((name) => !name.includes('.http2.')),
    }),
  ),
  up('protocols in the log', null, get('/'), { format: '%PROTOCOL% %UPSTREAM_PROTOCOL%' }),
  both('protocols in the log', null, one(), { format: '%PROTOCOL% %UPSTREAM_PROTOCOL%' }),
  up('explicit_http_config', null, get('/'), {
    cluster: typed('explicit_http_config: {http2_protocol_options: {}}'),
  }),
  up('the typed extension wins over the older field', null, get('/'), {
    cluster: `${H2}\n${typed('explicit_http_config: {http_protocol_options: {}}')}`,
    backends: BACK_H1,
    counters: COUNTERS.filter((name) => !name.includes('.http2.')),
  }),
  up('HTTP/3', null, get('/'), { cluster: typed('explicit_http_config: {http3_protocol_options: {}}') }),
  up('auto_config without TLS', null, get('/'), { cluster: typed('auto_config: {}') }),
];

export const http2Upstream: readonly Group[] = [
  { name: 'http2', cases: [...conversions, ...ends, ...pairs, ...downstream, ...times, ...selection] },
];
