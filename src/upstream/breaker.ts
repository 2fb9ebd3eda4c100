import { type Clock, systemClock } from '../core/clock.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Gauge, StatScope } from '../stats/scope.ts';
import { HOLDING, type HoldingKind, type Holdings } from './holdings.ts';
import {
  type ConcurrencyBudget,
  concurrencyBudget,
  DEFAULT_WINDOW,
  maxRetries,
  type RetryLimit,
  WindowedBudget,
} from './retry-budget.ts';

/** `CircuitBreakers.Thresholds` with Envoy's defaults filled in. */
export interface BreakerLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  /** Instead of `maxRetries`. */
  readonly retryBudget: ConcurrencyBudget | null;
  /** Nobody set a limit for retries: a windowed budget stands in, unless inox is to be exactly Envoy. */
  readonly windowedRetries: boolean;
  readonly trackRemaining: boolean;
  /** Hosts with HTTP connections; Infinity for no limit. */
  readonly maxConnectionPools: number;
  /**
   * `per_host_thresholds`, this worker's part of it: the limit divided by the workers and rounded up; Infinity for
   * no limit.
   */
  readonly maxConnectionsPerHost: number;
}

export const DEFAULT_LIMITS: BreakerLimits = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: null,
  windowedRetries: false,
  trackRemaining: false,
  maxConnectionPools: Number.POSITIVE_INFINITY,
  maxConnectionsPerHost: Number.POSITIVE_INFINITY,
};

/** Envoy shows its 64-bit maximum when connection pools are not limited. */
const UNLIMITED = 2 ** 64;

/** How soon a gauge learns that another worker has given back what made the limit open. */
const LOOK_AGAIN_MS = 250;

/**
 * One resource of a circuit breaker. Callers ask `available` first; `take` does not refuse, because a pool
 * without any connection may always open one.
 */
export class Limit implements TimerOwner {
  readonly max: number;
  readonly #holdings: Holdings;
  readonly #kind: HoldingKind;
  readonly #openGauge: Gauge;
  readonly #remaining: Gauge | null;
  readonly #wheel: TimerWheel | null;
  readonly #timer: WheelTimer;
  #open: boolean;

  /**
   * `remaining` is summed over the workers: one of them starts at `max`, and each subtracts what it holds. `wheel`
   * is null where there is one worker.
   */
  constructor(
    max: number,
    holdings: Holdings,
    kind: HoldingKind,
    open: Gauge,
    remaining: Gauge | null,
    wheel: TimerWheel | null,
  ) {
    this.max = max;
    this.#wheel = wheel;
    this.#timer = new WheelTimer(this);
    this.#holdings = holdings;
    this.#kind = kind;
    this.#openGauge = open;
    this.#remaining = remaining;
    // Envoy shows a limit of zero as open from its first use only, and so does this.
    this.#open = false;
  }

  get available(): boolean {
    return this.#holdings.total(this.#kind) < this.max;
  }

  /** Holdings of all workers. */
  get held(): number {
    return this.#holdings.total(this.#kind);
  }

  take(): void {
    this.#holdings.add(this.#kind, 1);
    this.#remaining?.dec();
    this.#show();
  }

  release(): void {
    this.#holdings.add(this.#kind, -1);
    this.#remaining?.inc();
    this.#show();
  }

  onTimer(): void {
    this.#show();
    this.#watch();
  }

  #show(): void {
    const held = this.#holdings.total(this.#kind);
    const open = held >= this.max;
    if (open !== this.#open) {
      this.#open = open;
      this.#openGauge.set(open ? 1 : 0);
      if (open) this.#watch();
    }
  }

  /** Each worker shows a gauge of its own, and perhaps nothing happens here when another one closes the limit. */
  #watch(): void {
    if (this.#wheel === null || !this.#open || this.max <= 0 || this.#timer.slot !== null) return;
    this.#wheel.schedule(this.#timer, LOOK_AGAIN_MS);
  }
}

/** The circuit breaker of one cluster and priority. */
export interface Breaker {
  readonly connections: Limit;
  readonly pendingRequests: Limit;
  readonly requests: Limit;
  readonly retries: Limit;
  /** What a retry has to ask. */
  readonly retryLimit: RetryLimit;
  /** Connection pools: a host counts while it has HTTP connections. */
  readonly pools: Limit;
  readonly limits: BreakerLimits;
}

/** `scope` is `cluster.<name>.circuit_breakers.default.` or `….high.`; `primary` is true in one worker. */
export function createBreaker(
  limits: BreakerLimits,
  holdings: Holdings,
  scope: StatScope,
  primary: boolean,
  clock: Pick<Clock, 'wall'> = systemClock,
  wheel: TimerWheel | null = null,
): Breaker {
  const others = holdings.workers > 1 ? wheel : null;
  const limit = (max: number, kind: HoldingKind, name: string): Limit => {
    const unlimited = max === Number.POSITIVE_INFINITY;
    if (limits.trackRemaining && unlimited) scope.gauge(`remaining_${name}`, 'max').set(UNLIMITED);
    const remaining = limits.trackRemaining && !unlimited ? scope.gauge(`remaining_${name}`) : null;
    remaining?.set(primary ? max : 0);
    return new Limit(max, holdings, kind, scope.gauge(`${openName(name)}_open`, 'max'), remaining, others);
  };
  const breaker = {
    connections: limit(limits.maxConnections, HOLDING.connections, 'cx'),
    pendingRequests: limit(limits.maxPendingRequests, HOLDING.pendingRequests, 'pending'),
    requests: limit(limits.maxRequests, HOLDING.requests, 'rq'),
    // Where a budget stands in, the number of retries at once is no limit.
    retries: limit(
      limits.windowedRetries ? Number.POSITIVE_INFINITY : limits.maxRetries,
      HOLDING.retries,
      'retries',
    ),
    pools: limit(limits.maxConnectionPools, HOLDING.pools, 'cx_pools'),
    limits,
  };
  return { ...breaker, retryLimit: createRetryLimit(breaker, holdings, scope, clock, wheel) };
}

function createRetryLimit(
  breaker: Omit<Breaker, 'retryLimit'>,
  holdings: Holdings,
  scope: StatScope,
  clock: Pick<Clock, 'wall'>,
  wheel: TimerWheel | null,
): RetryLimit {
  const { limits, retries, requests, pendingRequests } = breaker;
  if (limits.retryBudget !== null) {
    return concurrencyBudget(limits.retryBudget, retries, requests, pendingRequests);
  }
  if (!limits.windowedRetries) return maxRetries(retries);
  const open = scope.gauge('rq_retry_open', 'max');
  const show = { remaining: scope.gauge('retry_budget_remaining', 'max'), open, wheel };
  const wall = (): number => clock.wall();
  return new WindowedBudget(DEFAULT_WINDOW, holdings.budget, holdings.worker, retries, wall, show);
}

function openName(name: string): string {
  if (name === 'pending') return 'rq_pending';
  if (name === 'cx_pools') return 'cx_pool';
  return name === 'retries' ? 'rq_retry' : name;
}
