import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Maglev } from '#plain/envoy.extensions.load_balancing_policies.maglev.v3.ts';
import type { RingHash } from '#plain/envoy.extensions.load_balancing_policies.ring_hash.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { CreateLoadBalancer } from '../upstream/lb/load-balancer.ts';
import { compileMaglev, DEFAULT_MAGLEV } from '../upstream/lb/maglev.ts';
import { compileRingHash, DEFAULT_RING_HASH } from '../upstream/lb/ring-hash.ts';

const MAX_TABLE_SIZE = 5_000_011;

/** `ring_hash_lb_config`, or the typed policy, which says the same. */
export function ringHash(
  config: Pick<RingHash, 'minimumRingSize' | 'maximumRingSize'>,
  useHostname: boolean,
  random: Random,
): CreateLoadBalancer {
  const minimumSize = config.minimumRingSize ?? DEFAULT_RING_HASH.minimumSize;
  const maximumSize = config.maximumRingSize ?? DEFAULT_RING_HASH.maximumSize;
  if (minimumSize > maximumSize) {
    throw ConfigError.at('', `minimum_ring_size ${minimumSize} exceeds maximum_ring_size ${maximumSize}`);
  }
  return compileRingHash(random, { minimumSize, maximumSize, useHostname });
}

/** `maglev_lb_config`, or the typed policy. */
export function maglev(
  config: Pick<Maglev, 'tableSize'>,
  useHostname: boolean,
  random: Random,
): CreateLoadBalancer {
  const tableSize = config.tableSize ?? DEFAULT_MAGLEV.tableSize;
  if (tableSize > MAX_TABLE_SIZE || !isPrime(tableSize)) {
    throw ConfigError.at('table_size', `must be a prime of at most ${MAX_TABLE_SIZE}`);
  }
  return compileMaglev(random, { tableSize, useHostname });
}

/** `common_lb_config.consistent_hashing_lb_config` of the older policies. */
export function hashesHostnames(config: ClusterConfig): boolean {
  const common = config.commonLbConfig;
  if (common?.localityWeightedLbConfig !== undefined) {
    const where = 'common_lb_config.locality_weighted_lb_config';
    throw ConfigError.at(where, 'is not supported with RING_HASH and MAGLEV');
  }
  const useHostname = common?.consistentHashingLbConfig?.useHostnameForHashing ?? false;
  if (useHostname && config.type !== 'STRICT_DNS') {
    const where = 'common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing';
    throw ConfigError.at(where, 'needs a cluster of type STRICT_DNS');
  }
  return useHostname;
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
}
