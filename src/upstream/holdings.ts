import { BUDGET_NUMBERS } from './retry-budget.ts';

/** What a circuit breaker counts, and the index of each in a slice of holdings. */
export const HOLDING = { connections: 0, pendingRequests: 1, requests: 2, retries: 3, pools: 4 } as const;
export type HoldingKind = (typeof HOLDING)[keyof typeof HOLDING];
const HOLDING_KINDS = 5;
/** What one worker has of the memory of one breaker: its holdings, and its part of the retry budget. */
export const HOLDING_SLICE = HOLDING_KINDS + BUDGET_NUMBERS;

/**
 * What one worker holds of a breaker's limits. Limits are tested on the sum over all workers, so the memory is
 * shared and each worker writes its own slice only; the overshoot is at most workers − 1.
 */
export interface Holdings {
  add(kind: HoldingKind, n: number): void;
  /** Sum over all workers. */
  total(kind: HoldingKind): number;
  /** Number of this worker. */
  readonly worker: number;
  readonly workers: number;
  /** Memory of the retry budget, of all workers. */
  readonly budget: Int32Array;
}

/**
 * `memory` has `HOLDING_SLICE` numbers per worker: first the holdings of all of them, then the budgets. Plain reads of
 * other slices are enough: an aligned 32-bit load cannot tear, and a limit may be late by a moment.
 */
export function createHoldings(memory: Int32Array, slice: number): Holdings {
  const workers = memory.length / HOLDING_SLICE;
  if (slice >= workers) throw new RangeError(`holdings have no slice ${slice}`);
  const base = slice * HOLDING_KINDS;
  const end = workers * HOLDING_KINDS;
  const single = workers === 1;
  return {
    worker: slice,
    workers,
    budget: memory.subarray(end),
    add(kind, n) {
      memory[base + kind] = (memory[base + kind] ?? 0) + n;
    },
    total(kind) {
      if (single) return memory[kind] ?? 0;
      let sum = 0;
      for (let i = kind; i < end; i += HOLDING_KINDS) sum += memory[i] ?? 0;
      return sum;
    },
  };
}

/** Holdings of a process with one worker. */
export function createLocalHoldings(): Holdings {
  return createHoldings(new Int32Array(HOLDING_SLICE), 0);
}

const CLUSTERS_PER_SLAB = 64;

/**
 * Shared memory for the circuit breakers of clusters: both priorities, one slice a worker each. Shared buffers are
 * dear, so several clusters have one together. No piece is given out again: who drains may still write to it.
 */
export class HoldingsMemory {
  readonly #length: number;
  #slab: Int32Array = new Int32Array(0);
  #taken = 0;

  constructor(workers: number) {
    this.#length = 2 * workers * HOLDING_SLICE;
  }

  /** For one more cluster. */
  take(): Int32Array {
    if (this.#taken === this.#slab.length) {
      const bytes = CLUSTERS_PER_SLAB * this.#length * Int32Array.BYTES_PER_ELEMENT;
      this.#slab = new Int32Array(new SharedArrayBuffer(bytes));
      this.#taken = 0;
    }
    this.#taken += this.#length;
    return this.#slab.subarray(this.#taken - this.#length, this.#taken);
  }
}

/** A dead worker holds nothing: clears its holdings of both priorities. What it spent of the budget stays spent. */
export function releaseHoldings(memory: Int32Array, worker: number): void {
  const half = memory.length / 2;
  for (const start of [0, half]) {
    const base = start + worker * HOLDING_KINDS;
    memory.fill(0, base, base + HOLDING_KINDS);
  }
}
