import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import { EdfScheduler, weightsDiffer } from './edf.ts';
import type { CreateLoadBalancer, LoadBalancer } from './load-balancer.ts';
import { anyStarting, type SlowStart, slowStartWeight } from './slow-start.ts';

export interface LeastRequestOptions {
  /** Hosts sampled per pick (with repetition, as in Envoy); at least 2. */
  readonly choiceCount: number;
  /** Only when weights differ: weight / (requests + 1) ^ bias. */
  readonly activeRequestBias: number;
  /** Look at every host instead of a sample. */
  readonly fullScan: boolean;
  readonly slowStart: SlowStart | null;
}

export const DEFAULT_LEAST_REQUEST: LeastRequestOptions = {
  choiceCount: 2,
  activeRequestBias: 1,
  fullScan: false,
  slowStart: null,
};

/**
 * Envoy's LEAST_REQUEST: the least loaded of `choiceCount` random hosts; by weighted scheduling when weights
 * differ. Load is what this worker gave to the host and did not get back, requests that wait for a connection
 * included (Envoy leaves those out, and sends the more to a host the slower it connects).
 */
export function compileLeastRequest(random: Random, options: LeastRequestOptions): CreateLoadBalancer {
  const { choiceCount, activeRequestBias: bias, slowStart } = options;
  return (hosts) => {
    if (options.fullScan) return fullScan(hosts, random);
    if (weightsDiffer(hosts) || (slowStart !== null && anyStarting(hosts, slowStart))) {
      const weight = (host: Host): number =>
        biasedWeight(
          slowStart === null ? host.weight : slowStartWeight(host, slowStart),
          host.inflight,
          bias,
        );
      const scheduler = new EdfScheduler(hosts, weight, random.uint32() % hosts.length);
      return { pick: () => scheduler.pick() };
    }
    const count = hosts.length;
    return {
      pick() {
        let best = hosts[Math.floor(random.float() * count)];
        if (best === undefined) return undefined;
        for (let i = 1; i < choiceCount; i++) {
          const sample = hosts[Math.floor(random.float() * count)];
          if (sample !== undefined && sample.inflight < best.inflight) best = sample;
        }
        return best;
      },
    };
  };
}

function biasedWeight(weight: number, inflight: number, bias: number): number {
  if (bias === 1) return weight / (inflight + 1);
  return bias === 0 ? weight : weight / (inflight + 1) ** bias;
}

/** The least loaded of all; the scan starts anywhere so that equals share. */
function fullScan(hosts: readonly Host[], random: Random): LoadBalancer {
  const count = hosts.length;
  return {
    pick() {
      const start = Math.floor(random.float() * count);
      let best = hosts[start];
      if (best === undefined) return undefined;
      for (let i = 1; i < count; i++) {
        const host = hosts[start + i < count ? start + i : start + i - count];
        if (host !== undefined && host.inflight < best.inflight) best = host;
      }
      return best;
    },
  };
}
