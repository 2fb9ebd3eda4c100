import t from 'tap';
import type { ResetReason } from '../../../src/core/errors.ts';
import { createRandom, type Random } from '../../../src/core/random.ts';
import { ResponseHead } from '../../../src/http/stream.ts';
import { endOfTurn } from '../../support/fake-connection.ts';
import { type Exchanged, H1ClientHarness, H1ServerHarness } from '../../support/h1-harness.ts';

/**
 * Valid messages, but everything else at random: chunk boundaries, when and how answers come, pauses, blocked
 * sockets, drains, resets, FIN. `Received` throws on every event that breaks the stream contract.
 * A long run: `FUZZ_RUNS=1000000 node test/http/h1/interleaving.test.ts`.
 */
const RUNS = Math.ceil(Number(process.env.FUZZ_RUNS ?? 20_000) / 10);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const CANCELLED: ResetReason = { kind: 'cancelled', fault: 'local', retrySafe: false, details: '' };

interface Message {
  readonly method: string;
  readonly raw: string;
  readonly body: string;
}

function text(random: Random, max: number): string {
  return String(random.uint32())
    .repeat(1 + (random.uint32() % max))
    .slice(0, random.uint32() % (max * 10));
}

function chunked(body: string, random: Random): string {
  let out = '';
  for (let at = 0; at < body.length; ) {
    const size = 1 + (random.uint32() % 40);
    const part = body.slice(at, at + size);
    out += `${part.length.toString(16)}${random.uint32() % 4 === 0 ? ';x=y' : ''}\r\n${part}\r\n`;
    at += size;
  }
  return `${out}0\r\n${random.uint32() % 4 === 0 ? 't: u\r\n' : ''}\r\n`;
}

function request(i: number, random: Random): Message {
  const start = (method: string): string => `${method} /${i} HTTP/1.1\r\nHost: a\r\n`;
  const body = text(random, 30);
  switch (random.uint32() % 4) {
    case 0:
      return { method: 'HEAD', raw: `${start('HEAD')}\r\n`, body: '' };
    case 1:
      return { method: 'POST', raw: `${start('POST')}Content-Length: ${body.length}\r\n\r\n${body}`, body };
    case 2:
      return {
        method: 'POST',
        raw: `${start('POST')}Transfer-Encoding: chunked\r\n\r\n${chunked(body, random)}`,
        body,
      };
    default:
      return { method: 'GET', raw: `${start('GET')}\r\n`, body: '' };
  }
}

/** What the test did with one exchange. */
class Answering {
  readonly x: Exchanged;
  begun = false;
  done = false;
  left = '';
  sent = '';
  pauses = 0;

  constructor(x: Exchanged) {
    this.x = x;
  }

  step(random: Random): void {
    const { stream } = this.x;
    if (this.done || this.x.received.reset !== undefined) return;
    switch (random.uint32() % 6) {
      case 0:
        stream.pause();
        this.pauses++;
        return;
      case 1:
      case 2:
        if (this.pauses === 0) return;
        this.pauses--;
        stream.resume();
        return;
      default:
    }
    if (!this.begun) {
      this.begun = true;
      this.left = text(random, 30);
      const fixed = random.uint32() % 2 === 0;
      if (this.left === '') this.done = true;
      const headers = fixed ? ['content-length', String(this.left.length)] : [];
      stream.sendHead(new ResponseHead(200, headers), this.done);
      return;
    }
    const part = this.left.slice(0, random.uint32() % 200);
    this.left = this.left.slice(part.length);
    this.sent += part;
    const end = this.left === '';
    if (end) this.done = true;
    stream.sendData(Buffer.from(part, 'latin1'), end);
  }
}

/** Reads `written` as a client would that sent `messages`; returns what is wrong. */
function readBack(
  written: string,
  messages: readonly Message[],
  answers: readonly Answering[],
): string | undefined {
  let rest = written;
  for (let i = 0; i < answers.length; i++) {
    const answer = answers[i];
    if (answer?.done !== true) return undefined;
    const h = new H1ClientHarness();
    const { received } = h.request(messages[i]?.method);
    // Byte by byte, to see where this response ends.
    let at = 0;
    while (at < rest.length && !received.ended && received.reset === undefined)
      h.connection.feed(rest[at++] ?? '');
    if (!received.ended) return `answer ${i} does not end: ${received.reset?.kind}`;
    const expected = messages[i]?.method === 'HEAD' ? '' : answer.sent;
    if (received.body !== expected) return `answer ${i} has another body`;
    rest = rest.slice(at);
  }
  return rest === '' ? undefined : 'bytes behind the last answer';
}

async function runServer(random: Random): Promise<string | undefined> {
  const messages = Array.from({ length: 1 + (random.uint32() % 5) }, (_, i) => request(i, random));
  let input = messages.map((m) => m.raw).join('');
  const h = new H1ServerHarness();
  const answers: Answering[] = [];
  let drained = false;
  for (let step = 0; step < 2000; step++) {
    while (answers.length < h.exchanges.length)
      answers.push(new Answering(h.exchanges[answers.length] ?? h.last));
    const current = answers.at(-1);
    const action = random.uint32() % 100;
    if (action < 40 && input !== '') {
      const size = 1 + (random.uint32() % 120);
      h.connection.feed(input.slice(0, size));
      input = input.slice(size);
    } else if (action < 85) current?.step(random);
    else if (action < 88) h.connection.full = true;
    else if (action < 95) {
      if (h.connection.full) h.connection.drain();
    } else if (action < 97) await endOfTurn();
    else if (action === 97 && step > 100) {
      h.codec.drain();
      drained = true;
    } else if (action === 98 && random.uint32() % 20 === 0) {
      h.connection.feedEnd();
      if (!h.connection.closing) h.connection.close();
      break;
    } else if (action === 99 && random.uint32() % 20 === 0 && current !== undefined && !current.done) {
      current.x.stream.reset(CANCELLED);
      if (!h.connection.closing) return 'a reset left the connection open';
      current.done = false;
      break;
    }
    if (h.connection.closing) break;
    if (input === '' && answers.length === messages.length && current?.done && current.x.received.ended)
      break;
  }
  if (h.connection.full) h.connection.drain();
  for (let i = 0; i < h.exchanges.length; i++) {
    const { received } = h.exchanges[i] ?? h.last;
    if (received.bad !== undefined) return `valid request ${i} refused: ${received.bad}`;
    if (received.head?.path !== `/${i}`) return `request ${i} is ${received.head?.path}`;
    const body = messages[i]?.body ?? '';
    if (received.ended ? received.body !== body : !body.startsWith(received.body)) return `body ${i} differs`;
  }
  const open = !h.connection.closing;
  const over = answers.at(-1)?.done === true && h.last.received.ended;
  if (open && over && input === '' && h.connection.pauses !== 0)
    return `${h.connection.pauses} pauses are left`;
  if (open && over && drained) return 'drained, but still open';
  return readBack(h.connection.written, messages, answers);
}

t.test(`server: ${RUNS} conversations`, async (t) => {
  const random = createRandom(SEED);
  for (let i = 0; i < RUNS; i++) {
    const problem = await runServer(random).catch((error: unknown) => String((error as Error).stack));
    if (problem === undefined) continue;
    t.fail(`run ${i}: ${problem}`);
    return;
  }
  t.pass('no difference');
});

async function runClient(random: Random): Promise<string | undefined> {
  const h = new H1ClientHarness();
  for (let round = 0; round < 4; round++) {
    if (!h.codec.available) return undefined;
    const body = text(random, 30);
    const answer = text(random, 30);
    const post = random.uint32() % 2 === 0;
    const framed = random.uint32() % 2 === 0;
    const raw = framed
      ? `HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`
      : `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(answer, random)}`;
    const { stream, received } = h.request(post ? 'POST' : 'GET', !post);
    let input = raw;
    let out = post ? body : '';
    let sentEnd = !post;
    let paused = 0;
    let early = false;
    for (let step = 0; step < 1000; step++) {
      const action = random.uint32() % 100;
      if (action < 45 && input !== '' && (sentEnd || random.uint32() % 50 === 0)) {
        const size = 1 + (random.uint32() % 120);
        h.connection.feed(input.slice(0, size));
        input = input.slice(size);
      } else if (action < 80 && !sentEnd) {
        const part = out.slice(0, random.uint32() % 100);
        out = out.slice(part.length);
        sentEnd = out === '';
        stream.sendData(Buffer.from(part, 'latin1'), sentEnd);
      } else if (action < 85) {
        stream.pause();
        paused++;
      } else if (action < 95 && paused > 0) {
        stream.resume();
        paused--;
      } else if (action === 96) h.connection.full = true;
      else if (action === 97) h.connection.drain();
      else if (action === 98) await endOfTurn();
      else if (action === 99 && random.uint32() % 30 === 0) {
        stream.reset(CANCELLED);
        if (!h.connection.destroyed && !received.ended) return 'a reset left the connection open';
        return h.codec.available && !received.ended ? 'available after a reset' : undefined;
      }
      if (!sentEnd && received.ended) early = true;
      if (received.reset !== undefined) return `valid response refused: ${received.reset.details}`;
      if (received.ended && sentEnd) break;
    }
    for (; paused > 0; paused--) stream.resume();
    if (!received.ended) return undefined;
    if (received.body !== answer) return 'the body differs';
    if (early && h.codec.available) return 'available after an early response';
    if (!early && sentEnd && !h.codec.available) return 'not available after a clean exchange';
    if (h.connection.pauses !== 0) return `${h.connection.pauses} pauses are left`;
    if (h.connection.full) h.connection.drain();
  }
  return undefined;
}

t.test(`client: ${RUNS} conversations`, async (t) => {
  const random = createRandom(SEED + 1);
  for (let i = 0; i < RUNS; i++) {
    const problem = await runClient(random).catch((error: unknown) => String((error as Error).stack));
    if (problem === undefined) continue;
    t.fail(`run ${i}: ${problem}`);
    return;
  }
  t.pass('no difference');
});
