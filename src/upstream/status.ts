import type { Address } from '../net/connection.ts';
import type { BreakerLimits } from './breaker.ts';
import type { Cluster } from './cluster.ts';
import { type HealthFlagName, type Host, healthFlagNames } from './host.ts';
import { peakEwmaCost } from './lb/peak-ewma.ts';

/** What `/clusters` shows of a cluster; plain data, because workers send it to the control thread. */
export interface ClusterStatus {
  readonly name: string;
  readonly observabilityName: string;
  readonly addedViaApi: boolean;
  readonly defaultPriority: BreakerLimits;
  readonly highPriority: BreakerLimits;
  readonly hosts: readonly HostStatus[];
}

/** Per-host statistics under Envoy's names. */
export interface HostStatsStatus {
  readonly cx_active: number;
  readonly cx_connect_fail: number;
  readonly cx_total: number;
  readonly rq_active: number;
  readonly rq_error: number;
  readonly rq_pending_active: number;
  readonly rq_success: number;
  readonly rq_timeout: number;
  readonly rq_total: number;
}

export interface HostStatus {
  /** Identity inside the cluster. */
  readonly key: string;
  readonly address: Address;
  readonly hostname: string;
  readonly stats: HostStatsStatus;
  /** With Peak-EWMA: cost of one more request in milliseconds, lowest and highest over the workers. */
  readonly gauges?: Readonly<Record<string, number>>;
  readonly healthFlags: readonly HealthFlagName[];
  readonly weight: number;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly canary: boolean;
  readonly priority: number;
  /** Percent, −1 when unknown: they need outlier detection. */
  readonly successRate: number;
  readonly localOriginSuccessRate: number;
}

const COST_MIN = 'peak_ewma_cost_min';
const COST_MAX = 'peak_ewma_cost_max';

/** One worker's view. */
export function clusterStatus(cluster: Cluster): ClusterStatus {
  const { settings } = cluster;
  const nowMs = settings.shared.clock.now();
  return {
    name: cluster.name,
    observabilityName: settings.observabilityName,
    addedViaApi: settings.addedViaApi,
    defaultPriority: settings.breakers.default.limits,
    highPriority: settings.breakers.high.limits,
    hosts: (cluster.hosts.value?.hosts ?? []).map((host) => hostStatus(host, nowMs)),
  };
}

/**
 * One list of what several workers reported: numbers are added, costs give the lowest and the highest, and the rest is
 * the word of the first worker that knows the cluster or host. Hosts of ORIGINAL_DST clusters are those of one worker.
 */
export function mergeClusterStatuses(views: readonly (readonly ClusterStatus[])[]): ClusterStatus[] {
  return mergeBy(
    views,
    (cluster) => cluster.name,
    (a, b) => ({ ...a, hosts: mergeBy([a.hosts, b.hosts], (host) => host.key, mergeHost) }),
  );
}

function mergeBy<T>(
  lists: readonly (readonly T[])[],
  keyOf: (item: T) => string,
  merge: (a: T, b: T) => T,
): T[] {
  const byKey = new Map<string, T>();
  for (const item of lists.flat()) {
    const key = keyOf(item);
    const known = byKey.get(key);
    byKey.set(key, known === undefined ? item : merge(known, item));
  }
  return [...byKey.values()];
}

function mergeHost(a: HostStatus, b: HostStatus): HostStatus {
  return { ...a, stats: addStats(a.stats, b.stats), ...mergeGauges(a.gauges, b.gauges) };
}

function mergeGauges(a: HostStatus['gauges'], b: HostStatus['gauges']): Pick<HostStatus, 'gauges'> {
  if (a === undefined || b === undefined) return {};
  return {
    gauges: {
      [COST_MIN]: Math.min(a[COST_MIN] ?? 0, b[COST_MIN] ?? 0),
      [COST_MAX]: Math.max(a[COST_MAX] ?? 0, b[COST_MAX] ?? 0),
    },
  };
}

function addStats(a: HostStatsStatus, b: HostStatsStatus): HostStatsStatus {
  return {
    cx_active: a.cx_active + b.cx_active,
    cx_connect_fail: a.cx_connect_fail + b.cx_connect_fail,
    cx_total: a.cx_total + b.cx_total,
    rq_active: a.rq_active + b.rq_active,
    rq_error: a.rq_error + b.rq_error,
    rq_pending_active: a.rq_pending_active + b.rq_pending_active,
    rq_success: a.rq_success + b.rq_success,
    rq_timeout: a.rq_timeout + b.rq_timeout,
    rq_total: a.rq_total + b.rq_total,
  };
}

function hostStatus(host: Host, nowMs: number): HostStatus {
  const { stats } = host;
  const costMs = Math.round(peakEwmaCost(host, nowMs) * 1000) / 1000;
  return {
    key: host.key,
    address: host.address,
    hostname: host.hostname,
    stats: {
      cx_active: stats.cxActive,
      cx_connect_fail: stats.cxConnectFail,
      cx_total: stats.cxTotal,
      rq_active: stats.rqActive,
      rq_error: stats.rqError,
      rq_pending_active: stats.rqPendingActive,
      rq_success: stats.rqSuccess,
      rq_timeout: stats.rqTimeout,
      rq_total: stats.rqTotal,
    },
    ...(host.estimator === null ? {} : { gauges: { [COST_MIN]: costMs, [COST_MAX]: costMs } }),
    healthFlags: healthFlagNames(host.healthFlags),
    weight: host.weight,
    region: host.locality.region,
    zone: host.locality.zone,
    subZone: host.locality.subZone,
    canary: isCanary(host),
    priority: host.priority,
    successRate: -1,
    localOriginSuccessRate: -1,
  };
}

/** `metadata.filter_metadata["envoy.lb"].canary` */
function isCanary(host: Host): boolean {
  const lb = host.metadata?.['envoy.lb'];
  return typeof lb === 'object' && lb !== null && 'canary' in lb && lb.canary === true;
}
