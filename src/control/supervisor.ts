import type { ResourceLimits, Worker } from 'node:worker_threads';
import type { UpdateOutcome } from '../core/config-update.ts';
import type { LogLevel } from '../core/log.ts';
import type { Demand } from '../core/on-demand.ts';
import type { FromWorker, ToWorker, WorkerInit, WorkerUpdate } from '../core/worker-protocol.ts';
import { workerHeapLimits } from './heap-limits.ts';
import { spawnThread } from './spawn-worker.ts';

/** Three deaths within ten seconds mean that starting again does not help. */
const MAX_DEATHS = 3;
const DEATH_WINDOW_MS = 10_000;
const QUERY_TIMEOUT_MS = 2_000;
const SHUTDOWN_GRACE_MS = 2_000;

export interface SupervisorEvents {
  /** A StatsMessage of the worker's thread, for the aggregator. */
  onStats(threadId: number, message: unknown): void;
  /** The worker of `index` died; its statistics and holdings are nobody's now. */
  onDeath(index: number, threadId: number, cause: string): void;
  /** It is given up: the process must end. */
  onGivenUp(cause: string): void;
  /** What a worker's requests say about a host; `signal` is a `HostSignal`. */
  onHostSignal(cluster: string, host: string, signal: string): void;
  /** Entries for a gRPC access log service. */
  onAccessLog(log: object, entries: readonly object[]): void;
  /** What a worker answers to `take-loads`. */
  onDemand(demand: Demand): void;
  onLoads(id: number, loads: readonly object[]): void;
  onLog(level: LogLevel, component: string, message: string): void;
}

interface Slot {
  readonly index: number;
  worker: Worker;
  threadId: number;
  ready: boolean;
  /** The thread is gone. */
  ended: boolean;
  connections: number;
}

interface PendingQuery {
  left: number;
  /** By the number of the worker. */
  readonly answers: Map<number, unknown[]>;
  readonly resolve: (answers: unknown[][]) => void;
  readonly timer: NodeJS.Timeout;
}

interface PendingUpdate {
  /** Workers that have not answered. */
  readonly waiting: Set<number>;
  readonly failed: Map<string, string>;
  readonly resolve: (outcome: UpdateOutcome) => void;
}

/** Threads that read their code, and then wait to be told what to do; they do not keep the process. */
export function prepareWorkers(count: number): Worker[] {
  const limits = workerHeapLimits(count);
  return Array.from({ length: count }, (_, index) => {
    const worker = spawnWorker(index, limits);
    worker.unref();
    worker.on('error', () => {
      // It is replaced when it is needed, and that one says what is wrong.
    });
    return worker;
  });
}

function spawnWorker(index: number, resourceLimits: ResourceLimits): Worker {
  return spawnThread('worker', { resourceLimits, name: `worker-${index}`, stdout: false, stderr: false });
}

/** Starts the workers, replaces those that die, and carries messages to and from them. */
export class Supervisor {
  readonly #slots: Slot[] = [];
  readonly #events: SupervisorEvents;
  readonly #seed: (index: number) => WorkerInit;
  #limits: ResourceLimits = {};
  readonly #queries = new Map<number, PendingQuery>();
  readonly #updates = new Map<number, PendingUpdate>();
  readonly #deaths: number[] = [];
  #nextQuery = 1;
  #stopping = false;
  #draining = false;
  #onReady: { resolve: () => void; reject: (error: Error) => void } | null = null;

  /** `seed` makes the start data of a worker from what is in force now; replacements are seeded by it too. */
  constructor(seed: (index: number) => WorkerInit, events: SupervisorEvents) {
    this.#seed = seed;
    this.#events = events;
  }

  /**
   * Resolves when every worker accepts connections; rejects when a listener cannot be opened. `prepared` may have read
   * their code already (`prepareWorkers`).
   */
  start(count: number, prepared: readonly Worker[] = []): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject };
      this.#limits = workerHeapLimits(count);
      for (let index = 0; index < count; index++) this.#spawn(index, prepared[index]);
    });
  }

  /** Downstream connections of all workers after `drain`; Infinity until each has reported. */
  get openConnections(): number {
    let open = 0;
    for (const slot of this.#slots) open += slot.connections;
    return open;
  }

  broadcast(message: ToWorker): void {
    for (const slot of this.#slots) slot.worker.postMessage(message);
  }

  /** Workers that can answer. */
  get alive(): number {
    return this.#slots.filter((slot) => !slot.ended).length;
  }

  send(index: number, message: ToWorker): void {
    this.#slots[index]?.worker.postMessage(message);
  }

  /** Lets connections go as they become idle; a worker that dies now is not replaced. Idempotent. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const slot of this.#slots) if (!slot.ended) slot.connections = Infinity;
    this.broadcast({ type: 'drain' });
  }

  /** One list per worker, fewer or shorter ones when one does not answer within two seconds. */
  query(what: 'clusters' | 'listeners'): Promise<unknown[][]> {
    const id = this.#nextQuery++;
    const asked = this.#slots.filter((slot) => !slot.ended).length;
    if (asked === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#endQuery(id), QUERY_TIMEOUT_MS);
      this.#queries.set(id, { left: asked, answers: new Map(), resolve, timer });
      this.broadcast({ type: 'query', id, what });
    });
  }

  /**
   * Resolves when the step is in force in every worker, with what could not be had in some of them. A worker that
   * dies meanwhile is replaced by one that starts with the new state.
   */
  update(update: WorkerUpdate): Promise<UpdateOutcome> {
    const id = this.#nextQuery++;
    const waiting = new Set(this.#slots.filter((slot) => !slot.ended).map((slot) => slot.index));
    if (waiting.size === 0) return Promise.resolve({ failedListeners: [] });
    return new Promise((resolve) => {
      this.#updates.set(id, { waiting, failed: new Map(), resolve });
      this.broadcast({ type: 'update', id, update });
    });
  }

  /** Lets the workers flush and ends them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.broadcast({ type: 'shutdown' });
    const exits = this.#slots
      .filter((slot) => !slot.ended)
      .map((slot) => new Promise<void>((resolve) => slot.worker.once('exit', () => resolve())));
    const grace = new Promise<void>((resolve) => setTimeout(resolve, SHUTDOWN_GRACE_MS).unref());
    await Promise.race([Promise.all(exits), grace]);
    await Promise.all(this.#slots.map((slot) => slot.worker.terminate()));
  }

  #spawn(index: number, prepared?: Worker): void {
    // One that has died meanwhile is of no use.
    const worker =
      prepared === undefined || prepared.threadId < 0 ? spawnWorker(index, this.#limits) : prepared;
    worker.ref();
    worker.postMessage({ type: 'init', init: this.#seed(index) } satisfies ToWorker);
    const slot: Slot = {
      index,
      worker,
      threadId: worker.threadId,
      ready: false,
      ended: false,
      connections: 0,
    };
    this.#slots[index] = slot;
    let cause = '';
    worker.on('message', (message: FromWorker) => this.#onMessage(slot, message));
    worker.on('error', (error: unknown) => {
      cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on('exit', (code) => this.#onExit(slot, cause === '' ? `exit code ${code}` : cause));
  }

  #onMessage(slot: Slot, message: FromWorker): void {
    switch (message.type) {
      case 'stats':
        this.#events.onStats(slot.threadId, message);
        return;
      case 'ready':
        slot.ready = true;
        this.#events.onLog('debug', 'main', `worker ${slot.index} accepts connections`);
        if (this.#slots.every((each) => each.ready)) {
          this.#onReady?.resolve();
          this.#onReady = null;
        }
        return;
      case 'listen-failed':
        // A replacement that cannot listen is of no use: it counts as dead.
        if (this.#onReady === null) void slot.worker.terminate();
        this.#onReady?.reject(new Error(message.message));
        this.#onReady = null;
        return;
      case 'answer': {
        const query = this.#queries.get(message.id);
        if (query === undefined) return;
        const before = query.answers.get(slot.index);
        if (before === undefined) query.answers.set(slot.index, [...message.data]);
        else before.push(...message.data);
        if (message.last && --query.left === 0) this.#endQuery(message.id);
        return;
      }
      case 'updated':
        this.#onUpdated(slot.index, message.id, message.outcome);
        return;
      case 'connections':
        slot.connections = message.open;
        return;
      case 'access-log':
        this.#events.onAccessLog(message.log, message.entries);
        return;
      case 'demand':
        this.#events.onDemand(message.demand);
        return;
      case 'loads':
        this.#events.onLoads(message.id, message.loads);
        return;
      case 'host-signal':
        this.#events.onHostSignal(message.cluster, message.host, message.signal);
        return;
      case 'log':
        this.#events.onLog(message.level, message.component, message.message);
        return;
      default:
        message satisfies never;
    }
  }

  #onUpdated(index: number, id: number, outcome: UpdateOutcome | null): void {
    const update = this.#updates.get(id);
    if (update === undefined) return;
    for (const { name, message } of outcome?.failedListeners ?? []) update.failed.set(name, message);
    update.waiting.delete(index);
    if (update.waiting.size > 0) return;
    this.#updates.delete(id);
    update.resolve({ failedListeners: Array.from(update.failed, ([name, message]) => ({ name, message })) });
  }

  #endQuery(id: number): void {
    const query = this.#queries.get(id);
    if (query === undefined) return;
    this.#queries.delete(id);
    clearTimeout(query.timer);
    query.resolve([...query.answers.values()]);
  }

  #onExit(slot: Slot, cause: string): void {
    slot.ended = true;
    for (const id of [...this.#updates.keys()]) this.#onUpdated(slot.index, id, null);
    if (this.#stopping || this.#slots[slot.index] !== slot) return;
    slot.connections = 0;
    this.#events.onDeath(slot.index, slot.threadId, cause);
    const now = performance.now();
    this.#deaths.push(now);
    while ((this.#deaths[0] ?? now) < now - DEATH_WINDOW_MS) this.#deaths.shift();
    if (this.#deaths.length >= MAX_DEATHS) {
      this.#stopping = true;
      this.#onReady?.reject(new Error(cause));
      this.#events.onGivenUp(
        `${MAX_DEATHS} workers died within ${DEATH_WINDOW_MS / 1000} s; the last one: ${cause}`,
      );
      return;
    }
    // A new one would listen again.
    if (!this.#draining) this.#spawn(slot.index);
  }
}
