/** Milliseconds. */
export const LINGER_MS = 1000;

/**
 * How many need something that a server gives once: it is closed a moment after the last one has left. Who closed it at
 * once, and asked for the same again in the next turn, might ask nothing at all, and get no answer.
 */
export class Usage {
  readonly #close: () => void;
  #users = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(close: () => void) {
    this.#close = close;
  }

  join(): void {
    this.#users++;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  leave(): void {
    this.#users--;
    if (this.#users === 0) this.#timer = setTimeout(this.#close, LINGER_MS).unref();
  }
}
