import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ClusterContext } from '../upstream/context.ts';
import { compileCluster } from './cluster.ts';
import { at, type CompileContext } from './context.ts';
import { type CompiledListener, compileListener } from './listener.ts';
import { LiveRoutes } from './live-routes.ts';

/** A compile context without what this file adds to it: clusters and routes. */
export type BaseContext = Omit<CompileContext, 'cluster' | 'findCluster' | 'clusterExists' | 'routes'>;

/**
 * The clusters, routes and listeners of a thread. Names meet in Cells, so that the order in which they come does
 * not matter, and an update swaps what a Cell holds.
 */
export class Resources {
  readonly clusters = new Map<string, Cluster>();
  readonly routes = new LiveRoutes();
  /** How often a cluster was looked up by its name: compiling does, serving does not. */
  clusterLookups = 0;
  readonly #cells = new Map<string, Cell<Cluster>>();
  readonly #clusterContext: ClusterContext;
  readonly #ctx: CompileContext;
  /** Names that count as known although they are not there yet. */
  #announced: ReadonlySet<string> = new Set();

  constructor(base: BaseContext, clusterContext: ClusterContext) {
    this.#clusterContext = {
      ...clusterContext,
      clusterCell: (name) => this.#cell(name),
      ...this.#localPeers(clusterContext.localCluster ?? '', base),
    };
    this.#ctx = {
      ...base,
      cluster: (name) => this.#cell(name),
      findCluster: (name) => this.#cells.get(name),
      clusterExists: (name) => this.clusters.has(name) || this.#announced.has(name),
      routes: this.routes,
    };
  }

  announce(names: Iterable<string>): void {
    this.#announced = new Set(names);
  }

  /** Throws a ConfigError. Nobody sees it before it is published. */
  createCluster(config: ClusterConfig, addedViaApi = false): Cluster {
    return compileCluster(config, { ...this.#clusterContext, addedViaApi });
  }

  /** Adds or replaces; connections of what it replaces finish what they do. */
  publishCluster(cluster: Cluster): void {
    const before = this.clusters.get(cluster.name);
    this.clusters.set(cluster.name, cluster);
    this.#cell(cluster.name).value = cluster;
    before?.drain();
  }

  /** Requests for it are answered with 503 from now on. */
  removeCluster(name: string): void {
    const cluster = this.clusters.get(name);
    if (cluster === undefined) return;
    this.clusters.delete(name);
    this.#cell(name).value = undefined;
    cluster.drain();
  }

  /** Throws a ConfigError. */
  compileListener(config: ListenerConfig): CompiledListener {
    return compileListener(config, this.#ctx);
  }

  #cell(name: string): Cell<Cluster> {
    this.clusterLookups++;
    let cell = this.#cells.get(name);
    if (cell === undefined) {
      cell = new Cell();
      this.#cells.set(name, cell);
    }
    return cell;
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
  resources.announce(clusters.map((config) => config.name ?? ''));
  const compiled: CompiledListener[] = [];
  for (const [i, config] of listeners.entries()) {
    collect(problems, `static_resources.listeners[${i}]`, () =>
      compiled.push(resources.compileListener(config)),
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  resources.announce([]);
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
