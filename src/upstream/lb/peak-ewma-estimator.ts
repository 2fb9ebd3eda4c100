import type { Clock } from '../../core/clock.ts';

/** How much worse than before a failing host is taken to be. */
const FAILURE_FACTOR = 2;
/** Failures alone push an estimate no higher than this many times what is normal in the cluster. */
const FAILURE_CEILING = 100;

/** Settings of Peak-EWMA, and what is normal in one cluster; shared by the estimators of its hosts. */
export class PeakEwmaSettings {
  readonly defaultRttMs: number;
  readonly decayMs: number;
  readonly clock: Clock;
  /** Middle estimate over the hosts, kept by the balancer; 0 until it knows one. */
  typicalMs: number;

  constructor(defaultRttMs: number, decayMs: number, clock: Clock) {
    this.defaultRttMs = defaultRttMs;
    this.decayMs = decayMs;
    this.clock = clock;
    this.typicalMs = 0;
  }
}

/**
 * Peak-sensitive moving average of one host's round trip (Finagle's PeakEwma, as in tower and Linkerd): a rise
 * is taken at once, a fall with time constant `decayMs`, and without traffic the estimate decays towards zero,
 * so that a slow host is tried again. Unlike there, reading does not change it, so the read rate does not either.
 */
export class PeakEwma {
  readonly settings: PeakEwmaSettings;
  /** Estimate at `updatedAtMs`. */
  peakMs: number;
  updatedAtMs: number;
  #penalizedAtMs: number;

  constructor(settings: PeakEwmaSettings) {
    this.settings = settings;
    this.peakMs = settings.defaultRttMs;
    this.updatedAtMs = settings.clock.now();
    this.#penalizedAtMs = -Infinity;
  }

  /** Decayed estimate at `nowMs`; reading leaves no trace. */
  estimate(nowMs: number): number {
    const elapsed = nowMs - this.updatedAtMs;
    return elapsed > 0 ? this.peakMs * Math.exp(-elapsed / this.settings.decayMs) : this.peakMs;
  }

  /** A response's head came `rttMs` after its request was sent. */
  observe(rttMs: number): void {
    this.#update(Math.max(0, rttMs), this.settings.clock.now());
  }

  /**
   * A failed answer is never taken for a fast one: it counts as twice the present estimate and at least as the
   * default round trip. Doubling repeats only for requests that were sent after the last doubling: they came
   * although the host already looked worse, whereas the rest of a burst carries no news. So a host that fails
   * at once ends up just above the costs of its peers, and returns as soon as a doubling has decayed.
   */
  observeFailure(rttMs: number): void {
    const { settings } = this;
    const now = settings.clock.now();
    const current = this.estimate(now);
    let slow = Math.max(rttMs, current, settings.defaultRttMs);
    if (now - rttMs >= this.#penalizedAtMs) {
      const ceiling = FAILURE_CEILING * Math.max(settings.defaultRttMs, settings.typicalMs);
      slow = Math.max(slow, Math.min(current * FAILURE_FACTOR, ceiling));
      this.#penalizedAtMs = now;
    }
    this.#update(slow, now);
  }

  /** The wait was given up: the round trip is at least this long. */
  observeAtLeast(rttMs: number): void {
    const now = this.settings.clock.now();
    if (rttMs > this.estimate(now)) this.#update(rttMs, now);
  }

  #update(rttMs: number, now: number): void {
    const elapsed = Math.max(0, now - this.updatedAtMs);
    const keep = Math.exp(-elapsed / this.settings.decayMs);
    // The average exceeds `rttMs` exactly when the stored estimate does: otherwise this is the jump to a peak.
    this.peakMs = Math.max(rttMs, this.peakMs * keep + rttMs * (1 - keep));
    this.updatedAtMs = now;
  }
}
