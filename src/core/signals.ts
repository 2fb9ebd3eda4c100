/**
 * What the control thread tells all workers at once: one number per slot in shared memory, written by the control
 * thread alone and read by workers per request or per connection, where a message would come late and a callback
 * would cost. Doubles, because some slots hold wall-clock times and some a share between 0 and 1.
 */
export const SIGNAL = {
  /** One of HEALTH: what health checks of this process are told. */
  health: 0,
  /** One of DIRECTION: listeners whose answers ask clients to leave. */
  draining: 1,
  /** When `draining` was set, wall-clock milliseconds. */
  drainSinceMs: 2,
  /** `--drain-time-s`: how long a gradual drain takes to reach every connection. */
  drainTimeMs: 3,
  /** `--drain-strategy immediate`: 1. */
  drainAtOnce: 4,
  /** One of DIRECTION: listeners that no longer accept; a worker that starts now does not open them. */
  stopped: 5,
  /** Overload actions, as in Envoy: 0 off, 1 saturated, between them scaled. */
  stopAcceptingRequests: 8,
  disableHttpKeepalive: 9,
  stopAcceptingConnections: 10,
  rejectIncomingConnections: 11,
  reduceTimeouts: 12,
  /** Bumped each time that workers are to give memory back. */
  shrinkHeap: 14,
  /** Load shed points, 0 … 1: the share of connections or requests to refuse there. */
  shedAccept: 16,
  shedDecodeHeaders: 17,
  /** `reduce_timeouts`: what idle connections and idle streams are reduced to at most, as a share or in ms; −1: not. */
  idleMinScale: 25,
  idleMinMs: 26,
  streamIdleMinScale: 27,
  streamIdleMinMs: 28,
  /** Connections of all listeners together, 0 for no limit. */
  maxConnections: 24,
} as const;

export const HEALTH = {
  ok: 0,
  /** `/healthcheck/fail`: fails checks, and listeners of `drain_type: DEFAULT` close their connections. */
  failed: 1,
  /** The lame-duck time: fails checks only. */
  leaving: 2,
} as const;

export const DIRECTION = { none: 0, inbound: 1, all: 2 } as const;

const CONNECTIONS = 32;

/** The slots, and behind them the number of downstream connections of each worker, which that worker writes. */
export function createSignals(workers: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer((CONNECTIONS + workers) * Float64Array.BYTES_PER_ELEMENT));
}

/** A timeout of `ms` (0: none) under `reduce_timeouts`; `scaleSlot` is the first of the timer's two slots. */
export function reducedTimeout(signals: Float64Array, scaleSlot: number, ms: number): number {
  const state = signals[SIGNAL.reduceTimeouts] ?? 0;
  if (state === 0 || ms === 0) return ms;
  const share = signals[scaleSlot] ?? -1;
  const least = share >= 0 ? ms * share : (signals[scaleSlot + 1] ?? -1);
  // 0 would switch the timeout off.
  return least < 0 || least >= ms ? ms : Math.max(1, least + (ms - least) * (1 - state));
}

/** Where a worker writes how many downstream connections it has. */
export function connectionSlot(worker: number): number {
  return CONNECTIONS + worker;
}

/** Downstream connections of all workers, as far as each has written. */
export function countConnections(signals: Float64Array): number {
  let sum = 0;
  for (let i = CONNECTIONS; i < signals.length; i++) sum += signals[i] ?? 0;
  return sum;
}
