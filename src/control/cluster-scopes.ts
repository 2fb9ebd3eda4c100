import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { clusterLabel } from '../config/cluster-label.ts';
import type { StatScope } from '../stats/scope.ts';

/** What the control thread counts of clusters goes when they go, and stays when their next version comes. */
export class ClusterScopes {
  readonly #stats: StatScope;
  readonly #held = new Map<string, { readonly label: string; readonly scope: StatScope }>();

  constructor(stats: StatScope) {
    this.#stats = stats;
  }

  /** This thread counts something of the cluster. */
  hold(config: ClusterConfig): void {
    const { name = '' } = config;
    const label = clusterLabel(config);
    if (this.#held.get(name)?.label === label) return;
    this.letGo(name);
    const scope = this.#stats.scope('cluster', label, { envoy_cluster_name: label });
    scope.retain();
    this.#held.set(name, { label, scope });
  }

  letGo(name: string): void {
    this.#held.get(name)?.scope.release();
    this.#held.delete(name);
  }
}
