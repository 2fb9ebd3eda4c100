/** How often the event loop is looked at. */
const SAMPLE_MS = 100;
/** Only lag that lasts is overload: a garbage collection or one heavy request is not. */
const SUSTAINED_MS = 1000;

/** Whether this thread's event loop is late by more than a limit, and has been for a second. */
export class LagWatch {
  /** New requests are to be refused. */
  shedding = false;
  readonly #limitMs: number;
  #timer: NodeJS.Timeout | null = null;
  #expectedMs = 0;
  /** Since when every sample was late; −1: the last one was not. */
  #lateSinceMs = -1;

  /** `limitMs` 0 switches it off. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  start(now: () => number): void {
    if (this.#limitMs <= 0 || this.#timer !== null) return;
    this.#expectedMs = now() + SAMPLE_MS;
    this.#timer = setInterval(() => this.sample(now()), SAMPLE_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.shedding = false;
  }

  /** Called every 100 ms, later when the loop is busy. */
  sample(nowMs: number): void {
    const lagMs = nowMs - this.#expectedMs;
    const sinceMs = this.#expectedMs - SAMPLE_MS;
    this.#expectedMs = nowMs + SAMPLE_MS;
    if (lagMs < this.#limitMs) {
      this.#lateSinceMs = -1;
      this.shedding = false;
      return;
    }
    if (this.#lateSinceMs < 0) this.#lateSinceMs = sinceMs;
    this.shedding = nowMs - this.#lateSinceMs >= SUSTAINED_MS;
  }
}
