import type { PriorityHosts } from '../host-set.ts';

/** How much of the load (percent) each priority gets, on its healthy and its degraded hosts. Adds up to 100. */
export interface PriorityLoad {
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  /** Priorities that are balanced over all their hosts, healthy or not. */
  readonly panic: readonly boolean[];
}

/**
 * Envoy's recalculatePerPriorityState and -Panic: as long as 1.4 × the healthy part of a priority makes 100 %,
 * everything stays there; the rest flows over to the next one, then to degraded hosts. Below the panic threshold
 * (percent) all hosts of a priority are used. Priorities whose bit is set in `avoid` get nothing, unless no other
 * can take anything.
 */
export function priorityLoad(
  set: { readonly priorities: readonly PriorityHosts[] },
  panicThreshold: number,
  avoid = 0,
): PriorityLoad {
  const { priorities } = set;
  const part = (level: PriorityHosts, members: number): number =>
    level.eligible === 0
      ? 0
      : Math.min(100, Math.floor((level.overprovisioningFactor * members) / level.eligible));
  const health = priorities.map((level) => part(level, level.healthy.length));
  const degradedHealth = priorities.map((level) => part(level, level.degraded.length));
  const available = Math.min(100, sum(health) + sum(degradedHealth));

  const panic = priorities.map((level) => available !== 100 && inPanic(level, panicThreshold));
  if (avoid !== 0) {
    const rest = spread(health.map(unless(avoid)), degradedHealth.map(unless(avoid)));
    if (rest !== null) return { ...rest, panic };
  }
  if (panic.every((panicking) => panicking)) return totalPanicLoad(priorities, panic);
  const load = spread(health, degradedHealth);
  if (load !== null) return { ...load, panic };
  // Panic is switched off and nobody can serve: everything goes to priority 0, which picks nobody.
  return { healthy: priorities.map((_, i) => (i === 0 ? 100 : 0)), degraded: [], panic };
}

/** Fewer than `threshold` percent of the hosts are well. */
export function inPanic(
  level: Pick<PriorityHosts, 'healthy' | 'degraded' | 'eligible'>,
  threshold: number,
): boolean {
  const usable = level.healthy.length + level.degraded.length;
  return (level.eligible === 0 ? 0 : (100 * usable) / level.eligible) < threshold;
}

/** Null when nobody can take anything. */
function spread(
  health: readonly number[],
  degradedHealth: readonly number[],
): { healthy: number[]; degraded: number[] } | null {
  const available = Math.min(100, sum(health) + sum(degradedHealth));
  if (available === 0) return null;
  const healthy = distribute(health, 100, available);
  const degraded = distribute(degradedHealth, 100 - sum(healthy), available);
  // What rounding left over goes to the first priority that can take it.
  const left = 100 - sum(healthy) - sum(degraded);
  const firstHealthy = health.findIndex((percent) => percent > 0);
  const list = firstHealthy >= 0 ? healthy : degraded;
  const first = firstHealthy >= 0 ? firstHealthy : degradedHealth.findIndex((percent) => percent > 0);
  list[first] = (list[first] ?? 0) + left;
  return { healthy, degraded };
}

function distribute(health: readonly number[], total: number, available: number): number[] {
  let left = total;
  return health.map((percent) => {
    const load = Math.min(left, Math.floor((percent * 100) / available));
    left -= load;
    return load;
  });
}

/** Nobody is well: every priority gets load by its number of hosts. */
function totalPanicLoad(priorities: readonly PriorityHosts[], panic: readonly boolean[]): PriorityLoad {
  const hosts = sum(priorities.map((level) => level.hosts.length));
  if (hosts === 0) return { healthy: priorities.map((_, i) => (i === 0 ? 100 : 0)), degraded: [], panic };
  const healthy = priorities.map((level) => Math.floor((100 * level.hosts.length) / hosts));
  const first = priorities.findIndex((level) => level.hosts.length > 0);
  healthy[first] = (healthy[first] ?? 0) + 100 - sum(healthy);
  return { healthy, degraded: [], panic };
}

/** Bits of numbers above 30 do not fit; nobody has so many priorities. */
function unless(avoid: number): (percent: number, i: number) => number {
  return (percent, i) => (i <= 30 && (avoid & (1 << i)) !== 0 ? 0 : percent);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
