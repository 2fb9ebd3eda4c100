import type { Random } from '../../core/random.ts';
import type { LocalityHosts, PriorityHosts } from '../host-set.ts';
import { EdfScheduler } from './edf.ts';
import { type CreateLoadBalancer, LazyBalancer, type LoadBalancer } from './load-balancer.ts';

interface Weighted {
  readonly weight: number;
  readonly balancer: LoadBalancer;
}

/**
 * Localities take turns in proportion to their weights, each reduced as its hosts become fewer: as long as
 * 1.4 × the part that is left makes 100 %, nothing is. Null when no locality with a weight has such hosts.
 */
export function byLocalityWeight(
  level: PriorityHosts,
  degraded: boolean,
  create: CreateLoadBalancer,
  random: Random,
): LoadBalancer | null {
  const weighted: Weighted[] = [];
  for (const locality of level.localities) {
    const hosts = degraded ? locality.degraded : locality.healthy;
    const weight = effectiveWeight(locality, hosts.length, level.overprovisioningFactor);
    if (weight > 0) weighted.push({ weight, balancer: new LazyBalancer(hosts, create) });
  }
  const [first] = weighted;
  if (first === undefined) return null;
  if (weighted.length === 1) return first.balancer;
  const scheduler = new EdfScheduler(weighted, (one) => one.weight, random.uint32() % weighted.length);
  return { pick: (context) => scheduler.pick()?.balancer.pick(context) };
}

/** Envoy's effectiveLocalityWeight. */
export function effectiveWeight(
  locality: Pick<LocalityHosts, 'weight' | 'eligible'>,
  usable: number,
  overprovisioningFactor: number,
): number {
  if (usable === 0 || locality.eligible === 0) return 0;
  return locality.weight * Math.min(1, ((overprovisioningFactor / 100) * usable) / locality.eligible);
}
