import type { Headers, NameFormat } from '../headers.ts';
import { HeadWriter, lastChunk } from './head-writer.ts';
import type { Output } from './output.ts';

/** How the body of the current message goes out. */
type Framing =
  /** No body whatever is given: of answers to HEAD, 204, 304. */
  | 'none'
  | 'length'
  | 'chunked'
  /** To HTTP/1.0 without a length: the end of the connection is the end. */
  | 'close'
  | 'tunnel';

export interface BodyWriterOptions {
  readonly enableTrailers: boolean;
  readonly headerCase?: { readonly fallback: NameFormat | null } | null;
}

/** What encoding requests and encoding responses have in common: all that comes behind the head. */
export class BodyWriter {
  /** The end was given. */
  done: boolean;
  protected framing: Framing;
  /** Bytes that the head has promised and that have not come. */
  protected remaining: number;
  protected readonly output: Output;
  protected readonly heads: HeadWriter;
  /** Of heads that bring none. */
  protected readonly names: NameFormat | null;
  readonly #enableTrailers: boolean;

  constructor(output: Output, options: BodyWriterOptions, done: boolean) {
    this.done = done;
    this.framing = 'none';
    this.remaining = 0;
    this.output = output;
    this.heads = new HeadWriter();
    this.names = options.headerCase?.fallback ?? null;
    this.#enableTrailers = options.enableTrailers;
  }

  /** False when the chunk does not fit what the head promised. */
  data(chunk: Buffer, end: boolean): boolean {
    this.done = end;
    const size = chunk.length;
    const output = this.output;
    switch (this.framing) {
      case 'none':
        return true;
      case 'length':
        this.remaining -= size;
        if (this.remaining < 0 || (end && this.remaining > 0)) return false;
        if (size > 0) output.data(chunk);
        break;
      case 'chunked':
        if (size > 0) output.chunk(chunk);
        if (end) output.text('0\r\n\r\n');
        break;
      case 'close':
      case 'tunnel':
        if (size > 0) output.data(chunk);
        break;
      default:
        this.framing satisfies never;
    }
    if (!end) output.schedule();
    return true;
  }

  /** False when the body before them is shorter than promised. Without chunks trailers are dropped (as Envoy). */
  trailers(trailers: Headers): boolean {
    this.done = true;
    if (this.framing === 'chunked') {
      this.output.text(this.#enableTrailers ? lastChunk(trailers, this.names) : '0\r\n\r\n');
      return true;
    }
    return this.framing !== 'length' || this.remaining === 0;
  }
}
