import type { Host } from '../host.ts';

interface Entry<T> {
  readonly item: T;
  deadline: number;
  /** Breaks ties in the order of the last pick. */
  order: number;
}

/**
 * Earliest deadline first: each pick moves an item's deadline on by the inverse of its weight, so that items are
 * picked in proportion to their weights and as evenly spread as can be (Envoy's EdfScheduler). The weight is
 * asked again at each pick.
 */
export class EdfScheduler<T> {
  readonly #heap: Entry<T>[];
  readonly #weight: (item: T) => number;
  #now: number;
  #order: number;

  /** `skip` picks are made in advance, so that not every worker starts with the heaviest item. */
  constructor(items: readonly T[], weight: (item: T) => number, skip: number) {
    this.#weight = weight;
    this.#now = 0;
    this.#order = 0;
    this.#heap = [];
    for (const item of items) this.#heap.push({ item, deadline: 1 / weight(item), order: this.#order++ });
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(at);
    for (; skip > 0; skip--) this.pick();
  }

  pick(): T | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    this.#now = first.deadline;
    first.deadline = this.#now + 1 / this.#weight(first.item);
    first.order = this.#order++;
    this.#sink(0);
    return first.item;
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const entry = heap[at];
    if (entry === undefined) return;
    for (;;) {
      let child = at * 2 + 1;
      let next = heap[child];
      if (next === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, next)) {
        child++;
        next = right;
      }
      if (!before(next, entry)) break;
      heap[at] = next;
      at = child;
    }
    heap[at] = entry;
  }
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
}

/** False when all hosts weigh the same, which spares the heap. */
export function weightsDiffer(hosts: readonly Host[]): boolean {
  const weight = hosts[0]?.weight;
  return hosts.some((host) => host.weight !== weight);
}
