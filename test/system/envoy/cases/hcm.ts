import { type Case, type Group, get, request, respond, SUPPRESS_ENVOY_HEADERS } from '../case.ts';

const COUNTERS = [
  'http.{{id}}.downstream_rq_total',
  'http.{{id}}.downstream_rq_2xx',
  'http.{{id}}.downstream_rq_3xx',
  'http.{{id}}.downstream_rq_4xx',
  'http.{{id}}.downstream_cx_total',
  'http.{{id}}.downstream_cx_destroy',
  'http.{{id}}.downstream_cx_destroy_remote',
  'http.{{id}}.downstream_cx_idle_timeout',
  'http.{{id}}.downstream_cx_max_duration_reached',
  'http.{{id}}.downstream_cx_max_requests_reached',
  'http.{{id}}.downstream_rq_http1_total',
  'http.{{id}}.downstream_rq_non_relative_path',
  'http.{{id}}.downstream_rq_idle_timeout',
  'http.{{id}}.downstream_rq_max_duration_reached',
];

/** A setting of the connection manager and the requests that show it. */
function setting(
  name: string,
  hcm: string,
  connections: Case['connections'],
  more: Partial<Case> = {},
): Case {
  return { name: `hcm: ${name}`, hcm, connections, counters: COUNTERS, ...more };
}

const SLOW = {
  backend: { kind: 'http', replies: [{ send: [600, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }] },
} as const;
const DRIP = {
  backend: {
    kind: 'http',
    replies: [{ send: ['HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na', 250, 'b', 250, 'c', 250, 'd'] }],
  },
} as const;
const SERVED = {
  backend: { kind: 'http', replies: [respond('200 OK', ['server: upstream/1', 'x-envoy-foo: 1'], 'ok')] },
} as const;
const PATHS = [
  '/a/../b',
  '/a/./b',
  '/a//b',
  '//a',
  '/%2e%2e/b',
  '/a%2fb',
  '/a%5cb',
  '/a\\b',
  '/a%00b',
  '/a%zz',
  '/..',
  '/a/..',
  '/%61',
  '/a/b/%2E%2E/c?x=/../y',
  '/a%2F%2e%2e%2Fb',
];
const PATH_REQUESTS = PATHS.map((path) => get(path));

const paths: readonly Case[] = [
  setting('paths by default', '', PATH_REQUESTS, { hcm: '{}' }),
  setting('normalize_path', 'normalize_path: true', PATH_REQUESTS),
  setting('merge_slashes', 'merge_slashes: true', PATH_REQUESTS),
  setting('normalize_path and merge_slashes', 'normalize_path: true\nmerge_slashes: true', [
    ...PATH_REQUESTS,
    get('/a//../b'),
    get('/a/b///../../c'),
  ]),
  ...['KEEP_UNCHANGED', 'REJECT_REQUEST', 'UNESCAPE_AND_REDIRECT', 'UNESCAPE_AND_FORWARD'].map((action) =>
    setting(
      `path_with_escaped_slashes_action ${action}`,
      `normalize_path: true\npath_with_escaped_slashes_action: ${action}`,
      PATH_REQUESTS,
    ),
  ),
  setting(
    'routes see the normalised path',
    'normalize_path: true',
    [get('/public/../admin'), get('/admin'), get('/public/%2e%2e/admin')],
    {
      routes:
        '[{match: {prefix: /admin}, direct_response: {status: 403}}, {match: {prefix: /}, direct_response: {status: 200}}]',
    },
  ),
];

const naming: readonly Case[] = [
  setting('server_name', 'server_name: me', [get('/')], { backends: SERVED }),
  ...['OVERWRITE', 'APPEND_IF_ABSENT', 'PASS_THROUGH'].flatMap((mode) => [
    setting(`server_header_transformation ${mode}`, `server_header_transformation: ${mode}`, [get('/')], {
      backends: SERVED,
    }),
    setting(
      `server_header_transformation ${mode}, none from upstream`,
      `server_header_transformation: ${mode}`,
      [get('/')],
    ),
    setting(
      `server_header_transformation ${mode}, local reply`,
      `server_header_transformation: ${mode}`,
      [get('/')],
      {
        routes: '[{match: {prefix: /}, direct_response: {status: 200}}]',
      },
    ),
  ]),
  setting('via', 'via: me', [get('/'), get('/', 'Via: 1.0 you')], {
    backends: { backend: { kind: 'http', replies: [respond('200 OK', ['via: 1.1 upstream'])] } },
  }),
  setting('via on a local reply', 'via: me', [get('/')], {
    routes: '[{match: {prefix: /}, direct_response: {status: 200}}]',
  }),
  setting('generate_request_id false', 'generate_request_id: false', [
    get('/'),
    get('/', 'X-Request-Id: mine'),
  ]),
  setting('preserve_external_request_id', 'use_remote_address: true\npreserve_external_request_id: true', [
    get('/'),
    get('/', 'X-Request-Id: mine'),
  ]),
  setting('always_set_request_id_in_response', 'always_set_request_id_in_response: true', [
    get('/'),
    get('/', 'X-Request-Id: mine'),
  ]),
  setting(
    'request id extension without pack',
    'request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, pack_trace_reason: false}}',
    [get('/', 'X-Request-Id: 11111111-1111-4111-8111-111111111111')],
  ),
  setting('x-request-id kept from inside', '{}', [
    get('/', 'X-Request-Id: mine'),
    get('/', 'X-Request-Id: 11111111-1111-4111-8111-111111111111'),
  ]),
  setting(
    'proxy_100_continue',
    'proxy_100_continue: true',
    [
      {
        acts: [
          'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
          { wait: 80 },
          'ab',
        ],
      },
    ],
    {
      backends: {
        backend: {
          kind: 'http',
          replies: [
            {
              send: ['HTTP/1.1 100 Continue\r\n\r\n', 100, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'],
              early: true,
            },
          ],
        },
      },
    },
  ),
  setting(
    'proxy_status',
    'proxy_status_config: {remove_details: false, literal_proxy_name: me}',
    [get('/')],
    {
      backends: { backend: { kind: 'refused' } },
    },
  ),
  setting(
    'headers_with_underscores_action REJECT_REQUEST',
    'common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}',
    [get('/', 'X_A: 1'), get('/', 'X-A: 1')],
  ),
  setting(
    'headers_with_underscores_action DROP_HEADER',
    'common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}',
    [get('/', 'X_A: 1'), get('/', 'X-A: 1')],
  ),
  setting('proper case header keys', 'http_protocol_options: {header_key_format: {proper_case_words: {}}}', [
    get('/', 'x-a-b: 1'),
  ]),
  setting(
    'preserved header case',
    'http_protocol_options: {header_key_format: {stateful_formatter: {name: preserve_case, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}}',
    [get('/', 'X-aB: 1')],
  ),
  setting(
    'enable_trailers',
    'http_protocol_options: {enable_trailers: true}',
    [
      {
        acts: [
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n2\r\nab\r\n0\r\nX-T: 1\r\n\r\n',
        ],
      },
    ],
    {
      cluster:
        'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}',
      backends: {
        backend: {
          kind: 'http',
          replies: [
            {
              send: [
                'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-u\r\n\r\n2\r\nok\r\n0\r\nX-U: 2\r\n\r\n',
              ],
            },
          ],
        },
      },
    },
  ),
  setting('allow_chunked_length', 'http_protocol_options: {allow_chunked_length: true}', [
    {
      acts: [
        'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
      ],
    },
  ]),
  setting('codec_type HTTP1 and h2 preface', 'codec_type: HTTP1', [
    { acts: ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'] },
  ]),
  setting('suppress_envoy_headers', '{}', [get('/')], {
    hcm: SUPPRESS_ENVOY_HEADERS,
  }),
  setting('respect_expected_rq_timeout', '{}', [get('/', 'X-Envoy-Expected-Rq-Timeout-Ms: 100'), get('/')], {
    hcm: 'http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, respect_expected_rq_timeout: true}}]',
    backends: SLOW,
  }),
  setting(
    'dynamic_stats false',
    'http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, dynamic_stats: false}}]',
    [get('/')],
  ),
  setting('stream_error_on_invalid_http_message', 'stream_error_on_invalid_http_message: true', [
    { acts: ['POST / HTTP/1.1\r\nX: a\r\nContent-Length: 0\r\n\r\n'], settleMs: 300 },
  ]),
  setting(
    'http1 override_stream_error_on_invalid_http_message',
    'http_protocol_options: {override_stream_error_on_invalid_http_message: true}',
    [
      {
        acts: ['GET / HTTP/1.1\r\nX: a\r\n\r\n', { responses: 1 }, request('GET', '/2')],
        responses: 2,
        settleMs: 300,
      },
    ],
  ),
];

const timing: readonly Case[] = [
  setting('idle_timeout', 'common_http_protocol_options: {idle_timeout: 0.3s}', [
    { ...get('/'), settleMs: 1500 },
  ]),
  setting(
    'drain_timeout after an idle timeout',
    'drain_timeout: 0.4s\ncommon_http_protocol_options: {idle_timeout: 0.2s}',
    [{ ...get('/'), settleMs: 4000 }],
  ),
  setting('idle_timeout before a request', 'common_http_protocol_options: {idle_timeout: 0.3s}', [
    { acts: [{ wait: 10 }], responses: 0, settleMs: 1500 },
  ]),
  setting('max_connection_duration', 'common_http_protocol_options: {max_connection_duration: 0.4s}', [
    {
      acts: [request('GET', '/1'), { responses: 1 }, { wait: 600 }, request('GET', '/2')],
      responses: 2,
      settleMs: 1500,
      timeoutMs: 1500,
    },
  ]),
  setting('max_requests_per_connection', 'common_http_protocol_options: {max_requests_per_connection: 2}', [
    {
      acts: [request('GET', '/1'), { responses: 1 }, request('GET', '/2')],
      responses: 2,
    },
  ]),
  setting('max_stream_duration', 'common_http_protocol_options: {max_stream_duration: 0.3s}', [get('/')], {
    backends: SLOW,
  }),
  setting(
    'max_stream_duration while the answer runs',
    'common_http_protocol_options: {max_stream_duration: 0.3s}',
    [{ ...get('/'), settleMs: 1500 }],
    { backends: DRIP },
  ),
  setting('stream_idle_timeout', 'stream_idle_timeout: 0.3s', [get('/')], { backends: SLOW }),
  setting('stream_idle_timeout does not hit a drip', 'stream_idle_timeout: 0.5s', [get('/')], {
    backends: DRIP,
  }),
  setting(
    'delayed_close_timeout',
    'delayed_close_timeout: 0.2s',
    [{ acts: ['GET / HTTP/1.1\r\nX: a\r\n\r\n'], settleMs: 700 }],
    {
      counters: [...COUNTERS, 'http.{{id}}.downstream_cx_delayed_close_timeout'],
    },
  ),
  setting('delayed_close_timeout of zero', 'delayed_close_timeout: 0s', [
    { acts: ['GET / HTTP/1.1\r\nX: a\r\n\r\n'], settleMs: 700 },
  ]),
  setting('request_timeout with a full request', 'request_timeout: 0.3s', [get('/')], { backends: SLOW }),
  setting('route timeout', '{}', [get('/')], {
    backends: SLOW,
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.2s}}]',
    counters: [
      'cluster.{{id}}.upstream_rq_timeout',
      'cluster.{{id}}.upstream_rq_504',
      'http.{{id}}.downstream_rq_5xx',
    ],
  }),
  setting('route timeout while the answer runs', '{}', [{ ...get('/'), settleMs: 300 }], {
    backends: DRIP,
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.4s}}]',
    counters: ['cluster.{{id}}.upstream_rq_timeout'],
  }),
  setting('route timeout of zero', '{}', [get('/')], {
    backends: SLOW,
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0s}}]',
  }),
  setting('route idle_timeout', '{}', [get('/')], {
    backends: SLOW,
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", idle_timeout: 0.2s}}]',
  }),
  setting('route max_stream_duration', '{}', [get('/')], {
    backends: SLOW,
    routes:
      '[{match: {prefix: /}, route: {cluster: "{{id}}", max_stream_duration: {max_stream_duration: 0.2s}}}]',
  }),
  setting(
    'x-envoy-upstream-rq-timeout-ms',
    '{}',
    [get('/', 'X-Envoy-Upstream-Rq-Timeout-Ms: 200'), get('/', 'X-Envoy-Upstream-Rq-Timeout-Ms: x')],
    { backends: SLOW },
  ),
  setting(
    'x-envoy-upstream-rq-timeout-ms from inside',
    'use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}',
    [get('/', 'X-Envoy-Upstream-Rq-Timeout-Ms: 200')],
    { backends: SLOW },
  ),
  setting('grpc timeout header', '{}', [get('/', 'Grpc-Timeout: 100m', 'Content-Type: application/grpc')], {
    backends: SLOW,
    routes:
      '[{match: {prefix: /}, route: {cluster: "{{id}}", max_stream_duration: {grpc_timeout_header_max: 5s}}}]',
  }),
];

const replies: readonly Case[] = [
  [
    'status and body',
    'mappers: [{filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: x}}}}, status_code: 410, body: {inline_string: "gone\\n"}}]',
  ],
  [
    'format text',
    'body_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %LOCAL_REPLY_BODY% %REQ(:PATH)%"}, content_type: text/x-own}',
  ],
  [
    'format json',
    'body_format: {json_format: {code: "%RESPONSE_CODE%", path: "%REQ(:PATH)%", message: "%LOCAL_REPLY_BODY%"}}',
  ],
  [
    'headers',
    'mappers: [{filter: {status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: x}}}}, headers_to_add: [{header: {key: x-a, value: "1"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}], body_format_override: {text_format_source: {inline_string: "over %RESPONSE_CODE%"}}}]',
  ],
].map(([name = '', text = '']) =>
  setting(
    `local_reply_config ${name}`,
    `local_reply_config: {${text}}`,
    [get('/none'), get('/direct'), get('/down'), { acts: ['GET / HTTP/1.1\r\nX: a\r\n\r\n'] }],
    {
      backends: { backend: { kind: 'refused' } },
      routes:
        '[{match: {path: /direct}, direct_response: {status: 404, body: {inline_string: mine}}}, {match: {path: /down}, route: {cluster: "{{id}}"}}]',
    },
  ),
);

export const hcm: readonly Group[] = [
  { name: 'hcm-paths', cases: paths },
  { name: 'hcm-naming', cases: naming },
  { name: 'hcm-timing', cases: timing },
  { name: 'local-reply-config', cases: replies },
];
