import type { LoadedCluster } from '../core/xds-protocol.ts';
import type { Counter } from '../stats/scope.ts';
import type { ClusterLoad } from '../upstream/load.ts';
import { LoadSums, loadStatsRequest } from './load-stats-request.ts';
import { moderateInterval, type ServiceParts, ServiceStream } from './service-stream.ts';

/** Envoy waits five seconds each time; here they become more, and are not the same for all proxies. */
const BACKOFF = { baseMs: 5000, maxMs: 30_000 };
const PATIENCE_MS = 1000;
/** Names that a server can ask for; those behind them are left out. */
const MAX_NAMES = 100_000;

/** `node` has `LOAD_FEATURES`. */
export interface LoadReportParts extends ServiceParts {
  /** How long workers have to answer; those that do not are in the next report. */
  readonly patienceMs?: number;
  /** Asks for loads; `onClusters` and then `onLoads` get the answers with the same id. */
  readonly take: (id: number, clusters: readonly string[] | null) => void;
}

export const LOAD_FEATURES: readonly string[] = ['envoy.lrs.supports_send_all_clusters'];

/** `envoy.service.load_stats.v3.LoadStatsResponse`: what the server wants to know. */
interface Wanted {
  readonly clusters: readonly string[];
  readonly sendAllClusters: boolean;
  readonly loadReportingInterval?: { readonly seconds: bigint; readonly nanos: number };
  readonly reportEndpointGranularity: boolean;
}

/** A cluster that is reported, with what has come together since `sinceMs`. */
interface Tracked {
  sinceMs: number;
  readonly sums: LoadSums;
}

interface Collecting {
  readonly id: number;
  /** Answers that are missing; unknown until it is told how many workers there are. */
  left: number;
  clusters: readonly LoadedCluster[] | null;
  readonly done: () => void;
}

/** LRS: says to a management server what the hosts of its clusters were sent, at the intervals it asks for. */
export class LoadReports {
  readonly #parts: LoadReportParts;
  readonly #stream: ServiceStream;
  readonly #responses: Counter;
  readonly #tracked = new Map<string, Tracked>();
  #wanted: Wanted | null = null;
  /** What the server said, and nobody has looked at yet. */
  #next: Wanted | null = null;
  #names: readonly string[] | null = [];
  #collecting: Collecting | null = null;
  #lastId = 0;
  #timer: NodeJS.Timeout | null = null;
  /** One thing after the other. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  /** Throws a ConfigError. */
  constructor(parts: LoadReportParts) {
    this.#parts = parts;
    const scope = parts.stats.scope('load_reporter');
    // The names are Envoy's, who calls requests what the server sends.
    const requests = scope.counter('requests');
    const errors = scope.counter('errors');
    const retries = scope.counter('retries');
    this.#responses = scope.counter('responses');
    this.#stream = new ServiceStream({
      channel: parts.channelOf(parts.config),
      service: 'envoy.service.load_stats.v3.LoadReportingService',
      method: 'streamLoadStats',
      what: 'load reports',
      backoff: parts.backoff ?? BACKOFF,
      log: parts.log,
      onOpen: () => this.#enqueue(() => this.#report()),
      onMessage: (message) => {
        requests.inc();
        // Of several that come at once the newest counts; read as the descriptors say.
        if (this.#next === null) this.#enqueue(() => this.#begin());
        this.#next = message as Wanted;
      },
      onEnd: (clean) => {
        if (!clean) errors.inc();
        this.#stop();
      },
      onRetry: () => retries.inc(),
    });
  }

  start(): void {
    this.#stream.start();
  }

  /** Which clusters there are, and how many workers will answer. */
  onClusters(id: number, workers: number, clusters: readonly LoadedCluster[]): void {
    const collecting = this.#collecting;
    if (collecting?.id !== id) return;
    collecting.clusters = clusters;
    collecting.left = workers;
    if (workers === 0) collecting.done();
  }

  /** What a worker did; an answer that is late counts in the next report. */
  onLoads(id: number, loads: readonly ClusterLoad[]): void {
    for (const load of loads) this.#tracked.get(load.name)?.sums.add(load);
    const collecting = this.#collecting;
    if (collecting?.id === id && --collecting.left === 0) collecting.done();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    this.#stream.close();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #enqueue(step: () => Promise<void>): void {
    this.#turn = this.#turn.then(step).catch((error: unknown) => {
      this.#parts.log.log('error', 'config', `load reports: ${String(error)}`);
    });
  }

  /** The server says what it wants. What is tracked already goes on; the load of new clusters counts from now. */
  async #begin(): Promise<void> {
    const wanted = this.#next;
    this.#next = null;
    if (wanted === null) return;
    this.#wanted = wanted;
    this.#names = wanted.sendAllClusters ? null : [...new Set(wanted.clusters.slice(0, MAX_NAMES))];
    this.#track((await this.#collect()) ?? []);
    this.#arm();
  }

  /** Sends what has come together; the first request, before the server has spoken, says who asks. */
  async #report(): Promise<void> {
    const { node } = this.#parts;
    if (this.#wanted === null) {
      if (this.#stream.send(loadStatsRequest(node, []))) this.#responses.inc();
      return;
    }
    const clusters = await this.#collect();
    if (clusters !== null) this.#send(this.#wanted, clusters);
    this.#arm();
  }

  #send(wanted: Wanted, clusters: readonly LoadedCluster[]): void {
    const nowMs = performance.now();
    const reported = clusters.flatMap(({ name, serviceName }) => {
      const tracked = this.#tracked.get(name);
      return tracked === undefined ? [] : [{ name, serviceName, tracked }];
    });
    const perHost = wanted.reportEndpointGranularity;
    const message = loadStatsRequest(
      this.#parts.node,
      reported.map(({ name, serviceName, tracked: { sums, sinceMs } }) =>
        sums.toMessage({ name, serviceName, intervalMs: nowMs - sinceMs, perHost }),
      ),
    );
    if (this.#stream.send(message)) {
      this.#responses.inc();
      for (const { tracked } of reported) {
        tracked.sums.clear();
        tracked.sinceMs = nowMs;
      }
    }
    this.#track(clusters);
  }

  #track(clusters: readonly LoadedCluster[]): void {
    const names = new Set(this.#names ?? clusters.map((cluster) => cluster.name));
    for (const name of this.#tracked.keys()) if (!names.has(name)) this.#tracked.delete(name);
    for (const name of names) {
      if (!this.#tracked.has(name))
        this.#tracked.set(name, { sinceMs: performance.now(), sums: new LoadSums() });
    }
  }

  #arm(): void {
    this.#stop();
    if (this.#closed || this.#wanted === null) return;
    const { seconds = 0n, nanos = 0 } = this.#wanted.loadReportingInterval ?? {};
    const asked = Number(seconds) * 1000 + nanos / 1e6;
    this.#timer = setTimeout(() => this.#enqueue(() => this.#report()), moderateInterval(asked));
  }

  /** Adds up what the workers did; resolves with the clusters that there are, null when nobody knows. */
  #collect(): Promise<readonly LoadedCluster[] | null> {
    for (const { sums } of this.#tracked.values()) sums.forgetActive();
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#collecting = null;
        resolve(collecting.clusters);
      };
      const timer = setTimeout(done, this.#parts.patienceMs ?? PATIENCE_MS);
      const collecting: Collecting = { id, left: Number.POSITIVE_INFINITY, clusters: null, done };
      this.#collecting = collecting;
      this.#parts.take(id, this.#names);
    });
  }
}
