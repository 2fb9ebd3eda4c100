import { setImmediate } from 'node:timers/promises';

/** How long the control thread renders before it lets other work through. */
const SLICE_MS = 5;
/** Pieces are gathered to chunks of about this many characters. */
const CHUNK_LENGTH = 32_768;

/**
 * Gathers pieces of text into chunks and yields to the event loop every 5 ms, so that a scrape of many thousand
 * series does not hold up the thread.
 */
export async function* inSlices(pieces: Iterable<string>): AsyncGenerator<string> {
  let chunk = '';
  let started = performance.now();
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length >= CHUNK_LENGTH) {
      yield chunk;
      chunk = '';
    }
    if (performance.now() - started < SLICE_MS) continue;
    await setImmediate();
    started = performance.now();
  }
  if (chunk !== '') yield chunk;
}
