import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import type { Cell } from '../core/cell.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { NOWHERE } from '../stats/nowhere.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { ClusterContext } from '../upstream/context.ts';
import { compileCluster } from './cluster.ts';
import { ClusterCells } from './cluster-cells.ts';
import { at, type CompileContext } from './context.ts';
import { type PackedCluster, unpackCluster } from './dormant.ts';
import { type CompiledListener, compileListener } from './listener.ts';
import { LiveRoutes } from './live-routes.ts';

/** A compile context without what this file adds to it: clusters and routes. */
export type BaseContext = Omit<CompileContext, 'cluster' | 'findCluster' | 'clusterExists' | 'routes'>;

/** A cluster that nobody has asked for. */
interface Dormant {
  readonly packed: PackedCluster;
  /** Members that were found since it was packed. */
  hosts: ClusterHosts | null;
}

/** Names of clusters. */
export interface Names {
  has(name: string): boolean;
}

/**
 * The clusters, routes and listeners of a thread. Names meet in Cells, so that the order in which they come does
 * not matter, and an update swaps what a Cell holds.
 */
export class Resources {
  readonly clusters = new Map<string, Cluster>();
  readonly routes = new LiveRoutes();
  /** How often a cluster was looked up by its name: compiling does, serving does not. */
  clusterLookups = 0;
  readonly #cells = new ClusterCells();
  readonly #dormant = new Map<string, Dormant>();
  readonly #onException: (error: unknown) => void;
  readonly #clusterContext: ClusterContext;
  readonly #ctx: CompileContext;
  /** Names that count as known although they are not there yet. */
  #announced: Names = new Set();

  constructor(base: BaseContext, clusterContext: ClusterContext) {
    this.#onException = base.onException;
    this.#clusterContext = {
      ...clusterContext,
      clusterCell: (name) => this.#cell(name),
      ...this.#localPeers(clusterContext.localCluster ?? '', base),
    };
    this.#ctx = {
      ...base,
      cluster: (name) => this.#cell(name),
      findCluster: (name) => this.#cells.find(name),
      clusterExists: (name) =>
        this.clusters.has(name) || this.#dormant.has(name) || this.#announced.has(name),
      routes: this.routes,
    };
  }

  announce(names: Names): void {
    this.#announced = names;
  }

  /** Throws a ConfigError. Nobody sees it before it is published. */
  createCluster(config: ClusterConfig, addedViaApi = false): Cluster {
    return compileCluster(config, { ...this.#clusterContext, addedViaApi });
  }

  /** Adds or replaces; connections of what it replaces finish what they do. */
  publishCluster(cluster: Cluster): void {
    const before = this.clusters.get(cluster.name);
    this.clusters.set(cluster.name, cluster);
    this.#cells.set(cluster);
    cluster.scope.retain();
    this.#ctx.demands.clusterCame(cluster.name);
    if (before === undefined) return;
    before.drain();
    before.scope.release();
  }

  /** Adds or replaces one that came by xDS. `hosts`: its members, null when they are not known yet. */
  setCluster(config: ClusterConfig, hosts: ClusterHosts | null): void {
    this.#dormant.delete(config.name ?? '');
    const cluster = this.createCluster(config, true);
    // With its members, so that no request finds it empty.
    if (hosts !== null) cluster.update(hosts);
    this.publishCluster(cluster);
  }

  /** The same when the first request asks for it; one that replaces a cluster that is in use is made at once. */
  setDormant(packed: PackedCluster): void {
    const { name } = packed;
    if (this.clusters.has(name) || name === this.#clusterContext.localCluster) {
      const { config, hosts } = unpackCluster(packed);
      this.setCluster(config, hosts);
      return;
    }
    this.#dormant.set(name, { packed, hosts: null });
    this.#cells.sleep(name, () => this.#wake(name));
    this.#ctx.demands.clusterCame(name);
  }

  /** Members that discovery or the control plane have found. */
  updateHosts(name: string, hosts: ClusterHosts): void {
    const dormant = this.#dormant.get(name);
    if (dormant !== undefined) dormant.hosts = hosts;
    else this.clusters.get(name)?.update(hosts);
  }

  /** To look at: those that were never asked for are made without statistics, and nobody keeps them. */
  *allClusters(): Generator<Cluster> {
    yield* this.clusters.values();
    for (const { packed, hosts } of this.#dormant.values()) {
      const parts = unpackCluster(packed);
      const context = { ...this.#clusterContext, stats: NOWHERE, addedViaApi: true };
      const cluster = compileCluster(parts.config, context);
      const found = hosts ?? parts.hosts;
      if (found !== null) cluster.update(found);
      yield cluster;
    }
  }

  #wake(name: string): void {
    const dormant = this.#dormant.get(name);
    if (dormant === undefined) return;
    try {
      const { config, hosts } = unpackCluster(dormant.packed);
      this.setCluster(config, dormant.hosts ?? hosts);
    } catch (error) {
      // It was compiled before it was accepted; requests are answered as if it were not there.
      this.#dormant.delete(name);
      this.#onException(error);
    }
  }

  /** Requests for it are answered with 503 from now on. Its statistics go at once: what still drains is not counted. */
  removeCluster(name: string): void {
    this.#dormant.delete(name);
    this.#cells.remove(name);
    const cluster = this.clusters.get(name);
    if (cluster === undefined) return;
    this.clusters.delete(name);
    cluster.drain();
    cluster.scope.release();
  }

  /** Throws a ConfigError. */
  compileListener(config: ListenerConfig): CompiledListener {
    return compileListener(config, this.#ctx);
  }

  #cell(name: string): Cell<Cluster> {
    this.clusterLookups++;
    return this.#cells.of(name);
  }

  /** The cluster that `local_cluster_name` says this proxy is a member of. */
  #localPeers(name: string, { node }: BaseContext): Pick<ClusterContext, 'localPeers'> {
    if (name === '') return {};
    const { region, zone, subZone } = node;
    const cell = this.#cell(name);
    return { localPeers: { locality: { region, zone, subZone }, hosts: () => cell.value?.hosts.value } };
  }
}

export interface StaticResources {
  readonly resources: Resources;
  readonly listeners: readonly CompiledListener[];
}

/**
 * Compiles the clusters and listeners that a thread starts with. Throws a ConfigError with the mistakes of all of
 * them. The control thread runs this dry before a worker gets the configuration.
 */
export function compileResources(
  clusters: readonly ClusterConfig[],
  listeners: readonly ListenerConfig[],
  base: BaseContext,
  clusterContext: ClusterContext,
): StaticResources {
  const problems: ConfigProblem[] = [];
  const resources = new Resources(base, clusterContext);
  const local = clusterContext.localCluster ?? '';
  if (local !== '' && !clusters.some((config) => config.name === local)) {
    throw ConfigError.at('cluster_manager.local_cluster_name', `local cluster '${local}' must be defined`);
  }
  for (const [i, config] of clusters.entries()) {
    collect(problems, `static_resources.clusters[${i}]`, () => {
      const name = config.name ?? '';
      if (resources.clusters.has(name)) throw ConfigError.at('name', `duplicate cluster '${name}'`);
      resources.publishCluster(resources.createCluster(config));
    });
  }
  // A cluster that is wrong is no reason to call routes to it wrong, too.
  resources.announce(new Set(clusters.map((config) => config.name ?? '')));
  const compiled: CompiledListener[] = [];
  for (const [i, config] of listeners.entries()) {
    collect(problems, `static_resources.listeners[${i}]`, () =>
      compiled.push(resources.compileListener(config)),
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  resources.announce(new Set());
  return { resources, listeners: compiled };
}

function collect(problems: ConfigProblem[], path: string, compile: () => void): void {
  try {
    at(path, compile);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
}
