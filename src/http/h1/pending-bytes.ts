import type { Connection } from '../../net/connection.ts';

/**
 * Bytes that came before their turn (pipelined requests, data for a tunnel that is not granted yet). Reading is
 * paused while there are any, so there is never much more than one read of them.
 */
export class PendingBytes {
  readonly #connection: Connection;
  #bytes: Buffer | null;
  #paused: boolean;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#bytes = null;
    this.#paused = false;
  }

  get empty(): boolean {
    return this.#bytes === null;
  }

  /** Keeps `chunk` from `at`: as it is when it came from `take`, else a copy, because it is borrowed. */
  hold(chunk: Buffer, at: number, owned: boolean): void {
    const rest = chunk.subarray(at);
    if (this.#bytes !== null) this.#bytes = Buffer.concat([this.#bytes, rest]);
    else if (owned) this.#bytes = rest;
    else this.#bytes = Buffer.from(rest);
    if (this.#paused) return;
    this.#paused = true;
    this.#connection.pause();
  }

  /** Gives the bytes away; `settle` must follow once they were used or held again. */
  take(): Buffer | null {
    const bytes = this.#bytes;
    this.#bytes = null;
    return bytes;
  }

  /** After `take`: reading goes on unless bytes were held again. */
  settle(): void {
    if (this.#bytes !== null || !this.#paused) return;
    this.#paused = false;
    this.#connection.resume();
  }

  drop(): void {
    this.#bytes = null;
    this.settle();
  }
}
