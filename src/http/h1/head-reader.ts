import { HeldBytes } from '../held-bytes.ts';
import { BARE_LF } from './head-fields.ts';

const CR = 13;
const LF = 10;
/** Most heads are shorter; a longer one costs a second look. */
const FIRST_LOOK_BYTES = 4096;
/** Up to here every piece of a head is looked at: its first token must be one. */
const SHORT = 80;

export type HeadResult = 'complete' | 'incomplete' | 'malformed' | 'too-large';

/**
 * Finds heads in a byte stream. The usual head lies whole in one chunk and costs one latin1 conversion and one
 * native scan that validates it and finds its end; one in pieces is copied together first.
 */
export class HeadReader {
  /** After `read`: where the next byte is. */
  next: number;
  /**
   * After `complete`: text that begins with the head. After `malformed`: what there is. After `incomplete`
   * too, but '' when a look at it cannot tell more than the last one did.
   */
  text: string;
  /** After `complete`: length of the head in `text`. */
  end: number;
  readonly #match: (text: string) => number;
  readonly #limit: number;
  /** Empty lines before a request line are skipped (RFC 9112 §2.2), before a status line they are not. */
  readonly #skipsEmptyLines: boolean;
  #held: HeldBytes | null;

  constructor(match: (text: string) => number, limit: number, skipsEmptyLines: boolean) {
    this.next = 0;
    this.text = '';
    this.end = 0;
    this.#match = match;
    this.#limit = limit;
    this.#skipsEmptyLines = skipsEmptyLines;
    this.#held = null;
  }

  /** A head has begun and not ended. */
  get partial(): boolean {
    return this.#held !== null;
  }

  read(chunk: Buffer, at: number): HeadResult {
    if (this.#held === null) {
      let from = at;
      if (this.#skipsEmptyLines) {
        while (chunk[from] === CR && chunk[from + 1] === LF) from += 2;
        if (from === chunk.length) {
          this.next = from;
          this.text = '';
          return 'incomplete';
        }
      }
      const text = chunk.latin1Slice(from, Math.min(chunk.length, from + FIRST_LOOK_BYTES));
      const end = this.#match(text);
      if (end > 0 && end <= this.#limit) return this.#complete(text, end, from + end);
      this.#held = new HeldBytes();
      return this.#readHeld(chunk, from);
    }
    return this.#readHeld(chunk, at);
  }

  clear(): void {
    this.#held = null;
  }

  #readHeld(chunk: Buffer, at: number): HeadResult {
    const held = this.#held ?? new HeldBytes();
    if (this.#skipsEmptyLines && held.length === 1 && held.at(0) === CR && chunk[at] === LF) {
      this.#held = null;
      return at + 1 < chunk.length ? this.read(chunk, at + 1) : this.#nothing(at + 1);
    }
    const before = held.length;
    // A head over the limit is noticed with four bytes more than the limit; what follows it stays in the chunk.
    held.push(chunk, at, Math.min(chunk.length, at + Math.max(0, this.#limit + 4 - before)));
    if (this.#skipsEmptyLines && held.length === 1 && held.at(0) === CR) return this.#nothing(chunk.length);
    const found = held.indexOf('\r\n\r\n', Math.max(0, before - 3));
    if (found < 0 && held.length <= this.#limit && held.length > SHORT && held.indexOf('\n', before) < 0) {
      return this.#nothing(chunk.length);
    }
    const length = found < 0 ? held.length : found + 4;
    const text = held.text(0, length);
    if (length > this.#limit) {
      this.text = text;
      return BARE_LF.test(text.slice(0, this.#limit)) ? 'malformed' : 'too-large';
    }
    if (found < 0) {
      this.text = text;
      this.next = chunk.length;
      return 'incomplete';
    }
    this.#held = null;
    if (this.#match(text) === length) return this.#complete(text, length, at + length - before);
    this.text = text;
    return 'malformed';
  }

  #nothing(next: number): HeadResult {
    this.next = next;
    this.text = '';
    return 'incomplete';
  }

  #complete(text: string, end: number, next: number): HeadResult {
    this.text = text;
    this.end = end;
    this.next = next;
    return 'complete';
  }
}
