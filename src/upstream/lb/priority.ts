import type { Random } from '../../core/random.ts';
import type { Counter } from '../../stats/scope.ts';
import type { HostSet, PriorityHosts } from '../host-set.ts';
import type { CreateLoadBalancer, LoadBalancer } from './load-balancer.ts';

export interface PriorityOptions {
  /** `healthy_panic_threshold`, percent; 0 = never panic. */
  readonly panicThreshold: number;
  /** `fail_traffic_on_panic`: pick nobody rather than unhealthy hosts. */
  readonly failTrafficOnPanic: boolean;
}

/** How much of the load (percent) each priority gets, on its healthy and its degraded hosts. */
export interface PriorityLoad {
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  /** Priorities that are balanced over all their hosts, healthy or not. */
  readonly panic: readonly boolean[];
}

interface Choice {
  /** Upper bound in (0, 100]. */
  readonly upTo: number;
  readonly panic: boolean;
  readonly balancer: LoadBalancer;
}

/**
 * Envoy's choice of priority and of the hosts in it: as long as 1.4 × the healthy part of a priority makes
 * 100 %, everything stays there; the rest flows over to the next one, then to degraded hosts. Below the panic
 * threshold all hosts of a priority are used.
 */
export function compilePriorities(
  hostSet: HostSet,
  create: CreateLoadBalancer,
  random: Random,
  options: PriorityOptions,
  panicPicks: Counter,
): LoadBalancer {
  const choices = compileChoices(hostSet, create, options);
  const only = choices.length === 1 ? choices[0] : undefined;
  if (only !== undefined && !only.panic) return only.balancer;
  return {
    pick(context) {
      const percent = Math.floor(random.float() * 100) + 1;
      let chosen = choices[0];
      for (let i = 1; chosen !== undefined && chosen.upTo < percent; i++) chosen = choices[i];
      if (chosen === undefined) return undefined;
      if (chosen.panic) {
        panicPicks.inc();
        if (options.failTrafficOnPanic) return undefined;
      }
      return chosen.balancer.pick(context);
    },
  };
}

function compileChoices(hostSet: HostSet, create: CreateLoadBalancer, options: PriorityOptions): Choice[] {
  const load = priorityLoad(hostSet, options.panicThreshold);
  const choices: Choice[] = [];
  let upTo = 0;
  const add = (percent: number, hosts: PriorityHosts['hosts'], panic: boolean): void => {
    if (percent === 0) return;
    upTo += percent;
    choices.push({ upTo, panic, balancer: create(hosts) });
  };
  hostSet.priorities.forEach((level, i) => {
    const panic = load.panic[i] === true;
    add(load.healthy[i] ?? 0, panic ? level.hosts : level.healthy, panic);
  });
  hostSet.priorities.forEach((level, i) => {
    const panic = load.panic[i] === true;
    add(load.degraded[i] ?? 0, panic ? level.hosts : level.degraded, panic);
  });
  return choices;
}

/** Envoy's recalculatePerPriorityState and -Panic. */
export function priorityLoad(hostSet: HostSet, panicThreshold: number): PriorityLoad {
  const { priorities, overprovisioningFactor } = hostSet;
  const part = (members: number, of: number): number =>
    of === 0 ? 0 : Math.min(100, Math.floor((overprovisioningFactor * members) / of));
  const health = priorities.map((level) => part(level.healthy.length, level.eligible));
  const degradedHealth = priorities.map((level) => part(level.degraded.length, level.eligible));
  const available = Math.min(100, sum(health) + sum(degradedHealth));

  const panic = priorities.map((level) => available !== 100 && inPanic(level, panicThreshold));
  if (panic.every((panicking) => panicking)) return totalPanicLoad(priorities, panic);
  if (available === 0) {
    // Panic is switched off and nobody can serve: everything goes to priority 0, which picks nobody.
    return { healthy: priorities.map((_, i) => (i === 0 ? 100 : 0)), degraded: [], panic };
  }
  const healthy = distribute(health, 100, available);
  const degraded = distribute(degradedHealth, 100 - sum(healthy), available);
  // What rounding left over goes to the first priority that can take it.
  const left = 100 - sum(healthy) - sum(degraded);
  const firstHealthy = health.findIndex((percent) => percent > 0);
  const list = firstHealthy >= 0 ? healthy : degraded;
  const first = firstHealthy >= 0 ? firstHealthy : degradedHealth.findIndex((percent) => percent > 0);
  list[first] = (list[first] ?? 0) + left;
  return { healthy, degraded, panic };
}

function distribute(health: readonly number[], total: number, available: number): number[] {
  let left = total;
  return health.map((percent) => {
    const load = Math.min(left, Math.floor((percent * 100) / available));
    left -= load;
    return load;
  });
}

function inPanic(level: PriorityHosts, threshold: number): boolean {
  const usable = level.healthy.length + level.degraded.length;
  return (level.eligible === 0 ? 0 : (100 * usable) / level.eligible) < threshold;
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

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
