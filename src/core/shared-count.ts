/**
 * A number that is limited over all workers, such as the open connections of a listener: each worker writes its own
 * slot of shared memory and reads them all, so a limit is overshot by at most workers − 1.
 */
export interface SharedCount {
  add(n: number): void;
  /** Over all workers. */
  total(): number;
}

/** `memory` has one slot for each worker. */
export function createSharedCount(memory: Int32Array, worker: number): SharedCount {
  if (worker >= memory.length) throw new RangeError(`the count has no slot ${worker}`);
  return {
    add(n) {
      memory[worker] = (memory[worker] ?? 0) + n;
    },
    total() {
      let sum = 0;
      for (const one of memory) sum += one;
      return sum;
    },
  };
}

/** Slots for so many workers. */
export function createCountMemory(workers: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT));
}
