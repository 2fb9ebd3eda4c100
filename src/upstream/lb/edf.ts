import type { Host } from '../host.ts';

interface Entry {
  readonly host: Host;
  deadline: number;
  /** Breaks ties in the order of the last pick. */
  order: number;
}

/**
 * Earliest deadline first: each pick moves a host's deadline on by the inverse of its weight, so that hosts are
 * picked in proportion to their weights and as evenly spread as can be (Envoy's EdfScheduler). The weight is
 * asked again at each pick.
 */
export class EdfScheduler {
  readonly #heap: Entry[];
  readonly #weight: (host: Host) => number;
  #now: number;
  #order: number;

  /** `skip` picks are made in advance, so that not every worker starts with the heaviest host. */
  constructor(hosts: readonly Host[], weight: (host: Host) => number, skip: number) {
    this.#weight = weight;
    this.#now = 0;
    this.#order = 0;
    this.#heap = [];
    for (const host of hosts) this.#heap.push({ host, deadline: 1 / weight(host), order: this.#order++ });
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(at);
    for (; skip > 0; skip--) this.pick();
  }

  pick(): Host | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    this.#now = first.deadline;
    first.deadline = this.#now + 1 / this.#weight(first.host);
    first.order = this.#order++;
    this.#sink(0);
    return first.host;
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

function before(a: Entry, b: Entry): boolean {
  return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
}

/** False when all hosts weigh the same, which spares the heap. */
export function weightsDiffer(hosts: readonly Host[]): boolean {
  const weight = hosts[0]?.weight;
  return hosts.some((host) => host.weight !== weight);
}
