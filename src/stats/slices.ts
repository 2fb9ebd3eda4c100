import { setImmediate } from 'node:timers/promises';

/** How long the control thread renders before it lets other work through. */
const SLICE_MS = 5;
/** Pieces are gathered to chunks of about this many characters. */
const CHUNK_LENGTH = 32_768;

/** Gathers text to chunks, and lets other work of the thread through between them. */
export class Gathered {
  #text = '';
  #since = performance.now();

  get full(): boolean {
    return this.#text.length >= CHUNK_LENGTH || this.#late;
  }

  get #late(): boolean {
    return performance.now() - this.#since >= SLICE_MS;
  }

  add(text: string): void {
    this.#text += text;
  }

  async *take(): AsyncGenerator<string> {
    if (this.#text !== '') yield this.#text;
    this.#text = '';
    if (!this.#late) return;
    await setImmediate();
    this.#since = performance.now();
  }
}

/**
 * Gathers pieces of text into chunks and yields to the event loop every 5 ms, so that a scrape of many thousand
 * series does not hold up the thread.
 */
export async function* inSlices(pieces: Iterable<string>): AsyncGenerator<string> {
  const out = new Gathered();
  for (const piece of pieces) {
    out.add(piece);
    if (out.full) yield* out.take();
  }
  yield* out.take();
}
