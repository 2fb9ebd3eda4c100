/** Lets the thread's sockets and timers have their turn while much is done: `breathe` between the pieces of it. */
export class Slices {
  readonly #ms: number;
  #since = performance.now();

  /** `ms`: how much of a turn the work may use. */
  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Resolves at once most of the time, and after other work when the turn's share is used up. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#since < this.#ms) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}
