import { createHash, randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import t, { type Test } from 'tap';
import { frame } from '../support/h2-wire.ts';
import { eventually, httpSetting as setUp } from '../support/http-setting.ts';
import { httpAnswers, type WireMessage, type WirePeer } from '../support/wire-peer.ts';

// An HTTP/2 client (node:http2, an implementation of its own) in front, an HTTP/1 backend behind.

function echo(): (peer: WirePeer) => Promise<void> {
  return httpAnswers((request: WireMessage) => {
    const head = `HTTP/1.1 200 OK\r\nx-start: ${request.start}\r\nx-host: ${request.headers.host}\r\nconnection: keep-alive\r\ncontent-length: ${request.body.length}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head), request.body]);
  });
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(session: ClientHttp2Session, headers: Record<string, string>, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let head: IncomingHttpHeaders = {};
    stream.on('response', (received) => {
      head = received;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => resolve({ headers: head, body: Buffer.concat(chunks) }));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

function dial(t: Test, port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  return session;
}

t.test('requests of many streams are answered, counted and logged as HTTP/2', async (t) => {
  const { proxy } = await setUp(t, {}, echo());
  const session = dial(t, proxy.port);
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      ask(session, { ':path': `/p${i}`, ':method': 'POST', ':authority': 'a.com' }, Buffer.from(`body ${i}`)),
    ),
  );
  for (const [i, { headers, body }] of answers.entries()) {
    t.equal(headers[':status'], 200);
    t.equal(headers['x-start'], `POST /p${i} HTTP/1.1`);
    t.equal(headers['x-host'], 'a.com');
    t.equal(headers.connection, undefined);
    t.equal(body.toString(), `body ${i}`);
  }
  t.equal(proxy.stat('http.test.downstream_cx_http2_total'), 1);
  t.equal(proxy.stat('http.test.downstream_cx_http1_total'), 0);
  t.equal(proxy.stat('http.test.downstream_rq_http2_total'), 60);
});

t.test('large bodies both ways keep their checksums', async (t) => {
  const { proxy } = await setUp(t, {}, echo());
  const session = dial(t, proxy.port);
  const body = randomBytes(3_000_000);
  const answers = await Promise.all(
    [1, 2, 3].map((i) => ask(session, { ':path': `/${i}`, ':method': 'POST' }, body)),
  );
  const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  for (const answer of answers) t.equal(sum(answer.body), sum(body));
});

t.test('local replies: no route, HEAD, a bad path', async (t) => {
  const { proxy } = await setUp(
    t,
    { routes: '[{match: {prefix: "/known"}, route: {cluster: backend}}]' },
    echo(),
  );
  const session = dial(t, proxy.port);
  const missing = await ask(session, { ':path': '/' });
  t.equal(missing.headers[':status'], 404);
  t.equal(missing.headers.connection, undefined);
  const bad = await ask(session, { ':path': '/known#fragment' });
  t.equal(bad.headers[':status'], 400);
  const head = await ask(session, { ':path': '/known', ':method': 'HEAD' });
  t.equal(head.headers[':status'], 200);
  t.equal(head.body.length, 0);
});

t.test('a stream that the client resets lets go of its upstream; the others go on', async (t) => {
  const { proxy, backend } = await setUp(t, {});
  const session = dial(t, proxy.port);
  const doomed = session.request({ ':path': '/doomed' });
  doomed.on('error', () => {});
  const upstream = await backend.accept();
  await upstream.message();
  doomed.close(8);
  await eventually('upstream request gone', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  const other = ask(session, { ':path': '/other' });
  const second = await backend.accept();
  await second.message();
  second.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  t.equal((await other).headers[':status'], 200);
});

t.test('codec_type HTTP1 refuses the preface, HTTP2 refuses anything else', async (t) => {
  const one = await setUp(t, { hcm: 'codec_type: HTTP1' }, echo());
  one.client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  t.match((await one.client.message()).start, / 400 /);
  const two = await setUp(t, { hcm: 'codec_type: HTTP2' }, echo());
  two.client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually('closed', () => two.proxy.stat('http.test.downstream_cx_active') === 0);
  t.equal(two.proxy.stat('http.test.downstream_rq_total'), 0);
});

t.test('trailers that do not end leave the times of requests as they are', async (t) => {
  const hcm = 'request_headers_timeout: 0.1s\n          stream_idle_timeout: 0.3s';
  const { proxy } = await setUp(t, { hcm }, async (peer) => {
    await peer.ended();
  });
  const socket = connectTcp(proxy.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const END_STREAM = 1;
  const END_HEADERS = 4;
  // GET, http, /, :authority a
  const block = Buffer.from([0x82, 0x86, 0x84, 0x41, 1, 0x61]);
  socket.write(
    Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(4, 0, 0),
      frame(1, END_HEADERS, 1, block),
      frame(1, END_STREAM, 1, Buffer.from([0])),
    ]),
  );
  const stat = (name: string): number | undefined => proxy.stat(`http.test.${name}`);
  await eventually('a request', () => stat('downstream_rq_active') === 1);
  await eventually('its end', () => stat('downstream_rq_active') === 0);
  t.equal(stat('downstream_rq_idle_timeout'), 1);
  t.equal(stat('downstream_rq_header_timeout'), 0);
});
