import { Cell } from '../core/cell.ts';
import type { Random } from '../core/random.ts';
import { formatAddress } from '../net/address.ts';
import type { Counter, StatScope } from '../stats/scope.ts';
import type { Breaker } from './breaker.ts';
import { type ClusterHosts, DEFAULT_OVERPROVISIONING, type HostSpec } from './cluster-hosts.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { HealthView, HostHealth } from './health-view.ts';
import { HEALTH_FLAG, Host } from './host.ts';
import { createHostSet, type HostSet, isDraining } from './host-set.ts';
import { Aggregate, type AggregateMember } from './lb/aggregate.ts';
import type { CreateLoadBalancer, LoadBalancer, PickContext } from './lb/load-balancer.ts';
import { PeakEwma, type PeakEwmaSettings } from './lb/peak-ewma-estimator.ts';
import { type BalancingParts, compilePriorities, type PriorityOptions } from './lb/priority.ts';
import type { SlowStart } from './lb/slow-start.ts';
import { SubsetBalancer, SubsetIndex, type SubsetOptions } from './lb/subset.ts';
import { OriginalDst, type OriginalDstSettings } from './original-dst.ts';
import type { PoolShared } from './pools/pool-shared.ts';
import type { TransportMatches } from './transport-matches.ts';

/** A balancing policy, compiled; `peakEwma` is set when hosts need latency estimates. */
export interface CompiledBalancing {
  readonly create: CreateLoadBalancer;
  readonly peakEwma: PeakEwmaSettings | null;
  readonly priorities: PriorityOptions;
  readonly subsets: SubsetOptions | null;
  /** Set when the cluster has to know for how long its hosts have been well. */
  readonly slowStart: SlowStart | null;
  /** The clusters of an aggregate cluster, which has no hosts of its own. */
  readonly aggregate: readonly Cell<AggregateMember>[] | null;
}

/** What a way to speak to hosts comes to. */
export interface HostTransport {
  readonly shared: PoolShared;
  /** Hosts that got it. */
  readonly matches: Counter;
}

/** What `compileCluster` found out. */
export interface ClusterSettings {
  readonly name: string;
  /** Name in admin output and stats: `alt_stat_name`, else the name. */
  readonly observabilityName: string;
  readonly addedViaApi: boolean;
  /** Its members come and go: Envoy shows `max_host_weight` for these only. */
  readonly discovered: boolean;
  /** One worker counts membership changes for all; the gauges are merged by maximum. */
  readonly countMembership: boolean;
  /** `cluster.<name>.`, for whoever adds statistics of its own (router, health checks). */
  readonly scope: StatScope;
  readonly shared: PoolShared;
  /** What the pools of a host share depends on how it is spoken to. */
  readonly transports: TransportMatches<HostTransport>;
  readonly breakers: { readonly default: Breaker; readonly high: Breaker };
  readonly balancing: CompiledBalancing;
  readonly random: Random;
  /** `close_connections_on_host_set_change` */
  readonly closeOnHostSetChange: boolean;
  /** `common_http_protocol_options.max_stream_duration`: of one attempt, 0 = no limit. */
  readonly maxStreamDurationMs: number;
  /** Null unless the control thread watches the hosts. */
  readonly health?: HealthView | null;
  /** Set for ORIGINAL_DST clusters, whose hosts are made as connections ask for them. */
  readonly originalDst?: OriginalDstSettings | null;
  /** `metadata.filter_metadata` of the cluster. */
  readonly metadata: Readonly<Record<string, unknown>> | null;
}

/** A named group of hosts as one worker sees it. */
export class Cluster {
  readonly name: string;
  readonly settings: ClusterSettings;
  readonly stats: ClusterStats;
  readonly scope: StatScope;
  readonly breaker: Breaker;
  readonly connectTimeoutMs: number;
  /** Empty until the first `update`: the cluster is warm when it has a value, which may be an empty set. */
  readonly hosts: Cell<HostSet>;
  /** Null but for ORIGINAL_DST clusters: `pick` wants a `destination` there. */
  readonly originalDst: OriginalDst | null;
  /** Requests that were refused because a limit was reached, since loads were reported last. */
  dropped: number;
  #balancer: LoadBalancer | null;
  readonly #parts: BalancingParts;
  readonly #subsets: SubsetIndex | null;
  readonly #byKey: Map<string, Host>;

  constructor(settings: ClusterSettings) {
    this.name = settings.name;
    this.settings = settings;
    this.stats = settings.shared.stats;
    this.scope = settings.scope;
    this.breaker = settings.breakers.default;
    this.connectTimeoutMs = settings.shared.dialOptions.connectTimeoutMs;
    this.hosts = new Cell();
    this.dropped = 0;
    this.#balancer = null;
    const { balancing, random } = settings;
    this.#parts = { create: balancing.create, random, options: balancing.priorities, stats: this.stats };
    this.#subsets =
      balancing.subsets === null
        ? null
        : new SubsetIndex(
            balancing.subsets,
            this.stats,
            settings.scope.gauge('lb_subsets_single_host_per_subset_duplicate', 'max'),
          );
    this.#byKey = new Map();
    this.originalDst = settings.originalDst == null ? null : this.#makeHosts(settings.originalDst);
  }

  get warm(): boolean {
    return this.hosts.value !== undefined;
  }

  /** A host for the next request, or undefined when there is none (503 UH). */
  pick(context: PickContext | null = null): Host | undefined {
    const host = this.balance(context);
    if (host === undefined) {
      this.stats.cxNoneHealthy.inc();
      return undefined;
    }
    return this.breaker.pools.max !== Number.POSITIVE_INFINITY && !this.#mayHavePool(host) ? undefined : host;
  }

  /** As `pick`, but counts nothing: for aggregate clusters. */
  balance(context: PickContext | null): Host | undefined {
    const host = this.#balancer === null ? undefined : this.#balancer.pick(context);
    if (host === undefined || (host.healthFlags & HEALTH_FLAG.onProbation) === 0) return host;
    return this.#admit(host, context);
  }

  /**
   * Takes over what discovery found. A host whose address stays keeps its identity, connections (unless it is spoken
   * to otherwise now) and latency estimate; removed hosts are drained. Nothing is rebuilt when nothing changed.
   */
  update(found: ClusterHosts): void {
    const before = this.hosts.value;
    const hosts: Host[] = [];
    let changed = before === undefined || before.overprovisioningFactor !== found.overprovisioningFactor;
    let membersChanged = false;
    const kept = hostsByKey(found.hosts);
    for (const [key, spec] of kept) {
      const { shared, matches } = this.settings.transports.choose(spec.metadata, spec.localityMetadata);
      let host = this.#byKey.get(key);
      if (host?.shared !== shared && this.settings.countMembership) matches.inc();
      if (host === undefined) {
        const { peakEwma } = this.settings.balancing;
        host = new Host(key, spec, shared, peakEwma === null ? null : new PeakEwma(peakEwma));
        this.#byKey.set(key, host);
        this.settings.health?.adopt(host);
        membersChanged = true;
      } else if (host.update(spec, shared)) {
        changed = true;
      }
      hosts.push(host);
    }
    const removed = before?.hosts.filter((host) => !kept.has(host.key)) ?? [];
    for (const host of removed) {
      this.#byKey.delete(host.key);
      this.settings.health?.forget(host);
    }
    membersChanged ||= removed.length > 0;
    if (membersChanged && this.settings.countMembership) this.stats.membershipChange.inc();
    if (changed || membersChanged) {
      this.#subsets?.update(hosts);
      this.#publish(createHostSet(hosts, found.overprovisioningFactor));
    }
    for (const host of removed) host.drain();
  }

  /** News of the control thread about the hosts' health. */
  applyHealth(news: readonly HostHealth[]): void {
    if (this.settings.health?.apply(news, this.#byKey) === true) this.refreshHealth();
  }

  /** Sorts the hosts anew after `healthFlags` of some were changed. */
  refreshHealth(): void {
    const set = this.hosts.value;
    if (set !== undefined) this.#publish(createHostSet(set.hosts, set.overprovisioningFactor));
  }

  /** The cluster was removed or replaced: requests under way finish, then its connections close. */
  drain(): void {
    this.originalDst?.close();
    for (const host of this.hosts.value?.hosts ?? []) host.drain();
  }

  /** The process or worker ends: waiting requests fail, idle connections close. */
  close(): void {
    this.originalDst?.close();
    for (const host of this.hosts.value?.hosts ?? []) host.close();
  }

  #makeHosts(settings: OriginalDstSettings): OriginalDst {
    const { shared, balancing } = this.settings;
    const { peakEwma } = balancing;
    const hosts = new OriginalDst(settings, {
      createHost: (spec) => {
        const estimator = peakEwma === null ? null : new PeakEwma(peakEwma);
        return new Host(formatAddress(spec.address), spec, shared, estimator);
      },
      onHosts: (all) => {
        this.hosts.value = createHostSet(all, DEFAULT_OVERPROVISIONING);
        this.stats.membershipChange.inc();
        this.stats.membershipTotal.set(all.length);
        this.stats.membershipHealthy.set(all.length);
      },
    });
    this.#balancer = hosts;
    this.hosts.value = createHostSet([], DEFAULT_OVERPROVISIONING);
    return hosts;
  }

  /** One request decides about a host on probation; the others go elsewhere. */
  #admit(host: Host, context: PickContext | null): Host | undefined {
    const admitted = this.settings.health?.admit(host) !== false;
    this.refreshHealth();
    return admitted ? host : this.balance(context);
  }

  /** `max_connection_pools`: a host without a connection gets none when enough others have some. */
  #mayHavePool(host: Host): boolean {
    if (host.stats.cxActive > 0 || this.breaker.pools.available) return true;
    this.stats.cxPoolOverflow.inc();
    return false;
  }

  #publish(set: HostSet): void {
    const { balancing, random, closeOnHostSetChange } = this.settings;
    const { slowStart, aggregate, priorities } = balancing;
    if (slowStart !== null) for (const host of set.hosts) noteHealth(host, slowStart.clock.now());
    if (aggregate !== null) this.#balancer = new Aggregate(aggregate, random, priorities.panicThreshold);
    else if (this.#subsets === null) this.#balancer = compilePriorities(set, this.#parts);
    else this.#balancer = new SubsetBalancer(this.#subsets, set, this.#parts);
    if (closeOnHostSetChange) for (const host of this.hosts.value?.hosts ?? []) host.renew();
    this.hosts.value = set;
    let healthy = 0;
    let degraded = 0;
    let excluded = 0;
    let heaviest = 0;
    for (const host of set.hosts) {
      if (isDraining(host)) excluded++;
      if (host.availability === 'healthy') healthy++;
      else if (host.availability === 'degraded') degraded++;
      heaviest = Math.max(heaviest, host.weight);
    }
    this.stats.membershipTotal.set(set.hosts.length);
    this.stats.membershipHealthy.set(healthy);
    this.stats.membershipDegraded.set(degraded);
    this.stats.membershipExcluded.set(excluded);
    if (this.settings.discovered) this.stats.maxHostWeight.set(heaviest);
  }
}

/** Active health checks decide when a slow start begins, or the host's arrival where there are none. */
function noteHealth(host: Host, nowMs: number): void {
  const failed = (host.healthFlags & (HEALTH_FLAG.failedActiveHc | HEALTH_FLAG.pendingActiveHc)) !== 0;
  if (failed) host.wellSinceMs = Number.NaN;
  else if (Number.isNaN(host.wellSinceMs)) host.wellSinceMs = nowMs;
}

/** By the keys that all threads know hosts by; several endpoints with one address are several hosts, as in Envoy. */
export function hostsByKey(hosts: readonly HostSpec[]): Map<string, HostSpec> {
  const byKey = new Map<string, HostSpec>();
  for (const spec of hosts) {
    const name = spec.identity ?? formatAddress(spec.address);
    let key = name;
    for (let n = 2; byKey.has(key); n++) key = `${name}#${n}`;
    byKey.set(key, spec);
  }
  return byKey;
}
