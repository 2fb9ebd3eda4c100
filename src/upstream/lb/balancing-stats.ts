import type { Counter, Gauge, StatScope } from '../../stats/scope.ts';

/** What balancing counts: `lb_*` of `cluster.<name>.`. */
export interface BalancingStats {
  readonly lbHealthyPanic: Counter;
  /** The local cluster cannot tell how many callers each zone has. */
  readonly lbLocalClusterNotOk: Counter;
  readonly lbRecalculateZoneStructures: Counter;
  readonly lbZoneClusterTooSmall: Counter;
  readonly lbZoneNoCapacityLeft: Counter;
  readonly lbZoneRoutingAllDirectly: Counter;
  readonly lbZoneRoutingCrossZone: Counter;
  readonly lbZoneRoutingSampled: Counter;
  readonly lbSubsetsActive: Gauge;
  readonly lbSubsetsCreated: Counter;
  readonly lbSubsetsRemoved: Counter;
  readonly lbSubsetsSelected: Counter;
  readonly lbSubsetsFallback: Counter;
  readonly lbSubsetsFallbackPanic: Counter;
}

export function createBalancingStats(scope: StatScope): BalancingStats {
  return {
    lbHealthyPanic: scope.counter('lb_healthy_panic'),
    lbLocalClusterNotOk: scope.counter('lb_local_cluster_not_ok'),
    lbRecalculateZoneStructures: scope.counter('lb_recalculate_zone_structures'),
    lbZoneClusterTooSmall: scope.counter('lb_zone_cluster_too_small'),
    lbZoneNoCapacityLeft: scope.counter('lb_zone_no_capacity_left'),
    lbZoneRoutingAllDirectly: scope.counter('lb_zone_routing_all_directly'),
    lbZoneRoutingCrossZone: scope.counter('lb_zone_routing_cross_zone'),
    lbZoneRoutingSampled: scope.counter('lb_zone_routing_sampled'),
    lbSubsetsActive: scope.gauge('lb_subsets_active'),
    lbSubsetsCreated: scope.counter('lb_subsets_created'),
    lbSubsetsRemoved: scope.counter('lb_subsets_removed'),
    lbSubsetsSelected: scope.counter('lb_subsets_selected'),
    lbSubsetsFallback: scope.counter('lb_subsets_fallback'),
    lbSubsetsFallbackPanic: scope.counter('lb_subsets_fallback_panic'),
  };
}
