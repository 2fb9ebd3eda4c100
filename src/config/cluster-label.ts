import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';

/** A cluster's name in statistics. Envoy replaces the colons too: they would part the name in statsd. */
export function clusterLabel({ name = '', altStatName }: Pick<Cluster, 'name' | 'altStatName'>): string {
  return (altStatName || name).replaceAll(':', '_');
}
