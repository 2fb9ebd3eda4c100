import type { Protocol, RequestHead } from '../http/stream.ts';
import type { LocalBind } from '../net/bound-socket.ts';
import type { Address } from '../net/connection.ts';
import type { HostSpec, Locality } from './cluster-hosts.ts';
import type { ResponseCheck } from './health-view.ts';
import type { PeakEwma } from './lb/peak-ewma-estimator.ts';
import type { LoadMark } from './load.ts';
import type { OutlierMonitor } from './outlier-monitor.ts';
import { HostPools, type Priority, serverNameOf } from './pools/host-pools.ts';
import type { HttpPool } from './pools/http-pool.ts';
import type { PoolShared } from './pools/pool-shared.ts';
import { TcpPool } from './pools/tcp-pool.ts';

/** Why a host is not in full health, as bits; the names are those of Envoy's `/clusters`. */
export const HEALTH_FLAG = {
  failedActiveHc: 1 << 0,
  failedOutlierCheck: 1 << 1,
  failedEdsHealth: 1 << 2,
  degradedActiveHc: 1 << 3,
  degradedEdsHealth: 1 << 4,
  edsStatusDraining: 1 << 5,
  pendingActiveHc: 1 << 6,
  /** Discovery has dropped it, active health checks still pass. */
  pendingDynamicRemoval: 1 << 7,
  excludedViaImmediateHcFail: 1 << 8,
  activeHcTimeout: 1 << 9,
  /** Takes one request, which decides whether it comes back; Envoy has no such state. */
  onProbation: 1 << 10,
} as const;

const UNHEALTHY_FLAGS =
  HEALTH_FLAG.failedActiveHc |
  HEALTH_FLAG.failedOutlierCheck |
  HEALTH_FLAG.failedEdsHealth |
  HEALTH_FLAG.edsStatusDraining;
const DEGRADED_FLAGS = HEALTH_FLAG.degradedActiveHc | HEALTH_FLAG.degradedEdsHealth;
/** Neither well nor a sign of trouble: on their way in or out. */
const EXCLUDED_FLAGS =
  HEALTH_FLAG.edsStatusDraining | HEALTH_FLAG.pendingActiveHc | HEALTH_FLAG.excludedViaImmediateHcFail;
const EDS_FLAGS = HEALTH_FLAG.failedEdsHealth | HEALTH_FLAG.degradedEdsHealth | HEALTH_FLAG.edsStatusDraining;

export type Availability = 'healthy' | 'degraded' | 'unhealthy';

/** What this worker counted for one host; `/clusters` sums it over the workers. */
export class HostStats {
  cxTotal = 0;
  cxActive = 0;
  cxConnectFail = 0;
  rqTotal = 0;
  rqActive = 0;
  rqPendingActive = 0;
  rqSuccess = 0;
  rqError = 0;
  rqTimeout = 0;
  /** Null unless loads are reported. */
  told: LoadMark | null = null;
}

/** One endpoint as one worker sees it; it lives as long as its address, or name, stays in the cluster. */
export class Host {
  /** Where the next connection goes. */
  address: Address;
  /** Its address may change: open connections may lead elsewhere. */
  readonly logical: boolean;
  /** Identity inside a cluster: `ip:port`, `[ip]:port`, a path or a name; `#2` follows when it comes twice. */
  readonly key: string;
  readonly stats: HostStats;
  /** Latency estimate, when the cluster's balancer wants one. */
  readonly estimator: PeakEwma | null;
  hostname: string;
  weight: number;
  priority: number;
  locality: Locality;
  localityWeight: number;
  metadata: Readonly<Record<string, unknown>> | null;
  /** Bits of `HEALTH_FLAG`. */
  healthFlags: number;
  /** Takes the results of requests when the cluster has outlier detection. */
  monitor: OutlierMonitor | null;
  /** Looks for what a response says about the host's health when the cluster has active checks. */
  check: ResponseCheck | null;
  /** Since when active health checks found it well; kept for slow start only, NaN while they do not. */
  wellSinceMs: number;
  /** Requests that were given to this host and have not ended, waiting for a connection included. */
  inflight: number;
  #shared: PoolShared;
  // Made when first asked for: most hosts of a big cluster see no traffic from most sidecars.
  #http: HostPools | null;
  #tcp: TcpPool | null;

  constructor(key: string, spec: HostSpec, shared: PoolShared, estimator: PeakEwma | null) {
    this.address = spec.address;
    this.logical = spec.identity !== undefined;
    this.key = key;
    this.stats = new HostStats();
    this.estimator = estimator;
    this.hostname = spec.hostname;
    this.weight = spec.weight;
    this.priority = spec.priority;
    this.locality = spec.locality;
    this.localityWeight = spec.localityWeight;
    this.metadata = spec.metadata;
    this.healthFlags = edsFlags(spec);
    this.monitor = null;
    this.check = null;
    this.wellSinceMs = Number.NaN;
    this.inflight = 0;
    this.#shared = shared;
    this.#http = null;
    this.#tcp = null;
  }

  get http(): HttpPool {
    return this.httpFor('HTTP/1.1');
  }

  /** The pool for a request that came by `downstream`. */
  httpFor(
    downstream: Protocol,
    priority: Priority = 'DEFAULT',
    serverName = '',
    source: LocalBind | null = null,
  ): HttpPool {
    this.#http ??= new HostPools(this, this.#shared);
    return this.#http.pick(downstream, priority, serverName, source);
  }

  /** The pool for `head`; with `auto_sni` it depends on whom the request is for, and with `original_src` on the client. */
  httpForRequest(head: RequestHead, priority: Priority, source: LocalBind | null = null): HttpPool {
    const { autoNames } = this.#shared;
    const name = autoNames === null ? '' : serverNameOf(head, autoNames);
    return this.httpFor(head.protocol, priority, name, source);
  }

  get tcp(): TcpPool {
    this.#tcp ??= new TcpPool(this, this.#shared);
    return this.#tcp;
  }

  get availability(): Availability {
    if ((this.healthFlags & UNHEALTHY_FLAGS) !== 0) return 'unhealthy';
    return (this.healthFlags & DEGRADED_FLAGS) !== 0 ? 'degraded' : 'healthy';
  }

  /** Left out when the healthy are counted against all. */
  get excluded(): boolean {
    return (this.healthFlags & EXCLUDED_FLAGS) !== 0;
  }

  /** What its pools share, its transport socket among it. */
  get shared(): PoolShared {
    return this.#shared;
  }

  /** Takes over what discovery says now. True when anything that balancing sees changed. */
  update(spec: HostSpec, shared: PoolShared): boolean {
    this.address = spec.address;
    if (shared !== this.#shared) this.#speakBy(shared);
    const flags = (this.healthFlags & ~EDS_FLAGS) | edsFlags(spec);
    const changed =
      this.weight !== spec.weight ||
      this.priority !== spec.priority ||
      this.healthFlags !== flags ||
      this.localityWeight !== spec.localityWeight ||
      this.locality.region !== spec.locality.region ||
      this.locality.zone !== spec.locality.zone ||
      this.locality.subZone !== spec.locality.subZone ||
      !sameMetadata(this.metadata, spec.metadata);
    this.hostname = spec.hostname;
    this.weight = spec.weight;
    this.priority = spec.priority;
    this.locality = spec.locality;
    this.localityWeight = spec.localityWeight;
    this.metadata = spec.metadata;
    this.healthFlags = flags;
    return changed;
  }

  /**
   * The final response head arrived `rttMs` after the request was sent (1xx heads do not count). Called once
   * per request; a 5xx is a failure for the balancer, however fast it came.
   */
  onResponse(status: number, rttMs: number): void {
    this.monitor?.onStatus(status);
    if (status >= 500) {
      this.stats.rqError++;
      this.estimator?.observeFailure(rttMs);
    } else {
      this.stats.rqSuccess++;
      this.estimator?.observe(rttMs);
    }
  }

  /** What had been counted as a success ended as none: a gRPC status in the trailers, or no trailers at all. */
  onLateFailure(): void {
    this.stats.rqSuccess--;
    this.stats.rqError++;
  }

  /** The request was reset by the upstream (or never got through) `elapsedMs` after it was given to the host. */
  onFailure(elapsedMs: number): void {
    this.monitor?.onLocalFailure(503);
    this.stats.rqError++;
    this.estimator?.observeFailure(elapsedMs);
  }

  /** A timeout ended the wait for the response head. */
  onTimeout(elapsedMs: number): void {
    this.monitor?.onLocalFailure(504);
    this.stats.rqTimeout++;
    this.stats.rqError++;
    this.estimator?.observeFailure(elapsedMs);
  }

  /** The client went away first: the answer would have taken at least `elapsedMs`. */
  onAbandoned(elapsedMs: number): void {
    this.monitor?.onAbandoned();
    this.estimator?.observeAtLeast(elapsedMs);
  }

  /** A health check failed or it was ejected: other connections may do better, so none is used again. */
  onHealthFailure(): void {
    this.renew();
    if (this.#shared.closeOnHealthFailure === true) this.#tcp?.closeAll();
  }

  /** New connections have another transport socket; what runs on the present ones ends there. */
  #speakBy(shared: PoolShared): void {
    this.#shared = shared;
    this.drain();
    this.#http = null;
    this.#tcp?.shareWith(shared);
  }

  /** Uses none of the present HTTP connections again. */
  renew(): void {
    for (const pool of this.#http?.all() ?? []) pool.renew();
  }

  /** No new requests; connections close as they become idle. */
  drain(): void {
    for (const pool of this.#http?.all() ?? []) pool.drain();
  }

  /** Fails what waits for a connection, then drains. */
  close(): void {
    for (const pool of this.#http?.all() ?? []) pool.close();
    this.#tcp?.close();
  }
}

const FLAG_NAMES = [
  [HEALTH_FLAG.failedActiveHc, 'failed_active_hc'],
  [HEALTH_FLAG.failedOutlierCheck, 'failed_outlier_check'],
  [HEALTH_FLAG.failedEdsHealth, 'failed_eds_health'],
  [HEALTH_FLAG.degradedActiveHc, 'degraded_active_hc'],
  [HEALTH_FLAG.degradedEdsHealth, 'degraded_eds_health'],
  [HEALTH_FLAG.pendingDynamicRemoval, 'pending_dynamic_removal'],
  [HEALTH_FLAG.pendingActiveHc, 'pending_active_hc'],
  [HEALTH_FLAG.excludedViaImmediateHcFail, 'excluded_via_immediate_hc_fail'],
  [HEALTH_FLAG.activeHcTimeout, 'active_hc_timeout'],
  [HEALTH_FLAG.edsStatusDraining, 'eds_status_draining'],
] as const;
export type HealthFlagName = (typeof FLAG_NAMES)[number][1];

/** Envoy's names of the flags that are set, in its order; none for a healthy host. */
export function healthFlagNames(flags: number): HealthFlagName[] {
  return FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
}

/** Metadata is compared by its text: discovery brings new objects each time, and subsets are made anew for a change. */
function sameMetadata(a: Host['metadata'], b: Host['metadata']): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function edsFlags(spec: HostSpec): number {
  switch (spec.health) {
    case 'UNHEALTHY':
    case 'TIMEOUT':
      return HEALTH_FLAG.failedEdsHealth;
    case 'DRAINING':
      return HEALTH_FLAG.edsStatusDraining;
    case 'DEGRADED':
      return HEALTH_FLAG.degradedEdsHealth;
    default:
      return 0;
  }
}
