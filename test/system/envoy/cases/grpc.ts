import { type Case, type Connection, type Group, type Reply, request } from '../case.ts';
import { THIS } from '../h2-backend.ts';
import { data, type Fields, request as h2Request, headers, rst } from '../h2-frames.ts';

// gRPC filters, and gRPC calls that go wrong.

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http';
const ROUTER = `{name: router, typed_config: {"@type": ${FILTERS}.router.v3.Router}}`;

const filter = (name: string, message: string, config = ''): string =>
  `http_filters: [{name: ${name}, typed_config: {"@type": ${FILTERS}.${message}${config === '' ? '' : `, ${config}`}}}, ${ROUTER}]`;
const STATS = (config = ''): string => filter('stats', 'grpc_stats.v3.FilterConfig', config);
const WEB = filter('web', 'grpc_web.v3.GrpcWeb');
const BRIDGE = (config = ''): string => filter('bridge', 'grpc_http1_bridge.v3.Config', config);

const message = (text: string): string => `\0\0\0\0${String.fromCharCode(text.length)}${text}`;
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const head = (fields: Fields, end: boolean): string => headers(THIS, fields, end);
const GRPC_HEAD: Fields = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];

/** A gRPC answer: head, messages, trailers. */
function reply(trailers: Fields, ...messages: string[]): Reply['send'] {
  return [
    head(GRPC_HEAD, false),
    ...messages.map((text) => data(THIS, message(text), false)),
    head(trailers, true),
  ];
}
const OK = reply([['grpc-status', '0']], 'reply');
const trailersOnly = (status: string): Reply['send'] => [
  head([...GRPC_HEAD, ['grpc-status', status], ['grpc-message', 'no']], true),
];

/** A call over HTTP/2. */
function call(path: string, body: string | null = message('a'), more: Fields = []): Connection {
  const fields: Fields = [['content-type', 'application/grpc'], ['te', 'trailers'], ...more];
  return {
    http2: true,
    acts: [h2Request(1, 'POST', path, fields, body === null) + (body === null ? '' : data(1, body, true))],
  };
}

function post(path: string, type: string, body: string, ...more: string[]): Connection {
  return { acts: [request('POST', path, [`Content-Type: ${type}`, ...more], body)] };
}

const COUNTERS = (protocol: string, ...names: string[]): string[] =>
  names.map((name) => `cluster.{{id}}.${protocol}.${name}`);
const OUTCOMES = [
  'success',
  'failure',
  'total',
  '0',
  '5',
  '14',
  'request_message_count',
  'response_message_count',
];

function one(
  name: string,
  hcm: string,
  connections: readonly Connection[],
  send: Reply['send'] | null,
  more: Partial<Case> = {},
): Case {
  return {
    name: `grpc: ${name}`,
    ...(hcm === '' ? {} : { hcm }),
    cluster: 'http2_protocol_options: {}',
    ...(send === null ? {} : { backends: { backend: { kind: 'http2', replies: [{ send }] } } }),
    connections: connections.map((connection) => ({ timeoutMs: 2500, ...connection })),
    format:
      '"%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %GRPC_STATUS% %GRPC_STATUS_NUMBER%\\n"',
    counters: [
      ...COUNTERS('grpc', ...OUTCOMES),
      ...COUNTERS('grpc.pkg.Svc.Get', ...OUTCOMES),
      ...COUNTERS('grpc.pkg_Svc.Get', ...OUTCOMES),
      ...COUNTERS('grpc-web.pkg.Svc.Get', ...OUTCOMES),
    ],
    ...more,
  };
}

const GET = '/pkg.Svc/Get';
const ALLOWED = 'individual_method_stats_allowlist: {services: [{name: pkg.Svc, method_names: [Get]}]}';

const stats: readonly Case[] = [
  one('stats of a call', STATS(), [call(GET)], OK),
  one('stats of all methods', STATS('stats_for_all_methods: true'), [call(GET), call(`${GET}?q=1`)], OK),
  one('stats of allowed methods', STATS(ALLOWED), [call(GET), call('/pkg.Svc/Put')], OK),
  one(
    'stats with dots replaced',
    STATS('stats_for_all_methods: true, replace_dots_in_grpc_service_name: true'),
    [call(GET)],
    OK,
  ),
  one(
    'stats of several messages',
    STATS(),
    [call(GET, message('a') + message('b'))],
    reply([['grpc-status', '0']], 'x', 'y', 'z'),
  ),
  one('stats of a failure', STATS(), [call(GET)], reply([['grpc-status', '5']])),
  one('stats of trailers alone', STATS(), [call(GET)], trailersOnly('14')),
  one('stats of a path that is no method', STATS(), [call('/one'), call('/a/b/c')], OK),
  one('stats leave other requests alone', STATS(), [post(GET, 'text/plain', 'a')], OK),
  one('stats of upstream time', STATS('enable_upstream_stats: true'), [call(GET)], OK),
];

const web: readonly Case[] = [
  one('web, binary', WEB, [post(GET, 'application/grpc-web+proto', message('a'))], OK),
  one('web, without +proto', WEB, [post(GET, 'application/grpc-web', message('a'))], OK),
  one(
    'web, text',
    WEB,
    [post(GET, 'application/grpc-web-text', base64(message('a')), 'Accept: application/grpc-web-text')],
    OK,
  ),
  one('web, text one way', WEB, [post(GET, 'application/grpc-web-text+proto', base64(message('abc')))], OK),
  one(
    'web, padded pieces',
    WEB,
    [post(GET, 'application/grpc-web-text', base64(message('a')) + base64(message('bc')))],
    OK,
  ),
  one('web, not base64', WEB, [post(GET, 'application/grpc-web-text', 'A*==')], OK),
  one('web, base64 cut short', WEB, [post(GET, 'application/grpc-web-text', 'AAAAA')], OK),
  one(
    'web, accept-encoding is kept',
    WEB,
    [post(GET, 'application/grpc-web', message('a'), 'Grpc-Accept-Encoding: gzip')],
    OK,
  ),
  one('web, trailers alone', WEB, [post(GET, 'application/grpc-web', message('a'))], trailersOnly('5')),
  one(
    'web, several trailers',
    WEB,
    [post(GET, 'application/grpc-web', message('a'))],
    reply([
      ['grpc-status', '5'],
      ['grpc-message', 'not found'],
      ['x-more', '1'],
    ]),
  ),
  one(
    'web, an answer that is not gRPC',
    WEB,
    [post(GET, 'application/grpc-web', message('a'))],
    [
      head(
        [
          [':status', '500'],
          ['content-type', 'text/plain'],
        ],
        false,
      ),
      data(THIS, 'went wrong: 100%', true),
    ],
  ),
  one('web, no answer at all', WEB, [post(GET, 'application/grpc-web', message('a'))], [rst(THIS, 2)]),
  one(
    'web, over HTTP/2',
    WEB,
    [
      {
        http2: true,
        acts: [
          h2Request(1, 'POST', GET, [['content-type', 'application/grpc-web']], false) +
            data(1, message('a'), true),
        ],
      },
    ],
    OK,
  ),
  one(
    'web, other requests',
    WEB,
    [post(GET, 'application/grpc', message('a')), post(GET, 'text/plain', 'a')],
    OK,
  ),
];

const bridge: readonly Case[] = [
  one('bridge, a call that succeeds', BRIDGE(), [post(GET, 'application/grpc', message('a'))], OK),
  one(
    'bridge, a call that fails',
    BRIDGE(),
    [post(GET, 'application/grpc', message('a'))],
    reply(
      [
        ['grpc-status', '14'],
        ['grpc-message', 'away'],
      ],
      'x',
    ),
  ),
  one('bridge, trailers alone', BRIDGE(), [post(GET, 'application/grpc', message('a'))], trailersOnly('5')),
  one(
    'bridge, without trailers',
    BRIDGE(),
    [post(GET, 'application/grpc', message('a'))],
    [head(GRPC_HEAD, false), data(THIS, message('x'), true)],
  ),
  one('bridge, over HTTP/2', BRIDGE(), [call(GET)], OK),
  one(
    'bridge, query ignored',
    BRIDGE('ignore_query_parameters: true'),
    [post(`${GET}?q=1`, 'application/grpc', message('a'))],
    OK,
  ),
  one(
    'bridge, bare protobuf',
    BRIDGE('upgrade_protobuf_to_grpc: true'),
    [post(GET, 'application/x-protobuf', 'bare')],
    OK,
  ),
  one('bridge, bare protobuf not asked for', BRIDGE(), [post(GET, 'application/x-protobuf', 'bare')], OK),
  one('bridge, other requests', BRIDGE(), [post(GET, 'text/plain', 'a')], OK),
];

const errors: readonly Case[] = [
  one('error, reset', '', [call(GET)], [rst(THIS, 2)]),
  one('error, refused', '', [call(GET)], [rst(THIS, 7)]),
  one('error, reset after the head', '', [call(GET)], [head(GRPC_HEAD, false), 20, rst(THIS, 2)]),
  one('error, no host', '', [call(GET)], null, { backends: { backend: { kind: 'refused' } } }),
  one('error, no route', '', [call(GET)], OK, {
    routes: '[{match: {path: /other}, route: {cluster: "{{id}}"}}]',
  }),
  one('error, timeout', '', [call(GET)], [600, ...OK], {
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.1s}}]',
  }),
  one('error, direct response', '', [call(GET)], OK, {
    routes: '[{match: {prefix: /}, direct_response: {status: 403, body: {inline_string: "a ÿ%"}}}]',
  }),
  one('error, several statuses', '', [call(GET), call('/b/c'), call('/c/d')], OK, {
    routes:
      '[{match: {prefix: /b}, direct_response: {status: 429}}, {match: {prefix: /c}, direct_response: {status: 401}}, {match: {prefix: /}, direct_response: {status: 400}}]',
  }),
  one(
    'a status of the upstream that is not 200',
    '',
    [call(GET)],
    [
      head(
        [
          [':status', '503'],
          ['content-type', 'text/plain'],
        ],
        false,
      ),
      data(THIS, 'no', true),
    ],
  ),
  one(
    'matched by the route',
    '',
    [call(GET), post(GET, 'application/grpc', message('a')), post(GET, 'text/plain', 'a')],
    OK,
    {
      routes:
        '[{match: {prefix: /, grpc: {}}, route: {cluster: "{{id}}"}}, {match: {prefix: /}, direct_response: {status: 404}}]',
    },
  ),
  one(
    'types that are gRPC or not',
    '',
    [
      call(GET, null, []),
      post('/a/b', 'application/grpc+json', 'x'),
      post('/a/b', 'application/grpcx', 'x'),
      post('/a/b', 'application/grpc;x=y', 'x'),
    ],
    OK,
    { routes: '[{match: {prefix: /}, direct_response: {status: 404}}]' },
  ),
];

export const grpc: readonly Group[] = [{ name: 'grpc', cases: [...stats, ...web, ...bridge, ...errors] }];
