import type { Headers, NameFormat } from '../headers.ts';
import type { RequestHead } from '../stream.ts';
import { fieldLine, HeadWriter, lastChunk, upgradeLines } from './head-writer.ts';
import type { H1ClientOptions } from './options.ts';
import type { Output } from './output.ts';

/** How the body of the current request goes out. */
type Framing = 'none' | 'length' | 'chunked' | 'tunnel';

/** Encodes the requests of one connection, one after the other. Small ones leave in one write. */
export class RequestWriter {
  /** The end was given. */
  done: boolean;
  readonly #output: Output;
  readonly #enableTrailers: boolean;
  readonly #absolute: boolean;
  readonly #heads: HeadWriter;
  /** Of heads that bring none. */
  readonly #names: NameFormat | null;
  #framing: Framing;
  #remaining: number;

  constructor(output: Output, options: H1ClientOptions) {
    this.done = true;
    this.#output = output;
    this.#enableTrailers = options.enableTrailers;
    this.#heads = new HeadWriter();
    this.#absolute = options.sendFullyQualifiedUrl;
    this.#names = options.headerCase?.fallback ?? null;
    this.#framing = 'none';
    this.#remaining = 0;
  }

  start(): void {
    this.done = false;
    this.#framing = 'none';
  }

  /** The peer granted the upgrade or CONNECT: from here on bytes are bytes. */
  openTunnel(): void {
    this.#framing = 'tunnel';
  }

  head(head: RequestHead, end: boolean): void {
    this.done = end;
    const method = head.method;
    const connect = method === 'CONNECT';
    let target = connect ? head.authority : head.path;
    if (this.#absolute && !connect) target = `${head.scheme}://${head.authority}${target}`;
    const names = head.names ?? this.#names;
    const fields = this.#heads.fields(head.headers, !connect, names);
    const host = names === null ? 'host' : names.format('host');
    let out = `${method} ${target} HTTP/1.1\r\n${host}: ${head.authority}\r\n${fields}`;
    const length = this.#heads.contentLength;
    if (connect) this.#framing = 'tunnel';
    else if (head.upgrade !== '') {
      out += upgradeLines(head, names);
      this.#framing = 'tunnel';
    } else if (length >= 0) {
      this.#framing = 'length';
      this.#remaining = length;
    } else if (!end) {
      out += fieldLine('transfer-encoding', 'chunked', names);
      this.#framing = 'chunked';
    } else if (expectsBody(method)) out += fieldLine('content-length', '0', names);
    this.#output.text(`${out}\r\n`);
    if (!end) this.#output.schedule();
  }

  /** A head ended a body whose length was promised as more than nothing. */
  get cutShort(): boolean {
    return this.done && this.#framing === 'length' && this.#remaining > 0;
  }

  /** False when the chunk does not fit what the head promised. */
  data(chunk: Buffer, end: boolean): boolean {
    this.done = end;
    const size = chunk.length;
    const output = this.#output;
    switch (this.#framing) {
      case 'none':
        return true;
      case 'length':
        this.#remaining -= size;
        if (this.#remaining < 0 || (end && this.#remaining > 0)) return false;
        if (size > 0) output.data(chunk);
        break;
      case 'chunked':
        if (size > 0) output.chunk(chunk);
        if (end) output.text('0\r\n\r\n');
        break;
      case 'tunnel':
        if (size > 0) output.data(chunk);
        break;
      default:
        this.#framing satisfies never;
    }
    if (!end) output.schedule();
    return true;
  }

  /** False when the body before them is shorter than promised. Without chunks trailers are dropped (as Envoy). */
  trailers(trailers: Headers): boolean {
    this.done = true;
    if (this.#framing === 'chunked') {
      this.#output.text(this.#enableTrailers ? lastChunk(trailers, this.#names) : '0\r\n\r\n');
      return true;
    }
    return this.#framing !== 'length' || this.#remaining === 0;
  }
}

/** Envoy says `content-length: 0` for every method but those whose requests seldom have a body. */
function expectsBody(method: string): boolean {
  return (
    method !== 'GET' && method !== 'HEAD' && method !== 'DELETE' && method !== 'TRACE' && method !== 'CONNECT'
  );
}
