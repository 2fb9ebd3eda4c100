import type { Random } from '../core/random.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Counter, Gauge, StatScope } from '../stats/scope.ts';
import type { HealthCheckSettings } from './health-check-settings.ts';
import { HEALTH_FLAG } from './host.ts';

/** `envoy.data.core.v3.HealthCheckFailureType`. */
export type HealthFailure = 'ACTIVE' | 'PASSIVE' | 'NETWORK' | 'NETWORK_TIMEOUT';

/** Asks one host how it is. */
export interface HealthProbe {
  /** Sends one check. One call of the listener follows, unless `abandon` comes first. */
  send(): void;
  /** The check took too long: no call follows any more. */
  abandon(): void;
  /** The host is gone: closes what is open. Idempotent. */
  close(): void;
}

export interface ProbeListener {
  onSuccess(degraded: boolean): void;
  /** Also between checks, when a connection that was to be used again breaks (TCP). */
  onFailure(type: HealthFailure, retriable: boolean, httpStatus?: number): void;
  /** The answer says so: keep the host out of the counts that cause panic. */
  onImmediateFailure(): void;
}

/** What happens to a host, for the event log; names are those of `HealthCheckEvent`. */
export type HealthCheckHappening =
  | {
      readonly kind: 'eject_unhealthy_event';
      readonly failure: HealthFailure;
      /** 0 when no response came. */
      readonly httpStatus: number;
    }
  | { readonly kind: 'add_healthy_event'; readonly firstCheck: boolean }
  | { readonly kind: 'successful_health_check_event' }
  | {
      readonly kind: 'health_check_failure_event';
      readonly failure: HealthFailure;
      readonly firstCheck: boolean;
      readonly httpStatus: number;
    }
  | { readonly kind: 'degraded_healthy_host' }
  | { readonly kind: 'no_longer_degraded_host' };

/** Statistics of `cluster.<name>.health_check.`, shared by the sessions of a cluster. */
export interface HealthCheckStats {
  readonly attempt: Counter;
  readonly success: Counter;
  readonly failure: Counter;
  readonly passiveFailure: Counter;
  readonly networkFailure: Counter;
  readonly verifyCluster: Counter;
  readonly healthy: Gauge;
  readonly degraded: Gauge;
}

export function createHealthCheckStats(cluster: StatScope): HealthCheckStats {
  const scope = cluster.scope('health_check');
  return {
    attempt: scope.counter('attempt'),
    success: scope.counter('success'),
    failure: scope.counter('failure'),
    passiveFailure: scope.counter('passive_failure'),
    networkFailure: scope.counter('network_failure'),
    verifyCluster: scope.counter('verify_cluster'),
    healthy: scope.gauge('healthy'),
    degraded: scope.gauge('degraded'),
  };
}

/** What the sessions of one cluster share. */
export interface HealthCheckParts {
  readonly settings: HealthCheckSettings;
  readonly stats: HealthCheckStats;
  readonly timers: TimerWheel;
  readonly random: Random;
  /** The cluster was connected to by a worker at least once. */
  hasTraffic(): boolean;
}

export interface SessionOwner {
  /** Bits of `HEALTH_FLAG`; the session changes those of active health checks. */
  flags: number;
  /** After every check. `healthy`: this check succeeded. */
  onChecked(healthy: boolean): void;
  onHappening(event: HealthCheckHappening): void;
}

type Change = 'none' | 'pending' | 'changed';

/** The active health check of one host: thresholds, intervals and flags as in Envoy. */
export class HealthCheckSession implements TimerOwner, ProbeListener {
  readonly #parts: HealthCheckParts;
  readonly #owner: SessionOwner;
  readonly #probe: HealthProbe;
  readonly #interval: WheelTimer;
  readonly #timeout: WheelTimer;
  #firstCheck = true;
  #successes = 0;
  #failures = 0;
  #closed = false;

  constructor(
    parts: HealthCheckParts,
    owner: SessionOwner,
    createProbe: (listener: ProbeListener) => HealthProbe,
  ) {
    this.#parts = parts;
    this.#owner = owner;
    this.#probe = createProbe(this);
    this.#interval = new WheelTimer(this);
    this.#timeout = new WheelTimer(this);
    if (!this.#has(HEALTH_FLAG.failedActiveHc)) parts.stats.healthy.inc();
    if (this.#has(HEALTH_FLAG.degradedActiveHc)) parts.stats.degraded.inc();
  }

  /** The first check follows at once, or after a random part of `initial_jitter`. */
  start(): void {
    const { settings, timers } = this.#parts;
    if (settings.initialJitterMs === 0) this.#check();
    else timers.schedule(this.#interval, this.#jittered(0, settings.initialJitterMs));
  }

  /** The host is gone. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { timers, stats } = this.#parts;
    timers.cancel(this.#interval);
    timers.cancel(this.#timeout);
    this.#probe.close();
    if (!this.#has(HEALTH_FLAG.failedActiveHc)) stats.healthy.dec();
    if (this.#has(HEALTH_FLAG.degradedActiveHc)) stats.degraded.dec();
  }

  /** A request was answered with `x-envoy-immediate-health-check-fail`. */
  failPassively(): void {
    if (this.#closed) return;
    this.onImmediateFailure();
    this.#fail('PASSIVE', false, 0);
  }

  onTimer(timer: WheelTimer): void {
    if (timer === this.#interval) {
      this.#check();
      return;
    }
    this.#probe.abandon();
    this.onFailure('NETWORK_TIMEOUT', false);
  }

  onSuccess(degraded: boolean): void {
    if (this.#closed) return;
    const { stats, settings } = this.#parts;
    this.#failures = 0;
    let change: Change = 'none';
    if (this.#has(HEALTH_FLAG.failedActiveHc)) {
      // The first answer ever counts at once, so that a start is quick.
      if (this.#firstCheck || ++this.#successes === settings.healthyThreshold) {
        this.#clear(
          HEALTH_FLAG.failedActiveHc | HEALTH_FLAG.activeHcTimeout | HEALTH_FLAG.excludedViaImmediateHcFail,
        );
        stats.healthy.inc();
        change = 'changed';
        this.#owner.onHappening({ kind: 'add_healthy_event', firstCheck: this.#firstCheck });
      } else change = 'pending';
    }
    if (change !== 'changed' && settings.alwaysLogSuccess) {
      this.#owner.onHappening({ kind: 'successful_health_check_event' });
    }
    if (this.#has(HEALTH_FLAG.pendingActiveHc)) change = 'changed';
    this.#clear(HEALTH_FLAG.pendingActiveHc);
    if (degraded !== this.#has(HEALTH_FLAG.degradedActiveHc)) {
      this.#setDegraded(degraded);
      if (change === 'none') change = 'changed';
    }
    stats.success.inc();
    this.#firstCheck = false;
    this.#owner.onChecked(true);
    this.#next(true, change);
  }

  onFailure(type: HealthFailure, retriable: boolean, httpStatus = 0): void {
    if (this.#closed) return;
    const change = this.#fail(type, retriable, httpStatus);
    this.#next(false, change);
  }

  onImmediateFailure(): void {
    this.#owner.flags |= HEALTH_FLAG.excludedViaImmediateHcFail;
  }

  #check(): void {
    const { timers, stats, settings } = this.#parts;
    timers.schedule(this.#timeout, settings.timeoutMs);
    stats.attempt.inc();
    this.#probe.send();
  }

  #fail(type: HealthFailure, retriable: boolean, httpStatus: number): Change {
    const { stats, settings } = this.#parts;
    const network = type === 'NETWORK' || type === 'NETWORK_TIMEOUT';
    this.#successes = 0;
    let change: Change = 'none';
    if (!this.#has(HEALTH_FLAG.failedActiveHc)) {
      // A host that answers and says no is believed at once; the threshold is for the network.
      if ((!network && !retriable) || ++this.#failures === settings.unhealthyThreshold) {
        this.#owner.flags |= HEALTH_FLAG.failedActiveHc;
        stats.healthy.dec();
        change = 'changed';
        this.#owner.onHappening({ kind: 'eject_unhealthy_event', failure: type, httpStatus });
      } else change = 'pending';
    }
    if (type === 'NETWORK_TIMEOUT' && this.#has(HEALTH_FLAG.failedActiveHc)) {
      this.#owner.flags |= HEALTH_FLAG.activeHcTimeout;
    } else this.#clear(HEALTH_FLAG.activeHcTimeout);
    if (this.#has(HEALTH_FLAG.pendingActiveHc)) change = 'changed';
    this.#clear(HEALTH_FLAG.pendingActiveHc);
    if (this.#firstCheck || settings.alwaysLogFailures) {
      const firstCheck = this.#firstCheck;
      this.#owner.onHappening({ kind: 'health_check_failure_event', failure: type, firstCheck, httpStatus });
    }
    stats.failure.inc();
    if (network) stats.networkFailure.inc();
    else if (type === 'PASSIVE') stats.passiveFailure.inc();
    this.#firstCheck = false;
    this.#owner.onChecked(false);
    return change;
  }

  #setDegraded(degraded: boolean): void {
    const { stats } = this.#parts;
    if (degraded) {
      this.#owner.flags |= HEALTH_FLAG.degradedActiveHc;
      stats.degraded.inc();
      this.#owner.onHappening({ kind: 'degraded_healthy_host' });
    } else {
      this.#clear(HEALTH_FLAG.degradedActiveHc);
      stats.degraded.dec();
      this.#owner.onHappening({ kind: 'no_longer_degraded_host' });
    }
  }

  #next(healthy: boolean, change: Change): void {
    // The owner may have closed it meanwhile.
    if (this.#closed) return;
    const { timers } = this.#parts;
    timers.cancel(this.#timeout);
    timers.schedule(this.#interval, this.#jittered(this.#baseMs(healthy, change), -1));
  }

  #baseMs(healthy: boolean, change: Change): number {
    const { settings } = this.#parts;
    const pending = change === 'pending';
    if (!this.#parts.hasTraffic()) {
      return healthy && !pending ? settings.noTrafficHealthyIntervalMs : settings.noTrafficIntervalMs;
    }
    if (healthy) return pending ? settings.healthyEdgeIntervalMs : settings.intervalMs;
    return pending ? settings.unhealthyEdgeIntervalMs : settings.unhealthyIntervalMs;
  }

  /** `jitterMs` −1 means `interval_jitter`. */
  #jittered(baseMs: number, jitterMs: number): number {
    const { settings, random } = this.#parts;
    const extraMs = jitterMs < 0 ? settings.intervalJitterMs : jitterMs;
    const share = Math.trunc((settings.intervalJitterPercent * baseMs) / 100);
    let delayMs = baseMs;
    if (share > 0) delayMs += random.uint32() % share;
    if (extraMs >= 1) delayMs += random.uint32() % Math.trunc(extraMs);
    return Math.max(1, settings.minIntervalMs, Math.min(delayMs, settings.maxIntervalMs));
  }

  #has(flag: number): boolean {
    return (this.#owner.flags & flag) !== 0;
  }

  #clear(flags: number): void {
    this.#owner.flags &= ~flags;
  }
}
