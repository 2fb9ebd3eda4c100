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
