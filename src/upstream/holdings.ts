/** What a circuit breaker counts, and the index of each in a slice of holdings. */
export const HOLDING = { connections: 0, pendingRequests: 1, requests: 2, retries: 3 } as const;
export type HoldingKind = (typeof HOLDING)[keyof typeof HOLDING];
export const HOLDING_KINDS = 4;

/**
 * What one worker holds of a breaker's limits. Limits are tested on the sum over all workers, so the memory is
 * shared and each worker writes its own slice only; the overshoot is at most workers − 1.
 */
export interface Holdings {
  add(kind: HoldingKind, n: number): void;
  /** Sum over all workers. */
  total(kind: HoldingKind): number;
}

/**
 * `memory` has `HOLDING_KINDS` numbers per slice. Plain reads of other slices are enough: an aligned 32-bit
 * load cannot tear, and a limit may be late by a moment.
 */
export function createHoldings(memory: Int32Array, slice: number): Holdings {
  const base = slice * HOLDING_KINDS;
  const end = memory.length;
  if (base + HOLDING_KINDS > end) throw new RangeError(`holdings have no slice ${slice}`);
  const single = end === HOLDING_KINDS;
  return {
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
  return createHoldings(new Int32Array(HOLDING_KINDS), 0);
}

/** Shared memory for the circuit breakers of one cluster: both priorities, one slice a worker each. */
export function createHoldingsMemory(workers: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(2 * workers * HOLDING_KINDS * Int32Array.BYTES_PER_ELEMENT));
}

/** A dead worker holds nothing: clears its slice of both priorities. */
export function releaseHoldings(memory: Int32Array, worker: number): void {
  const half = memory.length / 2;
  for (const start of [0, half]) {
    const base = start + worker * HOLDING_KINDS;
    memory.fill(0, base, base + HOLDING_KINDS);
  }
}
