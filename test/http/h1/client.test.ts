import t from 'tap';
import type { ResetReason } from '../../../src/core/errors.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { H1ClientHarness } from '../../support/h1-harness.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const CANCELLED: ResetReason = { kind: 'cancelled', fault: 'local', retrySafe: false, details: '' };

t.test('requests', async (t) => {
  const cases: readonly [
    name: string,
    method: string,
    headers: string[],
    body: string | null,
    expected: string,
  ][] = [
    ['GET', 'GET', ['x', '1'], null, 'GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n\r\n'],
    ['DELETE', 'DELETE', [], null, 'DELETE / HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['POST without a body', 'POST', [], null, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n'],
    [
      'OPTIONS without a body',
      'OPTIONS',
      [],
      null,
      'OPTIONS / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'length',
      'POST',
      ['content-length', '2'],
      'ab',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab',
    ],
    [
      'chunked',
      'POST',
      [],
      'ab',
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
    ],
    [
      'framing of others',
      'GET',
      ['connection', 'x', 'upgrade', 'q'],
      null,
      'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
    ],
  ];
  for (const [name, method, headers, body, expected] of cases) {
    const h = new H1ClientHarness();
    const { stream } = h.request(method, body === null, (head) => {
      head.headers = headers;
    });
    if (body !== null) stream.sendData(Buffer.from(body), true);
    t.equal(h.connection.written, expected, name);
    t.equal(h.connection.writes, 1, `${name}: one write`);
  }
});

t.test('a connection serves one request after the other', async (t) => {
  const h = new H1ClientHarness();
  for (let i = 1; i <= 3; i++) {
    t.equal(h.codec.available, true);
    const { received } = h.request();
    t.equal(h.codec.available, false);
    t.equal(h.codec.active, 1);
    h.connection.feed(OK);
    t.equal(received.body, 'ok');
    t.equal(received.head?.reason, 'OK');
    t.equal(received.chunks, 1);
    t.equal(h.available, i);
    t.equal(h.codec.opened, i);
  }
  t.equal(h.codec.active, 0);
});

t.test('responses', async (t) => {
  const cases: readonly [name: string, method: string, raw: string, fin: boolean, expected: string][] = [
    ['no reason', 'GET', 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n', false, '200 [] kept'],
    ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n', false, '200 [] kept'],
    ['HEAD chunked', 'HEAD', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', false, '200 [] kept'],
    ['204', 'GET', 'HTTP/1.1 204 N\r\n\r\n', false, '204 [] kept'],
    ['204 with length 0', 'GET', 'HTTP/1.1 204 N\r\ncontent-length: 0\r\n\r\n', false, '204 [] kept'],
    [
      '204 with chunks',
      'GET',
      'HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n',
      false,
      'protocol-error',
    ],
    ['304 with a length', 'GET', 'HTTP/1.1 304 N\r\ncontent-length: 5\r\n\r\n', false, '304 [] kept'],
    [
      'chunked',
      'GET',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1;x\r\n!\r\n0\r\n\r\n',
      false,
      '200 [ok!] kept',
    ],
    [
      'connection: close',
      'GET',
      'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok',
      false,
      '200 [ok] closed',
    ],
    ['HTTP/1.0', 'GET', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok', false, '200 [ok] closed'],
    [
      'HTTP/1.0 kept',
      'GET',
      'HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok',
      false,
      '200 [ok] kept',
    ],
    [
      'HTTP/1.0 chunked',
      'GET',
      'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      false,
      'protocol-error',
    ],
    ['until close', 'GET', 'HTTP/1.1 200 OK\r\n\r\nok', true, '200 [ok] closed'],
    ['extra bytes', 'GET', `${OK}x`, false, '200 [ok] closed'],
    ['extra response', 'GET', OK + OK, false, '200 [ok] closed'],
    ['te gzip', 'GET', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n', false, 'protocol-error'],
    [
      'equal lengths',
      'GET',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok',
      false,
      'protocol-error',
    ],
    ['empty line first', 'GET', `\r\n${OK}`, false, 'protocol-error'],
    ['FIN before the head', 'GET', '', true, 'connection-termination'],
    ['FIN in the head', 'GET', 'HTTP/1.1 200', true, 'protocol-error'],
    ['FIN in the body', 'GET', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok', true, 'protocol-error'],
    [
      '101 unasked',
      'GET',
      'HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
      false,
      'protocol-error',
    ],
    ['17 interim', 'GET', 'HTTP/1.1 103 E\r\n\r\n'.repeat(17), false, 'protocol-error'],
  ];
  for (const [name, method, raw, fin, expected] of cases) {
    const h = new H1ClientHarness();
    const { received } = h.request(method);
    if (raw !== '') h.connection.feed(raw);
    if (fin) h.connection.feedEnd();
    const result =
      received.reset !== undefined
        ? received.reset.kind
        : `${received.head?.status} [${received.body}] ${h.connection.destroyed ? 'closed' : 'kept'}`;
    t.equal(result, expected, name);
    t.equal(received.ended, received.reset === undefined, `${name}: ended or reset`);
    const kept = expected.endsWith('kept');
    t.equal(h.codec.available, kept, `${name}: available`);
    t.equal(h.available, kept ? 1 : 0, `${name}: told so`);
    t.equal(h.connection.destroyed, !kept, `${name}: closed otherwise`);
    h.connection.close();
    t.equal(h.closed, 1, `${name}: closed once`);
  }
});

t.test('hop-by-hop fields are removed, what the connection header nominates stays as in Envoy', async (t) => {
  const h = new H1ClientHarness();
  const { received } = h.request();
  h.connection.feed(
    'HTTP/1.1 200 OK\r\nconnection: foo\r\nfoo: 1\r\nkeep-alive: 4\r\nproxy-connection: x\r\nupgrade: q\r\ncontent-length: 0\r\n\r\n',
  );
  t.strictSame(received.head?.headers, ['foo', '1', 'content-length', '0']);
});

t.test('trailers when enabled', async (t) => {
  const h = new H1ClientHarness({ enableTrailers: true });
  const { received, stream } = h.request('POST', false);
  stream.sendTrailers(['a', 'b']);
  t.match(h.connection.written, /\r\n\r\n0\r\na: b\r\n\r\n$/);
  h.connection.feed(
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\nHost: z\r\n\r\n',
  );
  t.strictSame(received.trailers, ['x', '1']);
  t.equal(h.codec.available, true);
});

t.test('bytes or FIN on an idle connection close it', async (t) => {
  for (const act of ['bytes', 'fin']) {
    const h = new H1ClientHarness();
    h.request();
    h.connection.feed(OK);
    if (act === 'bytes') h.connection.feed('HTTP/1.1 408 Request Timeout\r\n\r\n');
    else h.connection.feedEnd();
    t.equal(h.codec.available, false, act);
    t.ok(h.connection.destroyed, act);
  }
});

t.test('an early response ends the connection with the request', async (t) => {
  t.test('when the rest is not sent', async (t) => {
    const h = new H1ClientHarness();
    const { stream, received } = h.request('POST', false);
    stream.sendData(Buffer.from('a'), false);
    h.connection.feed('HTTP/1.1 413 P\r\ncontent-length: 2\r\n\r\nno');
    t.equal(received.body, 'no');
    t.equal(h.available, 0);
    stream.reset(CANCELLED);
    t.ok(h.connection.destroyed);
    h.connection.close();
    t.equal(received.reset, undefined);
    t.equal(h.closed, 1);
  });
  t.test('when the rest is sent', async (t) => {
    const h = new H1ClientHarness();
    const { stream, received } = h.request('POST', false);
    h.connection.feed('HTTP/1.1 413 P\r\ncontent-length: 2\r\n\r\nno');
    stream.sendData(Buffer.from('a'), true);
    t.equal(h.available, 0);
    t.ok(h.connection.destroyed);
    h.connection.close();
    t.equal(received.reset, undefined);
  });
});

t.test('only an unsent request is safe to retry when the connection dies', async (t) => {
  const h = new H1ClientHarness();
  const { received } = h.request();
  h.connection.close();
  t.equal(received.reset?.retrySafe, false);
  t.equal(h.closed, 1);
});

t.test('a body that breaks its promise is not sent on', async (t) => {
  const h = new H1ClientHarness();
  const { stream, received } = h.request('POST', false, (head) => {
    head.headers = ['content-length', '1'];
  });
  stream.sendData(Buffer.from('ab'), true);
  t.equal(received.reset?.kind, 'local-reset');
  t.notMatch(h.connection.written, /ab/);
  t.ok(h.connection.destroyed);
});

t.test('tunnels', async (t) => {
  for (const [name, method, upgrade, answer, sent] of [
    [
      'upgrade',
      'GET',
      'x',
      'HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    ],
    [
      'CONNECT',
      'CONNECT',
      '',
      'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n',
      'CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n',
    ],
  ] as const) {
    const h = new H1ClientHarness();
    const { stream, received } = h.request(method, false, (head) => {
      head.upgrade = upgrade;
      if (upgrade !== '') head.headers = ['upgrade', upgrade];
    });
    await endOfTurn();
    t.equal(h.connection.take(), sent, name);
    h.connection.feed(`${answer}HTTP/1.1 raw`);
    t.equal(received.body, 'HTTP/1.1 raw');
    stream.sendData(Buffer.from('up'), true);
    t.equal(h.connection.take(), 'up');
    t.strictSame(h.connection.ends, ['end']);
    h.connection.feed('more');
    h.connection.feedEnd();
    t.equal(received.body, 'HTTP/1.1 rawmore');
    t.equal(received.ended, true);
    t.equal(h.available, 0);
    t.ok(h.connection.destroyed);
  }
  const refused = new H1ClientHarness();
  const { received } = refused.request('GET', false, (head) => {
    head.upgrade = 'x';
  });
  refused.connection.feed(OK);
  t.equal(received.body, 'ok');
  t.equal(refused.codec.available, false);
  t.ok(refused.connection.destroyed);
});

t.test('nothing is sent into a tunnel before the server grants it', async (t) => {
  for (const [method, upgrade, grant] of [
    ['GET', 'x', 'HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['CONNECT', '', 'HTTP/1.1 200 OK\r\n\r\n'],
  ] as const) {
    for (const granted of [true, false]) {
      const h = new H1ClientHarness();
      const { stream, received } = h.request(method, false, (head) => {
        head.upgrade = upgrade;
      });
      await endOfTurn();
      h.connection.take();
      stream.sendData(Buffer.from('POST /admin HTTP/1.1\r\n'), false);
      stream.sendData(Buffer.from('\r\n'), true);
      await endOfTurn();
      t.equal(h.connection.take(), '', 'a server that refuses would read it as a request');
      t.strictSame(received.blocked, [true], 'nor does more of it come');
      h.connection.feed(granted ? grant : 'HTTP/1.1 403 F\r\ncontent-length: 0\r\n\r\n');
      await endOfTurn();
      t.equal(h.connection.take(), granted ? 'POST /admin HTTP/1.1\r\n\r\n' : '');
      t.strictSame(h.connection.ends, granted ? ['end'] : ['destroy']);
      t.strictSame(received.blocked, [true, false]);
      t.equal(h.connection.destroyed, !granted);
    }
  }
});

t.test('trailers for a tunnel that is not granted yet end it behind what came before', async (t) => {
  const h = new H1ClientHarness();
  const { stream } = h.request('CONNECT', false);
  stream.sendData(Buffer.from('ab'), false);
  stream.sendTrailers(['a', 'b']);
  await endOfTurn();
  h.connection.take();
  h.connection.feed('HTTP/1.1 200 OK\r\n\r\n');
  t.equal(h.connection.take(), 'ab');
  t.strictSame(h.connection.ends, ['end']);
});

t.test('backpressure, pause and drain', async (t) => {
  const h = new H1ClientHarness();
  const { stream, received } = h.request('POST', false);
  h.connection.full = true;
  stream.sendData(Buffer.alloc(20_000), false);
  h.connection.drain();
  t.strictSame(received.blocked, [true, false]);
  stream.sendData(Buffer.alloc(1), true);
  stream.pause();
  stream.pause();
  stream.resume();
  t.equal(h.connection.pauses, 1);
  h.codec.drain();
  t.equal(h.connection.destroyed, false);
  stream.resume();
  h.connection.feed(OK);
  t.equal(received.body, 'ok');
  t.equal(h.connection.pauses, 0);
  t.ok(h.connection.destroyed);
  const idle = new H1ClientHarness();
  idle.codec.drain();
  t.ok(idle.connection.destroyed);
});
