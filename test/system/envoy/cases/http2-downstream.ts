import type { Backend, Case, Connection, Group } from '../case.ts';
import {
  block,
  data,
  type Fields,
  frame,
  headers,
  pseudo,
  request,
  rst,
  settings,
  word,
} from '../h2-frames.ts';

/** One connection; `acts` are frames. */
function h2(acts: Connection['acts'], more: Partial<Connection> = {}): Connection {
  return { http2: true, acts, ...more };
}

/** One request on stream 1 with these fields, and a good one on stream 3 that shows whether the connection lives. */
function malformed(name: string, fields: Fields, end = true): Case {
  const acts = [headers(1, fields, end), { wait: 60 }, request(3, 'GET', '/after')];
  return { name: `h2: ${name}`, connections: [h2(acts, { responses: 2 })], counters: ERRORS };
}

const ERRORS = ['http.{{id}}.downstream_cx_protocol_error', 'http.{{id}}.downstream_rq_total'];
const RESETS = ['http.{{id}}.downstream_rq_rx_reset', 'http.{{id}}.downstream_rq_total'];
const GET = pseudo('GET', '/');
const STREAM_ERROR = 'http2_protocol_options: {override_stream_error_on_invalid_http_message: true}';

const slow: Readonly<Record<string, Backend>> = {
  backend: {
    kind: 'http',
    replies: [{ send: [400, 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow'] }],
  },
};

const wellFormed: readonly Case[] = [
  {
    name: 'h2: GET and the greeting',
    connections: [h2([request(1, 'GET', '/')], { greeting: true })],
    counters: ['http.{{id}}.downstream_cx_http2_total', 'http.{{id}}.downstream_rq_http2_total'],
  },
  {
    name: 'h2: greeting with chosen options',
    hcm: `http2_protocol_options:
  hpack_table_size: 1024
  max_concurrent_streams: 7
  initial_stream_window_size: 70000
  initial_connection_window_size: 90000
  allow_connect: true
  use_oghttp2_codec: false
  enable_huffman_encoding: true
  max_metadata_size: 1000
  custom_settings_parameters: [{identifier: 4096, value: 5}]`,
    // Whoever was told of a smaller table says so first (RFC 7541 §4.2).
    connections: [h2([frame('headers', 5, 1, `\x3f\xe1\x07${block(GET)}`)], { greeting: true })],
  },
  {
    name: 'h2: POST with a body in frames, some padded',
    connections: [
      h2([
        request(1, 'POST', '/', [['content-length', '9']], false),
        data(1, 'abc', false),
        frame('data', 8, 1, '\x02def\0\0'),
        data(1, 'ghi', true),
      ]),
    ],
  },
  {
    name: 'h2: POST without a length, trailers',
    hcm: 'http_protocol_options: {enable_trailers: true}',
    connections: [
      h2([
        request(1, 'POST', '/', [['te', 'trailers']], false),
        data(1, 'abc', false),
        headers(1, [['x-check', 'sum']], true),
      ]),
    ],
    counters: ['http2.trailers'],
  },
  { name: 'h2: HEAD', connections: [h2([request(1, 'HEAD', '/')])] },
  { name: 'h2: OPTIONS *', connections: [h2([request(1, 'OPTIONS', '*')])] },
  {
    name: 'h2: many streams on one connection',
    connections: [
      h2(
        [1, 3, 5, 7, 9].map((id) => request(id, 'GET', `/${id}`)),
        { responses: 5 },
      ),
    ],
    backends: { backend: { kind: 'http', replies: [{ send: ['HTTP/1.1 204 No Content\r\n\r\n'] }] } },
  },
  {
    name: 'h2: no route',
    routes: '[{match: {prefix: /only}, route: {cluster: "{{id}}"}}]',
    connections: [h2([request(1, 'GET', '/other')])],
  },
  {
    name: 'h2: direct response with a body',
    routes: '[{match: {prefix: /}, direct_response: {status: 418, body: {inline_string: teapot}}}]',
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: redirect',
    routes: '[{match: {prefix: /}, redirect: {path_redirect: /new}}]',
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: upstream refuses the connection',
    backends: { backend: { kind: 'refused' } },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: upstream breaks its answer off',
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'], closes: 'end' }],
      },
    },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: interim answers of the upstream',
    backends: {
      backend: {
        kind: 'http',
        replies: [
          {
            send: [
              'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n',
              'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
            ],
          },
        ],
      },
    },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: hop-by-hop fields of an HTTP/1 answer',
    backends: {
      backend: {
        kind: 'http',
        replies: [
          {
            send: [
              'HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
            ],
          },
        ],
      },
    },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: trailers of the answer',
    hcm: 'http_protocol_options: {enable_trailers: true}',
    cluster: `typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {enable_trailers: true}}`,
    backends: {
      backend: {
        kind: 'http',
        replies: [
          {
            send: [
              'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n',
            ],
          },
        ],
      },
    },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: expect 100-continue',
    connections: [
      h2([
        request(
          1,
          'POST',
          '/',
          [
            ['expect', '100-continue'],
            ['content-length', '3'],
          ],
          false,
        ),
        { wait: 100 },
        data(1, 'abc', true),
      ]),
    ],
  },
  {
    name: 'h2: cookie crumbs',
    connections: [
      h2([
        request(1, 'GET', '/', [
          ['cookie', 'a=1'],
          ['x', 'y'],
          ['cookie', 'b=2'],
        ]),
      ]),
    ],
  },
  {
    name: 'h2: host beside authority',
    connections: [h2([request(1, 'GET', '/', [['host', 'b.example']])])],
  },
  {
    name: 'h2: host in place of authority',
    connections: [
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
    ],
  },
  {
    name: 'h2: scheme https without TLS',
    connections: [
      h2([
        headers(
          1,
          [
            [':method', 'GET'],
            [':scheme', 'https'],
            [':authority', 'a'],
            [':path', '/'],
          ],
          true,
        ),
      ]),
    ],
  },
];

const bad: readonly Case[] = [
  malformed('upper case name', [...GET, ['X-A', '1']]),
  malformed('connection field', [...GET, ['connection', 'close']]),
  malformed('te: gzip', [...GET, ['te', 'gzip']]),
  malformed('transfer-encoding', [...GET, ['transfer-encoding', 'chunked']]),
  malformed('upgrade field', [...GET, ['upgrade', 'websocket']]),
  malformed('no path', GET.slice(0, 3)),
  malformed('empty path', pseudo('GET', '')),
  malformed('path without slash', pseudo('GET', 'a')),
  malformed('two paths', [...GET, [':path', '/b']]),
  malformed('no scheme', [...GET.slice(0, 1), ...GET.slice(2)]),
  malformed('odd scheme', [
    [':method', 'GET'],
    [':scheme', 'ftp'],
    [':authority', 'a'],
    [':path', '/'],
  ]),
  malformed('no method', GET.slice(1)),
  malformed('no authority and no host', [...GET.slice(0, 2), ...GET.slice(3)]),
  malformed('unknown pseudo header', [...GET, [':x', 'y']]),
  malformed('pseudo header behind a field', [...GET.slice(0, 3), ['x', 'y'], [':path', '/']]),
  malformed('status in a request', [...GET, [':status', '200']]),
  malformed('CR LF in a value', [...GET, ['x', 'a\r\nb: c']]),
  malformed('NUL in a value', [...GET, ['x', 'a\0b']]),
  malformed('space in a name', [...GET, ['x y', 'a']]),
  malformed('empty name', [...GET, ['', 'a']]),
  malformed('space in the path', pseudo('GET', '/a b')),
  malformed('byte above 0x7f in the path', pseudo('GET', '/\xe9')),
  malformed('space in the method', pseudo('GE T', '/')),
  malformed('two lengths', [...pseudo('POST', '/'), ['content-length', '3'], ['content-length', '3']], false),
  malformed('length that is no number', [...pseudo('POST', '/'), ['content-length', 'x']], false),
  malformed('length but no body', [...pseudo('POST', '/'), ['content-length', '3']]),
  malformed('CONNECT with a path', pseudo('CONNECT', '/')),
  malformed(
    'extended CONNECT, not allowed',
    [[':method', 'CONNECT'], [':protocol', 'websocket'], ...GET.slice(1)],
    false,
  ),
  malformed('101 fields', [
    ...GET,
    ...Array.from({ length: 101 }, (_, i): [string, string] => [`x-${i}`, 'y']),
  ]),
  malformed('70 KB of fields', [
    ...GET,
    ...Array.from({ length: 70 }, (_, i): [string, string] => [`x-${i}`, 'y'.repeat(1000)]),
  ]),
  malformed('underscore in a name', [...GET, ['x_y', 'a']]),
  {
    name: 'h2: underscore, rejected',
    hcm: 'common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}',
    connections: [h2([request(1, 'GET', '/', [['x_y', 'a']]), request(3, 'GET', '/')], { responses: 2 })],
  },
  {
    name: 'h2: underscore, dropped',
    hcm: 'common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}',
    connections: [h2([request(1, 'GET', '/', [['x_y', 'a']])])],
  },
  {
    name: 'h2: body longer than its length',
    connections: [
      h2(
        [
          request(1, 'POST', '/', [['content-length', '3']], false),
          data(1, 'abcde', true),
          request(3, 'GET', '/'),
        ],
        { responses: 2 },
      ),
    ],
  },
  {
    name: 'h2: body shorter than its length',
    connections: [
      h2(
        [
          request(1, 'POST', '/', [['content-length', '3']], false),
          data(1, 'a', true),
          request(3, 'GET', '/'),
        ],
        { responses: 2 },
      ),
    ],
  },
  {
    name: 'h2: malformed, stream errors by option',
    hcm: STREAM_ERROR,
    connections: [h2([request(1, 'GET', '/', [['X-A', '1']]), request(3, 'GET', '/')], { responses: 2 })],
    counters: ['http2.rx_messaging_error'],
  },
  {
    name: 'h2: malformed, stream errors by the old option',
    hcm: 'http2_protocol_options: {stream_error_on_invalid_http_messaging: true}',
    connections: [h2([request(1, 'GET', '/', [['X-A', '1']]), request(3, 'GET', '/')], { responses: 2 })],
  },
  {
    name: 'h2: malformed, stream errors by the manager',
    hcm: 'stream_error_on_invalid_http_message: true',
    connections: [
      h2([request(1, 'GET', '/', [['connection', 'x']]), request(3, 'GET', '/')], { responses: 2 }),
    ],
  },
  {
    name: 'h2: wrong length, stream errors by option',
    hcm: STREAM_ERROR,
    connections: [
      h2(
        [
          request(1, 'POST', '/', [['content-length', '3']], false),
          data(1, 'a', true),
          request(3, 'GET', '/'),
        ],
        { responses: 2 },
      ),
    ],
  },
];

const frames: readonly Case[] = [
  {
    name: 'h2: even stream',
    connections: [h2([request(2, 'GET', '/')])],
  },
  { name: 'h2: HEADERS on stream 0', connections: [h2([request(0, 'GET', '/')])] },
  { name: 'h2: DATA on an idle stream', connections: [h2([data(1, 'a', false)])] },
  { name: 'h2: a lower stream id', connections: [h2([request(5, 'GET', '/'), request(3, 'GET', '/')])] },
  { name: 'h2: broken HPACK', connections: [h2([frame('headers', 5, 1, '\xff\xff\xff\xff\xff')])] },
  { name: 'h2: PUSH_PROMISE of a client', connections: [h2([frame('push', 4, 1, word(2))])] },
  { name: 'h2: PING of 7 bytes', connections: [h2([frame('ping', 0, 0, '1234567')])] },
  { name: 'h2: SETTINGS of 5 bytes', connections: [h2([frame('settings', 0, 0, '12345')])] },
  { name: 'h2: frame of 20 KB', connections: [h2([frame('data', 0, 1, 'x'.repeat(20_000))])] },
  { name: 'h2: window over 2^31', connections: [h2([frame('windowUpdate', 0, 0, word(0x7fffffff))])] },
  { name: 'h2: initial window of 2^31', connections: [h2([settings([4, 0x80000000])])] },
  { name: 'h2: unknown frame', connections: [h2([frame(77, 0, 0, 'abc'), request(1, 'GET', '/')])] },
  {
    name: 'h2: HEADERS in pieces',
    connections: [
      h2([
        frame('headers', 1, 1, block(GET.slice(0, 2))),
        { wait: 30 },
        frame('continuation', 4, 1, block(GET.slice(2))),
      ]),
    ],
  },
  {
    name: 'h2: a frame between HEADERS and CONTINUATION',
    connections: [h2([frame('headers', 1, 1, block(GET)), frame('ping', 0, 0, '12345678')])],
  },
  {
    name: 'h2: bad preface',
    connections: [{ http2: 'bare', acts: ['PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'] }],
    hcm: 'codec_type: HTTP2',
  },
  {
    name: 'h2: HTTP/1 on an HTTP/2 listener',
    hcm: 'codec_type: HTTP2',
    connections: [{ http2: 'bare', acts: ['GET / HTTP/1.1\r\nhost: a\r\n\r\n'] }],
  },
];

const resets: readonly Case[] = [
  {
    name: 'h2: client resets before the answer',
    backends: slow,
    connections: [
      h2([request(1, 'GET', '/'), { wait: 100 }, rst(1, 8), { wait: 50 }, request(3, 'GET', '/')], {
        settleMs: 300,
      }),
    ],
    counters: RESETS,
  },
  {
    name: 'h2: client resets in the middle of its body',
    connections: [
      h2([request(1, 'POST', '/', [], false), data(1, 'abc', false), { wait: 100 }, rst(1, 0)], {
        responses: 0,
      }),
    ],
    counters: RESETS,
  },
  {
    name: 'h2: client closes in the middle of a request',
    backends: slow,
    connections: [h2([request(1, 'GET', '/'), { wait: 100 }, { reset: true }], { responses: 0 })],
    counters: RESETS,
  },
  {
    name: 'h2: client sends GOAWAY and then a request',
    connections: [h2([frame('goaway', 0, 0, word(0) + word(0)), { wait: 50 }, request(1, 'GET', '/')])],
  },
  {
    name: 'h2: client half-closes the connection',
    backends: slow,
    connections: [h2([request(1, 'GET', '/'), { wait: 50 }, { end: true }])],
    counters: RESETS,
  },
  {
    name: 'h2: answered before the body came',
    routes: '[{match: {prefix: /}, direct_response: {status: 403}}]',
    connections: [
      h2(
        [request(1, 'POST', '/', [], false), { responses: 1 }, data(1, 'abc', true), request(3, 'GET', '/')],
        {
          responses: 2,
        },
      ),
    ],
  },
  {
    name: 'h2: window of the stream holds the body back',
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: [`HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n${'0123456789'.repeat(2)}`] }],
      },
    },
    connections: [
      h2([settings([4, 5]), request(1, 'GET', '/'), { wait: 100 }, frame('windowUpdate', 0, 1, word(6))], {
        responses: 0,
        settleMs: 150,
      }),
    ],
  },
  {
    name: 'h2: streams over the limit',
    hcm: 'http2_protocol_options: {max_concurrent_streams: 2}',
    backends: slow,
    connections: [h2([{ wait: 30 }, ...[1, 3, 5, 7].map((id) => request(id, 'GET', '/'))], { responses: 4 })],
  },
];

const limits: readonly Case[] = [
  flood('PING', frame('ping', 0, 0, '12345678').repeat(30_000), ''),
  flood('SETTINGS', settings().repeat(30_000), ''),
  flood(
    'PRIORITY',
    frame('priority', 0, 3, '\0\0\0\0\x01').repeat(10),
    'max_inbound_priority_frames_per_stream: 2',
    'http2.inbound_priority_frames_flood',
  ),
  flood(
    'WINDOW_UPDATE',
    frame('windowUpdate', 0, 0, word(1)).repeat(30),
    'max_inbound_window_update_frames_per_data_frame_sent: 2',
    'http2.inbound_window_update_frames_flood',
  ),
  flood(
    'empty DATA',
    request(1, 'POST', '/', [], false) + data(1, '', false).repeat(5),
    'max_consecutive_inbound_frames_with_empty_payload: 3',
    'http2.inbound_empty_frames_flood',
  ),
  {
    name: 'h2: empty DATA within the limit',
    hcm: 'http2_protocol_options: {max_consecutive_inbound_frames_with_empty_payload: 3, max_outbound_frames: 50, max_outbound_control_frames: 20}',
    connections: [h2([request(1, 'POST', '/', [], false), data(1, '', false).repeat(3), data(1, 'x', true)])],
  },
];

/** A flood is noticed at different frames, but always ends the connection. */
function flood(name: string, bytes: string, option: string, counter?: string): Case {
  return {
    name: `h2: flood of ${name}`,
    ...(option === '' ? {} : { hcm: `http2_protocol_options: {${option}}` }),
    connections: [h2([bytes], { responses: 0, silent: true, settleMs: 1500 })],
    ...(counter === undefined ? {} : { counters: [] }),
  };
}

const timers: readonly Case[] = [
  {
    name: 'h2: drain on the idle timeout',
    hcm: 'common_http_protocol_options: {idle_timeout: 0.3s}\ndrain_timeout: 0.3s',
    connections: [h2([request(1, 'GET', '/'), { goaways: 2 }], { settleMs: 2500 })],
  },
  {
    name: 'h2: idle without a request',
    hcm: 'common_http_protocol_options: {idle_timeout: 0.3s}\ndrain_timeout: 0.3s',
    connections: [h2([{ goaways: 2 }], { responses: 0, settleMs: 2500 })],
  },
  {
    name: 'h2: drain at the last allowed request',
    hcm: 'common_http_protocol_options: {max_requests_per_connection: 2}\ndrain_timeout: 0.3s',
    connections: [
      h2([request(1, 'GET', '/'), { responses: 1 }, request(3, 'GET', '/'), { goaways: 2 }], {
        responses: 2,
        settleMs: 2500,
      }),
    ],
  },
  {
    name: 'h2: drain at the age of the connection',
    hcm: 'common_http_protocol_options: {max_connection_duration: 0.3s}\ndrain_timeout: 0.3s',
    connections: [h2([request(1, 'GET', '/'), { goaways: 2 }], { settleMs: 2500 })],
  },
  {
    name: 'h2: stream idle timeout before the answer',
    hcm: 'stream_idle_timeout: 0.3s',
    backends: { backend: { kind: 'http', replies: [{ send: [3000] }] } },
    connections: [h2([request(1, 'GET', '/')])],
    counters: ['http.{{id}}.downstream_rq_idle_timeout'],
  },
  {
    name: 'h2: nobody takes the end of the answer',
    hcm: 'stream_flush_timeout: 0.3s',
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789'] }],
      },
    },
    connections: [h2([settings([4, 5]), request(1, 'GET', '/')])],
    counters: ['http2.tx_flush_timeout'],
  },
  {
    name: 'h2: stream idle timeout within the request',
    hcm: 'stream_idle_timeout: 0.3s',
    connections: [h2([request(1, 'POST', '/', [], false), data(1, 'a', false)])],
    counters: ['http.{{id}}.downstream_rq_idle_timeout'],
  },
  {
    name: 'h2: stream idle timeout within the answer',
    hcm: 'stream_idle_timeout: 0.3s',
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 3000] }],
      },
    },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: request timeout',
    hcm: 'request_timeout: 0.3s',
    connections: [h2([request(1, 'POST', '/', [], false), data(1, 'a', false)])],
    counters: ['http.{{id}}.downstream_rq_timeout'],
  },
  {
    name: 'h2: request headers timeout',
    hcm: 'request_headers_timeout: 0.3s',
    connections: [h2([frame('headers', 1, 1, block(GET.slice(0, 2)))], { responses: 0, settleMs: 900 })],
    counters: ['http.{{id}}.downstream_rq_header_timeout'],
  },
  {
    name: 'h2: half a head runs into the stream idle timeout',
    hcm: 'stream_idle_timeout: 0.3s',
    connections: [h2([frame('headers', 1, 1, block(GET.slice(0, 2)))], { responses: 0, settleMs: 900 })],
    counters: ['http.{{id}}.downstream_rq_idle_timeout'],
  },
  {
    name: 'h2: longest stream',
    hcm: 'common_http_protocol_options: {max_stream_duration: 0.3s}',
    backends: { backend: { kind: 'http', replies: [{ send: [3000] }] } },
    connections: [h2([request(1, 'GET', '/')])],
  },
  {
    name: 'h2: keepalive, answered',
    hcm: 'http2_protocol_options: {connection_keepalive: {interval: 0.4s, timeout: 0.3s, interval_jitter: {value: 1}, connection_idle_interval: 5s}}',
    connections: [h2([request(1, 'GET', '/')], { pings: true, settleMs: 600 })],
  },
  {
    name: 'h2: keepalive, not answered',
    hcm: 'http2_protocol_options: {connection_keepalive: {interval: 0.3s, timeout: 0.3s}}',
    connections: [h2([request(1, 'GET', '/')], { silent: true, pings: true, settleMs: 1200 })],
  },
];

export const http2Downstream: readonly Group[] = [
  {
    name: 'http2-downstream',
    cases: [...wellFormed, ...bad, ...frames, ...resets, ...limits, ...timers],
  },
];
