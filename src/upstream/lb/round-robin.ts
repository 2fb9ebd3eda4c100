import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import { EdfScheduler, weightsDiffer } from './edf.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';
import { anyStarting, type SlowStart, slowStartWeight } from './slow-start.ts';

/** Envoy's ROUND_ROBIN: in turn from a random start, in proportion to the weights when they differ. */
export function compileRoundRobin(random: Random, slowStart: SlowStart | null = null): CreateLoadBalancer {
  const weight = slowStart === null ? hostWeight : (host: Host): number => slowStartWeight(host, slowStart);
  return (hosts) => {
    const count = hosts.length;
    let next = count === 0 ? 0 : random.uint32() % count;
    if (weightsDiffer(hosts) || (slowStart !== null && anyStarting(hosts, slowStart))) {
      const scheduler = new EdfScheduler(hosts, weight, next);
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
