/** Who waits, and what for, under Envoy's names. */
export interface Unready {
  readonly name: string;
  readonly targets: readonly string[];
}

/**
 * What one resource waits for before it may be used: its endpoints, routes, secrets. Watches outlive the waiting:
 * they deliver later versions, too, until the resource is replaced or goes.
 */
export class Warming {
  readonly #missing = new Map<object, string>();
  readonly #onWarm: () => void;
  #started = false;
  #warm = false;

  constructor(onWarm: () => void) {
    this.#onWarm = onWarm;
  }

  /** True once everything was there; it stays so. */
  get warm(): boolean {
    return this.#warm;
  }

  /** What is not there yet. */
  get missing(): string[] {
    return [...this.#missing.values()];
  }

  /** Something to wait for, under Envoy's name; the function says that it is there. Only before `start`. */
  need(what: string): () => void {
    const token = {};
    this.#missing.set(token, what);
    return () => {
      this.#missing.delete(token);
      this.#check();
    };
  }

  /** All needs are known. Calls `onWarm` at once when nothing is missing. */
  start(): void {
    this.#started = true;
    this.#check();
  }

  #check(): void {
    if (this.#warm || !this.#started || this.#missing.size > 0) return;
    this.#warm = true;
    this.#onWarm();
  }
}
