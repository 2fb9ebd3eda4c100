declare global {
  interface Buffer {
    /** `toString('latin1', …)` without the look-up of the encoding; public in Node, absent from its types. */
    latin1Slice(start: number, end: number): string;
  }
}

const EMPTY = Buffer.alloc(0);

/** Bytes of a head, a frame or a header block that comes in pieces; borrowed chunks are copied here. Grows by doubling. */
export class HeldBytes {
  #buffer: Buffer = EMPTY;
  length = 0;

  push(chunk: Buffer, from: number, to: number): void {
    const needed = this.length + to - from;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(256, this.#buffer.length * 2, needed));
      this.#buffer.copy(grown, 0, 0, this.length);
      this.#buffer = grown;
    }
    chunk.copy(this.#buffer, this.length, from, to);
    this.length = needed;
  }

  /** The byte at `index`, −1 beyond the end. */
  at(index: number): number {
    return index < this.length ? (this.#buffer[index] ?? -1) : -1;
  }

  /** Index of `text` at or after `from`, −1 when it is not there. */
  indexOf(text: string, from: number): number {
    const i = this.#buffer.indexOf(text, from, 'latin1');
    return i < 0 || i + text.length > this.length ? -1 : i;
  }

  text(from: number, to: number): string {
    return this.#buffer.latin1Slice(from, Math.min(to, this.length));
  }

  /** The bytes; after `clear` they belong to the caller. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
    this.#buffer = EMPTY;
  }
}

/** So many pieces stand alone. */
const FEW = 8;
const SMALL = 512;
const BLOCK = 2048;

/**
 * Copies a borrowed piece to the end of `list`. Many small ones share blocks: a Buffer of one byte takes a hundred, and
 * how bytes are cut is the peer's choice.
 */
export function appendCopy(list: Buffer[], chunk: Buffer, from: number, to: number): void {
  const size = to - from;
  if (list.length < FEW || size >= SMALL) {
    list.push(Buffer.from(chunk.subarray(from, to)));
    return;
  }
  const last = list.at(-1);
  // Nobody but this function makes buffers of just that kind.
  const isBlock = last !== undefined && last.byteOffset === 0 && last.buffer.byteLength === BLOCK;
  if (isBlock && last.length + size <= BLOCK) {
    chunk.copy(Buffer.from(last.buffer, last.length, size), 0, from, to);
    list[list.length - 1] = Buffer.from(last.buffer, 0, last.length + size);
    return;
  }
  const block = Buffer.allocUnsafeSlow(BLOCK);
  chunk.copy(block, 0, from, to);
  list.push(block.subarray(0, size));
}
