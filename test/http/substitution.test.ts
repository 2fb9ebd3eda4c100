import { hostname } from 'node:os';
import t from 'tap';
import { ConfigError } from '../../src/core/errors.ts';
import { createRandom } from '../../src/core/random.ts';
import { FLAG } from '../../src/http/response-flags.ts';
import { RequestHead, ResponseHead } from '../../src/http/stream.ts';
import { compileFormat, DEFAULT_ACCESS_LOG_FORMAT } from '../../src/http/substitution.ts';
import { compileJsonFormat } from '../../src/http/substitution-json.ts';
import { createLogInfo, type FakeInfo } from '../support/log-info.ts';

function full(): FakeInfo {
  const request = new RequestHead('GET', '/p?q', 'a.com', [
    'user-agent',
    'curl/8',
    'x-empty',
    '',
    'x-two',
    '1',
    'x-two',
    '2',
  ]);
  const x = createLogInfo(request);
  x.response = new ResponseHead(200, ['x-envoy-upstream-service-time', '4']);
  x.responseTrailers = ['grpc-status', '0'];
  x.responseCodeDetails = 'via_upstream';
  x.upstreamHost = { ip: '127.0.0.1', port: 8080, path: '' };
  x.upstreamLocal = { ip: '127.0.0.1', port: 5555, path: '' };
  x.upstreamCluster = 'web';
  x.upstreamAttempts = 1;
  x.routeName = 'r';
  x.bytesReceived = 3;
  x.bytesSent = 12;
  x.requestEndMs = 1001.2;
  x.upstreamFirstTxMs = 1001.5;
  x.upstreamLastTxMs = 1002.9;
  x.upstreamFirstRxMs = 1005.5;
  x.upstreamLastRxMs = 1008;
  x.firstTxMs = 1006;
  x.endMs = 1009.9;
  return x;
}

t.test('operators', async (t) => {
  process.env.INOX_TEST_FORMAT = 'value';
  process.env.INOX_TEST_LINES = 'a\r\nx: b\n';
  for (const [format, expected] of [
    ['%START_TIME%', '2026-01-02T03:04:05.067Z'],
    ['%START_TIME(%Y/%m/%d %H:%M:%S.%6f %z)%', '2026/01/02 03:04:05.067000 +0000'],
    ['%START_TIME(%s)%', '1767323045'],
    ['%START_TIME(%s.%3f)%', '1767323045.067'],
    ['%START_TIME(%f)%', '067000000'],
    [
      '%START_TIME(%3s %Q)% %START_TIME(%E3S)% %START_TIME()%',
      '1767323045 %Q 05.067 2026-01-02T03:04:05.067Z',
    ],
    ['%START_TIME(%b %e %a %j %T %1f)%', 'Jan  2 Fri 002 03:04:05 0'],
    ['%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(HOST)% %REQ(:SCHEME)%', 'GET /p?q a.com a.com http'],
    ['%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/p?q'],
    ['%REQ(X-Two)%|%REQ(x-none)%|%REQ(x-empty)%|%REQ(x-empty?user-agent)%', '1|-||'],
    ['%REQ(USER-AGENT):4%', 'curl'],
    ['%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %RESP(:STATUS)%', '4 200'],
    ['%TRAILER(GRPC-STATUS)%', '0'],
    ['%PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%', 'HTTP/1.1 200 via_upstream'],
    ['%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%', '- -'],
    ['%BYTES_RECEIVED% %BYTES_SENT%', '3 12'],
    ['%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%', '9 1 5 4'],
    ['%REQUEST_TX_DURATION%', '2'],
    ['%COMMON_DURATION(DS_RX_BEG:US_RX_BEG)% %COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%', '5 4000'],
    ['%COMMON_DURATION(US_RX_BEG:US_TX_BEG:ns)%', '-'],
    ['%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%', '127.0.0.1:8080 web web'],
    ['%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%', '127.0.0.1 8080'],
    ['%UPSTREAM_LOCAL_ADDRESS%', '127.0.0.1:5555'],
    ['%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '10.0.0.1:4001 10.0.0.1'],
    ['%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_PORT%', '10.0.0.2:80 80'],
    ['%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%', '10.0.0.1:4001'],
    ['%ROUTE_NAME% %VIRTUAL_CLUSTER_NAME% %CONNECTION_ID%', 'r - 7'],
    ['%UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%', '1 80 40'],
    ['%CONNECTION_TERMINATION_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%', '- -'],
    ['%REQUESTED_SERVER_NAME%', '-'],
    ['%HOSTNAME%', hostname()],
    ['%ENVIRONMENT(INOX_TEST_FORMAT)% %ENVIRONMENT(INOX_TEST_NONE)%', 'value -'],
    ['%ENVIRONMENT(INOX_TEST_LINES)%|', 'a x: b |'],
    ['%QUERY_PARAM(q)%|%QUERY_PARAM(none)%', '|-'],
    ['%PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:ORIG)% %PATH()%', '/p /p?q - /p?q'],
    ['%GRPC_STATUS% %GRPC_STATUS_NUMBER% %TRACE_ID% %DYNAMIC_METADATA(a:b)%', '- - - -'],
    ['%ACCESS_LOG_TYPE% %UPSTREAM_PROTOCOL% %RESPONSE_TRAILERS_BYTES%', 'DownstreamEnd HTTP/1.1 12'],
    ['100%% é', '100% \xc3\xa9'],
    ['', ''],
  ] as const) {
    t.equal(compileFormat(format, 'f')(full()), expected, format);
  }
});

t.test('what did not happen is a dash, or nothing', async (t) => {
  const x = createLogInfo();
  const format = '%RESPONSE_CODE% %DURATION% %UPSTREAM_HOST% %ROUTE_NAME% %RESP(x)%';
  t.equal(compileFormat(format, 'f')(x), '0 - - - -');
  t.equal(compileFormat(format, 'f', { omitEmpty: true })(x), '0    ');
  x.upstreamHost = { ip: '127.0.0.1', port: 1, path: '' };
  t.equal(
    compileFormat('%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%', 'f')(x),
    '127.0.0.1:1 -',
    'a host that was never connected to is no peer',
  );
  x.responseFlags = FLAG.upstreamRetryLimitExceeded | FLAG.upstreamConnectionFailure;
  t.equal(compileFormat('%RESPONSE_FLAGS%', 'f')(x), 'URX,UF');
  x.responseCodeDetails = 'a b';
  t.equal(compileFormat('%RESPONSE_CODE_DETAILS%', 'f')(x), 'a_b');
  t.equal(compileFormat('%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%', 'f')(x), 'a b');
});

t.test('gRPC status', async (t) => {
  const x = full();
  x.request.headers.push('content-type', 'application/grpc');
  x.responseTrailers = ['grpc-status', '5'];
  const format = '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%';
  t.equal(compileFormat(format, 'f')(x), 'NotFound NOT_FOUND 5 5');
  x.responseTrailers = ['grpc-status', '99'];
  t.equal(compileFormat('%GRPC_STATUS%', 'f')(x), '99');
});

t.test('a TCP session has no HTTP fields', async (t) => {
  const x = { ...createLogInfo(), request: null };
  t.equal(
    compileFormat('%PROTOCOL% %REQ(:METHOD)% %REQ(x)% %REQ(:PATH)% %RESPONSE_CODE%', 'f')(x),
    '- - - - 0',
  );
});

t.test('the default line', async (t) => {
  t.equal(
    compileFormat(DEFAULT_ACCESS_LOG_FORMAT, 'f')(full()),
    '[2026-01-02T03:04:05.067Z] "GET /p?q HTTP/1.1" 200 - 3 12 9 4 "-" "curl/8" "-" "a.com" "127.0.0.1:8080"\n',
  );
});

t.test('mistakes name the place', async (t) => {
  for (const format of [
    '%NOPE%',
    '%',
    'a % b',
    '%REQ(x',
    '%REQ%',
    '%REQ()%',
    '%REQ(a?b?c)%',
    '%REQ(x):y%',
    '%DURATION:1%',
    '%DURATION(x)%',
    '%RESPONSE_FLAGS(x)%',
    '%COMMON_DURATION(A:B)%',
    '%ENVIRONMENT%',
    '%QUERY_PARAM%',
    '%PATH(X)%',
    '%PATH(WQ:X)%',
    '%GRPC_STATUS(X)%',
    '%RESPONSE_CODE_DETAILS(x)%',
    '%toString%',
  ]) {
    t.throws(() => compileFormat(format, 'log_format'), ConfigError, format);
  }
});

t.test('JSON keeps structure and types, sorts names, and escapes', async (t) => {
  const x = full();
  x.request.headers.push('x-quote', 'a"b\\c\x01\xc3\xa9', 'x-bytes', '"\xe9\\');
  const format = compileJsonFormat(
    {
      z: '%RESPONSE_CODE%',
      a: { d: '%DURATION%', m: '%REQ(:METHOD)% %RESPONSE_CODE%', none: '%REQ(x-none)%' },
      list: ['%BYTES_SENT%', 'x', 1, true, null],
      q: '%REQ(x-quote)%',
      flags: '%RESPONSE_FLAGS%',
      raw: 'é"%REQ(x-bytes)%',
    },
    'f',
  );
  t.equal(
    format(x),
    '{"a":{"d":9,"m":"GET 200","none":null},"flags":"-","list":[12,"x",1,true,null],' +
      '"q":"a\\"b\\\\c\\u0001\xc3\xa9","raw":"\xc3\xa9\\"\\u0022\\u00e9\\u005c","z":200}\n',
  );
  const omit = compileJsonFormat(
    { a: '%REQ(x-none)%', b: '%DURATION%', c: ['%REQ(x-none)%', 'x', null], d: null, e: 'a%REQ(x-none)%b' },
    'f',
    { omitEmpty: true },
  );
  t.equal(omit(x), '{"b":9,"c":["x"],"e":"ab"}\n');
  t.throws(() => compileJsonFormat({ a: { b: '%X%' } }, 'f'), { message: /^f\.a\.b: / });
});

t.test('any text is either a format or a mistake', async (t) => {
  const random = createRandom(3);
  const tokens = [
    '%',
    '%%',
    'REQ',
    '(',
    ')',
    ':',
    '9',
    'START_TIME',
    'a',
    '?',
    '%f',
    'DURATION',
    '%REQ(a)%',
    ' ',
  ];
  let formats = 0;
  const x = full();
  for (let i = 0; i < 20_000; i++) {
    let source = '';
    for (let n = random.uint32() % 8; n >= 0; n--) source += tokens[random.uint32() % tokens.length];
    try {
      if (typeof compileFormat(source, 'f')(x) === 'string') formats++;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
  }
  t.ok(formats > 100 && formats < 20_000);
});

t.test('a default line costs little', async (t) => {
  const format = compileFormat(DEFAULT_ACCESS_LOG_FORMAT, 'f');
  const x = full();
  let length = 0;
  for (let i = 0; i < 50_000; i++) length += format(x).length;
  const start = performance.now();
  for (let i = 0; i < 50_000; i++) length += format(x).length;
  const nanos = ((performance.now() - start) / 50_000) * 1e6;
  t.ok(length > 0);
  t.comment(`${nanos.toFixed(0)} ns a line`);
  t.ok(nanos < 10_000, 'with room for a busy machine');
});
