import type { Worker } from 'node:worker_threads';
import type { ConfigUpdate, UpdateOutcome } from '../core/config-update.ts';
import type { NameTable } from '../core/dns-protocol.ts';
import type { LogLevel } from '../core/log.ts';
import type {
  FromXds,
  ReportQuestion,
  ToXds,
  XdsInit,
  XdsQuery,
  XdsResource,
  XdsSlice,
  XdsStatus,
} from '../core/xds-protocol.ts';
import { BadField } from './admin/context.ts';
import { xdsHeapLimits } from './heap-limits.ts';
import { spawnThread } from './spawn-worker.ts';

export interface XdsEvents {
  apply(update: ConfigUpdate): Promise<UpdateOutcome>;
  onLive(): void;
  /** A statistic that is a text has that value now. */
  onText(name: string, value: string): void;
  /** What is in force was saved by an earlier run at that time (milliseconds since 1970), or is no longer. */
  onStale(since: number | null): void;
  /** It wants to know, or to have done, what management servers are told about. */
  onReportQuestion(question: ReportQuestion): void;
  /** What a worker's demand of that key asked for is in force, or does not exist. */
  onDemandSettled(key: string): void;
  /** Names for DNS. */
  onNames(names: NameTable): void;
  onStats(threadId: number, message: unknown): void;
  /** The thread is gone; its statistics are nobody's now. */
  onEnd(threadId: number): void;
  onLog(level: LogLevel, component: string, message: string): void;
  /** It cannot do what the bootstrap says. */
  onFailed(message: string): void;
}

const RESTART_MS = 1000;
const STATUS_TIMEOUT_MS = 10_000;

/** A thread that reads its code, and then waits for its orders; it does not keep the process. */
export function prepareXdsThread(): Worker {
  const worker = spawnThread('xds', {
    name: 'xds',
    resourceLimits: xdsHeapLimits(),
    stdout: false,
    stderr: false,
  });
  worker.unref();
  return worker;
}

/** The thread that talks to control planes. What it brought stays in force when it dies, and it is started anew. */
export class XdsThread {
  readonly #init: () => XdsInit;
  readonly #events: XdsEvents;
  #worker: Worker | null = null;
  #closed = false;
  #lastId = 0;
  readonly #asked = new Map<number, (status: XdsStatus | null) => void>();
  readonly #slices = new Map<number, (slice: XdsSlice | null) => void>();

  constructor(init: () => XdsInit, events: XdsEvents) {
    this.#init = init;
    this.#events = events;
  }

  /** `prepared` has read its code already; one that has died meanwhile is of no use. */
  start(prepared?: Worker): void {
    const worker = prepared === undefined || prepared.threadId < 0 ? prepareXdsThread() : prepared;
    worker.ref();
    this.#worker = worker;
    this.send({ type: 'init', init: this.#init() });
    const { threadId } = worker;
    let cause = '';
    worker.on('message', (message: FromXds) => this.#onMessage(worker, threadId, message));
    worker.on('error', (error: unknown) => {
      cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on('exit', () => {
      this.#events.onEnd(threadId);
      for (const resolve of this.#asked.values()) resolve(null);
      this.#asked.clear();
      for (const resolve of [...this.#slices.values()]) resolve(null);
      if (this.#closed) return;
      this.#events.onLog('critical', 'config', `the xds thread died and is started again: ${cause}`);
      setTimeout(() => {
        if (!this.#closed) this.start();
      }, RESTART_MS);
    });
  }

  setLogLevel(level: LogLevel): void {
    this.send({ type: 'log-level', level });
  }

  /** A cluster that waited for DNS or a first health check is in force. */
  clusterWarmed(cluster: string): void {
    this.send({ type: 'warmed', cluster });
  }

  sendAccessLog(log: object, entries: readonly object[]): void {
    this.send({ type: 'access-log', log, entries });
  }

  /** What is known of all resources; null when the thread does not answer. */
  status(): Promise<XdsStatus | null> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#answer(id, null), STATUS_TIMEOUT_MS);
      this.#asked.set(id, (status) => {
        clearTimeout(timer);
        resolve(status);
      });
      this.send({ type: 'status', id });
    });
  }

  /** Resources that a query lets through, slice by slice as they are taken; ends early when the thread does. */
  async *resources(query: XdsQuery): AsyncGenerator<readonly XdsResource[]> {
    const id = ++this.#lastId;
    let more: ToXds = { type: 'resources', id, query };
    let done = false;
    try {
      while (!done) {
        const slice = await this.#slice(id, more);
        if (slice === null) return;
        if ('badField' in slice) throw new BadField(slice.badField);
        done = slice.last;
        if (slice.resources.length > 0) yield slice.resources;
        more = { type: 'more', id };
      }
    } finally {
      if (!done) this.send({ type: 'enough', id });
    }
  }

  #slice(id: number, question: ToXds): Promise<XdsSlice | null> {
    return new Promise((resolve) => {
      const give = (slice: XdsSlice | null): void => {
        clearTimeout(timer);
        this.#slices.delete(id);
        resolve(slice);
      };
      const timer = setTimeout(() => give(null), STATUS_TIMEOUT_MS);
      this.#slices.set(id, give);
      this.send(question);
    });
  }

  close(): void {
    this.#closed = true;
    this.send({ type: 'shutdown' });
  }

  send(message: ToXds): void {
    this.#worker?.postMessage(message);
  }

  #answer(id: number, status: XdsStatus | null): void {
    this.#asked.get(id)?.(status);
    this.#asked.delete(id);
  }

  #onMessage(worker: Worker, threadId: number, message: FromXds): void {
    switch (message.type) {
      case 'update': {
        const answer = (outcome: UpdateOutcome): void =>
          worker.postMessage({ type: 'applied', id: message.id, outcome } satisfies ToXds);
        this.#events.apply(message.update).then(answer, (error: unknown) => {
          this.#events.onLog('error', 'config', `an update failed: ${String(error)}`);
          answer({ failedListeners: [] });
        });
        return;
      }
      case 'begun':
        // Who loads a bootstrap with it has heard that.
        return;
      case 'text':
        this.#events.onText(message.name, message.value);
        return;
      case 'live':
        this.#events.onLive();
        return;
      case 'stale':
        this.#events.onStale(message.since);
        return;
      case 'demand-settled':
        this.#events.onDemandSettled(message.key);
        return;
      case 'names':
        this.#events.onNames(message.names);
        return;
      case 'status':
        this.#answer(message.id, message.status);
        return;
      case 'resources':
        this.#slices.get(message.id)?.(message.slice);
        return;
      case 'take-loads':
      case 'health-checks':
      case 'take-health':
        this.#events.onReportQuestion(message);
        return;
      case 'log':
        this.#events.onLog(message.level, message.component, message.message);
        return;
      case 'failed':
        this.#events.onFailed(message.message);
        return;
      case 'stats':
        this.#events.onStats(threadId, message);
        return;
      default:
        message satisfies never;
    }
  }
}
