/** Milliseconds. */
export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Envoy's for streams to management servers. */
export const STREAM_BACKOFF: BackoffOptions = { baseMs: 500, maxMs: 30_000 };

/** Patience with a server: a random part of a limit that doubles with each failure. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #limitMs: number;

  constructor(options = STREAM_BACKOFF, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
    this.#limitMs = options.baseMs;
  }

  /** Milliseconds to wait before the next try: never less than half the limit, so that there is a wait at all. */
  next(): number {
    const delayMs = this.#limitMs * (0.5 + this.#random() / 2);
    this.#limitMs = Math.min(this.#options.maxMs, this.#limitMs * 2);
    return delayMs;
  }

  /** It answered. */
  reset(): void {
    this.#limitMs = this.#options.baseMs;
  }
}
