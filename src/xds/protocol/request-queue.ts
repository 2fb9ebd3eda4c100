import type { Counter, Gauge } from '../../stats/scope.ts';

/** `rate_limit_settings`: a token bucket. */
export interface RateLimit {
  readonly maxTokens: number;
  /** Tokens per second. */
  readonly fillRate: number;
}

/** Envoy's, where the settings are there and do not say. */
export const DEFAULT_RATE_LIMIT: RateLimit = { maxTokens: 100, fillRate: 10 };

export interface QueueStats {
  readonly pending: Gauge;
  readonly enforced: Counter;
}

/** What a stream takes as its requests: as they are pushed, or as the rate limit lets them through. */
export class RequestQueue implements AsyncIterable<object> {
  readonly #waiting: object[] = [];
  readonly #limit: RateLimit | null;
  readonly #stats: QueueStats | null;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;
  #wake: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #ended = false;

  constructor(
    limit: RateLimit | null = null,
    stats: QueueStats | null = null,
    now: () => number = () => performance.now(),
  ) {
    this.#limit = limit;
    this.#stats = stats;
    this.#now = now;
    this.#tokens = limit?.maxTokens ?? 0;
    this.#filledAt = now();
  }

  /** Requests that wait. */
  get length(): number {
    return this.#waiting.length;
  }

  push(request: object): void {
    if (this.#ended) return;
    this.#waiting.push(request);
    this.#stats?.pending.set(this.#waiting.length);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stats?.pending.set(0);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<object> {
    while (!this.#ended) {
      const waitMs = this.#waiting.length === 0 ? Number.POSITIVE_INFINITY : this.#takeToken();
      if (waitMs === 0) {
        const request = this.#waiting.shift();
        this.#stats?.pending.set(this.#waiting.length);
        if (request !== undefined) yield request;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (waitMs < Number.POSITIVE_INFINITY) this.#timer = setTimeout(resolve, waitMs);
      });
      this.#wake = null;
      if (this.#timer !== null) clearTimeout(this.#timer);
    }
  }

  /** 0 when there was one; else the milliseconds until there is. */
  #takeToken(): number {
    if (this.#limit === null) return 0;
    const { maxTokens, fillRate } = this.#limit;
    const now = this.#now();
    this.#tokens = Math.min(maxTokens, this.#tokens + ((now - this.#filledAt) / 1000) * fillRate);
    this.#filledAt = now;
    if (this.#tokens >= 1) {
      this.#tokens--;
      return 0;
    }
    this.#stats?.enforced.inc();
    return Math.max(1, ((1 - this.#tokens) / fillRate) * 1000);
  }
}
