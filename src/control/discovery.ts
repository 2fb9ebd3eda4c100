import { randomBytes } from 'node:crypto';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { TypedExtensionConfig } from '#plain/envoy.config.core.v3.ts';
import { compileDnsResolver, compileStrictDns, isStrictDns } from '../config/cluster-dns.ts';
import { systemClock } from '../core/clock.ts';
import { createRandom } from '../core/random.ts';
import { Scope } from '../core/scope.ts';
import { TimerWheel } from '../core/timer-wheel.ts';
import type { StatScope } from '../stats/scope.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import { createDnsResolver, type DnsResolver } from '../upstream/discovery/dns-resolver.ts';
import { startStrictDns } from '../upstream/discovery/strict-dns.ts';
import { createUpdateStats } from '../upstream/discovery/update-stats.ts';

export interface Discovery {
  close(): void;
}

/**
 * Finds the members of all clusters that need finding, once for all workers. Resolves when every cluster has had
 * its first answer, so that nothing is served before its clusters are warm.
 */
export async function startDiscovery(
  clusters: readonly ClusterConfig[],
  bootstrapResolver: TypedExtensionConfig | undefined,
  stats: StatScope,
  onHosts: (cluster: string, hosts: ClusterHosts) => void,
  onFailure: (cluster: string, name: string, error: string) => void = () => {
    // Counted by update_failure anyway.
  },
): Promise<Discovery> {
  const scope = new Scope();
  const timers = new TimerWheel(systemClock);
  const random = createRandom(randomBytes(4).readUInt32LE());
  const resolvers = new Map<string, DnsResolver>();
  const resolverOf = (config: ClusterConfig): DnsResolver => {
    const options = compileDnsResolver(config, bootstrapResolver);
    const key = JSON.stringify(options);
    let resolver = resolvers.get(key);
    if (resolver === undefined) {
      resolver = createDnsResolver(options);
      resolvers.set(key, resolver);
    }
    return resolver;
  };
  const warm = clusters.filter(isStrictDns).map((config) => {
    const name = config.name ?? '';
    const label = (config.altStatName || name).replaceAll(':', '_');
    return new Promise<void>((resolve) => {
      startStrictDns(compileStrictDns(config), {
        resolver: resolverOf(config),
        timers,
        random,
        stats: createUpdateStats(stats.scope('cluster', label, { envoy_cluster_name: label })),
        scope,
        onHosts: (hosts) => {
          onHosts(name, hosts);
          resolve();
        },
        onFailure: (target, error) => onFailure(name, target, error),
      });
    });
  });
  await Promise.all(warm);
  return {
    close: () => {
      scope.close();
      for (const resolver of resolvers.values()) resolver.close();
      timers.close();
    },
  };
}
