/**
 * What the workers tell the control thread about one host, in shared memory. The first slice has the runs of
 * failures, which all workers count together by Atomics, so that `consecutive_5xx: 5` means five failures in all.
 * Then each worker has a slice of its own that only it writes: totals that only grow, and wrap; the sweep takes
 * differences. So nothing is left over when a worker dies: its successor counts on from where it was.
 */

/** Indexes into the shared slice. */
export const RUN = { status5xx: 0, gateway: 1, localOrigin: 2, accrual: 3 } as const;
export type RunKind = keyof typeof RUN;

/** Index of the probation state; see `PROBATION`. */
const PROBATION_INDEX = 4;

/** Whether a host that was shut by failure accrual takes the one request that decides about it. */
export const PROBATION = {
  /** Not in question: the host is open, or shut. */
  none: 0,
  /** The next request may be the probe. */
  offered: 1,
  /** A worker has sent the probe. */
  taken: 2,
} as const;

/** Indexes into a worker's slice. */
export const COUNT = { total: 0, success: 1, localTotal: 2, localSuccess: 3 } as const;
export type CountKind = keyof typeof COUNT;

/** A cache line per slice, so that workers do not slow each other down. */
const SLICE = 16;

/** Numbers of one host's record. */
export function outlierRecordLength(workers: number): number {
  return SLICE * (1 + workers);
}

/** A record for tests and simulations; the control thread cuts them from bigger blocks. */
export function createOutlierRecord(workers: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * outlierRecordLength(workers)));
}

/** Where the slice of `worker` begins. */
export function workerSlice(worker: number): number {
  return SLICE * (1 + worker);
}

/** Sum over the workers, modulo 2^32. */
export function countOf(record: Int32Array, kind: CountKind): number {
  let sum = 0;
  for (let i = SLICE + COUNT[kind]; i < record.length; i += SLICE) sum = (sum + (record[i] ?? 0)) | 0;
  return sum >>> 0;
}

export function resetRun(record: Int32Array, kind: RunKind): void {
  Atomics.store(record, RUN[kind], 0);
}

export function setProbation(record: Int32Array, state: number): void {
  Atomics.store(record, PROBATION_INDEX, state);
}

export function probationOf(record: Int32Array): number {
  return Atomics.load(record, PROBATION_INDEX);
}

/** Moves from one state to another; false when it was in neither `from`. */
export function changeProbation(record: Int32Array, from: number, to: number): boolean {
  return Atomics.compareExchange(record, PROBATION_INDEX, from, to) === from;
}
