const BASE_MS = 500;
const MAX_MS = 30_000;

/** Envoy's patience with a server: a random part of a limit that doubles up to half a minute. */
export class Backoff {
  readonly #random: () => number;
  #limitMs = BASE_MS;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Milliseconds to wait before the next try. */
  next(): number {
    const delayMs = this.#limitMs * (0.5 + this.#random() / 2);
    this.#limitMs = Math.min(MAX_MS, this.#limitMs * 2);
    return delayMs;
  }

  /** It answered. */
  reset(): void {
    this.#limitMs = BASE_MS;
  }
}
