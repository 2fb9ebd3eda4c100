import { connect, type Socket } from 'node:net';
import type { Random } from '../../../src/core/random.ts';
import { mutate, validRequest } from './mutation.ts';

/** What one connection found out. */
export interface Outcome {
  /** Requests sent, valid or not. */
  readonly sent: number;
  /** Answers that came from the backend. */
  readonly answered: number;
  /** Answers that the proxy gave itself, by status. */
  readonly local: readonly number[];
  readonly fault: string | undefined;
  /** The client ended its side because nothing came: requests that were on their way then are given up. */
  readonly gaveUp: boolean;
}

/**
 * Nothing came between so many checks: what is missing will not come, the client ends its side. Counted and not
 * timed, because after a pause of the whole machine the bytes are there, only not read yet.
 */
const SILENT_CHECKS = 5;
/** So long may the proxy take to close after that. */
const CLOSE_MS = 10_000;

/**
 * One connection: some requests, a third of them damaged, at once or in pieces, then one that says close. It ends
 * when the proxy closes, which it has to do. Answers must be whole, in order and for this connection.
 */
export class Conversation {
  readonly #id: number;
  readonly #socket: Socket;
  readonly #done: (outcome: Outcome) => void;
  readonly #onAnswer: (seen: number) => void;
  readonly #sent: number;
  readonly #local: number[] = [];
  #answered = 0;
  #lastIndex = -1;
  #text = '';
  #fault: string | undefined;
  #lastMs = performance.now();
  /** Since something came. */
  #checks = 0;
  #ended = false;

  /** `onAnswer` is told the backend's number of each of its answers. */
  constructor(
    id: number,
    port: number,
    random: Random,
    onAnswer: (seen: number) => void,
    done: (outcome: Outcome) => void,
  ) {
    this.#id = id;
    this.#onAnswer = onAnswer;
    this.#done = done;
    const requests: string[] = [];
    for (let left = 1 + (random.uint32() % 7); left > 0; left--) {
      const request = validRequest(tag(id, requests.length), random);
      requests.push(random.uint32() % 3 !== 0 ? request : mutate(request, random));
    }
    requests.push(
      `GET /last HTTP/1.1\r\nHost: a\r\nx-tag: ${tag(id, requests.length)}\r\nConnection: close\r\n\r\n`,
    );
    this.#sent = requests.length;
    // Many source addresses, so that the ports of one do not run out while closed connections linger.
    const localAddress = `127.0.0.${2 + (id % 250)}`;
    this.#socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true, noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('end', () => this.#socket.end());
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      // What is still sent to a closed connection is answered by RST.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') this.#fault ??= `client: ${error.message}`;
    });
    this.#socket.on('close', () => this.#finish());
    this.#send(requests.join(''), random);
  }

  /** Called every 50 ms by the owner, cheaper than a timer each. */
  check(nowMs: number): void {
    this.#checks++;
    if (nowMs - this.#lastMs > CLOSE_MS && this.#checks > 10 * SILENT_CHECKS) {
      this.#fault ??= `hangs; unread: ${JSON.stringify(this.#text.slice(0, 200))}`;
      this.#socket.destroy();
    } else if (this.#checks > SILENT_CHECKS && !this.#ended) {
      this.#ended = true;
      this.#socket.end();
    }
  }

  #send(text: string, random: Random): void {
    if (random.uint32() % 4 !== 0) {
      this.#socket.write(text, 'latin1');
      return;
    }
    const cut = random.uint32() % text.length;
    this.#socket.write(text.slice(0, cut), 'latin1');
    setImmediate(() => {
      if (this.#socket.writable) this.#socket.write(text.slice(cut), 'latin1');
    });
  }

  #read(chunk: Buffer): void {
    this.#lastMs = performance.now();
    this.#checks = 0;
    this.#text += chunk.latin1Slice(0, chunk.length);
    for (;;) {
      const headEnd = this.#text.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const head = this.#text.slice(0, headEnd + 2);
      const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(head)?.[1] ?? 0);
      if (status === 0) this.#fault ??= `not an answer: ${JSON.stringify(head.slice(0, 200))}`;
      const interim = status < 200;
      const end = interim ? headEnd + 4 : bodyEnd(this.#text, head, headEnd + 4);
      if (end === 0) return;
      if (!interim) this.#judge(status, head, this.#text.slice(headEnd + 4, end));
      this.#text = this.#text.slice(end);
    }
  }

  #judge(status: number, head: string, body: string): void {
    const seen = /\r\nx-seen: (\d+)\r\n/.exec(head)?.[1];
    if (seen === undefined) {
      this.#local.push(status);
      return;
    }
    this.#answered++;
    this.#onAnswer(Number(seen));
    if (!body.includes(`${seen} .`) && !body.includes(`${seen} \r\n`) && body !== `${seen} `)
      this.#fault ??= `answer ${seen} has another's body: ${JSON.stringify(body.slice(0, 80))}`;
    const echo = parseTag(/\r\nx-echo: ([^\r]*)\r\n/.exec(head)?.[1] ?? '');
    // A tag that was damaged says nothing; a whole one belongs to this connection, in order.
    if (echo === undefined) return;
    if (echo.id !== this.#id) this.#fault ??= `got the answer of connection ${echo.id}`;
    if (echo.index < this.#lastIndex) this.#fault ??= 'answers out of order';
    this.#lastIndex = echo.index;
  }

  #finish(): void {
    if (this.#text !== '') this.#fault ??= `cut short: ${JSON.stringify(this.#text.slice(0, 200))}`;
    this.#done({
      sent: this.#sent,
      answered: this.#answered,
      local: this.#local,
      fault: this.#fault,
      gaveUp: this.#ended,
    });
  }
}

function checksum(text: string): number {
  let sum = 7;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) % 99_991;
  return sum;
}

function tag(id: number, index: number): string {
  return `${id}-${index}-${checksum(`${id}-${index}`)}`;
}

/** Undefined of a tag that was damaged. */
export function parseTag(text: string): { readonly id: number; readonly index: number } | undefined {
  const match = /^(\d+)-(\d+)-(\d+)$/.exec(text);
  if (match === null || checksum(`${match[1]}-${match[2]}`) !== Number(match[3])) return undefined;
  return { id: Number(match[1]), index: Number(match[2]) };
}

/** Where the body ends, 0 when more must come. */
function bodyEnd(text: string, head: string, from: number): number {
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1];
  if (length !== undefined) return text.length >= from + Number(length) ? from + Number(length) : 0;
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return from;
  for (let at = from; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return 0;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2 + size + 2;
    if (text.length < at) return 0;
    if (size === 0) return at;
  }
}
