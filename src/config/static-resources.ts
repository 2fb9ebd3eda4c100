import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ClusterContext } from '../upstream/context.ts';
import { compileCluster } from './cluster.ts';
import { at, type CompileContext } from './context.ts';
import { type CompiledListener, compileListener } from './listener.ts';

/** A compile context without what this file adds to it: the clusters. */
export type BaseContext = Omit<CompileContext, 'cluster' | 'findCluster' | 'clusterExists'>;

export interface CompiledResources {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly listeners: readonly CompiledListener[];
  /** How often a cluster was looked up by its name: compiling does, serving does not. */
  readonly clusterLookups: () => number;
}

/**
 * Compiles clusters and listeners; names meet in Cells, so that the order does not matter. Throws a ConfigError
 * with the mistakes of all of them. The control thread runs this dry before a worker gets the configuration.
 */
export function compileResources(
  clusters: readonly ClusterConfig[],
  listeners: readonly ListenerConfig[],
  base: BaseContext,
  clusterContext: ClusterContext,
): CompiledResources {
  const problems: ConfigProblem[] = [];
  const cells = new Map<string, Cell<Cluster>>();
  let lookups = 0;
  const cellOf = (name: string): Cell<Cluster> => {
    lookups++;
    let cell = cells.get(name);
    if (cell === undefined) {
      cell = new Cell();
      cells.set(name, cell);
    }
    return cell;
  };
  const live = new Map<string, Cluster>();
  const local = localPeers(clusterContext.localCluster ?? '', clusters, base, cellOf);
  const context: ClusterContext = { ...clusterContext, clusterCell: cellOf, ...local };
  for (const [i, config] of clusters.entries()) {
    const path = `static_resources.clusters[${i}]`;
    collect(problems, path, () => {
      const name = config.name ?? '';
      if (live.has(name)) throw ConfigError.at('name', `duplicate cluster '${name}'`);
      const cluster = compileCluster(config, context);
      live.set(name, cluster);
      cellOf(name).value = cluster;
    });
  }
  const known = new Set(clusters.map((config) => config.name ?? ''));
  const ctx: CompileContext = {
    ...base,
    cluster: cellOf,
    findCluster: (name) => cells.get(name),
    clusterExists: (name) => known.has(name),
  };
  const compiled: CompiledListener[] = [];
  for (const [i, config] of listeners.entries()) {
    const path = `static_resources.listeners[${i}]`;
    collect(problems, path, () => compiled.push(compileListener(config, ctx)));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { clusters: live, listeners: compiled, clusterLookups: () => lookups };
}

/** The cluster that `local_cluster_name` says this proxy is a member of. */
function localPeers(
  name: string,
  clusters: readonly ClusterConfig[],
  { node }: BaseContext,
  cellOf: (name: string) => Cell<Cluster>,
): Pick<ClusterContext, 'localPeers'> {
  if (name === '') return {};
  if (!clusters.some((config) => config.name === name)) {
    throw ConfigError.at('cluster_manager.local_cluster_name', `local cluster '${name}' must be defined`);
  }
  const { region, zone, subZone } = node;
  const cell = cellOf(name);
  return { localPeers: { locality: { region, zone, subZone }, hosts: () => cell.value?.hosts.value } };
}

function collect(problems: ConfigProblem[], path: string, compile: () => void): void {
  try {
    at(path, compile);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
}
