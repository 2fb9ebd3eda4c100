import { Cell } from '../core/cell.ts';
import type { Cluster } from '../upstream/cluster.ts';

/**
 * Where the names of clusters lead to. The cell of a name stays the same while a cluster has the name or anybody
 * holds the cell: control planes that give each version of a cluster a name of its own leave nothing behind.
 */
export class ClusterCells {
  readonly #there = new Map<string, Cell<Cluster>>();
  /** Of clusters that are not there, for those who would see them come. */
  readonly #awaited = new Map<string, WeakRef<Cell<Cluster>>>();
  readonly #forgotten = new FinalizationRegistry<string>((name) => {
    if (this.#awaited.get(name)?.deref() === undefined) this.#awaited.delete(name);
  });

  /** Empty until there is such a cluster. */
  of(name: string): Cell<Cluster> {
    const known = this.find(name);
    if (known !== undefined) return known;
    const cell = new Cell<Cluster>();
    this.#await(name, cell);
    return cell;
  }

  /** Undefined for a name that nobody uses. */
  find(name: string): Cell<Cluster> | undefined {
    return this.#there.get(name) ?? this.#awaited.get(name)?.deref();
  }

  set(cluster: Cluster): void {
    const cell = this.find(cluster.name) ?? new Cell();
    this.#awaited.delete(cluster.name);
    this.#there.set(cluster.name, cell);
    cell.value = cluster;
  }

  remove(name: string): void {
    const cell = this.#there.get(name);
    if (cell === undefined) return;
    this.#there.delete(name);
    cell.value = undefined;
    this.#await(name, cell);
  }

  #await(name: string, cell: Cell<Cluster>): void {
    this.#awaited.set(name, new WeakRef(cell));
    this.#forgotten.register(cell, name);
  }
}
