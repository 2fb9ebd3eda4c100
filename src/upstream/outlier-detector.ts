import type { Random } from '../core/random.ts';
import { type AccrualState, nextPenaltyMs, startAccrual } from './outlier-accrual.ts';
import type { OutlierSignal } from './outlier-monitor.ts';
import { countOf, PROBATION, type RunKind, resetRun, setProbation } from './outlier-record.ts';
import type { EjectionType, OutlierSettings } from './outlier-settings.ts';
import { type HostRates, SuccessRateWindow, successRateThreshold } from './outlier-success-rate.ts';

/** A host as the detector sees it. */
export interface OutlierHost {
  readonly key: string;
  readonly record: Int32Array;
  ejected: boolean;
  /** Ejected so far. */
  ejections: number;
  /** Multiplies the base ejection time; falls again while the host stays in. */
  backoff: number;
  jitterMs: number;
  ejectedAtMs: number;
  /** −1: never. */
  unejectedAtMs: number;
  /** Percent in the last interval, −1 for too few requests. */
  successRate: number;
  localOriginSuccessRate: number;
  readonly window: SuccessRateWindow;
  readonly localWindow: SuccessRateWindow;
  /** Null unless failure accrual has it shut. */
  accrual: AccrualState | null;
}

/** Told at once, within the call that decides. */
export interface OutlierObserver {
  /** Something makes the detector suspicious; an ejection may follow. */
  onDetected(type: EjectionType): void;
  /** `enforced` false: it was decided not to act (`enforcing_*`). */
  onEjected(host: OutlierHost, type: EjectionType, enforced: boolean): void;
  /** Too many are out already. */
  onOverflow(): void;
  onUnejected(host: OutlierHost): void;
  /** The host takes one request that decides about it. */
  onProbation(host: OutlierHost): void;
  /** That request failed. */
  onProbeFailed(host: OutlierHost): void;
}

const RUN_TYPES: Readonly<Record<RunKind, EjectionType>> = {
  status5xx: 'CONSECUTIVE_5XX',
  gateway: 'CONSECUTIVE_GATEWAY_FAILURE',
  localOrigin: 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
  accrual: 'EXTENSION',
};

/**
 * Decides which hosts of a cluster are ejected, and for how long, as Envoy does. It has no clock and no timer of its
 * own: the owner passes the signals of the monitors on and calls `sweep` every `intervalMs`, and `wake` when due.
 * The control thread runs it for all workers, the simulation under a virtual clock.
 */
export class OutlierDetector {
  readonly settings: OutlierSettings;
  readonly hosts = new Map<string, OutlierHost>();
  /** Average success rate and ejection threshold of the last sweep, −1 without. */
  external: HostRates = { average: -1, threshold: -1 };
  localOrigin: HostRates = { average: -1, threshold: -1 };
  /** Hosts that are ejected now. */
  active = 0;
  readonly #random: Random;
  readonly #observer: OutlierObserver;

  constructor(settings: OutlierSettings, random: Random, observer: OutlierObserver) {
    this.settings = settings;
    this.#random = random;
    this.#observer = observer;
  }

  /** `record` is what the host's monitors write. */
  addHost(key: string, record: Int32Array): OutlierHost {
    const host: OutlierHost = {
      key,
      record,
      ejected: false,
      ejections: 0,
      backoff: 0,
      jitterMs: 0,
      ejectedAtMs: 0,
      unejectedAtMs: -1,
      successRate: -1,
      localOriginSuccessRate: -1,
      window: new SuccessRateWindow(),
      localWindow: new SuccessRateWindow(),
      accrual: null,
    };
    this.hosts.set(key, host);
    return host;
  }

  removeHost(key: string): void {
    if (this.hosts.get(key)?.ejected === true) this.active--;
    this.hosts.delete(key);
  }

  /** A monitor's signal; about a host that is gone it means nothing any more. */
  onSignal(key: string, signal: OutlierSignal, nowMs: number): void {
    const host = this.hosts.get(key);
    if (host === undefined) return;
    if (signal === 'probe-abandoned') {
      if (host.accrual !== null) this.#offer(host, host.accrual, nowMs);
      return;
    }
    if (signal === 'probe-success' || signal === 'probe-failure') {
      this.#onProbe(host, signal === 'probe-success', nowMs);
      return;
    }
    if (host.ejected) return;
    const type = RUN_TYPES[signal];
    this.#observer.onDetected(type);
    this.#eject(host, type, nowMs);
    resetRun(host.record, signal);
  }

  /** An active health check succeeded and the host counts as healthy by it. */
  onHealthCheckSuccess(key: string, nowMs: number): void {
    const host = this.hosts.get(key);
    if (host?.ejected === true && this.settings.healthCheckUnejects) this.#uneject(host, nowMs);
  }

  /** To be called every `intervalMs`. */
  sweep(nowMs: number): void {
    for (const host of this.hosts.values()) {
      if (host.accrual === null) this.#unejectWhenDue(host, nowMs);
      host.window.turn(countOf(host.record, 'total'), countOf(host.record, 'success'));
      host.localWindow.turn(countOf(host.record, 'localTotal'), countOf(host.record, 'localSuccess'));
      host.successRate = -1;
      host.localOriginSuccessRate = -1;
    }
    this.external = this.#ejectByRates(false, nowMs);
    this.localOrigin = this.#ejectByRates(true, nowMs);
    for (const host of this.hosts.values()) {
      const wellMs = host.unejectedAtMs < 0 ? -1 : nowMs - host.unejectedAtMs;
      if (!host.ejected && host.backoff > 0 && wellMs >= this.settings.intervalMs) host.backoff--;
    }
  }

  /** Offers probation to the hosts whose penalty is over; returns when the next one is, Infinity for none. */
  wake(nowMs: number): number {
    let next = Infinity;
    for (const host of this.hosts.values()) {
      const { accrual } = host;
      if (accrual === null) continue;
      if (accrual.untilMs <= nowMs) this.#offer(host, accrual, nowMs);
      next = Math.min(next, accrual.untilMs);
    }
    return next;
  }

  #offer(host: OutlierHost, accrual: AccrualState, nowMs: number): void {
    // Offered again when a probe was taken and is not heard of any more: its worker may have died.
    accrual.untilMs = nowMs + (this.settings.accrual?.maxPenaltyMs ?? 0);
    setProbation(host.record, PROBATION.offered);
    this.#observer.onProbation(host);
  }

  #onProbe(host: OutlierHost, success: boolean, nowMs: number): void {
    const { accrual } = this.settings;
    if (host.accrual === null || accrual === null) return;
    setProbation(host.record, PROBATION.none);
    if (success) this.#uneject(host, nowMs);
    else {
      const penaltyMs = nextPenaltyMs(host.accrual, accrual, this.#random);
      host.accrual.untilMs = nowMs + penaltyMs;
      this.#observer.onProbeFailed(host);
    }
  }

  #unejectWhenDue(host: OutlierHost, nowMs: number): void {
    if (!host.ejected) return;
    const { baseEjectionMs, maxEjectionMs } = this.settings;
    const outMs = Math.min(baseEjectionMs * host.backoff, maxEjectionMs) + host.jitterMs;
    if (outMs <= nowMs - host.ejectedAtMs) this.#uneject(host, nowMs);
  }

  #uneject(host: OutlierHost, nowMs: number): void {
    this.active--;
    host.ejected = false;
    host.accrual = null;
    setProbation(host.record, PROBATION.none);
    // Otherwise a counter that was close to its limit would eject again after very few errors.
    for (const run of ['status5xx', 'gateway', 'localOrigin', 'accrual'] as const) resetRun(host.record, run);
    host.unejectedAtMs = nowMs;
    this.#observer.onUnejected(host);
  }

  #eject(host: OutlierHost, type: EjectionType, nowMs: number): void {
    const { settings } = this;
    const percent = (100 * (this.active + 1)) / this.hosts.size;
    const first = settings.alwaysEjectOneHost && this.active === 0;
    if (percent > Math.min(100, settings.maxEjectionPercent) && !first) {
      this.#observer.onOverflow();
      return;
    }
    if (this.#random.uint32() % 100 >= settings.enforcing[type]) {
      this.#observer.onEjected(host, type, false);
      return;
    }
    this.active++;
    host.ejected = true;
    host.ejections++;
    host.ejectedAtMs = nowMs;
    host.jitterMs = this.#random.uint32() % (settings.maxEjectionJitterMs + 1);
    if (host.backoff * settings.baseEjectionMs < settings.maxEjectionMs + settings.baseEjectionMs) {
      host.backoff++;
    }
    if (type === 'EXTENSION' && settings.accrual !== null) {
      host.accrual = startAccrual(settings.accrual, nowMs, this.#random);
    }
    this.#observer.onEjected(host, type, true);
  }

  #ejectByRates(local: boolean, nowMs: number): HostRates {
    const { settings, hosts } = this;
    const few =
      hosts.size < settings.successRateMinimumHosts && hosts.size < settings.failurePercentageMinimumHosts;
    if (few) return { average: -1, threshold: -1 };
    const least = Math.min(settings.successRateRequestVolume, settings.failurePercentageRequestVolume);
    const bySuccessRate: OutlierHost[] = [];
    const byPercentage: OutlierHost[] = [];
    for (const host of hosts.values()) {
      const window = local ? host.localWindow : host.window;
      if (host.ejected || window.total === 0) continue;
      if (window.total >= least) {
        if (local) host.localOriginSuccessRate = window.successRate;
        else host.successRate = window.successRate;
      }
      if (window.total >= settings.successRateRequestVolume) bySuccessRate.push(host);
      if (window.total >= settings.failurePercentageRequestVolume) byPercentage.push(host);
    }
    const rates = this.#ejectBySuccessRate(bySuccessRate, local, nowMs);
    if (byPercentage.length === 0 || byPercentage.length < settings.failurePercentageMinimumHosts) {
      return rates;
    }
    const type = local ? 'FAILURE_PERCENTAGE_LOCAL_ORIGIN' : 'FAILURE_PERCENTAGE';
    for (const host of byPercentage) {
      const { successRate } = local ? host.localWindow : host.window;
      if (100 - successRate >= settings.failurePercentageThreshold) this.#suspect(host, type, nowMs);
    }
    return rates;
  }

  #ejectBySuccessRate(hosts: readonly OutlierHost[], local: boolean, nowMs: number): HostRates {
    const { settings } = this;
    if (hosts.length === 0 || hosts.length < settings.successRateMinimumHosts) {
      return { average: -1, threshold: -1 };
    }
    const rateOf = (host: OutlierHost): number => (local ? host.localWindow : host.window).successRate;
    const rates = successRateThreshold(hosts.map(rateOf), settings.successRateStdevFactor / 1000);
    // The event log quotes them.
    if (local) this.localOrigin = rates;
    else this.external = rates;
    const type = local ? 'SUCCESS_RATE_LOCAL_ORIGIN' : 'SUCCESS_RATE';
    for (const host of hosts) if (rateOf(host) < rates.threshold) this.#suspect(host, type, nowMs);
    return rates;
  }

  #suspect(host: OutlierHost, type: EjectionType, nowMs: number): void {
    this.#observer.onDetected(type);
    // Envoy would count an ejected host twice here, when both statistics condemn it in one sweep.
    if (!host.ejected) this.#eject(host, type, nowMs);
  }
}
