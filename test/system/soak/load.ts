import http2 from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Random } from '../../../src/core/random.ts';
import { dialWire, type WirePeer } from '../../support/wire-peer.ts';
import { below, bodyOf, planRequest, type RequestPlan } from './plan.ts';

/** How a request ended for its client. */
export interface Outcome {
  /** 0: no head came. */
  readonly status: number;
  readonly end: 'complete' | 'cut' | 'left' | 'untaken';
  /** `untaken`: the request before it on its connection, which was closed without a byte of an answer. */
  readonly behind?: number;
}

/** What the clients saw, by the request's id. */
export interface Book {
  readonly outcomes: Map<number, Outcome>;
  readonly problems: string[];
  nextId: number;
  over: boolean;
}

const ANSWER_MS = 15_000;

/** Answers of hosts and of the proxy itself; anything else came from nowhere. */
const STATUSES = new Set([200, 408, 413, 418, 500, 502, 503, 504]);

/** What is wrong with a complete answer. */
function fault(
  plan: RequestPlan,
  status: number,
  sum: string | undefined,
  id: string | undefined,
  body: Buffer,
) {
  if (!STATUSES.has(status)) return `status ${status}`;
  if (status !== 200) return undefined;
  if (id !== String(plan.id)) return `the answer of request ${id}`;
  if (sum !== String(crc32(plan.body))) return 'another request body';
  const whole = plan.method === 'HEAD' ? Buffer.alloc(0) : bodyOf(plan.offset, plan.size);
  if (!body.equals(whole)) return `another response body: ${body.length} of ${whole.length} bytes`;
  return undefined;
}

function note(book: Book, plan: RequestPlan, outcome: Outcome, problem?: string): void {
  if (book.outcomes.has(plan.id)) book.problems.push(`request ${plan.id} ended twice`);
  book.outcomes.set(plan.id, outcome);
  if (problem !== undefined && book.problems.length < 200)
    book.problems.push(`${plan.id} ${plan.method} ${plan.path} (${plan.body.length} sent): ${problem}`);
}

// --- HTTP/1 -------------------------------------------------------------------------------------------------

/** One connection after another, each with up to 20 requests, until `book.over`. */
export async function h1Client(port: number, random: Random, book: Book): Promise<void> {
  while (!book.over) {
    const peer = await dialWire(port);
    try {
      let left = 1 + below(random, 20);
      let before = 0;
      while (left-- > 0 && !book.over) {
        await sleep(below(random, 40));
        // It may have been closed while it was idle.
        if (peer.ending !== 'open') break;
        const plan = planRequest(random, book.nextId++);
        if (!(await exchange1(peer, plan, book, before))) break;
        before = plan.id;
      }
    } finally {
      peer.socket.destroy();
    }
  }
}

function head1(plan: RequestPlan): string {
  const { body } = plan;
  const chunked = plan.method === 'PUT';
  const framing =
    body.length === 0 && !chunked
      ? ''
      : chunked
        ? 'transfer-encoding: chunked\r\n'
        : `content-length: ${body.length}\r\n`;
  const expect = body.length > 2000 && plan.id % 4 === 0 ? 'expect: 100-continue\r\n' : '';
  return `${plan.method} ${plan.path} HTTP/1.1\r\nhost: soak\r\nx-id: ${plan.id}\r\n${framing}${expect}\r\n`;
}

function send1(peer: WirePeer, plan: RequestPlan, part: 'whole' | 'half'): void {
  const { body } = plan;
  peer.send(head1(plan));
  const piece = part === 'half' ? body.subarray(0, body.length / 2) : body;
  if (plan.method !== 'PUT') peer.send(piece);
  else {
    if (piece.length > 0) {
      peer.send(`${piece.length.toString(16)}\r\n`);
      peer.send(piece);
      peer.send('\r\n');
    }
    if (part === 'whole') peer.send('0\r\n\r\n');
  }
}

/** False when the connection is over. */
async function exchange1(peer: WirePeer, plan: RequestPlan, book: Book, before: number): Promise<boolean> {
  send1(peer, plan, plan.leaves === 'in the body' ? 'half' : 'whole');
  if (plan.leaves !== 'no') {
    await sleep(plan.leaves === 'at once' ? 0 : plan.leavesAfterMs);
    if (plan.id % 2 === 0) peer.reset();
    note(book, plan, { status: 0, end: 'left' });
    return false;
  }
  if (plan.lagMs > 0) {
    peer.socket.pause();
    await sleep(plan.lagMs);
    peer.socket.resume();
  }
  let status = 0;
  try {
    for (;;) {
      const seen = await peer.until(
        'a head',
        () => (peer.received.includes('\r\n\r\n') ? peer.received.subarray(0, 12) : undefined),
        ANSWER_MS,
      );
      status = Number(seen.toString('latin1').split(' ')[1]);
      const answer = await peer.message({ head: plan.method === 'HEAD', timeoutMs: ANSWER_MS });
      if (status >= 100 && status < 200) continue;
      const { headers } = answer;
      const surplus = peer.length > 0 ? `${peer.length} bytes behind the answer` : undefined;
      const problem = fault(plan, status, headers['x-sum'], headers['x-id'], answer.body) ?? surplus;
      note(book, plan, { status, end: 'complete' }, problem);
      return headers.connection !== 'close' && problem === undefined;
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (status === 0 && before > 0 && peer.length === 0 && !text.startsWith('timeout')) {
      note(book, plan, { status: 0, end: 'untaken', behind: before });
      return false;
    }
    const problem = text.startsWith('timeout') ? text : status < 200 ? `no answer: ${text}` : undefined;
    note(book, plan, { status: status < 200 ? 0 : status, end: 'cut' }, problem);
    return false;
  }
}

// --- HTTP/2 -------------------------------------------------------------------------------------------------

/** One session after another, each with `lanes` requests at a time, until `book.over`. */
export async function h2Client(port: number, random: Random, lanes: number, book: Book): Promise<void> {
  while (!book.over) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {
      // Its streams say what became of them.
    });
    let left = 50 + below(random, 300);
    const lane = async (): Promise<void> => {
      while (left-- > 0 && !book.over && !session.closed && !session.destroyed) {
        await sleep(below(random, 40));
        if (session.closed || session.destroyed) return;
        await exchange2(session, planRequest(random, book.nextId++), book);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    if (below(random, 3) === 0) session.destroy();
    else session.close();
  }
}

function exchange2(session: http2.ClientHttp2Session, plan: RequestPlan, book: Book): Promise<void> {
  return new Promise((resolve) => {
    const withBody = plan.method === 'POST' || plan.method === 'PUT';
    const headers = { ':method': plan.method, ':path': plan.path, 'x-id': String(plan.id) };
    const stream = session.request(headers, { endStream: !withBody });
    const parts: Buffer[] = [];
    let answer: http2.IncomingHttpHeaders | undefined;
    let ended = false;
    let left = false;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }, ANSWER_MS);
    stream.on('error', () => {
      // `close` follows.
    });
    stream.on('response', (got) => {
      answer = got;
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      ended = true;
    });
    stream.on('close', () => {
      clearTimeout(timer);
      const status = Number(answer?.[':status'] ?? 0);
      if (left) note(book, plan, { status, end: 'left' });
      else if (late) note(book, plan, { status, end: 'cut' }, 'timeout');
      else if (ended && status > 0 && stream.rstCode === 0) {
        const text = (name: string): string | undefined => answer?.[name]?.toString();
        const problem = fault(plan, status, text('x-sum'), text('x-id'), Buffer.concat(parts));
        note(book, plan, { status, end: 'complete' }, problem);
      } else {
        const problem = status === 0 ? `no answer: reset with ${stream.rstCode}` : undefined;
        note(book, plan, { status, end: 'cut' }, problem);
      }
      resolve();
    });
    if (withBody && plan.leaves !== 'in the body') stream.end(plan.body);
    else if (withBody) stream.write(plan.body.subarray(0, plan.body.length / 2));
    if (plan.lagMs > 0) {
      stream.pause();
      setTimeout(() => stream.resume(), plan.lagMs);
    }
    if (plan.leaves === 'no') return;
    setTimeout(
      () => {
        left = !stream.closed && !ended;
        if (left) stream.close(http2.constants.NGHTTP2_CANCEL);
      },
      plan.leaves === 'at once' ? 0 : plan.leavesAfterMs,
    );
  });
}
