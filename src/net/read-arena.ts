import { TurnClock } from '../core/clock.ts';

/**
 * Where sockets read into. Most connections of a thread share one buffer: what arrives is used up before the
 * next read, so ten thousand idle connections need no memory for reading, and no read allocates.
 *
 * A connection that fills the shared buffer gets one of its own: its chunks can then be written to another
 * socket without a copy. Bytes that the kernel does not take at once keep the buffer in flight, and the reader
 * goes on with a fresh one.
 */
export const READ_BYTES = 64 * 1024;
const SPARE_BUFFERS = 16;

export class ReadBuffer {
  readonly bytes: Buffer;
  /** Writes from this buffer that the kernel has not taken yet. */
  inFlight = 0;
  /** A reader uses it (or everybody, for the shared one). */
  owned = true;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** The read buffers of one thread, and its clock, which stands still while a read is handled. */
export class ReadArena {
  readonly clock: TurnClock;
  readonly shared = new ReadBuffer(Buffer.allocUnsafeSlow(READ_BYTES));
  /** The buffer whose chunk is being handled right now. */
  current: ReadBuffer = this.shared;
  readonly #spare: ReadBuffer[] = [];

  constructor(clock: TurnClock = new TurnClock()) {
    this.clock = clock;
  }

  take(): ReadBuffer {
    const buffer = this.#spare.pop() ?? new ReadBuffer(Buffer.allocUnsafeSlow(READ_BYTES));
    buffer.owned = true;
    return buffer;
  }

  /** The reader is done with it; it is used again once nothing of it is in flight. */
  release(buffer: ReadBuffer): void {
    if (buffer === this.shared) return;
    buffer.owned = false;
    this.#keep(buffer);
  }

  /** A write from it was taken by the kernel, or failed. */
  landed(buffer: ReadBuffer): void {
    buffer.inFlight--;
    if (!buffer.owned) this.#keep(buffer);
  }

  #keep(buffer: ReadBuffer): void {
    if (buffer.inFlight === 0 && this.#spare.length < SPARE_BUFFERS) this.#spare.push(buffer);
  }
}
