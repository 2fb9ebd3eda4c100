import type { Connection } from '../../net/connection.ts';

/** From here on a chunk is handed over on its own instead of being copied into the gathered text. */
const SEPARATE_BYTES = 16 * 1024;

/** Told when the connection takes no more for now; `onDrain` of the connection follows. */
export interface OutputOwner {
  onOutputFull(): void;
}

/**
 * Gathers what one connection sends in a turn into one latin1 string: `StreamBase` writes such a string from the
 * stack without allocating, which is cheaper than a Buffer for small messages. One tick per connection flushes.
 */
export class Output {
  readonly connection: Connection;
  readonly #owner: OutputOwner;
  #text: string;
  #scheduled: boolean;
  /** The last write went over the high watermark. */
  full: boolean;

  constructor(connection: Connection, owner: OutputOwner) {
    this.connection = connection;
    this.#owner = owner;
    this.#text = '';
    this.#scheduled = false;
    this.full = false;
  }

  text(text: string): void {
    this.#text += text;
  }

  data(chunk: Buffer): void {
    if (chunk.length < SEPARATE_BYTES) {
      this.#text += chunk.latin1Slice(0, chunk.length);
      if (this.#text.length >= SEPARATE_BYTES) this.flush();
      return;
    }
    this.flush();
    if (!this.connection.writeBorrowed(chunk)) this.#onFull();
  }

  chunk(chunk: Buffer): void {
    this.#text += `${chunk.length.toString(16)}\r\n`;
    this.data(chunk);
    this.#text += '\r\n';
  }

  /** Flushes at the end of this turn. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(flushScheduled, this);
  }

  flush(): void {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    if (!this.connection.write(text)) this.#onFull();
  }

  /** Forgets what was not flushed. */
  discard(): void {
    this.#text = '';
  }

  flushTick(): void {
    this.#scheduled = false;
    this.flush();
  }

  #onFull(): void {
    this.full = true;
    this.#owner.onOutputFull();
  }
}

function flushScheduled(output: Output): void {
  output.flushTick();
}
