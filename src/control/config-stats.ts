import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { changedChains, sameButForChains } from '../config/chain-life.ts';
import type { UpdateOutcome } from '../core/config-update.ts';
import type { Counter, Gauge, StatScope } from '../stats/scope.ts';

/** `cluster_manager.*` and `listener_manager.*`: what became of the configuration. */
export interface ConfigStats {
  readonly clusterAdded: Counter;
  readonly clusterModified: Counter;
  readonly clusterRemoved: Counter;
  readonly activeClusters: Gauge;
  readonly warmingClusters: Gauge;
  readonly listenerAdded: Counter;
  readonly listenerModified: Counter;
  readonly listenerRemoved: Counter;
  readonly listenerInPlaceUpdated: Counter;
  /** Counts each worker, as in Envoy. */
  readonly listenerCreateSuccess: Counter;
  readonly listenerCreateFailure: Counter;
  readonly activeListeners: Gauge;
  readonly listenersDraining: Gauge;
  readonly chainsDraining: Gauge;
  readonly workersStarted: Gauge;
  /** Adds to a gauge for as long as a drain takes. */
  draining(this: void, gauge: Gauge, count: number): void;
}

export function createConfigStats(root: StatScope, drainMs: number): ConfigStats {
  const clusters = root.scope('cluster_manager');
  const listeners = root.scope('listener_manager');
  const stats: ConfigStats = {
    clusterAdded: clusters.counter('cluster_added'),
    clusterModified: clusters.counter('cluster_modified'),
    clusterRemoved: clusters.counter('cluster_removed'),
    activeClusters: clusters.gauge('active_clusters'),
    warmingClusters: clusters.gauge('warming_clusters'),
    listenerAdded: listeners.counter('listener_added'),
    listenerModified: listeners.counter('listener_modified'),
    listenerRemoved: listeners.counter('listener_removed'),
    listenerInPlaceUpdated: listeners.counter('listener_in_place_updated'),
    listenerCreateSuccess: listeners.counter('listener_create_success'),
    listenerCreateFailure: listeners.counter('listener_create_failure'),
    activeListeners: listeners.gauge('total_listeners_active'),
    listenersDraining: listeners.gauge('total_listeners_draining'),
    chainsDraining: listeners.gauge('total_filter_chains_draining'),
    workersStarted: listeners.gauge('workers_started'),
    draining: (gauge, count) => {
      if (count === 0) return;
      gauge.add(count);
      setTimeout(() => gauge.add(-count), drainMs).unref();
    },
  };
  // What waits for xDS is added by the thread that knows.
  listeners.gauge('total_listeners_warming').set(0);
  for (const gauge of [stats.listenersDraining, stats.chainsDraining, stats.workersStarted]) gauge.set(0);
  return stats;
}

/** What became of the listeners of a step, of which those in `before` had a version in force. */
export function countListeners(
  stats: ConfigStats,
  workers: number,
  configs: readonly Listener[],
  before: ReadonlyMap<string, Listener>,
  failed: UpdateOutcome['failedListeners'],
): void {
  stats.listenerCreateFailure.add(failed.length);
  for (const config of configs) {
    const name = config.name ?? '';
    if (failed.some((one) => one.name === name)) continue;
    stats.listenerCreateSuccess.add(workers);
    const old = before.get(name);
    if (old === undefined) {
      stats.listenerAdded.inc();
      continue;
    }
    stats.listenerModified.inc();
    if (sameButForChains(old, config)) {
      stats.listenerInPlaceUpdated.inc();
      stats.draining(stats.chainsDraining, changedChains(old, config));
    } else stats.draining(stats.listenersDraining, 1);
  }
}
