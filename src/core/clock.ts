/** Time as the code sees it; tests and the simulator bring their own. */
export interface Clock {
  /** Monotonic milliseconds with a fraction, from an arbitrary start. */
  now(): number;
  /** Wall-clock milliseconds since the Unix epoch. */
  wall(): number;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
};

/**
 * A clock that stands still while one socket event is handled: asking the system takes 45 ns, and a request asks
 * some ten times. `enter` and `leave` enclose the handling of bytes that were read; outside of it time runs.
 */
export class TurnClock implements Clock {
  #nowMs = -1;

  now(): number {
    return this.#nowMs >= 0 ? this.#nowMs : performance.now();
  }

  wall(): number {
    return Date.now();
  }

  enter(): void {
    this.#nowMs = performance.now();
  }

  leave(): void {
    this.#nowMs = -1;
  }
}
