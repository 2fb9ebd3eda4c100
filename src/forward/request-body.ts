import type { Headers } from '../http/headers.ts';
import { appendCopy } from '../http/held-bytes.ts';
import type { ClientStream } from '../http/stream.ts';

/** What came of a request's body: kept while there is no connection yet, or for another attempt. */
export class RequestBody {
  /** Of all chunks. */
  bytes: number;
  trailers: Headers | null;
  readonly #chunks: Buffer[];

  constructor() {
    this.bytes = 0;
    this.trailers = null;
    this.#chunks = [];
  }

  /** The chunk is borrowed. */
  add(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.bytes += chunk.length;
    appendCopy(this.#chunks, chunk, 0, chunk.length);
  }

  /** `ended`: nothing more will come. */
  sendTo(stream: ClientStream, ended: boolean): void {
    const { trailers } = this;
    const last = this.#chunks.length - 1;
    for (let i = 0; i <= last; i++) {
      stream.sendData(this.#chunks[i] ?? EMPTY, i === last && ended && trailers === null);
    }
    if (trailers !== null) stream.sendTrailers(trailers);
    else if (last < 0 && ended) stream.sendData(EMPTY, true);
  }
}

const EMPTY = Buffer.alloc(0);
