import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { at } from '../config/context.ts';
import type { Logger } from '../core/log.ts';
import type { DelegatedCluster, DelegatedStatus, FromXds, LoadedCluster } from '../core/xds-protocol.ts';
import type { StatScope } from '../stats/scope.ts';
import type { ClusterLoad } from '../upstream/load.ts';
import { HealthDelegate } from './health-delegate.ts';
import { LOAD_FEATURES, LoadReports } from './load-reports.ts';
import { nodeMessage } from './node.ts';
import type { Sources } from './protocol/sources.ts';

export interface ReportsParts {
  readonly bootstrap: Bootstrap;
  readonly sources: Sources;
  readonly stats: StatScope;
  readonly log: Logger;
  readonly send: (message: FromXds) => void;
}

/** What management servers are told about hosts, as far as the bootstrap wants it: loads (LRS) and health (HDS). */
export class Reports {
  readonly #parts: ReportsParts;
  #loads: LoadReports | null = null;
  #health: HealthDelegate | null = null;

  constructor(parts: ReportsParts) {
    this.#parts = parts;
  }

  /** Throws a ConfigError. */
  start(): void {
    const { bootstrap, sources, stats, log, send } = this.#parts;
    const channelOf: Sources['channelOf'] = (api) => sources.channelOf(api);
    const loadStats = bootstrap.clusterManager?.loadStatsConfig;
    if (loadStats !== undefined) {
      const parts = {
        config: loadStats,
        channelOf,
        node: nodeMessage(bootstrap, LOAD_FEATURES),
        stats,
        log,
        take: (id: number, clusters: readonly string[] | null) => send({ type: 'take-loads', id, clusters }),
      };
      this.#loads = at('cluster_manager.load_stats_config', () => new LoadReports(parts));
    }
    const hds = bootstrap.hdsConfig;
    if (hds !== undefined) {
      const parts = {
        config: hds,
        channelOf,
        node: nodeMessage(bootstrap),
        stats,
        log,
        check: (clusters: readonly DelegatedCluster[]) => send({ type: 'health-checks', clusters }),
        take: (id: number) => send({ type: 'take-health', id }),
      };
      this.#health = at('hds_config', () => new HealthDelegate(parts));
    }
    this.#loads?.start();
    this.#health?.start();
  }

  onClusters(id: number, workers: number, clusters: readonly LoadedCluster[]): void {
    this.#loads?.onClusters(id, workers, clusters);
  }

  onLoads(id: number, loads: readonly object[]): void {
    this.#loads?.onLoads(id, loads as readonly ClusterLoad[]);
  }

  onHealth(id: number, statuses: readonly (readonly DelegatedStatus[])[]): void {
    this.#health?.onHealth(id, statuses);
  }

  close(): void {
    this.#loads?.close();
    this.#health?.close();
  }
}
