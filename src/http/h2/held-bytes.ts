const EMPTY = Buffer.alloc(0);

/** Bytes of a frame or a header block that comes in pieces; borrowed chunks are copied here. Grows by doubling. */
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

  at(index: number): number {
    return this.#buffer[index] ?? 0;
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
