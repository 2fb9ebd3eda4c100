import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { ClusterConfig as AggregateConfig } from '#plain/envoy.extensions.clusters.aggregate.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import type { ClusterContext } from '../upstream/context.ts';
import type { AggregateMember } from '../upstream/lb/aggregate.ts';

const AGGREGATE = 'envoy.extensions.clusters.aggregate.v3.ClusterConfig';

export function isAggregate(config: ClusterConfig): boolean {
  return config.clusterType?.typedConfig?.type === AGGREGATE;
}

/** The clusters of an aggregate cluster, in their order; null for every other cluster. */
export function compileAggregate(
  config: ClusterConfig,
  context: ClusterContext,
): readonly Cell<AggregateMember>[] | null {
  if (!isAggregate(config)) return null;
  if (config.lbPolicy !== 'CLUSTER_PROVIDED') {
    throw ConfigError.at('lb_policy', 'an aggregate cluster needs CLUSTER_PROVIDED');
  }
  const { clusters } = (config.clusterType?.typedConfig?.value ?? {}) as AggregateConfig;
  // One that does not exist is left out, as in Envoy: it may be added later.
  return (clusters ?? []).map((name) => context.clusterCell?.(name) ?? new Cell<AggregateMember>());
}
