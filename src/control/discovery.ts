import { randomBytes } from 'node:crypto';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { TypedExtensionConfig } from '#plain/envoy.config.core.v3.ts';
import { compileDns, compileDnsResolver, isDnsCluster } from '../config/cluster-dns.ts';
import { clusterLabel } from '../config/cluster-label.ts';
import { systemClock } from '../core/clock.ts';
import { createRandom } from '../core/random.ts';
import { Scope } from '../core/scope.ts';
import { TimerWheel } from '../core/timer-wheel.ts';
import type { StatScope } from '../stats/scope.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import { startDns } from '../upstream/discovery/dns-hosts.ts';
import { createDnsResolver, type DnsResolver } from '../upstream/discovery/dns-resolver.ts';
import { createUpdateStats } from '../upstream/discovery/update-stats.ts';

export interface DiscoveryParts {
  /** `typed_dns_resolver_config` of the bootstrap. */
  readonly resolver: TypedExtensionConfig | undefined;
  readonly stats: StatScope;
  readonly onHosts: (cluster: string, hosts: ClusterHosts) => void;
  /** A name could not be resolved. Counted by update_failure, too. */
  readonly onFailure?: (cluster: string, name: string, error: string) => void;
}

/** Finds the members of all clusters whose members have names, once for all workers. */
export class Discovery {
  readonly #parts: DiscoveryParts;
  readonly #timers = new TimerWheel(systemClock);
  readonly #random = createRandom(randomBytes(4).readUInt32LE());
  readonly #resolvers = new Map<string, DnsResolver>();
  readonly #scopes = new Map<string, Scope>();

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
  }

  static finds(config: ClusterConfig): boolean {
    return isDnsCluster(config);
  }

  /**
   * Adds or replaces a cluster. Resolves when it has had its first answer, so that nothing is served before it is
   * warm.
   */
  set(config: ClusterConfig): Promise<void> {
    const name = config.name ?? '';
    const label = clusterLabel(config);
    this.remove(name);
    const scope = new Scope();
    this.#scopes.set(name, scope);
    const { stats, onHosts, onFailure } = this.#parts;
    return new Promise((resolve) => {
      scope.own(resolve);
      startDns(compileDns(config), {
        resolver: this.#resolverOf(config),
        timers: this.#timers,
        random: this.#random,
        stats: createUpdateStats(stats.scope('cluster', label, { envoy_cluster_name: label })),
        scope,
        onHosts: (hosts) => {
          onHosts(name, hosts);
          resolve();
        },
        onFailure: (target, error) => onFailure?.(name, target, error),
      });
    });
  }

  remove(name: string): void {
    this.#scopes.get(name)?.close();
    this.#scopes.delete(name);
  }

  close(): void {
    for (const scope of this.#scopes.values()) scope.close();
    for (const resolver of this.#resolvers.values()) resolver.close();
    this.#timers.close();
  }

  #resolverOf(config: ClusterConfig): DnsResolver {
    const options = compileDnsResolver(config, this.#parts.resolver);
    const key = JSON.stringify(options);
    let resolver = this.#resolvers.get(key);
    if (resolver === undefined) {
      resolver = createDnsResolver(options);
      this.#resolvers.set(key, resolver);
    }
    return resolver;
  }
}
