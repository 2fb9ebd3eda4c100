import t from 'tap';
import { createH2Stats, type H2Stats } from '../../../src/http/h2/stats.ts';
import { ResponseHead } from '../../../src/http/stream.ts';
import { StatAggregator } from '../../../src/stats/aggregator.ts';
import { StatStore } from '../../../src/stats/store.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { GET, H2ServerHarness as Harness, POST } from '../../support/h2-server-harness.ts';
import { frame, word } from '../../support/h2-wire.ts';

function counted(): { stats: H2Stats; value: (name: string) => number } {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(1, message));
  const stats = createH2Stats(store.root.scope('http2'));
  return { stats, value: (name) => aggregator.value(`http2.${name}`) ?? 0 };
}

t.test(
  'a malformed request is a stream that ends with its reason; the option makes it the connection',
  async (t) => {
    const { stats, value } = counted();
    const h = new Harness({ stats });
    t.strictSame(await h.sent(h.wire.headers(1, [...GET, 'X', 'y'], true)), ['RST 1 1']);
    t.match(h.streams[0]?.received.reset, { kind: 'protocol-error', details: 'http2.invalid.header.field' });
    t.strictSame(await h.sent(h.wire.headers(3, GET.slice(2), true)), ['RST 3 1']);
    t.match(h.streams[1]?.received.reset, { details: 'http2.violation.of.messaging.rule' });
    t.equal(value('rx_messaging_error'), 2);
    t.equal(value('tx_reset'), 2);
    t.equal(value('streams_active'), 0);
    const strict = new Harness({ overrideStreamErrorOnInvalidHttpMessage: false }, false);
    await strict.sent(strict.wire.headers(1, GET, true));
    t.strictSame(await strict.sent(strict.wire.headers(3, [...GET, 'X', 'y'], true)), ['GOAWAY 3 1']);
    t.match(strict.streams[0]?.received.reset, { kind: 'protocol-error' }, 'the others end with it');
  },
);

t.test('a wrong length ends its stream alone, also where malformed heads end the connection', async (t) => {
  const h = new Harness({ overrideStreamErrorOnInvalidHttpMessage: false }, false);
  const lines = await h.sent(
    h.wire.headers(1, [...POST, 'content-length', '5'], false),
    frame(0, 1, 1, Buffer.from('abc')),
  );
  t.strictSame(lines, ['RST 1 1']);
});

t.test('each flood counts where Envoy counts it', async (t) => {
  const floods: readonly (readonly [string, Buffer])[] = [
    ['inbound_empty_frames_flood', frame(0, 0, 1)],
    ['inbound_priority_frames_flood', frame(2, 0, 3, Buffer.alloc(5))],
    ['inbound_window_update_frames_flood', frame(8, 0, 0, word(1))],
    ['outbound_control_flood', frame(6, 0, 0, Buffer.alloc(8))],
  ];
  for (const [name, piece] of floods) {
    const { stats, value } = counted();
    const h = new Harness({ stats }, false);
    await h.sent(h.wire.headers(1, POST, false));
    await h.sent(Buffer.concat(new Array<Buffer>(3000).fill(piece)));
    t.equal(value(name), 1, name);
    t.equal(value('goaway_sent'), 1, name);
    t.match(h.streams[0]?.received.reset?.details, /^http2\..*flood$/, name);
  }
});

t.test('resets of streams whose response began are not premature', async (t) => {
  let closed = 0;
  const tooManyPrematureResets = { inc: () => void closed++, add() {} };
  const options = { prematureResetTotalStreamCount: 4, tooManyPrematureResets };
  const served = new Harness(options, false);
  for (let id = 1; id < 40; id += 2) {
    await served.sent(served.wire.headers(id, GET, true));
    served.streams.at(-1)?.stream.sendHead(new ResponseHead(200, []), false);
    await served.sent(frame(3, 0, id, word(8)));
  }
  t.equal(closed, 0);
  const rapid = new Harness(options, false);
  for (let id = 1; id < 40; id += 2)
    await rapid.sent(rapid.wire.headers(id, GET, true), frame(3, 0, id, word(8)));
  t.equal(closed, 1);
  t.equal(rapid.streams.length, 2);
});

t.test(
  'requests over max_requests_per_io_cycle wait for the next turn, in order, with their bodies',
  async (t) => {
    const h = new Harness({ maxRequestsPerIoCycle: 2 }, false);
    const all = [1, 3, 5, 7, 9].map((id) => h.wire.headers(id, id === 7 ? POST : GET, id !== 7));
    h.connection.feed(Buffer.concat([...all, frame(0, 1, 7, Buffer.from('body')), frame(3, 0, 5, word(8))]));
    const heads = (): (string | undefined)[] => h.streams.map(({ received }) => received.head?.method);
    t.strictSame(heads(), ['GET', 'GET', undefined, undefined, undefined]);
    await endOfTurn();
    t.strictSame(heads(), ['GET', 'GET', undefined, 'POST', 'GET'], 'what was reset meanwhile is not served');
    t.equal(h.streams[3]?.received.body, 'body');
    t.equal(h.streams[3]?.received.ended, true);
  },
);

t.test(
  'a head that comes too slowly is answered on its stream, and the rest of it does no harm',
  async (t) => {
    const h = new Harness();
    const block = h.wire.block(GET);
    await h.sent(frame(1, 1, 1, block.subarray(0, 3)));
    h.codec.abortHead(408, 'request_header_timeout');
    t.strictSame(await h.sent(), ['HEADERS 1 es :status=408', 'RST 1 0']);
    t.strictSame(h.bad, ['408 request_header_timeout']);
    t.strictSame(await h.sent(frame(9, 4, 1, block.subarray(3))), []);
    t.strictSame(await h.sent(h.wire.headers(3, GET, true)), ['HEADERS 3 es :status=200']);
  },
);

t.test('a refused underscore resets the stream, a dropped one is counted', async (t) => {
  const { stats, value } = counted();
  const reject = new Harness({ stats, headersWithUnderscoresAction: 'REJECT_REQUEST' });
  t.strictSame(await reject.sent(reject.wire.headers(1, [...GET, 'a_b', 'c'], true)), ['RST 1 2']);
  t.match(reject.streams[0]?.received.reset, { details: 'http2.unexpected_underscore' });
  const drop = new Harness({ stats, headersWithUnderscoresAction: 'DROP_HEADER' });
  await drop.sent(drop.wire.headers(1, [...GET, 'a_b', 'c', 'd', 'e'], true));
  t.strictSame(drop.streams[0]?.received.head?.headers, ['d', 'e']);
  t.equal(value('requests_rejected_with_underscores_in_headers'), 1);
  t.equal(value('dropped_headers_with_underscores'), 1);
});

t.test('what waits for the peer is in the gauges until it is gone', async (t) => {
  const { stats, value } = counted();
  const h = new Harness({ stats }, false);
  await h.sent(h.wire.headers(1, GET, true));
  h.streams[0]?.stream.sendHead(new ResponseHead(200, []), false);
  h.streams[0]?.stream.sendData(Buffer.alloc(100_000), true);
  t.equal(value('pending_send_bytes'), 100_000 - 65_535);
  t.equal(value('streams_active'), 1);
  h.connection.buffered = 1;
  await h.sent(frame(6, 0, 0, Buffer.alloc(8)));
  t.equal(value('outbound_control_frames_active'), 1);
  h.connection.close();
  for (const name of [
    'pending_send_bytes',
    'streams_active',
    'outbound_frames_active',
    'outbound_control_frames_active',
  ])
    t.equal(value(name), 0, name);
});

t.test('a stream of which nobody takes the end is reset, one that goes on is not', async (t) => {
  const { stats, value } = counted();
  const h = new Harness({ stats, flushTimeoutMs: 40 }, false);
  await h.sent(h.wire.headers(1, GET, true), h.wire.headers(3, GET, true));
  for (const { stream } of h.streams) {
    stream.sendHead(new ResponseHead(200, []), false);
    stream.sendData(Buffer.alloc(100_000), true);
  }
  // Both wait for windows; then one of them gets there.
  await h.sent(frame(8, 0, 0, word(1e6)), frame(8, 0, 3, word(1e6)));
  while (value('tx_flush_timeout') === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.strictSame(await h.sent(), ['RST 1 2']);
  t.equal(h.codec.active, 0);
  t.equal(value('pending_send_bytes'), 0);
});

t.test('a request behind the GOAWAY of its client is served', async (t) => {
  const h = new Harness();
  await h.sent(frame(7, 0, 0, Buffer.alloc(8)));
  t.strictSame(await h.sent(h.wire.headers(1, GET, true)), ['HEADERS 1 es :status=200']);
  t.strictSame(h.connection.ends, []);
});

t.test('the scheme is that of the connection, whatever the client says', async (t) => {
  const h = new Harness({}, false);
  const fields = [':method', 'GET', ':scheme', 'https', ':authority', 'a', ':path', '/'];
  await h.sent(h.wire.headers(1, fields, true), h.wire.headers(3, fields.with(3, 'x+y.z'), true));
  t.strictSame(
    h.streams.map(({ received }) => received.head?.scheme),
    ['http', 'http'],
  );
});
