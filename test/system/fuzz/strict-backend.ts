import { createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../../../src/core/random.ts';

/**
 * A backend that believes nothing: whatever is not one well-formed request after the other is a failure of the
 * proxy before it. Every answer names the request that it is for.
 */
export class StrictBackend {
  /** Requests that arrived whole and were answered. */
  seen = 0;
  /** Those whose answer did not reach a client, by number; clients take them out. */
  readonly unanswered = new Map<number, string>();
  readonly faults: string[] = [];
  readonly #server: Server;
  readonly #random: Random;
  readonly #sockets = new Set<Socket>();

  constructor(random: Random) {
    this.#random = random;
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', 1024, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    let text = '';
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {
      // The proxy gives up upstream connections by RST.
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.latin1Slice(0, chunk.length);
      for (;;) {
        const length = requestLength(text);
        if (length === 0) return;
        if (typeof length === 'string') {
          this.faults.push(`${length}: ${JSON.stringify(text.slice(0, 400))}`);
          socket.destroy();
          return;
        }
        socket.write(this.#answer(text), 'latin1');
        text = text.slice(length);
        // One at a time: the proxy waits for the answer before it sends the next.
        if (text !== '') this.faults.push(`bytes behind a request: ${JSON.stringify(text.slice(0, 200))}`);
      }
    });
  }

  #answer(request: string): string {
    this.seen++;
    const tag = /\r\nx-tag: ([^\r]*)\r\n/.exec(request)?.[1] ?? '-';
    this.unanswered.set(this.seen, request);
    const body = `${this.seen} ${'.'.repeat(this.#random.uint32() % 300)}`;
    const head = `HTTP/1.1 200 OK\r\nx-seen: ${this.seen}\r\nx-echo: ${tag}\r\n`;
    if (this.#random.uint32() % 2 === 0) return `${head}content-length: ${body.length}\r\n\r\n${body}`;
    return `${head}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  }
}

const START = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP\/1\.1$/;
const FIELD =
  /^[!#$%&'*+.^_`|~0-9a-z-]+: ?(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Length of the request that `text` begins with, 0 when more must come, or what is wrong. */
function requestLength(text: string): number | string {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return 0;
  const lines = text.slice(0, headEnd).split('\r\n');
  if (!START.test(lines[0] ?? '')) return 'request line';
  let length: string | undefined;
  let chunked = false;
  let hosts = 0;
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] ?? '';
    if (!FIELD.test(line)) return `field '${line}'`;
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).trim();
    switch (line.slice(0, colon)) {
      case 'host':
        hosts++;
        break;
      case 'content-length':
        if (length !== undefined || !/^\d{1,15}$/.test(value)) return 'content-length';
        length = value;
        break;
      case 'transfer-encoding':
        if (chunked || value !== 'chunked') return 'transfer-encoding';
        chunked = true;
        break;
      case 'upgrade':
      case 'connection':
        return 'a field for one hop';
      default:
    }
  }
  if (hosts !== 1) return `${hosts} hosts`;
  if (chunked && length !== undefined) return 'content-length and transfer-encoding';
  const from = headEnd + 4;
  if (chunked) return chunkedEnd(text, from);
  const end = from + Number(length ?? 0);
  return text.length >= end ? end : 0;
}

function chunkedEnd(text: string, from: number): number | string {
  for (let at = from; ; ) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return 0;
    const line = text.slice(at, lineEnd);
    if (!/^[0-9a-f]{1,8}$/.test(line)) return `chunk size '${line.slice(0, 40)}'`;
    const size = Number.parseInt(line, 16);
    at = lineEnd + 2 + size;
    if (text.length < at + 2) return 0;
    if (!text.startsWith('\r\n', at)) return 'end of a chunk';
    at += 2;
    if (size === 0) return at;
  }
}
