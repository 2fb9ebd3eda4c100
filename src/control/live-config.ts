import { isDeepStrictEqual } from 'node:util';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { compileAssignment } from '../config/cluster-hosts.ts';
import { connectionCounts } from '../config/connection-counts.ts';
import { mayBeDormant, type PackedCluster, packCluster } from '../config/dormant.ts';
import type { ConfigUpdate, UpdateOutcome } from '../core/config-update.ts';
import { createCountMemory } from '../core/shared-count.ts';
import type { WorkerInit, WorkerUpdate } from '../core/worker-protocol.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { HostHealth } from '../upstream/health-view.ts';
import { HoldingsMemory } from '../upstream/holdings.ts';
import type { ClusterScopes } from './cluster-scopes.ts';
import { type ConfigStats, countListeners } from './config-stats.ts';
import { Discovery } from './discovery.ts';
import type { HealthManager } from './health/health-manager.ts';
import { LiveListeners } from './live-listeners.ts';

export interface LiveConfigParts {
  readonly concurrency: number;
  readonly stats: ConfigStats;
  readonly discovery: Discovery;
  readonly health: () => HealthManager;
  readonly clusterScopes: ClusterScopes;
  readonly setSecret: (key: string, secret: object) => void;
  readonly setRuntime: (values: Readonly<Record<string, unknown>>) => void;
  /** Sends a step to all workers; resolves when it is in force. */
  readonly update: (update: WorkerUpdate) => Promise<UpdateOutcome>;
  readonly broadcastHosts: (cluster: string, hosts: ClusterHosts) => void;
  readonly broadcastHealth: (cluster: string, news: readonly HostHealth[]) => void;
  readonly onProblem: (message: string) => void;
  /** A cluster that waited for DNS or a first health check is in force, or nobody waits for it any more. */
  readonly onWarmed: (cluster: string) => void;
}

interface Warming {
  readonly config: ClusterConfig;
  readonly done: Promise<void>;
}

/**
 * The configuration in force: what workers start with, and the steps by which it changes. One step is on its way to
 * the workers at a time; clusters that wait for DNS or a first health check join a later one.
 */
export class LiveConfig {
  readonly clusters = new Map<string, ClusterConfig>();
  readonly routes = new Map<string, object>();
  readonly scopes = new Map<string, readonly object[]>();
  readonly hosts = new Map<string, ClusterHosts>();
  readonly holdings = new Map<string, Int32Array>();
  readonly counts = new Map<string, Int32Array>();
  readonly #listeners = new LiveListeners();
  readonly #parts: LiveConfigParts;
  readonly #holdingsMemory: HoldingsMemory;
  /** Clusters that the process began with. */
  readonly #first = new Set<ClusterConfig>();
  readonly #warming = new Map<string, Warming>();
  /** Clusters on their way to the workers: what is found out of them meanwhile follows behind. */
  readonly #onTheWay = new Set<string>();
  /** Of them, those of whose hosts something was found out. */
  readonly #unsaid = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();
  #live = false;

  constructor(parts: LiveConfigParts) {
    this.#parts = parts;
    this.#holdingsMemory = new HoldingsMemory(parts.concurrency);
  }

  /** What the process starts with, before there are workers. */
  init(clusters: readonly ClusterConfig[]): void {
    for (const config of clusters) {
      this.#first.add(config);
      this.clusters.set(config.name ?? '', config);
      this.holdings.set(config.name ?? '', this.#holdingsMemory.take());
      this.#parts.stats.clusterAdded.inc();
    }
    this.#count();
  }

  /** Rejects with a readable error when an address cannot be had. */
  async initListeners(listeners: readonly ListenerConfig[]): Promise<void> {
    for (const name of connectionCounts(listeners)) this.#memory(name);
    await this.#listeners.init(listeners);
    this.#parts.stats.listenerAdded.add(listeners.length);
    this.#parts.stats.listenerCreateSuccess.add(listeners.length * this.#parts.concurrency);
    this.#count();
  }

  get listeners(): ReadonlyMap<string, ListenerConfig> {
    return this.#listeners.inForce;
  }

  /** From now on a cluster that warms holds nothing else up. */
  markLive(): void {
    this.#live = true;
    this.#parts.stats.workersStarted.set(1);
  }

  /** How many clusters wait for DNS or a first health check. */
  get warming(): number {
    return this.#warming.size;
  }

  /** It waits for DNS or a first health check; a version before it may serve meanwhile. */
  isWarming(cluster: string): boolean {
    return this.#warming.has(cluster);
  }

  seed(): Pick<
    WorkerInit,
    'clusters' | 'dormant' | 'listeners' | 'routes' | 'scopes' | 'hosts' | 'health' | 'holdings' | 'counts'
  > {
    const packed: PackedCluster[] = [];
    const clusters: ClusterConfig[] = [];
    const hosts: Record<string, ClusterHosts> = {};
    for (const [name, config] of this.clusters) {
      const members = this.hosts.get(name);
      if (!this.#first.has(config) && mayBeDormant(config)) {
        packed.push(packCluster({ config, hosts: members ?? null }));
        continue;
      }
      clusters.push(config);
      if (members !== undefined) hosts[name] = members;
    }
    return {
      clusters,
      dormant: packed,
      listeners: [...this.listeners.values()],
      routes: [...this.routes.values()],
      scopes: Array.from(this.scopes, ([name, scopes]) => ({ name, scopes })),
      hosts,
      // Of one that warms it is not about the version that serves.
      health: Object.fromEntries(
        this.#parts
          .health()
          .seed()
          .filter(([name]) => !this.#warming.has(name)),
      ),
      holdings: Object.fromEntries(this.holdings),
      counts: Object.fromEntries(this.counts),
    };
  }

  /** Takes over a step. Resolves when it is in force in every worker, but for clusters that still warm. */
  apply(update: ConfigUpdate): Promise<UpdateOutcome> {
    return this.#enqueue(() => this.#apply(update));
  }

  /** Members that were found or checked; the workers learn of them. */
  publishHosts(cluster: string, hosts: ClusterHosts): void {
    this.hosts.set(cluster, hosts);
    if (!this.#onTheWay.has(cluster) && this.clusters.has(cluster) && !this.#warming.has(cluster))
      this.#parts.broadcastHosts(cluster, hosts);
  }

  /** What checks and ejections found out; the workers learn of it once they have the version that it is about. */
  publishHealth(cluster: string, news: readonly HostHealth[]): void {
    if (this.#onTheWay.has(cluster)) this.#unsaid.add(cluster);
    else this.#parts.broadcastHealth(cluster, news);
  }

  #enqueue<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run);
    this.#queue = result.catch(() => {
      // Whoever enqueued it hears of it.
    });
    return result;
  }

  async #apply(update: ConfigUpdate): Promise<UpdateOutcome> {
    const { discovery, stats } = this.#parts;
    const health = this.#parts.health();
    if (update.runtime !== undefined) this.#parts.setRuntime(update.runtime);
    for (const { key, secret } of update.secrets ?? []) this.#parts.setSecret(key, secret);
    const assignments = new Map(
      (update.endpoints ?? []).map(({ cluster, assignment }) => [cluster, assignment] as const),
    );
    const ready: ClusterConfig[] = [];
    const slow: Warming[] = [];
    for (const config of (update.clusters ?? []) as readonly ClusterConfig[]) {
      const name = config.name ?? '';
      const before = this.#warming.get(name)?.config ?? this.clusters.get(name);
      if (isDeepStrictEqual(before, config)) continue;
      if (before === undefined) stats.clusterAdded.inc();
      else stats.clusterModified.inc();
      const assignment = assignments.get(name);
      assignments.delete(name);
      this.#onTheWay.add(name);
      try {
        const warming = this.#begin(config, assignment);
        if (warming === null) ready.push(config);
        else slow.push(warming);
      } catch (error) {
        // A file that cannot be read now, say. The version before serves on.
        this.#onTheWay.delete(name);
        this.#parts.onProblem(`cluster '${name}': ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const [name, assignment] of assignments) this.#setEndpoints(name, assignment);
    if (this.#live) for (const one of slow) void this.#join(one);
    else {
      await Promise.all(slow.map(({ done }) => done));
      ready.push(...slow.filter((one) => this.#warmed(one)).map(({ config }) => config));
    }
    const { failed, claimed, before } = await this.#listeners.claim(update);
    for (const name of update.removedClusters ?? []) {
      if (this.clusters.has(name) || this.#warming.has(name)) stats.clusterRemoved.inc();
      this.#warming.delete(name);
      this.#onTheWay.delete(name);
      this.#unsaid.delete(name);
      health.remove(name);
      discovery.remove(name);
      this.#parts.clusterScopes.letGo(name);
    }
    const step: ConfigUpdate = {
      ...update,
      listeners: claimed,
      // A version that serves on needs its routes.
      removedRoutes: failed.length > 0 ? [] : (update.removedRoutes ?? []),
    };
    const routes = new Map((step.removedRoutes ?? []).map((name) => [name, this.routes.get(name)]));
    // A worker that is replaced meanwhile gets nothing of the step but what is kept here.
    this.#keep(step);
    const outcome = await this.#send(ready, step);
    if (outcome.failedListeners.length > 0) {
      for (const { name } of outcome.failedListeners) this.#listeners.restore(name, before.get(name));
      for (const [name, config] of routes) if (config !== undefined) this.routes.set(name, config);
    }
    const failedListeners = [...failed, ...outcome.failedListeners];
    countListeners(stats, this.#parts.concurrency, claimed, before, failedListeners);
    this.#count();
    const warming = slow.map(({ config }) => config.name ?? '').filter((name) => !this.clusters.has(name));
    return { failedListeners, warming };
  }

  /** Clusters go to the workers with all that belongs to them. */
  async #send(clusters: readonly ClusterConfig[], update: ConfigUpdate): Promise<UpdateOutcome> {
    const health = this.#parts.health();
    const sent = new Map<string, ClusterHosts | undefined>();
    const hosts: Record<string, object> = {};
    const known: Record<string, readonly object[]> = {};
    const holdings: Record<string, Int32Array> = {};
    const counts: Record<string, Int32Array> = {};
    const dormant: PackedCluster[] = [];
    const atOnce: ClusterConfig[] = [];
    for (const config of clusters) {
      const name = config.name ?? '';
      const memory = this.holdings.get(name) ?? this.#holdingsMemory.take();
      this.holdings.set(name, memory);
      this.clusters.set(name, config);
      holdings[name] = memory;
      const members = this.hosts.get(name);
      sent.set(name, members);
      if (mayBeDormant(config)) {
        dormant.push(packCluster({ config, hosts: members ?? null }));
        continue;
      }
      atOnce.push(config);
      if (members !== undefined) hosts[name] = members;
      const snapshot = health.snapshot(name);
      if (snapshot !== undefined) known[name] = snapshot;
    }
    for (const name of connectionCounts((update.listeners ?? []) as readonly ListenerConfig[]))
      counts[name] = this.#memory(name);
    const { endpoints: _, ...rest } = update;
    const outcome = await this.#parts.update({
      ...rest,
      clusters: atOnce,
      dormant,
      hosts,
      health: known,
      holdings,
      counts,
    });
    for (const config of clusters) {
      const name = config.name ?? '';
      this.#onTheWay.delete(name);
      // Of hosts that come, what is known comes first.
      const checked = this.#unsaid.delete(name) ? health.snapshot(name) : undefined;
      if (checked !== undefined) this.#parts.broadcastHealth(name, checked);
      const now = this.hosts.get(name);
      if (now !== undefined && now !== sent.get(name)) this.#parts.broadcastHosts(name, now);
    }
    return outcome;
  }

  /** What workers that start later begin with. */
  #keep(update: ConfigUpdate): void {
    for (const config of (update.routes ?? []) as readonly { readonly name?: string }[])
      this.routes.set(config.name ?? '', config);
    for (const { name, scopes } of update.scopes ?? []) this.scopes.set(name, scopes);
    for (const name of update.removedListeners ?? []) {
      const config = this.listeners.get(name);
      if (config === undefined) continue;
      for (const count of connectionCounts([config])) this.counts.delete(count);
      this.#parts.stats.listenerRemoved.inc();
      this.#parts.stats.draining(this.#parts.stats.listenersDraining, 1);
      this.#listeners.remove(name);
    }
    for (const name of update.removedRoutes ?? []) this.routes.delete(name);
    for (const name of update.removedClusters ?? []) {
      this.clusters.delete(name);
      this.hosts.delete(name);
      this.holdings.delete(name);
    }
  }

  /** Discovery and checks of a cluster begin; null for one that can be used at once. */
  #begin(config: ClusterConfig, assignment: object | undefined): Warming | null {
    const { discovery, clusterScopes } = this.#parts;
    const health = this.#parts.health();
    const name = config.name ?? '';
    // One that names its members itself has none of those that were found for the version before.
    if (config.type !== 'EDS' && !Discovery.finds(config)) this.hosts.delete(name);
    health.set(config);
    discovery.remove(name);
    if (assignment !== undefined) this.#setEndpoints(name, assignment);
    if (Discovery.finds(config) || health.watches(name)) {
      clusterScopes.hold(config);
      return this.#warm(config);
    }
    clusterScopes.letGo(name);
    this.#warming.delete(name);
    return null;
  }

  #setEndpoints(cluster: string, assignment: object): void {
    try {
      this.#parts.health().onHosts(cluster, compileAssignment(assignment as ClusterLoadAssignment));
    } catch (error) {
      this.#parts.onProblem(`endpoints of cluster '${cluster}': ${String(error)}`);
    }
  }

  #warm(config: ClusterConfig): Warming {
    const name = config.name ?? '';
    const found = Discovery.finds(config) ? this.#parts.discovery.set(config) : Promise.resolve();
    const warming = { config, done: found.then(() => this.#parts.health().startCluster(name)) };
    this.#warming.set(name, warming);
    return warming;
  }

  /** It has its first answers; false when it was replaced or removed meanwhile. */
  #warmed(warming: Warming): boolean {
    const name = warming.config.name ?? '';
    if (this.#warming.get(name) !== warming) return false;
    this.#warming.delete(name);
    return true;
  }

  /** A cluster that warms holds nothing up: it joins a later step. What it replaces serves until then. */
  async #join(warming: Warming): Promise<void> {
    const { config, done } = warming;
    await done;
    // Steps before this one may still replace or remove it.
    await this.#enqueue(async () => {
      if (this.#warmed(warming)) await this.#send([config], {});
    });
    const name = config.name ?? '';
    if (!this.#warming.has(name)) this.#parts.onWarmed(name);
    this.#count();
  }

  #count(): void {
    const { stats } = this.#parts;
    stats.activeClusters.set(this.clusters.size);
    stats.warmingClusters.set(this.#warming.size);
    stats.activeListeners.set(this.listeners.size);
  }

  #memory(name: string): Int32Array {
    let memory = this.counts.get(name);
    if (memory === undefined) {
      memory = createCountMemory(this.#parts.concurrency);
      this.counts.set(name, memory);
    }
    return memory;
  }
}
