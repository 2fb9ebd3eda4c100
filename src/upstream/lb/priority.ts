import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import type { HostSet, PriorityHosts } from '../host-set.ts';
import type { BalancingStats } from './balancing-stats.ts';
import {
  type CreateLoadBalancer,
  LazyBalancer,
  type LoadBalancer,
  type PickContext,
} from './load-balancer.ts';
import { byLocalityWeight } from './locality.ts';
import { type PriorityLoad, priorityLoad } from './priority-load.ts';
import { ZoneAware, type ZoneAwareOptions } from './zone-aware.ts';

export interface PriorityOptions {
  /** `healthy_panic_threshold`, percent; 0 = never panic. */
  readonly panicThreshold: number;
  /** `fail_traffic_on_panic`: pick nobody rather than unhealthy hosts. */
  readonly failTrafficOnPanic: boolean;
  /** `locality_weighted_lb_config`: localities take turns by their weights. */
  readonly localityWeighted: boolean;
  /** Null: no local cluster is known, so zones make no difference. */
  readonly zoneAware: ZoneAwareOptions | null;
}

/** What the balancers of one cluster have in common. */
export interface BalancingParts {
  readonly create: CreateLoadBalancer;
  readonly random: Random;
  readonly options: PriorityOptions;
  readonly stats: BalancingStats;
}

/** Chooses a priority by load, then one of its hosts. */
export function compilePriorities(hostSet: HostSet, parts: BalancingParts): LoadBalancer {
  const load = priorityLoad(hostSet, parts.options.panicThreshold);
  const levels = hostSet.priorities.map((level, i) => new Level(level, i, load.panic[i] === true, parts));
  const choices = compileChoices(load, levels);
  const only = levels.length === 1 && choices.length === 1 ? choices[0] : undefined;
  if (only !== undefined && load.panic[0] !== true) return only.source;
  return new Priorities(hostSet, levels, choices, parts);
}

interface Choice {
  /** Upper bound in (0, 100]. */
  readonly upTo: number;
  readonly source: LoadBalancer;
}

class Priorities implements LoadBalancer {
  readonly #hostSet: HostSet;
  readonly #levels: readonly Level[];
  readonly #choices: readonly Choice[];
  readonly #parts: BalancingParts;
  /** By the priorities that retries avoid; there are few different ones. */
  readonly #avoiding = new Map<number, readonly Choice[]>();

  constructor(hostSet: HostSet, levels: readonly Level[], choices: readonly Choice[], parts: BalancingParts) {
    this.#hostSet = hostSet;
    this.#levels = levels;
    this.#choices = choices;
    this.#parts = parts;
  }

  pick(context: PickContext | null): Host | undefined {
    let choices = this.#choices;
    if (context !== null) {
      if (context.onlyPriority >= 0) {
        return this.#levels[context.onlyPriority]?.source(context.degraded).pick(context);
      }
      if (context.avoidPriorities !== 0) choices = this.#without(context.avoidPriorities);
    }
    return chosen(choices, this.#parts.random, context)?.pick(context);
  }

  #without(avoid: number): readonly Choice[] {
    let choices = this.#avoiding.get(avoid);
    if (choices === undefined) {
      const load = priorityLoad(this.#hostSet, this.#parts.options.panicThreshold, avoid);
      choices = compileChoices(load, this.#levels);
      this.#avoiding.set(avoid, choices);
    }
    return choices;
  }
}

/** Draws one of them by load; requests with the same hash stay together. */
function chosen(
  choices: readonly Choice[],
  random: Random,
  context: PickContext | null,
): LoadBalancer | undefined {
  const hash = context === null ? undefined : context.hash;
  const percent = (hash === undefined ? Math.floor(random.float() * 100) : hash % 100) + 1;
  let choice = choices[0];
  for (let i = 1; choice !== undefined && choice.upTo < percent; i++) choice = choices[i];
  return choice?.source;
}

function compileChoices(load: PriorityLoad, levels: readonly Level[]): Choice[] {
  const choices: Choice[] = [];
  let upTo = 0;
  for (const degraded of [false, true]) {
    levels.forEach((level, i) => {
      const percent = (degraded ? load.degraded : load.healthy)[i] ?? 0;
      if (percent === 0) return;
      upTo += percent;
      choices.push({ upTo, source: level.source(degraded) });
    });
  }
  return choices;
}

/** One priority: its healthy hosts, its degraded ones, or in panic all of them. */
class Level {
  readonly #hosts: PriorityHosts;
  readonly #index: number;
  readonly #panic: boolean;
  readonly #parts: BalancingParts;
  #healthy: LoadBalancer | null = null;
  #degraded: LoadBalancer | null = null;

  constructor(hosts: PriorityHosts, index: number, panic: boolean, parts: BalancingParts) {
    this.#hosts = hosts;
    this.#index = index;
    this.#panic = panic;
    this.#parts = parts;
  }

  source(degraded: boolean): LoadBalancer {
    if (degraded) {
      this.#degraded ??= this.#compile(true);
      return this.#degraded;
    }
    this.#healthy ??= this.#compile(false);
    return this.#healthy;
  }

  #compile(degraded: boolean): LoadBalancer {
    const { create, options, stats, random } = this.#parts;
    const level = this.#hosts;
    if (this.#panic) {
      const all = options.failTrafficOnPanic ? null : new LazyBalancer(level.hosts, create);
      return new Panic(all, stats);
    }
    const plain = new LazyBalancer(degraded ? level.degraded : level.healthy, create);
    if (options.localityWeighted) {
      const weighted = byLocalityWeight(level, degraded, create, random);
      if (weighted !== null) return weighted;
    }
    // Envoy knows the zones of priority 0 only.
    if (options.zoneAware === null || this.#index > 0) return plain;
    return new ZoneAware(level, degraded, plain, options.zoneAware, this.#parts);
  }
}

/** Too few hosts are well: all of them are used, or none. */
class Panic implements LoadBalancer {
  readonly #all: LoadBalancer | null;
  readonly #stats: BalancingStats;

  constructor(all: LoadBalancer | null, stats: BalancingStats) {
    this.#all = all;
    this.#stats = stats;
  }

  pick(context: PickContext | null): Host | undefined {
    this.#stats.lbHealthyPanic.inc();
    return this.#all?.pick(context);
  }
}
