import t from 'tap';
import { LOCAL_FRAMING_ERROR } from '../../../src/http/h1/reset-reasons.ts';
import { ResponseHead } from '../../../src/http/stream.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { H1ServerHarness, replyOk } from '../../support/h1-harness.ts';

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

function head(line: string, ...fields: string[]): string {
  return `${line}\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
}

function post(body: string, ...fields: string[]): string {
  return head('POST / HTTP/1.1', 'host: a', ...fields) + body;
}

const CHUNKED = 'transfer-encoding: chunked';

/** Status and details for bad input, Envoy 1.40's where the two agree. */
const BAD: readonly [name: string, raw: string, expected: string][] = [
  ['cl and te', post('', 'content-length: 4', CHUNKED), '400 http1.content_length_and_chunked_not_allowed'],
  ['te unknown', post('', 'transfer-encoding: xchunked'), '501 http1.invalid_transfer_encoding'],
  [
    'te chunked not last',
    post('', 'transfer-encoding: chunked, identity'),
    '501 http1.invalid_transfer_encoding',
  ],
  ['te gzip, chunked', post('', 'transfer-encoding: gzip, chunked'), '501 http1.invalid_transfer_encoding'],
  [
    'te list with nothing first',
    post('', 'transfer-encoding: ,chunked'),
    '501 http1.invalid_transfer_encoding',
  ],
  ['te twice', post('', CHUNKED, CHUNKED), '400 http1.codec_error'],
  ['te empty', post('', 'transfer-encoding:'), '501 http1.invalid_transfer_encoding'],
  ['cl +2', post('ab', 'content-length: +2'), '400 http1.codec_error'],
  ['cl 0x10', post('ab', 'content-length: 0x10'), '400 http1.codec_error'],
  ['cl 1_0', post('ab', 'content-length: 1_0'), '400 http1.codec_error'],
  ['cl empty', post('', 'content-length:'), '400 http1.codec_error'],
  ['cl 2^53', post('', 'content-length: 9007199254740993'), '400 http1.codec_error'],
  [
    'chunk size with 17 digits',
    post('00000000000000002\r\nab\r\n0\r\n\r\n', CHUNKED),
    '400 http1.codec_error',
  ],
  ['chunk size with a space', post('2 \r\nab\r\n0\r\n\r\n', CHUNKED), '400 http1.codec_error'],
  ['chunk size missing', post('\r\nab\r\n0\r\n\r\n', CHUNKED), '400 http1.codec_error'],
  ['bare LF in a chunk extension', post('2;a\nb\r\nab\r\n0\r\n\r\n', CHUNKED), '400 http1.codec_error'],
  ['chunk data too long', post('2\r\nabc\r\n0\r\n\r\n', CHUNKED), '400 http1.codec_error'],
  [
    '1 MB of extension',
    post(`2;${'a'.repeat(1 << 20)}\r\nab\r\n0\r\n\r\n`, CHUNKED),
    '400 http1.codec_error',
  ],
  ['10^5 chunks with extensions', post('1;a\r\nx\r\n'.repeat(100_000), CHUNKED), '400 http1.codec_error'],
  ['trailer without a colon', post('0\r\nx y\r\n\r\n', CHUNKED), '400 http1.codec_error'],
  [
    '70 KB of trailers',
    post(`0\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`, CHUNKED),
    '431 http1.headers_too_large',
  ],
  ['101 trailers', post(`0\r\n${'a: b\r\n'.repeat(101)}\r\n`, CHUNKED), '431 http1.too_many_headers'],
  ['leading space on the first field', head('GET / HTTP/1.1', ' host: a'), '400 http1.codec_error'],
  ['bare CR in a value', head('GET / HTTP/1.1', 'host: a', 'x: 1\r2'), '400 http1.invalid_characters'],
  ['NUL in a value', head('GET / HTTP/1.1', 'host: a', 'x: 1\x002'), '400 http1.invalid_characters'],
  ['DEL in a value', head('GET / HTTP/1.1', 'host: a', 'x: 1\x7f2'), '400 http1.invalid_characters'],
  ['high byte in a name', head('GET / HTTP/1.1', 'host: a', 'x\xc3: 1'), '400 http1.codec_error'],
  ['no colon', head('GET / HTTP/1.1', 'host: a', 'foo'), '400 http1.codec_error'],
  ['two hosts', head('GET / HTTP/1.1', 'host: a', 'host: a'), '400 http.invalid_authority'],
  ['host with a space', head('GET / HTTP/1.1', 'host: a b'), '400 http.invalid_authority'],
  ['host with userinfo', head('GET / HTTP/1.1', 'host: u@b'), '400 http.invalid_authority'],
  ['absolute with userinfo', head('GET http://u@b/ HTTP/1.1', 'host: b'), '400 http.invalid_authority'],
  ['target without a slash', head('GET foo HTTP/1.1', 'host: a'), '400 http1.invalid_url'],
  ['other scheme', head('GET ftp://b/ HTTP/1.1', 'host: a'), '400 http1.invalid_scheme'],
  ['GET *', head('GET * HTTP/1.1', 'host: a'), '400 http1.invalid_url'],
  ['HTTP/2.0 line', head('GET / HTTP/2.0', 'host: a'), '400 http1.codec_error'],
  ['HTTP/0.9', 'GET /\r\n', '426 low_version'],
  ['HTTP/1.0', head('GET / HTTP/1.0', 'host: a'), '426 low_version'],
  ['TLS hello', '\x16\x03\x01\x02\x00\x01\x00', '400 http1.codec_error'],
  [
    '70 KB header',
    head('GET / HTTP/1.1', 'host: a', `x: ${'a'.repeat(70_000)}`),
    '431 http1.headers_too_large',
  ],
  ['70 KB without an end', `GET / HTTP/1.1\r\nx: ${'a'.repeat(70_000)}`, '431 http1.headers_too_large'],
  ['64 KB target', head(`GET /${'a'.repeat(65_536)} HTTP/1.1`, 'host: a'), '431 http1.headers_too_large'],
  ['101 fields', head('GET / HTTP/1.1', 'host: a', ...Array(100).fill('a: b')), '431 http1.too_many_headers'],
  ['expect foo', post('', 'expect: foo', 'content-length: 0'), '417 http1.expectation_failed'],
  [
    'connection: x-forwarded-for',
    head('GET / HTTP/1.1', 'host: a', 'connection: x-forwarded-for'),
    '400 http1.connection_header_rejected',
  ],
  [
    'ten nominated',
    head('GET / HTTP/1.1', 'host: a', 'connection: a,b,c,d,e,f,g,h,i,j'),
    '400 http1.connection_header_rejected',
  ],
  [
    'CONNECT with a length',
    head('CONNECT a:443 HTTP/1.1', 'host: a', 'content-length: 5'),
    '400 http1.body_disallowed',
  ],
  ['CONNECT without a port', head('CONNECT a HTTP/1.1', 'host: a'), '400 http1.invalid_url'],
];

t.test('bad requests get their status and details, and the connection ends with the answer', async (t) => {
  for (const [name, raw, expected] of BAD) {
    const h = new H1ServerHarness();
    h.connection.feed(raw);
    t.equal(h.last.received.bad, expected, name);
    t.match(h.connection.written, /\r\nconnection: close\r\n\r\n$/, `${name}: answer says close`);
    t.strictSame(h.connection.ends, ['flush-close'], `${name}: closes after the answer`);
    h.connection.feed(GET);
    t.equal(h.exchanges.length, 1, `${name}: nothing after it is a request`);
  }
});

t.test('HTTP/1.0', async (t) => {
  const options = { acceptHttp10: true };
  t.test('answers and closes, body delimited by the end when it has no length', async (t) => {
    const h = new H1ServerHarness(options);
    h.connection.feed(head('GET / HTTP/1.0', 'host: a'));
    h.last.stream.sendHead(new ResponseHead(100, []), false);
    h.last.stream.sendHead(new ResponseHead(200, []), false);
    h.last.stream.sendData(Buffer.from('ok'), true);
    t.equal(h.connection.written, 'HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nok');
    t.strictSame(h.connection.ends, ['flush-close']);
  });
  t.test('keeps alive when asked', async (t) => {
    const h = new H1ServerHarness(options, replyOk);
    h.connection.feed(head('GET / HTTP/1.0', 'host: a', 'connection: Keep-Alive'));
    t.equal(h.connection.take(), 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok');
    h.connection.feed(GET);
    t.equal(h.connection.take(), OK);
  });
  t.test('takes the default host, says when there is none, refuses transfer-encoding', async (t) => {
    const h = new H1ServerHarness({ ...options, defaultHostForHttp10: 'd' });
    h.connection.feed(head('GET / HTTP/1.0'));
    t.equal(h.last.received.head?.authority, 'd');
    const none = new H1ServerHarness(options);
    none.connection.feed(head('GET / HTTP/1.0'));
    t.equal(none.last.received.head?.hostMissing, true);
    const te = new H1ServerHarness(options);
    te.connection.feed(head('POST / HTTP/1.0', 'host: a', CHUNKED));
    t.equal(te.last.received.bad, '400 http1.transfer_encoding_not_allowed');
  });
  t.test('a cut close-delimited body ends in RST', async (t) => {
    const h = new H1ServerHarness(options);
    h.connection.feed(head('GET / HTTP/1.0', 'host: a'));
    h.last.stream.sendHead(new ResponseHead(200, []), false);
    h.last.stream.reset(LOCAL_FRAMING_ERROR);
    t.strictSame(h.connection.ends, ['reset']);
  });
});

t.test('what the head says', async (t) => {
  const cases: readonly [name: string, raw: string, expected: string][] = [
    [
      'origin form',
      head('GET /p?q HTTP/1.1', 'Host: A:80', 'X-Y:  v w \t'),
      'GET http A:80 /p?q [x-y=v w] 0 end',
    ],
    ['absolute form wins', head('GET http://b/x?y HTTP/1.1', 'host: a'), 'GET http b /x?y [] 0 end'],
    ['absolute form without a path', head('GET HTTPS://b?y HTTP/1.1'), 'GET http b /?y [] 0 end'],
    ['OPTIONS *', head('OPTIONS * HTTP/1.1', 'host: a'), 'OPTIONS http a * [] 0 end'],
    ['OPTIONS absolute', head('OPTIONS http://b HTTP/1.1', 'host: a'), 'OPTIONS http b / [] 0 end'],
    ['IPv6 host', head('GET / HTTP/1.1', 'host: [::1]:80'), 'GET http [::1]:80 / [] 0 end'],
    ['empty host', head('GET / HTTP/1.1', 'host:'), 'GET http  / [] 0 end'],
    ['CONNECT', head('CONNECT b:1 HTTP/1.1', 'host: a'), 'CONNECT http b:1  [] -1'],
    ['length', post('', 'Content-Length: 007'), 'POST http a / [content-length=007] 7'],
    ['chunked', post('', 'Transfer-Encoding: Chunked'), 'POST http a / [] -1'],
    ['expect', post('', 'Expect: 100-Continue', CHUNKED), 'POST http a / [expect=100-Continue] -1 expect'],
    [
      'hop-by-hop',
      head(
        'GET / HTTP/1.1',
        'host: a',
        'keep-alive: 5',
        'proxy-connection: x',
        'te: gzip',
        'upgrade: q',
        'b: 1',
      ),
      'GET http a / [b=1] 0 end',
    ],
    ['fragment is left to normalisation', head('GET /a#b HTTP/1.1', 'host: a'), 'GET http a /a#b [] 0 end'],
    [
      'te with others',
      head('GET / HTTP/1.1', 'host: a', 'te: gzip, Trailers'),
      'GET http a / [te=trailers] 0 end',
    ],
    ['te: trailers', head('GET / HTTP/1.1', 'host: a', 'te: trailers'), 'GET http a / [te=trailers] 0 end'],
    [
      'nominated',
      head('GET / HTTP/1.1', 'host: a', 'connection: foo, Keep-Alive', 'foo: 1', 'bar: 2', 'Foo: 3'),
      'GET http a / [bar=2] 0 end',
    ],
    [
      'nominated but protected',
      post(
        '',
        'connection: content-length, x-forwarded-client-cert',
        'content-length: 1',
        'x-forwarded-client-cert: c',
      ),
      'POST http a / [content-length=1 x-forwarded-client-cert=c] 1',
    ],
    [
      'upgrade',
      head('GET / HTTP/1.1', 'host: a', 'connection: keep-alive, Upgrade', 'upgrade: WebSocket'),
      'GET http a / [upgrade=WebSocket] -1 upgrade=websocket',
    ],
    [
      'h2c',
      head(
        'GET / HTTP/1.1',
        'host: a',
        'connection: Upgrade, HTTP2-Settings',
        'upgrade: h2c',
        'http2-settings: x',
      ),
      'GET http a / [] 0 end',
    ],
  ];
  for (const [name, raw, expected] of cases) {
    const h = new H1ServerHarness();
    h.connection.feed(raw);
    const { head, ended, bad } = h.last.received;
    const fields: string[] = [];
    for (let i = 0; i < (head?.headers.length ?? 0); i += 2)
      fields.push(`${head?.headers[i]}=${head?.headers[i + 1]}`);
    const text = `${head?.method} ${head?.scheme} ${head?.authority} ${head?.path} [${fields.join(' ')}] ${head?.contentLength}`;
    const flags = `${ended ? ' end' : ''}${head?.expectContinue ? ' expect' : ''}${head?.upgrade ? ` upgrade=${head.upgrade}` : ''}`;
    t.equal(`${text}${flags}`, expected, `${name} ${bad ?? ''}`);
  }
});

t.test('headers_with_underscores_action', async (t) => {
  const raw = head('GET / HTTP/1.1', 'host: a', 'a_b: 1', 'c: 2');
  const drop = new H1ServerHarness({ headersWithUnderscoresAction: 'DROP_HEADER' });
  drop.connection.feed(raw);
  t.strictSame(drop.last.received.head?.headers, ['c', '2']);
  const reject = new H1ServerHarness({ headersWithUnderscoresAction: 'REJECT_REQUEST' });
  reject.connection.feed(raw);
  t.equal(reject.last.received.bad, '400 http1.unexpected_underscore');
});

t.test('responses', async (t) => {
  const cases: readonly [
    name: string,
    method: string,
    status: number,
    headers: string[],
    body: string | null,
    expected: string,
  ][] = [
    ['nothing', 'GET', 200, [], null, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'],
    [
      'length kept',
      'GET',
      200,
      ['x', '1', 'content-length', '2'],
      'ok',
      'HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 2\r\n\r\nok',
    ],
    [
      'chunked',
      'GET',
      201,
      ['x', '1'],
      'ok',
      'HTTP/1.1 201 Created\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['unknown status', 'GET', 299, [], null, 'HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n'],
    [
      'HEAD with a length',
      'HEAD',
      200,
      ['content-length', '5'],
      null,
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n',
    ],
    ['HEAD without', 'HEAD', 200, [], null, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['HEAD with a body', 'HEAD', 200, [], 'no', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['204', 'GET', 204, ['content-length', '0'], null, 'HTTP/1.1 204 No Content\r\n\r\n'],
    [
      '304 with a length',
      'GET',
      304,
      ['content-length', '5'],
      null,
      'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n',
    ],
    ['304', 'GET', 304, [], null, 'HTTP/1.1 304 Not Modified\r\n\r\n'],
    [
      'framing fields of others',
      'GET',
      200,
      ['transfer-encoding', 'gzip', 'keep-alive', 'x', 'content-length', '0'],
      null,
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ],
  ];
  for (const [name, method, status, headers, body, expected] of cases) {
    const h = new H1ServerHarness();
    h.connection.feed(head(`${method} / HTTP/1.1`, 'host: a'));
    h.last.stream.sendHead(new ResponseHead(status, headers), body === null);
    if (body !== null) h.last.stream.sendData(Buffer.from(body), true);
    t.equal(h.connection.written, expected, name);
    t.equal(h.connection.writes, 1, `${name}: one write`);
    t.equal(h.idles, 1, `${name}: idle`);
    h.connection.feed(GET);
    t.equal(h.exchanges.length, 2, `${name}: kept alive`);
  }
});

t.test('interim responses pass, the final one follows', async (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(post('', 'expect: 100-continue', 'content-length: 2'));
  h.last.stream.sendHead(new ResponseHead(100, []), false);
  await endOfTurn();
  t.equal(h.connection.take(), 'HTTP/1.1 100 Continue\r\n\r\n');
  h.connection.feed('ab');
  h.last.stream.sendHead(new ResponseHead(103, ['link', 'x']), false);
  replyOk(h.last);
  t.equal(h.connection.take(), `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}`);
});

t.test('a head without its body waits for the end of the turn, then leaves alone', async (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(GET);
  h.last.stream.sendHead(new ResponseHead(200, []), false);
  t.equal(h.connection.writes, 0);
  await endOfTurn();
  t.equal(h.connection.take(), 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
  h.last.stream.sendData(Buffer.from('a'), false);
  h.last.stream.sendData(Buffer.from('b'), false);
  await endOfTurn();
  t.equal(h.connection.take(), '1\r\na\r\n1\r\nb\r\n');
  t.equal(h.connection.writes, 2);
  h.last.stream.sendData(Buffer.alloc(20_000, 'x'), false);
  t.equal(h.connection.borrowed, 1, 'a large chunk is not copied');
  h.last.stream.sendTrailers(['x', '1']);
  t.match(h.connection.take(), /x\r\n0\r\n\r\n$/, 'trailers are dropped by default');
});

t.test('trailers both ways when enabled, without those that frame or authenticate', async (t) => {
  const h = new H1ServerHarness({ enableTrailers: true });
  h.connection.feed(post('2\r\nab\r\n0\r\nX: 1\r\nContent-Length: 5\r\nAuthorization: b\r\n\r\n', CHUNKED));
  t.strictSame(h.last.received.trailers, ['x', '1']);
  t.equal(h.last.received.body, 'ab');
  h.last.stream.sendHead(new ResponseHead(200, []), false);
  h.last.stream.sendTrailers(['y', '2']);
  t.match(h.connection.written, /\r\n\r\n0\r\ny: 2\r\n\r\n$/);
});

t.test('allow_chunked_length removes the length', async (t) => {
  const h = new H1ServerHarness({ allowChunkedLength: true });
  h.connection.feed(post('2\r\nab\r\n0\r\n\r\n', CHUNKED, 'content-length: 9'));
  t.equal(h.last.received.body, 'ab');
  t.strictSame(h.last.received.head?.headers, []);
});

t.test('pipelining', async (t) => {
  t.test('the next request waits for the response, reading is paused meanwhile', async (t) => {
    const h = new H1ServerHarness();
    h.connection.feed(GET + GET.replace('/', '/2'));
    t.equal(h.exchanges.length, 1);
    t.equal(h.connection.pauses, 1);
    replyOk(h.last);
    t.equal(h.exchanges.length, 1, 'not within the call that ended the answer');
    await endOfTurn();
    t.equal(h.exchanges.length, 2);
    t.equal(h.last.received.head?.path, '/2');
    t.equal(h.connection.pauses, 0);
    t.equal(h.idles, 0, 'never idle in between');
    replyOk(h.last);
    t.equal(h.idles, 1);
    t.equal(h.connection.written, OK + OK);
  });
  t.test('ten thousand answered at once do not overflow the stack', async (t) => {
    const h = new H1ServerHarness({}, replyOk);
    h.connection.feed(GET.repeat(10_000));
    t.equal(h.idles, 1, 'idle once, at the end');
    t.equal(h.exchanges.length, 10_000);
  });
  t.test('nor when the first answer comes later', async (t) => {
    let first = true;
    const h = new H1ServerHarness({}, (x) => {
      if (!first) replyOk(x);
      first = false;
    });
    h.connection.feed(GET.repeat(10_000));
    replyOk(h.last);
    await endOfTurn();
    t.equal(h.exchanges.length, 10_000);
    t.equal(h.connection.pauses, 0);
  });
  t.test('connection: close is answered first, the rest is dropped', async (t) => {
    const h = new H1ServerHarness({}, replyOk);
    h.connection.feed(head('GET / HTTP/1.1', 'host: a', 'connection: close') + GET);
    t.equal(h.exchanges.length, 1);
    t.equal(h.connection.written, OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
    t.strictSame(h.connection.ends, ['flush-close']);
  });
  t.test('a client that does not read gets no further request parsed', async (t) => {
    const h = new H1ServerHarness({}, replyOk);
    h.connection.full = true;
    h.connection.feed(GET + GET + GET);
    t.equal(h.exchanges.length, 1);
    h.connection.drain();
    t.equal(h.exchanges.length, 3);
    t.equal(h.connection.pauses, 0);
  });
});

t.test('early answers', async (t) => {
  t.test('close the connection and say so', async (t) => {
    const h = new H1ServerHarness();
    h.connection.feed(post('a', 'content-length: 5'));
    h.last.stream.sendHead(new ResponseHead(413, []), true);
    t.match(h.connection.written, /413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n$/);
    t.strictSame(h.connection.ends, ['flush-close']);
    h.connection.feed('bcde');
    t.equal(h.last.received.body, 'a', 'the rest is dropped');
    t.equal(h.last.received.reset, undefined);
  });
  t.test('say so as well when a body follows the head in the same turn', async (t) => {
    const h = new H1ServerHarness();
    h.connection.feed(post('a', 'content-length: 5'));
    replyOk(h.last);
    t.equal(h.connection.written, OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
    t.equal(h.connection.writes, 1);
  });
  t.test(
    'so do heads before the end of the request, as in Envoy, and the body still flows both ways',
    async (t) => {
      const h = new H1ServerHarness();
      h.connection.feed(post('a', 'content-length: 2'));
      h.last.stream.sendHead(new ResponseHead(200, ['content-length', '2']), false);
      h.connection.feed('b');
      t.equal(h.last.received.body, 'ab');
      h.last.stream.sendData(Buffer.from('ok'), true);
      t.equal(h.connection.written, OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
      t.strictSame(h.connection.ends, ['flush-close']);
    },
  );
});

t.test('FIN and close', async (t) => {
  const cases: readonly [name: string, raw: string, reset: string | undefined][] = [
    ['idle', '', undefined],
    ['in a head', 'GET / HT', undefined],
    ['in a body', post('a', 'content-length: 2'), 'connection-termination'],
    ['while the response is pending', GET, 'connection-termination'],
    [
      'while an upgrade is pending',
      head('GET / HTTP/1.1', 'host: a', 'connection: upgrade', 'upgrade: x'),
      'connection-termination',
    ],
  ];
  for (const [name, raw, reset] of cases) {
    const h = new H1ServerHarness();
    if (raw !== '') h.connection.feed(raw);
    h.connection.feedEnd();
    t.equal(h.exchanges[0]?.received.reset?.kind, reset, name);
    t.ok(h.connection.destroyed, `${name}: closed`);
    h.connection.close();
    t.equal(h.closed, 1);
    const lost = new H1ServerHarness();
    if (raw !== '') lost.connection.feed(raw);
    lost.connection.close();
    t.equal(lost.exchanges[0]?.received.reset?.kind, reset, `${name}, closed`);
    t.equal(lost.closed, 1);
  }
});

t.test('a broken body after the response began resets the stream', async (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(post('2\r\nab\r\n', CHUNKED));
  h.last.stream.sendHead(new ResponseHead(200, []), false);
  h.connection.feed('zz\r\n');
  t.equal(h.last.received.reset?.kind, 'protocol-error');
  t.ok(h.connection.destroyed);
});

t.test('a response that breaks its promise kills the connection', async (t) => {
  for (const body of ['abc', 'a']) {
    const h = new H1ServerHarness();
    h.connection.feed(GET);
    h.last.stream.sendHead(new ResponseHead(200, ['content-length', '2']), false);
    h.last.stream.sendData(Buffer.from(body), true);
    t.equal(h.last.received.reset?.kind, 'local-reset');
    t.strictSame(h.connection.ends, ['reset']);
  }
});

t.test('a stale stream cannot reach the next exchange', async (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(GET);
  const old = h.last;
  old.stream.pause();
  replyOk(old);
  t.equal(h.connection.pauses, 0, 'its pauses are taken back');
  h.connection.feed(GET);
  old.stream.pause();
  replyOk(old);
  old.stream.reset(LOCAL_FRAMING_ERROR);
  t.equal(h.connection.pauses, 0);
  t.equal(h.connection.written, OK);
  t.equal(h.connection.closing, false);
});

t.test('tunnels', async (t) => {
  for (const [name, raw, status, answer] of [
    [
      'upgrade',
      head('GET / HTTP/1.1', 'host: a', 'connection: upgrade', 'upgrade: x'),
      101,
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    ],
    ['CONNECT', head('CONNECT b:1 HTTP/1.1'), 200, 'HTTP/1.1 200 OK\r\n\r\n'],
  ] as const) {
    const h = new H1ServerHarness();
    h.connection.feed(`${raw}early`);
    const { stream, received } = h.last;
    t.equal(received.body, '', `${name}: nothing before it is granted`);
    stream.sendHead(
      new ResponseHead(status, status === 101 ? ['upgrade', 'x'] : ['content-length', '0']),
      false,
    );
    await endOfTurn();
    t.equal(h.connection.take(), answer, name);
    t.equal(received.body, 'early');
    h.connection.feed('GET');
    stream.sendData(Buffer.from('\x00raw'), false);
    await endOfTurn();
    t.equal(h.connection.take(), '\x00raw');
    t.equal(received.body, 'earlyGET');
    stream.sendData(Buffer.from('bye'), true);
    t.equal(h.connection.take(), 'bye');
    t.strictSame(h.connection.ends, ['end'], 'our side ends; the client may go on');

    const left = new H1ServerHarness();
    left.connection.feed(raw);
    left.last.stream.sendHead(new ResponseHead(status, status === 101 ? ['upgrade', 'x'] : []), false);
    await endOfTurn();
    left.connection.feedEnd();
    t.ok(left.last.received.reset, 'a client that ends its side is gone, as in Envoy');
  }
  const refused = new H1ServerHarness({}, replyOk);
  refused.connection.feed(`${head('CONNECT b:1 HTTP/1.1')}${GET}`);
  replyOkWith(refused, 404);
  t.match(refused.connection.written, /^HTTP\/1.1 404 Not Found\r\nconnection: close\r\n/);
  t.equal(refused.exchanges.length, 1, 'bytes behind a refused tunnel are no request');
});

function replyOkWith(h: H1ServerHarness, status: number): void {
  h.last.stream.sendHead(new ResponseHead(status, []), true);
}

t.test('backpressure alternates and reaches the stream that writes', async (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(GET);
  h.last.stream.sendHead(new ResponseHead(200, []), false);
  h.connection.full = true;
  h.last.stream.sendData(Buffer.alloc(20_000), false);
  t.strictSame(h.last.received.blocked, [true]);
  h.last.stream.sendData(Buffer.alloc(20_000), false);
  h.connection.drain();
  t.strictSame(h.last.received.blocked, [true, false]);
});

t.test('drain', async (t) => {
  const idle = new H1ServerHarness();
  idle.codec.drain();
  t.strictSame(idle.connection.ends, ['flush-close'], 'an idle connection closes');
  const busy = new H1ServerHarness();
  busy.connection.feed(GET);
  t.equal(busy.codec.active, 1);
  busy.codec.drain();
  t.equal(busy.connection.closing, false);
  replyOk(busy.last);
  t.match(busy.connection.written, /\r\nconnection: close\r\n/);
  t.equal(busy.codec.active, 0);
  t.strictSame(busy.connection.ends, ['flush-close']);
});

t.test('a head in pieces is told, and can be given up with 408', async (t) => {
  const h = new H1ServerHarness();
  h.codec.abortHead(408, 'request_header_timeout');
  t.equal(h.exchanges.length, 0, 'nothing to give up');
  h.connection.feed('GET / HTTP');
  t.equal(h.partialHeads, 1);
  h.codec.abortHead(408, 'request_header_timeout');
  t.equal(h.last.received.bad, '408 request_header_timeout');
  t.match(h.connection.written, /^HTTP\/1.1 408 Request Timeout\r\n/);
  t.strictSame(h.connection.ends, ['flush-close']);
});

t.test('60 KB sent byte by byte is refused without quadratic work', async (t) => {
  const h = new H1ServerHarness();
  const began = performance.now();
  h.connection.feed('GET / HTTP/1.1\r\nhost: a\r\nx: ');
  for (let i = 0; i < 62_000; i++) h.connection.feed('a');
  t.equal(h.last.received.bad, '431 http1.headers_too_large');
  t.ok(performance.now() - began < 2000);
});

t.test('a request without a host is told to the manager, which answers it', (t) => {
  for (const fields of [['x: a'], ['host: a', 'connection: host']]) {
    const h = new H1ServerHarness();
    h.connection.feed(head('GET / HTTP/1.1', ...fields));
    t.equal(h.last.received.head?.hostMissing, true, fields.join());
  }
  t.end();
});

t.test('an upgrade is one whether or not a length is announced', (t) => {
  const h = new H1ServerHarness();
  h.connection.feed(post('', 'connection: upgrade', 'upgrade: x', 'content-length: 1'));
  t.equal(h.last.received.head?.upgrade, 'x');
  t.equal(h.last.received.ended, false);
  t.end();
});

t.test('--envoy-strict: methods that Envoy does not know are refused, odd expectations passed on', (t) => {
  const cases: [raw: string, strict: string, normal: string][] = [
    [head('FOO / HTTP/1.1', 'host: a'), '400 http1.codec_error', 'FOO'],
    [head('get / HTTP/1.1', 'host: a'), '400 http1.codec_error', 'get'],
    [head('PROPFIND / HTTP/1.1', 'host: a'), 'PROPFIND', 'PROPFIND'],
    [head('GET / HTTP/1.1', 'host: a', 'expect: x'), 'GET', '417 http1.expectation_failed'],
  ];
  for (const [raw, strict, normal] of cases) {
    for (const [envoyStrict, expected] of [
      [true, strict],
      [false, normal],
    ] as const) {
      const h = new H1ServerHarness({ envoyStrict });
      h.connection.feed(raw);
      t.equal(
        h.last.received.bad ?? h.last.received.head?.method,
        expected,
        `${raw.split('\r')[0]} ${envoyStrict}`,
      );
    }
  }
  t.end();
});
