import type { Cell } from '../core/cell.ts';
import type { Cluster } from '../upstream/cluster.ts';

/** Holds a cluster, or knows how to get it. */
class ClusterCell implements Cell<Cluster> {
  #value: Cluster | undefined;
  #wake: (() => void) | null = null;

  get value(): Cluster | undefined {
    return this.#value === undefined && this.#wake !== null ? this.#awake() : this.#value;
  }

  set value(cluster: Cluster | undefined) {
    this.#wake = null;
    this.#value = cluster;
  }

  /** `wake` fills the cell when somebody looks, unless the cluster cannot be made. */
  sleep(wake: () => void): void {
    this.#value = undefined;
    this.#wake = wake;
  }

  #awake(): Cluster | undefined {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
    return this.#value;
  }
}

/**
 * Where the names of clusters lead to. The cell of a name stays the same while a cluster has the name or anybody
 * holds the cell: control planes that give each version of a cluster a name of its own leave nothing behind.
 */
export class ClusterCells {
  readonly #there = new Map<string, ClusterCell>();
  /** Of clusters that are not there, for those who would see them come. */
  readonly #awaited = new Map<string, WeakRef<ClusterCell>>();
  readonly #forgotten = new FinalizationRegistry<string>((name) => {
    if (this.#awaited.get(name)?.deref() === undefined) this.#awaited.delete(name);
  });

  /** Empty until there is such a cluster. */
  of(name: string): Cell<Cluster> {
    const known = this.#find(name);
    if (known !== undefined) return known;
    const cell = new ClusterCell();
    this.#await(name, cell);
    return cell;
  }

  /** Undefined for a name that nobody uses. */
  find(name: string): Cell<Cluster> | undefined {
    return this.#find(name);
  }

  #find(name: string): ClusterCell | undefined {
    return this.#there.get(name) ?? this.#awaited.get(name)?.deref();
  }

  set(cluster: Cluster): void {
    this.#come(cluster.name).value = cluster;
  }

  /** There is such a cluster, which `wake` makes and sets when somebody looks for it. */
  sleep(name: string, wake: () => void): void {
    this.#come(name).sleep(wake);
  }

  #come(name: string): ClusterCell {
    const cell = this.#find(name) ?? new ClusterCell();
    this.#awaited.delete(name);
    this.#there.set(name, cell);
    return cell;
  }

  remove(name: string): void {
    const cell = this.#there.get(name);
    if (cell === undefined) return;
    this.#there.delete(name);
    cell.value = undefined;
    this.#await(name, cell);
  }

  #await(name: string, cell: ClusterCell): void {
    this.#awaited.set(name, new WeakRef(cell));
    this.#forgotten.register(cell, name);
  }
}
