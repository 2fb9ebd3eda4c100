import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import { EdfScheduler, weightsDiffer } from './edf.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';

/** Envoy's ROUND_ROBIN: in turn from a random start, in proportion to the weights when they differ. */
export function compileRoundRobin(random: Random): CreateLoadBalancer {
  return (hosts) => {
    const count = hosts.length;
    let next = count === 0 ? 0 : random.uint32() % count;
    if (weightsDiffer(hosts)) {
      const scheduler = new EdfScheduler(hosts, hostWeight, next);
      return { pick: () => scheduler.pick() };
    }
    return {
      pick() {
        const host = hosts[next];
        next = next + 1 < count ? next + 1 : 0;
        return host;
      },
    };
  };
}

function hostWeight(host: Host): number {
  return host.weight;
}
