import { type Headers, hasHeader } from '../http/headers.ts';
import { HEALTH_FLAG, type Host } from './host.ts';
import { OutlierMonitor, type OutlierSignal } from './outlier-monitor.ts';
import type { OutlierSettings } from './outlier-settings.ts';

/** What the control thread knows of a host's health. Plain data: it travels between threads. */
export interface HostHealth {
  readonly key: string;
  /** Bits of `HEALTH_FLAG` that the control thread owns. */
  readonly flags: number;
  /** Shared memory for the monitors, null without outlier detection. */
  readonly record: Int32Array | null;
}

/** What a worker tells the control thread about a host. */
export type HostSignal = OutlierSignal | 'immediate-failure';

/** What a worker brings to the clusters that are watched. */
export interface HealthContext {
  readonly worker: number;
  runtime(key: string): unknown;
  /** What is known at start; undefined when the cluster is not watched. */
  hosts(cluster: string): readonly HostHealth[] | undefined;
  signal(cluster: string, host: string, signal: HostSignal): void;
}

/** What a response may say about the health of its host. */
export interface ResponseCheck {
  onResponse(headers: Headers): void;
}

/** Decided by the control thread; the rest of a host's flags is what discovery says. */
const CONTROL_FLAGS =
  HEALTH_FLAG.failedActiveHc |
  HEALTH_FLAG.failedOutlierCheck |
  HEALTH_FLAG.degradedActiveHc |
  HEALTH_FLAG.pendingDynamicRemoval |
  HEALTH_FLAG.pendingActiveHc |
  HEALTH_FLAG.excludedViaImmediateHcFail |
  HEALTH_FLAG.activeHcTimeout |
  HEALTH_FLAG.onProbation;
const FAILED = HEALTH_FLAG.failedActiveHc | HEALTH_FLAG.failedOutlierCheck;

/** One cluster's health in one worker: keeps what it was told, also about hosts that are not there yet. */
export class HealthView {
  readonly #cluster: string;
  readonly #context: HealthContext;
  readonly #outlier: OutlierSettings | null;
  readonly #checked: boolean;
  readonly #known = new Map<string, HostHealth>();

  /** `checked`: there are active health checks. */
  constructor(cluster: string, context: HealthContext, outlier: OutlierSettings | null, checked: boolean) {
    this.#cluster = cluster;
    this.#context = context;
    this.#outlier = outlier;
    this.#checked = checked;
    for (const health of context.hosts(cluster) ?? []) this.#known.set(health.key, health);
  }

  /** A host appears. */
  adopt(host: Host): void {
    const health = this.#known.get(host.key);
    if (health === undefined) return;
    host.healthFlags = (host.healthFlags & ~CONTROL_FLAGS) | health.flags;
    if (this.#checked) host.check = this.#responseCheck(host.key);
    const { record } = health;
    const outlier = this.#outlier;
    if (record === null || outlier === null) return;
    host.monitor = new OutlierMonitor(outlier, record, this.#context.worker, (signal) =>
      this.#context.signal(this.#cluster, host.key, signal),
    );
  }

  /** A host leaves. */
  forget(host: Host): void {
    this.#known.delete(host.key);
  }

  /** Takes over news; true when anything that balancing sees changed. */
  apply(news: readonly HostHealth[], hosts: ReadonlyMap<string, Host>): boolean {
    let changed = false;
    for (const health of news) {
      this.#known.set(health.key, health);
      const host = hosts.get(health.key);
      if (host === undefined) continue;
      const before = host.healthFlags;
      host.healthFlags = (before & ~CONTROL_FLAGS) | health.flags;
      if (host.healthFlags === before) continue;
      changed = true;
      if ((host.healthFlags & ~before & FAILED) !== 0) host.onHealthFailure();
    }
    return changed;
  }

  /**
   * Whether a host on probation may have the request. It takes one: afterwards, and for whoever comes too late, it is
   * out again in this worker, so that the caller has to sort the hosts anew.
   */
  admit(host: Host): boolean {
    host.healthFlags = (host.healthFlags & ~HEALTH_FLAG.onProbation) | HEALTH_FLAG.failedOutlierCheck;
    return host.monitor?.takeProbe() === true;
  }

  #responseCheck(key: string): ResponseCheck {
    return {
      onResponse: (headers) => {
        if (!hasHeader(headers, 'x-envoy-immediate-health-check-fail')) return;
        this.#context.signal(this.#cluster, key, 'immediate-failure');
      },
    };
  }
}
