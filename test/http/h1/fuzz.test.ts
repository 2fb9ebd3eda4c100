import { readFileSync } from 'node:fs';
import t from 'tap';
import { createRandom, type Random } from '../../../src/core/random.ts';
import { ResponseHead } from '../../../src/http/stream.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { type Exchanged, H1ClientHarness, H1ServerHarness, replyOk } from '../../support/h1-harness.ts';

/**
 * Mutates valid and invalid messages byte by byte. The oracle: nothing throws, every request is answered exactly
 * once, what is delivered does not depend on chunk boundaries, and a marked request behind the mutated one is either
 * delivered as it is or not at all. A long run: `FUZZ_RUNS=1000000 node test/http/h1/fuzz.test.ts`.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

interface Vector {
  readonly raw: string;
}

function seeds(name: string): string[] {
  const all = JSON.parse(
    readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8'),
  ) as Vector[];
  return all.map((v) => v.raw).filter((raw) => raw.length < 2000);
}

const REQUESTS = [
  ...seeds('h1-requests'),
  'POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nX: y\r\n\r\nhello world',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: u\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw',
];
const RESPONSES = [
  ...seeds('upstream-responses'),
  'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: u\r\n\r\n',
];
const NASTY = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  '1',
  'f',
  '\x7f',
  '\xff',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Host: b\r\n',
  'HTTP/1.0',
];
const MARKED = 'GET /marked HTTP/1.1\r\nHost: marked\r\nX-Mark: 1\r\n\r\n';

function mutate(raw: string, random: Random): string {
  let out = raw;
  for (let n = random.uint32() % 4; n > 0; n--) {
    const at = random.uint32() % (out.length + 1);
    const nasty = NASTY[random.uint32() % NASTY.length] ?? '';
    switch (random.uint32() % 5) {
      case 0:
        out = out.slice(0, at) + nasty + out.slice(at);
        break;
      case 1:
        out = out.slice(0, at) + nasty + out.slice(at + nasty.length);
        break;
      case 2:
        out = out.slice(0, at) + out.slice(at + 1 + (random.uint32() % 8));
        break;
      case 3:
        out = out.slice(0, at) + String.fromCharCode(random.uint32() % 256) + out.slice(at + 1);
        break;
      default:
        out = out.slice(0, at) + out.slice(Math.max(0, at - (random.uint32() % 30)));
    }
  }
  return out;
}

function pieces(raw: string, random: Random): string[] {
  const out: string[] = [];
  for (let at = 0; at < raw.length; ) {
    const size = 1 + (random.uint32() % (random.uint32() % 4 === 0 ? 8 : 200));
    out.push(raw.slice(at, at + size));
    at += size;
  }
  return out;
}

/** What a request was, in one line; for tunnels and cut bodies as far as it went. */
function describe({ received }: Exchanged): string {
  const head = received.head;
  const state = received.bad ?? (received.ended ? 'ended' : 'open');
  return `${head?.method} ${head?.authority} ${head?.path} ${head?.headers.join('|')} [${received.body}] ${state}`;
}

function runServer(parts: readonly string[]): H1ServerHarness {
  const h = new H1ServerHarness({ enableTrailers: true, acceptHttp10: true }, replyOk);
  for (const part of parts) h.connection.feed(part);
  return h;
}

/** The answers on the wire. */
function countAnswers(h: H1ServerHarness): number {
  let count = 0;
  for (let at = 0; ; count++) {
    at = h.connection.written.indexOf('HTTP/1.', at);
    if (at < 0) return count;
    at += 7;
  }
}

function checkServer(raw: string, random: Random): string | undefined {
  const whole = runServer([raw + MARKED]);
  const answered = whole.exchanges.filter((x) => x.received.ended || x.received.bad !== undefined);
  if (countAnswers(whole) !== answered.length)
    return `${answered.length} requests, ${countAnswers(whole)} answers`;
  if (whole.exchanges.length - answered.length > 1) return 'more than one request is open';
  const split = runServer(pieces(raw + MARKED, random));
  const a = whole.exchanges.map(describe).join('\n');
  const b = split.exchanges.map(describe).join('\n');
  if (a !== b) return `depends on chunk boundaries:\n${a}\n---\n${b}`;
  if (whole.connection.written !== split.connection.written) return 'answers depend on chunk boundaries';
  for (const { received } of whole.exchanges) {
    const head = received.head;
    if (received.bad !== undefined || head === undefined) continue;
    if (
      /[\0-\x08\x0a-\x1f\x7f]/.test(`${head.method}${head.path}${head.authority}${head.headers.join('')}`)
    ) {
      return 'control characters were let through';
    }
  }
  if (!whole.connection.closing && answered.length === whole.exchanges.length) {
    const last = answered.at(-1);
    // A mutation can make the marked head part of the message before it; then its field is seen there.
    const seen = last === undefined ? '' : `${describe(last)} ${last.received.trailers?.join('|')}`;
    if (whole.partialHeads === 0 && !seen.includes('mark'))
      return 'the marked request was lost on a live connection';
  }
  return undefined;
}

function runClient(parts: readonly string[], fin: boolean): string {
  const h = new H1ClientHarness({ enableTrailers: true });
  const { received } = h.request();
  for (const part of parts) h.connection.feed(part);
  if (fin) h.connection.feedEnd();
  const { head, interim, body, ended, reset, trailers } = received;
  // A reset may come before the last bytes of a chunk were seen as data: the body before it is no promise.
  const data = reset === undefined ? body : '';
  if (!ended && reset === undefined && h.codec.available)
    throw new Error('available while a response is open');
  if (h.codec.available === h.connection.destroyed && ended) throw new Error('neither available nor closed');
  return `${head?.status} ${head?.headers.join('|')} ${interim.length} [${data}] ${trailers} ${ended} ${reset?.kind} ${h.codec.available}`;
}

t.test(`server: ${RUNS} mutated requests`, async (t) => {
  const random = createRandom(SEED);
  for (let i = 0; i < RUNS; i++) {
    const raw = mutate(REQUESTS[random.uint32() % REQUESTS.length] ?? '', random);
    let problem: string | undefined;
    try {
      problem = checkServer(raw, random);
    } catch (error) {
      problem = String(error instanceof Error ? error.stack : error);
    }
    if (problem !== undefined) {
      t.fail(`run ${i}: ${problem}`, { raw: JSON.stringify(raw) });
      return;
    }
  }
  t.pass('no desync');
});

t.test('an answer that comes in a later turn changes nothing', async (t) => {
  const random = createRandom(SEED + 1);
  for (let i = 0; i < RUNS / 20; i++) {
    const raw = mutate(REQUESTS[random.uint32() % REQUESTS.length] ?? '', random) + MARKED;
    const now = runServer([raw]);
    const due: Exchanged[] = [];
    const later = new H1ServerHarness({ enableTrailers: true, acceptHttp10: true }, (x) => due.push(x));
    for (const part of pieces(raw, random)) later.connection.feed(part);
    while (due.length > 0) {
      for (let x = due.shift(); x !== undefined; x = due.shift()) replyOk(x);
      // A pipelined request has its turn after the event that ended the answer before it.
      await endOfTurn();
    }
    const a = now.exchanges.map(describe).join('\n');
    const b = later.exchanges.map(describe).join('\n');
    if (a !== b || now.connection.written !== later.connection.written) {
      t.fail(`run ${i}`, { raw: JSON.stringify(raw), a, b });
      return;
    }
  }
  t.pass('same requests, same answers');
});

t.test(`client: ${RUNS} mutated responses`, async (t) => {
  const random = createRandom(SEED + 2);
  for (let i = 0; i < RUNS; i++) {
    const raw = mutate(RESPONSES[random.uint32() % RESPONSES.length] ?? '', random);
    const fin = random.uint32() % 2 === 0;
    let problem = '';
    try {
      const whole = runClient([raw], fin);
      const split = runClient(pieces(raw, random), fin);
      // Bytes behind a response close the connection at once or with the next chunk: not a difference in substance.
      if (whole !== split) problem = `depends on chunk boundaries:\n${whole}\n---\n${split}`;
    } catch (error) {
      problem = String(error instanceof Error ? error.stack : error);
    }
    if (problem !== '') {
      t.fail(`run ${i}: ${problem}`, { raw: JSON.stringify(raw) });
      return;
    }
  }
  t.pass('no difference');
});

t.test('any bytes at all', async (t) => {
  const random = createRandom(SEED + 3);
  for (let i = 0; i < RUNS / 10; i++) {
    const bytes = Buffer.alloc(random.uint32() % 300);
    for (let j = 0; j < bytes.length; j++) bytes[j] = random.uint32() % 256;
    const h = new H1ServerHarness({}, (x) => x.stream.sendHead(new ResponseHead(200, []), true));
    h.connection.feed(bytes);
    h.connection.feedEnd();
    new H1ClientHarness().connection.feed(bytes);
  }
  t.pass('no throw');
});
