import type { Random } from '../../core/random.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';

/** Envoy's RANDOM: uniform, whatever the weights. */
export function compileRandom(random: Random): CreateLoadBalancer {
  return (hosts) => ({ pick: () => hosts[Math.floor(random.float() * hosts.length)] });
}
