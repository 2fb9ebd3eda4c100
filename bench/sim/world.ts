import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import { compileOutlierDetection } from '../../src/config/outlier-detection.ts';
import { createRandom, type Random } from '../../src/core/random.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import { StatStore } from '../../src/stats/store.ts';
import type { Cluster } from '../../src/upstream/cluster.ts';
import type { HealthContext } from '../../src/upstream/health-view.ts';
import { createLocalHoldings } from '../../src/upstream/holdings.ts';
import { HEALTH_FLAG, type Host } from '../../src/upstream/host.ts';
import { ANY_HOST, type PickContext } from '../../src/upstream/lb/load-balancer.ts';
import { OutlierDetector, type OutlierHost } from '../../src/upstream/outlier-detector.ts';
import { createOutlierRecord } from '../../src/upstream/outlier-record.ts';
import type { RetryLimit } from '../../src/upstream/retry-budget.ts';
import { VirtualTime } from './clock.ts';

/** What a backend does with a request: a status after a while, `refused`, or nothing at all. */
export type Behaviour =
  | { readonly kind: 'answer'; readonly status: number; readonly tookMs: number }
  | { readonly kind: 'refused' }
  | { readonly kind: 'silent' };

export interface WorldSettings {
  readonly cluster: ClusterConfig;
  readonly requestsPerSecond: number;
  readonly endMs: number;
  /** An attempt is given up after this. */
  readonly attemptTimeoutMs: number;
  /** Retries per request, within the cluster's budget or limit. */
  readonly retries: number;
  /** Retries go to a priority that was not tried (`previous_priorities`). */
  readonly retryElsewhere: boolean;
  readonly seed: number;
  /** `random` is the generator of the backends. */
  behave(host: Host, nowMs: number, random: Random): Behaviour;
}

/** One second of a run, by when its requests began. */
export interface Second {
  requests: number;
  succeeded: number;
  /** Sent to hosts, retries included. */
  attempts: number;
  readonly latenciesMs: number[];
}

/** What an attempt that failed at once takes. */
const REFUSED_MS = 1;
/** News of the control thread reach the workers this much later. */
const NEWS_MS = 1;
const BACK_OFF_MS = 25;

/**
 * One proxy in front of one cluster, under virtual time: balancers, breakers, retry budgets, outlier monitors and the
 * detector are the shipped ones, compiled from the cluster's configuration; only hosts and clients are simulated.
 * Clients come at random (Poisson) and do not wait for each other.
 */
export class World {
  readonly time = new VirtualTime();
  readonly cluster: Cluster;
  readonly seconds: Second[];
  /** Ejections so far. */
  ejections = 0;
  readonly #settings: WorldSettings;
  readonly #arrivals: Random;
  readonly #backends: Random;
  readonly #retryLimit: RetryLimit;

  constructor(settings: WorldSettings) {
    this.#settings = settings;
    // Generators of their own: all policies see the same arrivals.
    this.#arrivals = createRandom(settings.seed + 1);
    this.#backends = createRandom(settings.seed + 2);
    this.seconds = Array.from({ length: Math.ceil(settings.endMs / 1000) }, () => ({
      requests: 0,
      succeeded: 0,
      attempts: 0,
      latenciesMs: [],
    }));
    this.cluster = this.#createCluster();
    this.#retryLimit = this.cluster.settings.breakers.default.retryLimit;
  }

  run(): this {
    this.#arrive();
    // Whatever began has an end.
    this.time.runUntil(this.#settings.endMs + 10 * this.#settings.attemptTimeoutMs);
    return this;
  }

  #arrive(): void {
    const nextMs = this.time.now() + exponential(this.#arrivals, 1000 / this.#settings.requestsPerSecond);
    if (nextMs >= this.#settings.endMs) return;
    this.time.at(nextMs, () => {
      this.#arrive();
      new Request(this, this.#settings, this.#retryLimit, this.#backends).start();
    });
  }

  #createCluster(): Cluster {
    const { cluster: config, seed } = this.#settings;
    const settings = compileOutlierDetection(config, () => undefined);
    const unused = (): never => {
      throw new Error('the simulation opens no connection');
    };
    const detector =
      settings === null ? null : new OutlierDetector(settings, createRandom(seed + 3), this.#observer());
    const records = new Map<string, Int32Array>();
    const health: HealthContext = {
      worker: 0,
      runtime: () => undefined,
      hosts: () => {
        if (detector === null) return undefined;
        return keysOf(config).map((key) => {
          const record = createOutlierRecord(1);
          records.set(key, record);
          detector.addHost(key, record);
          return { key, flags: 0, record };
        });
      },
      signal: (_cluster, host, signal) => {
        if (signal === 'immediate-failure' || detector === null) return;
        this.time.after(NEWS_MS, () => {
          detector.onSignal(host, signal, this.time.now());
          this.#wake(detector);
        });
      },
    };
    if (detector !== null && settings !== null) this.#sweep(detector, settings.intervalMs);
    return compileCluster(config, {
      stats: new StatStore().root,
      clock: this.time,
      random: createRandom(seed),
      timers: new TimerWheel(this.time),
      dial: unused,
      createHttp1: unused,
      createHttp2: unused,
      health,
      holdings: createLocalHoldings,
      envoyStrict: false,
      addedViaApi: false,
      primary: true,
      promoteLeastRequest: false,
    });
  }

  #observer() {
    const tell = (host: OutlierHost, flags: number): void => {
      this.time.after(NEWS_MS, () => {
        this.cluster.applyHealth([{ key: host.key, flags, record: host.record }]);
      });
    };
    return {
      onDetected: () => {
        // Only ejections are counted.
      },
      onOverflow: () => {
        // As above.
      },
      onEjected: (host: OutlierHost, _type: unknown, enforced: boolean) => {
        if (!enforced) return;
        this.ejections++;
        tell(host, HEALTH_FLAG.failedOutlierCheck);
      },
      onUnejected: (host: OutlierHost) => tell(host, 0),
      onProbation: (host: OutlierHost) => tell(host, HEALTH_FLAG.onProbation),
      onProbeFailed: (host: OutlierHost) => tell(host, HEALTH_FLAG.failedOutlierCheck),
    };
  }

  #sweep(detector: OutlierDetector, intervalMs: number): void {
    this.time.after(intervalMs, () => {
      detector.sweep(this.time.now());
      if (this.time.now() < this.#settings.endMs) this.#sweep(detector, intervalMs);
    });
  }

  #wake(detector: OutlierDetector): void {
    const next = detector.wake(this.time.now());
    if (next !== Number.POSITIVE_INFINITY) this.time.at(next, () => this.#wake(detector));
  }
}

/** One request: an attempt, and perhaps others after it. */
class Request {
  readonly #world: World;
  readonly #settings: WorldSettings;
  readonly #limit: RetryLimit;
  readonly #random: Random;
  readonly #second: Second | undefined;
  readonly #startMs: number;
  #left: number;
  #holds = false;
  #avoid = 0;

  constructor(world: World, settings: WorldSettings, limit: RetryLimit, random: Random) {
    this.#world = world;
    this.#settings = settings;
    this.#limit = limit;
    this.#random = random;
    this.#startMs = world.time.now();
    this.#second = world.seconds[Math.floor(this.#startMs / 1000)];
    this.#left = settings.retries;
  }

  start(): void {
    if (this.#second !== undefined) this.#second.requests++;
    if (this.#left > 0) this.#limit.deposit();
    this.#attempt();
  }

  #attempt(): void {
    const { time, cluster } = this.#world;
    const context: PickContext | null =
      this.#avoid === 0 ? null : { ...ANY_HOST, avoidPriorities: this.#avoid };
    const host = cluster.pick(context);
    const { requests } = cluster.breaker;
    if (host === undefined || !requests.available) {
      this.#finish(false);
      return;
    }
    if (this.#second !== undefined) this.#second.attempts++;
    requests.take();
    host.inflight++;
    const sentMs = time.now();
    const what = this.#settings.behave(host, sentMs, this.#random);
    const { attemptTimeoutMs } = this.#settings;
    const tookMs = what.kind === 'answer' ? what.tookMs : attemptTimeoutMs;
    time.after(what.kind === 'refused' ? REFUSED_MS : Math.min(tookMs, attemptTimeoutMs), () => {
      requests.release();
      host.inflight--;
      const elapsedMs = time.now() - sentMs;
      if (what.kind === 'refused') host.onFailure(elapsedMs);
      else if (what.kind === 'silent' || tookMs > attemptTimeoutMs) host.onTimeout(elapsedMs);
      else host.onResponse(what.status, elapsedMs);
      const ok = what.kind === 'answer' && tookMs <= attemptTimeoutMs && what.status < 500;
      if (ok || !this.#retry(host)) this.#finish(ok);
    });
  }

  #retry(failed: Host): boolean {
    if (this.#holds) this.#limit.release();
    this.#holds = false;
    if (this.#left === 0 || !this.#limit.available) return false;
    this.#left--;
    this.#holds = true;
    this.#limit.take();
    if (this.#settings.retryElsewhere) this.#avoid |= 1 << failed.priority;
    this.#world.time.after(this.#random.float() * BACK_OFF_MS, () => this.#attempt());
    return true;
  }

  #finish(ok: boolean): void {
    if (this.#holds) this.#limit.release();
    this.#holds = false;
    if (this.#second === undefined) return;
    if (ok) this.#second.succeeded++;
    this.#second.latenciesMs.push(this.#world.time.now() - this.#startMs);
  }
}

/** Keys that the hosts of a STATIC cluster of IP addresses have. */
function keysOf(config: ClusterConfig): string[] {
  return (config.loadAssignment?.endpoints ?? []).flatMap((locality) =>
    (locality.lbEndpoints ?? []).map((endpoint) => {
      const socket = endpoint.endpoint?.address?.socketAddress;
      return `${socket?.address ?? ''}:${socket?.portValue ?? 0}`;
    }),
  );
}

export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random.float());
}

/** Percent of the requests of seconds [from, to) that succeeded. */
export function successPercent(seconds: readonly Second[], from: number, to: number): number {
  const part = seconds.slice(from, to);
  const requests = part.reduce((sum, second) => sum + second.requests, 0);
  return requests === 0 ? 100 : (100 * part.reduce((sum, second) => sum + second.succeeded, 0)) / requests;
}

/** `percent`-th percentile of the latency in seconds [from, to), failures included. */
export function latencyPercentile(
  seconds: readonly Second[],
  percent: number,
  from: number,
  to: number,
): number {
  const sorted = seconds
    .slice(from, to)
    .flatMap((second) => second.latenciesMs)
    .sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
}
