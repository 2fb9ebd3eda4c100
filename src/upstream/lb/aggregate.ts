import type { Cell } from '../../core/cell.ts';
import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import type { HostSet, PriorityHosts } from '../host-set.ts';
import type { LoadBalancer, PickContext } from './load-balancer.ts';
import type { MetadataMatch } from './metadata-match.ts';
import { priorityLoad } from './priority-load.ts';

/** A cluster as an aggregate cluster sees it. */
export interface AggregateMember {
  readonly hosts: Cell<HostSet>;
  /** Picks without counting a failure. */
  balance(context: PickContext | null): Host | undefined;
}

/** One priority of one of the clusters; the context tells that cluster to use no other. */
class Choice implements PickContext {
  hash: number | undefined = undefined;
  metadataMatch: MetadataMatch | null = null;
  readonly avoidPriorities = 0;
  readonly onlyPriority: number;
  readonly degraded: boolean;
  readonly member: AggregateMember;
  /** Upper bound in (0, 100]. */
  readonly upTo: number;

  constructor(member: AggregateMember, priority: number, degraded: boolean, upTo: number) {
    this.member = member;
    this.onlyPriority = priority;
    this.degraded = degraded;
    this.upTo = upTo;
  }
}

/**
 * Envoy's aggregate cluster: the priorities of all its clusters in one row, those without hosts left out. A host
 * keeps its cluster, and with it its connections, limits and statistics.
 */
export class Aggregate implements LoadBalancer {
  readonly #cells: readonly Cell<AggregateMember>[];
  readonly #random: Random;
  readonly #panicThreshold: number;
  /** What the choices were made of. */
  readonly #seen: (HostSet | undefined)[];
  #choices: readonly Choice[];

  constructor(cells: readonly Cell<AggregateMember>[], random: Random, panicThreshold: number) {
    this.#cells = cells;
    this.#random = random;
    this.#panicThreshold = panicThreshold;
    this.#seen = cells.map(() => undefined);
    this.#choices = [];
  }

  pick(context: PickContext | null): Host | undefined {
    if (this.#changed()) this.#choices = this.#compile();
    const choices = this.#choices;
    const percent = Math.floor(this.#random.float() * 100) + 1;
    let choice = choices[0];
    for (let i = 1; choice !== undefined && choice.upTo < percent; i++) choice = choices[i];
    if (choice === undefined) return undefined;
    choice.hash = context === null ? undefined : context.hash;
    choice.metadataMatch = context === null ? null : context.metadataMatch;
    return choice.member.balance(choice);
  }

  /** A comparison per cluster and request spares subscriptions: there are few of them. */
  #changed(): boolean {
    let changed = false;
    const seen = this.#seen;
    for (let i = 0; i < seen.length; i++) {
      const set = this.#cells[i]?.value?.hosts.value;
      if (set === seen[i]) continue;
      seen[i] = set;
      changed = true;
    }
    return changed;
  }

  #compile(): Choice[] {
    const priorities: PriorityHosts[] = [];
    const origins: { readonly member: AggregateMember; readonly priority: number }[] = [];
    for (const cell of this.#cells) {
      const member = cell.value;
      for (const [priority, level] of (member?.hosts.value?.priorities ?? []).entries()) {
        if (member === undefined || level.hosts.length === 0) continue;
        priorities.push(level);
        origins.push({ member, priority });
      }
    }
    if (priorities.length === 0) return [];
    const load = priorityLoad({ priorities }, this.#panicThreshold);
    const choices: Choice[] = [];
    let upTo = 0;
    for (const degraded of [false, true]) {
      origins.forEach(({ member, priority }, i) => {
        const percent = (degraded ? load.degraded : load.healthy)[i] ?? 0;
        if (percent === 0) return;
        upTo += percent;
        choices.push(new Choice(member, priority, degraded, upTo));
      });
    }
    return choices;
  }
}
