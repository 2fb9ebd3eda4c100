import { readFileSync } from 'node:fs';
import t from 'tap';
import { ResponseHead } from '../../../src/http/stream.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { GET, H2ServerHarness as Harness, POST, PREFACE } from '../../support/h2-server-harness.ts';
import { frame, H2Wire, word } from '../../support/h2-wire.ts';

interface Vector {
  readonly name: string;
  readonly base64?: string;
  readonly expect: string;
  readonly generate?: boolean;
}
const VECTORS = JSON.parse(
  readFileSync(new URL('../../vectors/h2-client-frames.json', import.meta.url), 'utf8'),
) as { cases: Vector[] };

/** Which outcomes a vector's sentence allows. */
function allowed(expect: string): RegExp {
  if (expect === '200') return /^HEADERS 1 es :status=200$/;
  if (expect.startsWith('routed on')) return /^(?:HEADERS 1 es :status=200|HEADERS 1 es :status=400)$/;
  if (expect === '400 or RST') return /^(?:HEADERS 1 es :status=[24]00|RST 1 1)$/;
  if (expect.startsWith('ignored or')) return /^(?:|RST \d+ 1|GOAWAY \d+ 1)$/;
  const codes: Readonly<Record<string, number>> = {
    PROTOCOL: 1,
    FLOW_CONTROL: 3,
    FRAME_SIZE: 6,
    COMPRESSION: 9,
  };
  for (const [name, code] of Object.entries(codes)) {
    if (expect.startsWith(`GOAWAY ${name}`)) return new RegExp(`^GOAWAY \\d+ ${code}$`);
  }
  return /^RST 1 1$/;
}

t.test(
  'every client vector has the expected outcome, and a stream error spares the connection',
  async (t) => {
    for (const v of VECTORS.cases) {
      if (v.base64 === undefined) continue;
      const h = new Harness();
      const lines = await h.sent(Buffer.from(v.base64, 'base64'));
      t.match(lines.filter((line) => !line.startsWith('PING')).join(), allowed(v.expect), v.name);
      if (!lines.some((line) => line.startsWith('GOAWAY'))) {
        t.match(
          await h.sent(frame(6, 0, 0, Buffer.alloc(8))),
          ['PING ack'],
          `${v.name}: the connection lives`,
        );
      }
      const whole = lines.join();
      const bytes = Buffer.from(v.base64, 'base64');
      const single = new Harness();
      const bit = await single.sent(...Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)));
      t.equal(bit.join(), whole, `${v.name} byte by byte`);
    }
  },
);

t.test('an answer before the request has ended: RST, unless the rest is in the same read', async (t) => {
  // Answers as soon as the head is there.
  const early = (): Harness => {
    const h = new Harness({}, false);
    const begin = Reflect.get(h.streams, 'push') as (...items: (typeof h.streams)[number][]) => number;
    h.streams.push = (...items) => {
      for (const { stream, received } of items) {
        const { onHead } = received;
        received.onHead = (head, end) => {
          onHead.call(received, head, end);
          stream.sendHead(new ResponseHead(403, []), true);
        };
      }
      return begin.apply(h.streams, items);
    };
    return h;
  };
  const w = new H2Wire();
  const head = w.headers(1, POST, false);
  const body = frame(0, 1, 1, Buffer.from('x'));
  t.same(await early().sent(Buffer.concat([head, body])), ['HEADERS 1 es :status=403']);
  const apart = early();
  t.same(await apart.sent(head), ['HEADERS 1 es :status=403', 'RST 1 0']);
  t.same(
    await apart.sent(body, frame(6, 0, 0, Buffer.alloc(8))),
    ['PING ack'],
    'what comes late is no fault',
  );
});

const repeat = (n: number, piece: Buffer): Buffer => Buffer.concat(new Array<Buffer>(n).fill(piece));

t.test('floods end with ENHANCE_YOUR_CALM, in one read or in many', async (t) => {
  const w = new H2Wire();
  const open = w.headers(1, POST, false);
  const floods: Readonly<Record<string, readonly [Buffer, Buffer]>> = {
    PING: [Buffer.alloc(0), frame(6, 0, 0, Buffer.alloc(8))],
    SETTINGS: [Buffer.alloc(0), frame(4, 0, 0)],
    'empty DATA': [open, frame(0, 0, 1)],
    PRIORITY: [Buffer.alloc(0), frame(2, 0, 3, Buffer.alloc(5))],
    WINDOW_UPDATE: [Buffer.alloc(0), frame(8, 0, 0, word(1))],
    CONTINUATION: [frame(1, 0, 1, Buffer.alloc(0)), frame(9, 0, 1)],
    'unknown frames': [Buffer.alloc(0), frame(77, 0, 0)],
  };
  for (const [name, [first, piece]] of Object.entries(floods)) {
    for (const parts of [1, 40]) {
      const h = new Harness();
      await h.sent(first);
      const all: string[] = [];
      for (let i = 0; i < parts; i++) all.push(...(await h.sent(repeat(20_000 / parts, piece))));
      t.match(all.at(-1) ?? '', /^GOAWAY \d+ 11$/, `${name} in ${parts}`);
      t.strictSame(h.connection.ends, ['flush-close'], name);
    }
  }
});

t.test('a PING with each message is no flood, however busy the peer', async (t) => {
  const h = new Harness();
  await h.sent(h.wire.headers(1, POST, false));
  const message = Buffer.concat([frame(0, 0, 1, Buffer.from('x')), frame(6, 0, 0, Buffer.alloc(8))]);
  const all: string[] = [];
  for (let i = 0; i < 40; i++) all.push(...(await h.sent(repeat(250, message))));
  t.equal(all.filter((line) => line === 'PING ack').length, 10_000);
  t.notOk(all.some((line) => line.startsWith('GOAWAY')));
});

t.test('a rapid reset attack is cut off as in Envoy, server-caused resets count as well', async (t) => {
  const h = new Harness({}, false);
  for (let i = 0; i < 5000; i++) {
    const id = 2 * i + 1;
    h.connection.feed(Buffer.concat([h.wire.headers(id, GET, true), frame(3, 0, id, word(8))]));
  }
  t.equal(h.streams.length, 250);
  t.match((await h.sent()).at(-1) ?? '', /^GOAWAY \d+ 11$/);
  const made = new Harness({}, false);
  for (let i = 0; i < 5000; i++) {
    const id = 2 * i + 1;
    made.connection.feed(Buffer.concat([made.wire.headers(id, GET, true), frame(8, 0, id, word(0))]));
  }
  t.ok(made.streams.length <= 250, `${made.streams.length}`);
});

t.test('nothing of a read counts that comes behind the end of the connection', async (t) => {
  const h = new Harness({ prematureResetTotalStreamCount: 2 }, false);
  await h.sent(h.wire.headers(1, GET, true));
  await h.sent(Buffer.concat([frame(3, 0, 1, word(8)), h.wire.headers(3, GET, true)]));
  t.equal(h.streams.length, 1);
  t.equal(h.codec.active, 0);
});

t.test('header lists over the limit are answered with 431, HPACK bombs too', async (t) => {
  const many = new Harness();
  const fields = GET.slice();
  for (let i = 0; i < 101; i++) fields.push('a', 'b');
  t.strictSame(await many.sent(many.wire.headers(1, fields, true)), ['HEADERS 1 es :status=431']);
  t.strictSame(many.bad, ['431 http2.too_many_headers']);
  const bomb = new Harness();
  const big = Buffer.concat([
    bomb.wire.block(GET),
    Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]),
    Buffer.alloc(4000, 0x78),
    Buffer.alloc(3000, 0xbe),
  ]);
  t.strictSame(await bomb.sent(frame(1, 5, 1, big)), ['HEADERS 1 es :status=431']);
  const plain = Buffer.from('828684010161', 'hex');
  t.strictSame(await bomb.sent(frame(1, 5, 3, plain)), ['HEADERS 3 es :status=200']);
});

t.test('streams over the limit are refused, the others live', async (t) => {
  const h = new Harness({ maxConcurrentStreams: 100 }, false);
  const frames: Buffer[] = [];
  for (let i = 0; i < 300; i++) frames.push(h.wire.headers(2 * i + 1, GET, true));
  const lines = await h.sent(Buffer.concat(frames));
  t.equal(h.streams.length, 100);
  t.equal(lines.filter((line) => /^RST \d+ 7$/.test(line)).length, 200);
});

t.test('a body other than its content-length resets that stream alone', async (t) => {
  for (const [size, end] of [
    [3, true],
    [9, false],
  ] as const) {
    const h = new Harness({}, false);
    const lines = await h.sent(
      h.wire.headers(1, [...POST, 'content-length', '5'], false),
      h.wire.headers(3, GET, true),
      frame(0, end ? 1 : 0, 1, Buffer.alloc(size)),
    );
    t.strictSame(lines, ['RST 1 1']);
    t.equal(h.streams[0]?.received.reset?.kind, 'protocol-error');
    t.equal(h.streams[1]?.received.reset, undefined);
  }
});

t.test('what is paused is kept within the window, and delivered on resume', async (t) => {
  const h = new Harness({}, false);
  await h.sent(h.wire.headers(1, POST, false));
  const one = h.streams[0];
  one?.stream.pause();
  await h.sent(frame(0, 0, 1, Buffer.from('abc')), h.wire.headers(1, ['x', 'y'], true));
  t.equal(one?.received.body, '');
  one?.stream.resume();
  t.equal(one?.received.body, 'abc');
  t.strictSame(one?.received.trailers, ['x', 'y']);
  const over = new Harness({}, false);
  await over.sent(over.wire.headers(1, POST, false));
  over.streams[0]?.stream.pause();
  const lines = await over.sent(repeat(17, frame(0, 0, 1, Buffer.alloc(16384))));
  t.strictSame(lines, ['RST 1 3'], 'a peer that ignores the window');
});

t.test('responses wait for the peer window and tell their sender', async (t) => {
  const h = new Harness({}, false);
  await h.sent(h.wire.headers(1, GET, true));
  const one = h.streams[0];
  one?.stream.sendHead(new ResponseHead(200, []), false);
  one?.stream.sendData(Buffer.alloc(200_000), false);
  one?.stream.sendTrailers(['grpc-status', '0']);
  const first = await h.sent();
  t.equal(first.filter((line) => line.startsWith('DATA')).length, 4);
  t.strictSame(one?.received.blocked, [true]);
  const rest = await h.sent(frame(8, 0, 0, word(1e6)), frame(8, 0, 1, word(1e6)));
  t.equal(rest.at(-1), 'HEADERS 1 es grpc-status=0');
  t.equal(h.codec.active, 0);
  t.equal(h.idle, 1);
});

t.test('a drain has two phases', async (t) => {
  const h = new Harness({}, false);
  await h.sent(h.wire.headers(1, GET, true));
  h.codec.drain();
  t.strictSame(await h.sent(), ['GOAWAY 2147483647 0', 'PING']);
  await h.sent(h.wire.headers(3, GET, true));
  t.equal(h.streams.length, 2, 'what was under way is served');
  const ack = Buffer.alloc(8);
  ack.writeUInt32BE(0x64726169);
  t.strictSame(await h.sent(frame(6, 1, 0, ack)), ['GOAWAY 3 0']);
  await h.sent(h.wire.headers(5, GET, true));
  t.equal(h.streams.length, 2, 'what came later is not');
  for (const { stream } of h.streams) stream.sendHead(new ResponseHead(204, []), true);
  t.strictSame(h.connection.ends, ['flush-close']);
});

t.test('cookie crumbs are joined, extended CONNECT looks like an upgrade', async (t) => {
  const h = new Harness({ allowConnect: true }, false);
  await h.sent(h.wire.headers(1, [...GET, 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2'], true));
  t.strictSame(h.streams[0]?.received.head?.headers, ['cookie', 'a=1; b=2', 'x', 'y']);
  await h.sent(
    h.wire.headers(
      3,
      [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':authority', 'a', ':path', '/c'],
      false,
    ),
  );
  const head = h.streams[1]?.received.head;
  t.match(head, { method: 'GET', upgrade: 'websocket', path: '/c', contentLength: -1 });
  const switched = new ResponseHead(101, ['upgrade', 'websocket', 'connection', 'upgrade']);
  h.streams[1]?.stream.sendHead(switched, false);
  t.strictSame(await h.sent(), ['HEADERS 3 :status=200']);
});

t.test('mutated frames neither throw nor stall', async (t) => {
  const rounds = Number(process.env.INOX_FUZZ_ROUNDS ?? 20_000);
  const seeds = VECTORS.cases.flatMap((v) =>
    v.base64 === undefined ? [] : [Buffer.from(v.base64, 'base64')],
  );
  const w = new H2Wire();
  seeds.push(
    Buffer.concat([w.headers(1, POST, false), frame(0, 8, 1, Buffer.from([2, 97, 0, 0])), frame(0, 1, 1)]),
  );
  let seed = 12345;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let round = 0; round < rounds; round++) {
    const bytes = Buffer.concat([
      seeds[random(seeds.length)] ?? PREFACE,
      seeds[random(seeds.length)] ?? PREFACE,
    ]);
    for (let i = random(6); i >= 0; i--) bytes[random(bytes.length)] = random(256);
    const h = new Harness();
    const cut = random(bytes.length);
    h.connection.feed(bytes.subarray(0, cut));
    h.connection.feed(bytes.subarray(cut));
    h.connection.close();
    if (h.codec.active !== 0) t.fail(`streams are left: ${bytes.toString('base64')}`);
    if (round % 500 === 0) await endOfTurn();
  }
  t.pass(`${rounds} rounds`);
});
