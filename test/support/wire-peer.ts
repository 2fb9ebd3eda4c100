import { connect, createServer, type Server, type Socket } from 'node:net';

/** One HTTP/1 message as it was on the wire; header names in lower case. */
export interface WireMessage {
  readonly start: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
}

/** How a connection ended: FIN (`end`), RST (`reset`), or not yet (`open`). */
export type Ending = 'open' | 'end' | 'reset';

const EMPTY = Buffer.alloc(0);

/**
 * A socket that is read on demand and written byte by byte as a test says: client or backend, HTTP or not. Every
 * wait has a limit, so that a hang is a failure with words.
 */
export class WirePeer {
  readonly socket: Socket;
  ending: Ending = 'open';
  /** Both directions are over. */
  closed = false;
  /** Bytes in `received`, without putting them together. */
  length = 0;
  #bytes: Buffer = EMPTY;
  #chunks: Buffer[] = [];
  /** Who waits for the next event. */
  #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.length += chunk.length;
      this.#wake();
    });
    socket.on('end', () => {
      if (this.ending === 'open') this.ending = 'end';
      this.#wake();
    });
    socket.on('error', () => {
      this.ending = 'reset';
      this.#wake();
    });
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** What came and was not taken yet. */
  get received(): Buffer {
    if (this.#chunks.length > 0) {
      this.#bytes = Buffer.concat([this.#bytes, ...this.#chunks]);
      this.#chunks = [];
    }
    return this.#bytes;
  }

  /** Strings are latin1. */
  send(data: string | Buffer): void {
    if (typeof data === 'string') this.socket.write(data, 'latin1');
    else this.socket.write(data);
  }

  /** FIN. */
  end(): void {
    this.socket.end();
  }

  /** RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Resolves with the first value of `look` that is not undefined; it is asked again whenever something comes. */
  async until<T>(what: string, look: () => T | undefined, timeoutMs = 20_000): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const leftMs = deadline - performance.now();
      const over = this.closed || this.ending !== 'open';
      if (leftMs <= 0 || over) {
        const text = this.received.subarray(0, 300).toString('latin1');
        throw new Error(`${leftMs <= 0 ? 'timeout' : this.ending} before ${what}; received: ${text}`);
      }
      await this.#event(leftMs);
    }
  }

  async bytes(count: number, timeoutMs = 20_000): Promise<Buffer> {
    await this.until(`${count} bytes`, () => (this.length >= count ? true : undefined), timeoutMs);
    return this.#take(count);
  }

  /** The next message: body by content-length, by chunks, or (responses) until the end. */
  async message(
    options: { readonly head?: boolean; readonly timeoutMs?: number } = {},
  ): Promise<WireMessage> {
    const { timeoutMs } = options;
    const size = await this.until('a message head', () => headSize(this.received), timeoutMs);
    const [start = '', ...lines] = this.#take(size).toString('latin1').split('\r\n');
    const headers = fields(lines);
    const message = { start, headers, body: EMPTY, trailers: {} };
    const status = start.startsWith('HTTP/') ? Number(start.split(' ')[1]) : 0;
    if (options.head === true || (status >= 100 && status < 200) || status === 204 || status === 304)
      return message;
    if (headers['transfer-encoding'] === 'chunked')
      return { ...message, ...(await this.#chunked(timeoutMs)) };
    const length = headers['content-length'];
    if (length !== undefined) return { ...message, body: await this.bytes(Number(length), timeoutMs) };
    if (status === 0) return message;
    await this.ended(timeoutMs);
    return { ...message, body: this.#take(this.received.length) };
  }

  /** Resolves with how the other side ended the connection. */
  async ended(timeoutMs = 20_000): Promise<Ending> {
    const deadline = performance.now() + timeoutMs;
    while (this.ending === 'open' && !this.closed) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error('timeout: the connection was not ended');
      await this.#event(leftMs);
    }
    return this.ending;
  }

  async #chunked(timeoutMs?: number): Promise<Pick<WireMessage, 'body' | 'trailers'>> {
    const parts: Buffer[] = [];
    for (;;) {
      const lineEnd = await this.until('a chunk size', () => found(this.received.indexOf('\r\n')), timeoutMs);
      const size = Number.parseInt(this.#take(lineEnd + 2).toString('latin1'), 16);
      if (size === 0) break;
      parts.push((await this.bytes(size + 2, timeoutMs)).subarray(0, size));
    }
    const end = await this.until(
      'the end of the trailers',
      () => (this.received.subarray(0, 2).toString() === '\r\n' ? 2 : headSize(this.received)),
      timeoutMs,
    );
    const trailers = fields(this.#take(end).toString('latin1').split('\r\n'));
    return { body: Buffer.concat(parts), trailers };
  }

  #take(count: number): Buffer {
    const all = this.received;
    this.#bytes = all.subarray(count);
    this.length -= count;
    return all.subarray(0, count);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #event(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** A backend whose every connection a test answers by hand. */
export interface WireBackend {
  readonly port: number;
  readonly connections: WirePeer[];
  /** The next connection that was not taken yet. */
  accept(timeoutMs?: number): Promise<WirePeer>;
  close(): void;
}

/** `serve` runs for each connection, when given; else tests take them with `accept`. */
export async function startWireBackend(
  serve?: (peer: WirePeer) => Promise<void>,
  port = 0,
): Promise<WireBackend> {
  const connections: WirePeer[] = [];
  const waiting: WirePeer[] = [];
  let wake: (() => void) | null = null;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new WirePeer(socket);
    connections.push(peer);
    if (serve !== undefined) {
      serve(peer).catch(() => peer.socket.destroy());
      return;
    }
    waiting.push(peer);
    wake?.();
  });
  await listening(server, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections,
    accept: async (timeoutMs = 20_000) => {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const peer = waiting.shift();
        if (peer !== undefined) return peer;
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) throw new Error('timeout: no connection came to the backend');
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    close: () => {
      server.close();
      for (const { socket } of connections) socket.destroy();
    },
  };
}

/** Answers every request with what `answer` makes of it, until the connection ends. */
export function httpAnswers(
  answer: (request: WireMessage, peer: WirePeer) => string | Buffer | Promise<string | Buffer>,
): (peer: WirePeer) => Promise<void> {
  return async (peer) => {
    for (;;) {
      const request = await peer.message({ timeoutMs: 60_000 });
      peer.send(await answer(request, peer));
    }
  };
}

export function dialWire(port: number, host = '127.0.0.1'): Promise<WirePeer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new WirePeer(socket));
    });
  });
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

const found = (index: number): number | undefined => (index < 0 ? undefined : index);

function headSize(bytes: Buffer): number | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  return end < 0 ? undefined : end + 4;
}

function fields(lines: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    out[name] = out[name] === undefined ? value : `${out[name]}, ${value}`;
  }
  return out;
}
