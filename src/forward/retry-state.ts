import type { ResetReason } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import { GRPC, readGrpcStatus } from '../http/grpc-status.ts';
import { getHeader, type Headers, hasHeader, removeHeader } from '../http/headers.ts';
import type { RequestHead, ResponseHead } from '../http/stream.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ClusterStats } from '../upstream/cluster-stats.ts';
import type { RetryLimit } from '../upstream/retry-budget.ts';
import {
  DEFAULT_RETRY_POLICY,
  parseRetryGrpcOn,
  parseRetryOn,
  RETRY_ON,
  RETRY_ON_GRPC,
  type RetryPolicy,
  resetInterval,
} from './retry-policy.ts';

/** `overflow`: the budget or breaker says no. `limit`: there were as many retries as the policy allows. */
export type RetryVerdict = 'no' | 'retry' | 'overflow' | 'limit';

/** Told when it is time for the next attempt. */
export interface RetryOwner {
  onRetryDue(afterTimeout: boolean): void;
}

/** What the retries of one cluster share. */
export interface RetryParts {
  readonly stats: ClusterStats;
  readonly limit: RetryLimit;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly wall: () => number;
}

export function retryParts(
  cluster: Cluster,
  priority: 'DEFAULT' | 'HIGH',
  wheel: TimerWheel,
  wall: () => number,
): RetryParts {
  const { breakers, random } = cluster.settings;
  const breaker = priority === 'HIGH' ? breakers.high : breakers.default;
  return { stats: cluster.stats, limit: breaker.retryLimit, random, wheel, wall };
}

/**
 * The retries of one request: decides after each attempt, waits, and keeps what the breaker or budget lent until the
 * outcome is known. Follows Envoy's RetryStateImpl.
 */
export class RetryState implements TimerOwner {
  readonly policy: RetryPolicy;
  readonly #parts: RetryParts;
  readonly #owner: RetryOwner;
  #on: number;
  #left: number;
  /** Codes and header names that the request itself named; null for none. */
  readonly #ownCodes: readonly number[] | null;
  readonly #ownHeaders: readonly string[] | null;
  /** Made with the first retry: most requests need none. */
  #timer: WheelTimer | null = null;
  #nextMs: number;
  #afterTimeout = false;
  /** The response said how long to wait. */
  #asked = false;
  /** A unit of the limit is held: from scheduling to the outcome. */
  #holds = false;
  #waiting = false;
  /** At least one retry was made. */
  #made = false;

  /** Null: nothing that this request may be retried for. Takes the headers about retries out of it. */
  static of(
    policy: RetryPolicy | null,
    request: RequestHead,
    asks: boolean,
    parts: RetryParts,
    owner: RetryOwner,
  ): RetryState | null {
    if (!asks) return policy === null ? null : new RetryState(policy, policy.on, request, null, parts, owner);
    const { headers } = request;
    const on = getHeader(headers, 'x-envoy-retry-on');
    const grpcOn = getHeader(headers, 'x-envoy-retry-grpc-on');
    let state: RetryState | null = null;
    if (policy !== null || on !== undefined || grpcOn !== undefined) {
      let bits = policy?.on ?? 0;
      if (on !== undefined) bits |= parseRetryOn(on).bits;
      if (grpcOn !== undefined) bits |= parseRetryGrpcOn(grpcOn).bits;
      state = new RetryState(policy ?? DEFAULT_RETRY_POLICY, bits, request, headers, parts, owner);
    }
    for (const name of RETRY_HEADERS) removeHeader(headers, name);
    return state;
  }

  private constructor(
    policy: RetryPolicy,
    on: number,
    request: RequestHead,
    asking: Headers | null,
    parts: RetryParts,
    owner: RetryOwner,
  ) {
    this.policy = policy;
    this.#parts = parts;
    this.#owner = owner;
    this.#on = on;
    this.#left = policy.retries;
    this.#nextMs = policy.baseMs;
    const { requestMatches } = policy;
    if (requestMatches.length > 0 && !requestMatches.some((matches) => matches(request))) this.#on = 0;
    const most = asking === null ? undefined : wholeNumber(getHeader(asking, 'x-envoy-max-retries'));
    if (this.#on !== 0 && most !== undefined) this.#left = most;
    this.#ownCodes = asking === null ? null : numbers(getHeader(asking, 'x-envoy-retriable-status-codes'));
    this.#ownHeaders = asking === null ? null : names(getHeader(asking, 'x-envoy-retriable-header-names'));
    if (this.enabled) parts.limit.deposit();
  }

  /** The body has to be kept. */
  get enabled(): boolean {
    return this.#on !== 0;
  }

  /** A retry is scheduled and has not begun. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** On `retry` the owner hears of it again, after the back-off. */
  onHead(head: ResponseHead): RetryVerdict {
    const wanted = this.wouldRetryHead(head);
    const { rateLimited } = this.policy;
    let waitMs = -1;
    if (wanted && rateLimited !== null) waitMs = resetInterval(rateLimited, head.headers, this.#parts.wall());
    return this.#decide(wanted, false, waitMs > 1 ? waitMs : -1);
  }

  /** The attempt was reset, or ended by a timeout. `started`: something of the request was sent. */
  onReset(reason: ResetReason, started: boolean, afterTimeout: boolean): RetryVerdict {
    return this.#decide(this.#wouldRetryReset(reason, started), afterTimeout, -1);
  }

  /** The attempt takes too long, and another one is to run beside it. */
  onHedge(): RetryVerdict {
    return this.#decide(true, true, -1);
  }

  wouldRetryHead(head: ResponseHead): boolean {
    const on = this.#on;
    const { status, headers } = head;
    if (hasHeader(headers, 'x-envoy-ratelimited')) return (on & RETRY_ON.envoyRatelimited) !== 0;
    if ((on & RETRY_ON.serverError) !== 0 && status >= 500 && status < 600) return true;
    if ((on & RETRY_ON.gatewayError) !== 0 && status >= 502 && status <= 504) return true;
    if ((on & RETRY_ON.retriable4xx) !== 0 && status === 409) return true;
    if ((on & RETRY_ON.retriableStatusCodes) !== 0) {
      if (this.policy.statusCodes.includes(status) || this.#ownCodes?.includes(status) === true) return true;
    }
    if ((on & RETRY_ON.retriableHeaders) !== 0) {
      if (this.policy.responseMatches.some((matches) => matches(head))) return true;
      if (this.#ownHeaders?.some((name) => hasHeader(headers, name)) === true) return true;
    }
    return (on & RETRY_ON_GRPC) !== 0 && (on & grpcBit(readGrpcStatus(headers))) !== 0;
  }

  /** The answer goes to the client, or there will be none: gives back what is held. Idempotent. */
  release(): void {
    if (!this.#holds) return;
    this.#holds = false;
    if (this.#waiting) this.#parts.limit.refund();
    else this.#parts.limit.release();
    this.#waiting = false;
    if (this.#timer !== null) this.#parts.wheel.cancel(this.#timer);
  }

  onTimer(): void {
    const { stats } = this.#parts;
    this.#waiting = false;
    this.#made = true;
    // Counted when they are made: a client that leaves meanwhile leaves no trace, as in Envoy.
    stats.rqRetry.inc();
    if (this.#asked) stats.rqRetryBackoffRatelimited.inc();
    else stats.rqRetryBackoffExponential.inc();
    this.#owner.onRetryDue(this.#afterTimeout);
  }

  #wouldRetryReset(reason: ResetReason, started: boolean): boolean {
    const on = this.#on;
    const { kind } = reason;
    if (kind === 'overflow') return false;
    if ((on & RETRY_ON.resetBeforeRequest) !== 0 && !started) return true;
    if ((on & (RETRY_ON.reset | RETRY_ON.serverError | RETRY_ON.gatewayError)) !== 0) return true;
    if ((on & RETRY_ON.refusedStream) !== 0 && kind === 'remote-reset' && reason.retrySafe) return true;
    return (
      (on & RETRY_ON.connectFailure) !== 0 && (kind === 'connection-failure' || kind === 'connection-timeout')
    );
  }

  #decide(wanted: boolean, afterTimeout: boolean, askedMs: number): RetryVerdict {
    const { stats, limit } = this.#parts;
    this.release();
    if (!wanted) {
      if (this.#made) stats.rqRetrySuccess.inc();
      return 'no';
    }
    if (this.#left === 0) {
      stats.rqRetryLimitExceeded.inc();
      return 'limit';
    }
    this.#left--;
    if (!limit.available) {
      stats.rqRetryOverflow.inc();
      return 'overflow';
    }
    limit.take();
    this.#holds = true;
    this.#waiting = true;
    this.#afterTimeout = afterTimeout;
    this.#schedule(askedMs);
    return 'retry';
  }

  #schedule(askedMs: number): void {
    const { random, wheel } = this.#parts;
    this.#timer ??= new WheelTimer(this);
    this.#asked = askedMs >= 0;
    if (askedMs >= 0) {
      wheel.schedule(this.#timer, askedMs + Math.floor(random.float() * (askedMs >> 1)));
      return;
    }
    const bound = this.#nextMs;
    this.#nextMs = Math.min(bound * 2, this.policy.maxMs);
    wheel.schedule(this.#timer, Math.floor(random.float() * bound));
  }
}

/** Taken out of every request, whatever they say. */
const RETRY_HEADERS: readonly string[] = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
];

function grpcBit(status: number): number {
  switch (status) {
    case GRPC.cancelled:
      return RETRY_ON.grpcCancelled;
    case GRPC.deadlineExceeded:
      return RETRY_ON.grpcDeadlineExceeded;
    case GRPC.internal:
      return RETRY_ON.grpcInternal;
    case GRPC.resourceExhausted:
      return RETRY_ON.grpcResourceExhausted;
    case GRPC.unavailable:
      return RETRY_ON.grpcUnavailable;
    default:
      return 0;
  }
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\+?\d{1,10}\s*$/.test(text) ? Number(text) : undefined;
}

function numbers(list: string | undefined): readonly number[] | null {
  if (list === undefined) return null;
  return list
    .split(',')
    .map((item) => wholeNumber(item))
    .filter((n) => n !== undefined);
}

function names(list: string | undefined): readonly string[] | null {
  if (list === undefined) return null;
  return list
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .filter((name) => name !== '');
}
