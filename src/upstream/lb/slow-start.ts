import type { Clock } from '../../core/clock.ts';
import type { Host } from '../host.ts';

/** `SlowStartConfig`: the weight of a new host grows over a window. */
export interface SlowStart {
  readonly windowMs: number;
  /** Above 1: slow at first; below 1: fast at first. */
  readonly aggression: number;
  /** Part of its weight that a host has at least, 0 to 1. */
  readonly minWeight: number;
  readonly clock: Clock;
}

/** Weight of `host` at this moment: weight × max(minimum, (age ÷ window) ^ (1 ÷ aggression)). */
export function slowStartWeight(host: Host, slowStart: SlowStart): number {
  const ageMs = slowStart.clock.now() - host.wellSinceMs;
  // Not a number: it is failing and picked in panic only.
  if (!(ageMs < slowStart.windowMs)) return host.weight;
  const age = Math.max(1, ageMs) / slowStart.windowMs;
  const factor = slowStart.aggression === 1 ? age : age ** (1 / slowStart.aggression);
  return host.weight * Math.max(slowStart.minWeight, factor);
}

/** False when every host has its full weight, which spares the heap. */
export function anyStarting(hosts: readonly Host[], slowStart: SlowStart): boolean {
  const since = slowStart.clock.now() - slowStart.windowMs;
  return hosts.some((host) => host.wellSinceMs > since);
}
