import t from 'tap';
import { createH2Client } from '../../../src/http/h2/client.ts';
import { H2_CLIENT_DEFAULTS, H2_SERVER_DEFAULTS } from '../../../src/http/h2/options.ts';
import { createH2Server } from '../../../src/http/h2/server.ts';
import { RequestHead, ResponseHead, type ServerStream } from '../../../src/http/stream.ts';
import { endOfTurn, FakeConnection } from '../../support/fake-connection.ts';
import { Received } from '../../support/h1-harness.ts';
import { frame, H2Wire, word } from '../../support/h2-wire.ts';

class Harness {
  readonly connection = new FakeConnection();
  readonly wire = new H2Wire();
  available = 0;
  goaways = 0;
  readonly closed: unknown[] = [];
  readonly codec = createH2Client(this.connection, H2_CLIENT_DEFAULTS, {
    onChanged: () => {
      if (this.codec.available) this.available++;
    },
    onGoaway: () => {
      this.goaways++;
    },
    onClosed: (reason) => {
      this.closed.push(reason);
    },
  });

  constructor() {
    this.connection.feed(frame(4, 0, 0));
  }

  request(method = 'GET', upgrade = '') {
    const received = new Received<ResponseHead>((head) => head.status < 200 && head.status !== 101);
    const stream = this.codec.open(received);
    const head = new RequestHead(method, '/p', 'a', upgrade === '' ? [] : ['upgrade', upgrade]);
    head.upgrade = upgrade;
    stream.sendHead(head, method === 'GET' && upgrade === '');
    return { stream, received };
  }

  async sent(...bytes: Buffer[]): Promise<string[]> {
    for (const piece of bytes) this.connection.feed(piece);
    await endOfTurn();
    return this.wire.frames(this.connection.take()).filter((line) => !/^(?:SETTINGS|WINDOW)/.test(line));
  }
}

t.test('responses of many streams in any order, interim heads and trailers', async (t) => {
  const h = new Harness();
  const a = h.request();
  const b = h.request();
  t.strictSame(await h.sent(), [
    'HEADERS 1 es :method=GET :scheme=http :path=/p :authority=a',
    'HEADERS 3 es :method=GET :scheme=http :path=/p :authority=a',
  ]);
  await h.sent(
    h.wire.headers(3, [':status', '103'], false),
    h.wire.headers(3, [':status', '200', 'x', 'y'], false),
    h.wire.headers(1, [':status', '204'], true),
    frame(0, 0, 3, Buffer.from('body')),
    h.wire.headers(3, ['grpc-status', '0'], true),
  );
  t.equal(a.received.head?.status, 204);
  t.equal(b.received.interim[0]?.status, 103);
  t.equal(b.received.body, 'body');
  t.strictSame(b.received.trailers, ['grpc-status', '0']);
  t.equal(h.codec.active, 0);
  t.equal(h.codec.available, true);
});

t.test('ids are given in the order of the heads, not of the opening', async (t) => {
  const h = new Harness();
  const early = h.codec.open(new Received<ResponseHead>(() => false));
  h.request();
  early.sendHead(new RequestHead('GET', '/early', 'a', []), true);
  const dropped = h.codec.open(new Received<ResponseHead>(() => false));
  dropped.reset({ kind: 'cancelled', fault: 'local', retrySafe: true, details: '' });
  t.strictSame(
    (await h.sent()).map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['HEADERS 1', 'HEADERS 3'],
  );
  t.equal(h.codec.active, 2);
});

t.test('what the server refused may be tried again, what it reset may not', async (t) => {
  const h = new Harness();
  const a = h.request();
  const b = h.request();
  const c = h.request();
  await h.sent(frame(3, 0, 1, word(7)), frame(3, 0, 3, word(2)));
  t.match(a.received.reset, { kind: 'remote-reset', retrySafe: true });
  t.match(b.received.reset, { kind: 'remote-reset', retrySafe: false });
  t.equal(c.received.reset, undefined);
  await h.sent(frame(7, 0, 0, Buffer.concat([word(3), word(0)])));
  t.match(c.received.reset, { retrySafe: true }, 'a GOAWAY leaves it out');
  t.equal(h.codec.available, false);
  t.equal(h.connection.destroyed, true);
});

t.test('after a GOAWAY what it includes goes on, and the connection ends with it', async (t) => {
  const h = new Harness();
  const a = h.request();
  await h.sent();
  const goaway = frame(7, 0, 0, Buffer.concat([word(1), word(0)]));
  await h.sent(goaway, goaway);
  t.equal(h.goaways, 1, 'told once');
  t.equal(h.codec.capacity, 0);
  t.equal(h.connection.destroyed, false);
  await h.sent(h.wire.headers(1, [':status', '200'], true));
  t.equal(a.received.head?.status, 200);
  t.equal(h.connection.destroyed, true);
  t.equal(h.codec.endedHere, true);
});

t.test('a head over the limits costs its stream, and is no breach of the protocol', async (t) => {
  const many = Array.from({ length: 120 }, (_, i) => [`x-${i}`, 'v']).flat();
  for (const fields of [many, ['x', 'y'.repeat(70_000)]]) {
    const h = new Harness();
    const a = h.request();
    h.request();
    await h.sent();
    const head = h.wire.block([':status', '200', ...fields]);
    const frames = [frame(1, 0, 1, head.subarray(0, 16_000))];
    for (let at = 16_000; at < head.length; at += 16_000) {
      frames.push(frame(9, 0, 1, head.subarray(at, at + 16_000)));
    }
    t.strictSame(await h.sent(...frames, frame(9, 4, 1)), ['RST 1 8']);
    t.match(a.received.reset, { kind: 'remote-reset', retrySafe: false });
    t.equal(h.codec.active, 1);
    t.equal(h.connection.destroyed, false);
  }
});

t.test('a server that breaks the framing is left by us; one that just closes has left', async (t) => {
  const broken = new Harness();
  const a = broken.request();
  await broken.sent(frame(8, 0, 0, word(0)));
  t.equal(a.received.reset?.kind, 'protocol-error');
  t.equal(broken.codec.endedHere, true);
  const gone = new Harness();
  const b = gone.request();
  gone.connection.events.onEnd();
  gone.connection.close();
  t.equal(b.received.reset?.kind, 'connection-termination');
  t.equal(gone.codec.endedHere, false);
  t.match(gone.closed, [{ kind: 'connection-termination' }]);
});

t.test('a malformed response kills its stream alone', async (t) => {
  const bad = [
    ['x', 'y'],
    [':status', '20'],
    [':status', '101'],
    [':status', '200', 'connection', 'close'],
    [':status', '200', 'X', 'y'],
    [':status', '200', 'content-length', '1', 'content-length', '1'],
    [':status', '200', ':path', '/'],
  ];
  for (const fields of bad) {
    const h = new Harness();
    const a = h.request();
    h.request();
    await h.sent();
    t.strictSame(await h.sent(h.wire.headers(1, fields, false)), ['RST 1 1'], fields.join());
    t.equal(a.received.reset?.kind, 'protocol-error');
    t.equal(h.codec.active, 1);
  }
});

t.test('an answer before the end of the request, then RST with NO_ERROR, is an answer', async (t) => {
  const h = new Harness();
  const a = h.request('POST');
  await h.sent(h.wire.headers(1, [':status', '403'], true), frame(3, 0, 1, word(0)));
  t.equal(a.received.ended, true);
  t.equal(a.received.reset, undefined);
  t.equal(h.codec.active, 0);
});

t.test('an upgrade becomes extended CONNECT and 200 becomes 101', async (t) => {
  const h = new Harness();
  const a = h.request('GET', 'websocket');
  t.strictSame(await h.sent(), [
    'HEADERS 1 :method=CONNECT :protocol=websocket :scheme=http :path=/p :authority=a',
  ]);
  await h.sent(h.wire.headers(1, [':status', '200'], false));
  t.match(a.received.head, { status: 101, upgrade: 'websocket' });
});

t.test('the streams that the peer allows bound what is open', async (t) => {
  const h = new Harness();
  const setting = Buffer.from([0, 3, 0, 0, 0, 1]);
  await h.sent(frame(4, 0, 0, setting));
  h.request();
  t.equal(h.codec.available, false);
  const before = h.available;
  await h.sent(h.wire.headers(1, [':status', '200'], true));
  t.equal(h.available, before + 1);
});

t.test('5 MB go through both codecs each way, with pauses, and arrive whole', async (t) => {
  const down = new FakeConnection();
  const up = new FakeConnection();
  const served: ServerStream[] = [];
  const request = new Received<RequestHead>(() => false);
  createH2Server(down, H2_SERVER_DEFAULTS, {
    onPartialHead() {},
    onStream(stream) {
      stream.events = request;
      served.push(stream);
    },
    onBadRequest() {},
    onIdle() {},
    onClosed() {},
  });
  const client = createH2Client(up, H2_CLIENT_DEFAULTS, { onChanged() {}, onGoaway() {}, onClosed() {} });
  const pump = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; ) {
      await endOfTurn();
      const there = up.take();
      const back = down.take();
      if (there !== '') down.feed(there);
      if (back !== '') up.feed(back);
      quiet = there === '' && back === '' ? quiet + 1 : 0;
    }
  };
  const response = new Received<ResponseHead>(() => false);
  const stream = client.open(response);
  stream.sendHead(new RequestHead('POST', '/', 'a', []), false);
  const body = Buffer.alloc(5_000_000, 'abcdefghij');
  await pump();
  served[0]?.pause();
  stream.sendData(body, true);
  await pump();
  t.equal(request.body, '', 'nothing comes to a paused stream');
  served[0]?.resume();
  await pump();
  t.ok(request.ended && request.body === body.toString('latin1'), 'the request');
  served[0]?.sendHead(new ResponseHead(200, ['content-length', String(body.length)]), false);
  served[0]?.sendData(body, true);
  await pump();
  t.ok(response.ended && response.body === body.toString('latin1'), 'the response');
  t.equal(client.active, 0);
});
