import type { Gauge, StatScope } from '../stats/scope.ts';
import { HOLDING, type HoldingKind, type Holdings } from './holdings.ts';

/** `CircuitBreakers.Thresholds` with Envoy's defaults filled in. */
export interface BreakerLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly trackRemaining: boolean;
}

export const DEFAULT_LIMITS: BreakerLimits = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  trackRemaining: false,
};

/** Envoy shows its 64-bit maximum for connection pools, which nobody limits. */
const UNLIMITED = 2 ** 64;

/**
 * One resource of a circuit breaker. Callers ask `available` first; `take` does not refuse, because a pool
 * without any connection may always open one.
 */
export class Limit {
  readonly max: number;
  readonly #holdings: Holdings;
  readonly #kind: HoldingKind;
  readonly #openGauge: Gauge;
  readonly #remaining: Gauge | null;
  #open: boolean;

  /** `remaining` is summed over the workers: one of them starts at `max`, and each subtracts what it holds. */
  constructor(max: number, holdings: Holdings, kind: HoldingKind, open: Gauge, remaining: Gauge | null) {
    this.max = max;
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

  #show(): void {
    const held = this.#holdings.total(this.#kind);
    const open = held >= this.max;
    if (open !== this.#open) {
      this.#open = open;
      this.#openGauge.set(open ? 1 : 0);
    }
  }
}

/** The circuit breaker of one cluster and priority. */
export interface Breaker {
  readonly connections: Limit;
  readonly pendingRequests: Limit;
  readonly requests: Limit;
  readonly retries: Limit;
  readonly limits: BreakerLimits;
}

/** `scope` is `cluster.<name>.circuit_breakers.default.` or `….high.`; `primary` is true in one worker. */
export function createBreaker(
  limits: BreakerLimits,
  holdings: Holdings,
  scope: StatScope,
  primary: boolean,
): Breaker {
  const limit = (max: number, kind: HoldingKind, name: string): Limit => {
    const remaining = limits.trackRemaining ? scope.gauge(`remaining_${name}`) : null;
    remaining?.set(primary ? max : 0);
    return new Limit(max, holdings, kind, scope.gauge(`${openName(name)}_open`, 'max'), remaining);
  };
  scope.gauge('cx_pool_open', 'max');
  if (limits.trackRemaining) scope.gauge('remaining_cx_pools', 'max').set(UNLIMITED);
  return {
    connections: limit(limits.maxConnections, HOLDING.connections, 'cx'),
    pendingRequests: limit(limits.maxPendingRequests, HOLDING.pendingRequests, 'pending'),
    requests: limit(limits.maxRequests, HOLDING.requests, 'rq'),
    retries: limit(limits.maxRetries, HOLDING.retries, 'retries'),
    limits,
  };
}

function openName(name: string): string {
  if (name === 'pending') return 'rq_pending';
  return name === 'retries' ? 'rq_retry' : name;
}
