import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';
import type { PeakEwmaSettings } from './peak-ewma-estimator.ts';

export const DEFAULT_RTT_MS = 30;
export const DEFAULT_DECAY_MS = 10_000;
/** No host counts as faster than this part of the middle one. */
const FLOOR_FRACTION = 0.1;
/** How old the floor may be. */
const FLOOR_PERIOD_MS = 100;

/**
 * Peak-EWMA: the cheaper of two random hosts, where cost = estimated round trip × (requests in flight + 1) /
 * weight.
 *
 * Estimates of idle hosts decay to nothing; unchecked, the first such host would draw all traffic until its
 * first answer. So no estimate counts for less than a tenth of the (lower) median of the last observations,
 * which do not decay: ten requests in flight then make an idle host as dear as a middling one.
 */
export function compilePeakEwma(random: Random, settings: PeakEwmaSettings): CreateLoadBalancer {
  return (hosts) => {
    const count = hosts.length;
    if (count < 2) return { pick: () => hosts[0] };
    let floorMs = settings.defaultRttMs * FLOOR_FRACTION;
    let floorAtMs = -Infinity;
    return {
      pick() {
        const now = settings.clock.now();
        if (now - floorAtMs >= FLOOR_PERIOD_MS) {
          floorAtMs = now;
          settings.typicalMs = lowerMedian(hosts);
          floorMs = settings.typicalMs * FLOOR_FRACTION;
        }
        const i = Math.floor(random.float() * count);
        let j = Math.floor(random.float() * (count - 1));
        if (j >= i) j++;
        const a = hosts[i];
        const b = hosts[j];
        if (a === undefined || b === undefined) return a;
        return cost(a, now, floorMs) <= cost(b, now, floorMs) ? a : b;
      },
    };
  };
}

/** Cost of one more request to `host`, in milliseconds; smaller is better. */
export function peakEwmaCost(host: Host, nowMs: number): number {
  return cost(host, nowMs, 0);
}

function cost(host: Host, nowMs: number, floorMs: number): number {
  const estimate = host.estimator === null ? 0 : host.estimator.estimate(nowMs);
  return (Math.max(estimate, floorMs) * (host.inflight + 1)) / host.weight;
}

function lowerMedian(hosts: readonly Host[]): number {
  const peaks = new Float64Array(hosts.length);
  for (let i = 0; i < hosts.length; i++) peaks[i] = hosts[i]?.estimator?.peakMs ?? 0;
  peaks.sort();
  return peaks[(peaks.length - 1) >> 1] ?? 0;
}
