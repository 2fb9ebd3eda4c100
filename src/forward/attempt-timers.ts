import type { Clock } from '../core/clock.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';

export type AttemptTimeout = 'per-try' | 'per-try-idle' | 'max-duration';

/** Told of at most one per-try and one other timeout. */
export interface AttemptTimersOwner {
  onAttemptTimeout(what: AttemptTimeout): void;
}

/** The clocks of one attempt on one timer. Only attempts that have such limits have this. */
export class AttemptTimers implements TimerOwner {
  readonly #owner: AttemptTimersOwner;
  readonly #wheel: TimerWheel;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #timer: WheelTimer;
  #perTryAt = Infinity;
  #idleMs = 0;
  #activeMs = 0;
  #durationAt = Infinity;
  #over = false;

  constructor(owner: AttemptTimersOwner, wheel: TimerWheel, clock: Pick<Clock, 'now'>) {
    this.#owner = owner;
    this.#wheel = wheel;
    this.#clock = clock;
    this.#timer = new WheelTimer(this);
  }

  /** The request is complete and the attempt has a stream. 0 = none. */
  startPerTry(perTryMs: number, idleMs: number): void {
    const nowMs = this.#clock.now();
    if (perTryMs > 0) this.#perTryAt = nowMs + perTryMs;
    this.#idleMs = idleMs;
    this.#activeMs = nowMs;
    this.#arm(nowMs);
  }

  startDuration(maxMs: number): void {
    const nowMs = this.#clock.now();
    this.#durationAt = nowMs + maxMs;
    this.#arm(nowMs);
  }

  /** A byte of the response came: the timer is not moved, it looks again when it fires. */
  touch(): void {
    this.#activeMs = this.#clock.now();
  }

  /** The response has begun: the per-try timeout is about its head. */
  endPerTry(): void {
    this.#perTryAt = Infinity;
  }

  stop(): void {
    this.#over = true;
    this.#wheel.cancel(this.#timer);
  }

  onTimer(): void {
    if (this.#over) return;
    const nowMs = this.#clock.now();
    if (nowMs >= this.#perTryAt) {
      this.#perTryAt = Infinity;
      this.#idleMs = 0;
      this.#owner.onAttemptTimeout('per-try');
    } else if (nowMs >= this.#durationAt) {
      this.#durationAt = Infinity;
      this.#owner.onAttemptTimeout('max-duration');
    } else if (this.#idleMs > 0 && nowMs >= this.#activeMs + this.#idleMs) {
      this.#idleMs = 0;
      this.#perTryAt = Infinity;
      this.#owner.onAttemptTimeout('per-try-idle');
    }
    if (!this.#over) this.#arm(nowMs);
  }

  #arm(nowMs: number): void {
    const idleAt = this.#idleMs > 0 ? this.#activeMs + this.#idleMs : Infinity;
    const at = Math.min(this.#perTryAt, this.#durationAt, idleAt);
    if (at === Infinity) return;
    this.#wheel.schedule(this.#timer, Math.max(0, at - nowMs), nowMs);
  }
}
