import { randomBytes } from 'node:crypto';
import type { Worker } from 'node:worker_threads';
import type { Registry } from 'prom-client';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { at } from '../config/context.ts';
import { listenAddress } from '../config/listener.ts';
import { flattenRuntime } from '../config/runtime.ts';
import { SecretStore } from '../config/tls-secrets.ts';
import { collectGarbageOnce, releaseStartupMemory } from '../core/collect-garbage.ts';
import type { ConfigUpdate, UpdateOutcome } from '../core/config-update.ts';
import type { LevelLogger, LogLevel } from '../core/log.ts';
import { demandKey } from '../core/on-demand.ts';
import { connectionSlot, createSignals, DIRECTION, HEALTH, SIGNAL } from '../core/signals.ts';
import { helpersGiveWay } from '../core/thread-priority.ts';
import { inoxVersion } from '../core/version.ts';
import type { WorkerInit } from '../core/worker-protocol.ts';
import { formatAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import { StatAggregator } from '../stats/aggregator.ts';
import { Exposition } from '../stats/exposition.ts';
import type { StatsMessage } from '../stats/messages.ts';
import { createServerStats, type ServerState, type ServerStats } from '../stats/process.ts';
import { StatStore } from '../stats/store.ts';
import { watchThread } from '../stats/thread-metrics.ts';
import type { HostSignal } from '../upstream/health-view.ts';
import { releaseHoldings } from '../upstream/holdings.ts';
import { isDynamicCluster } from '../xds/model/bootstrap.ts';
import type { DrainOptions } from './admin/context.ts';
import { startAdmin } from './admin/server.ts';
import { createAdminContext } from './admin-context.ts';
import { Certificates } from './certificates.ts';
import { Discovery } from './discovery.ts';
import { type DnsSettings, DnsThread } from './dns-thread.ts';
import { drainListeners, drainProcess } from './drain.ts';
import type { HealthManager } from './health/health-manager.ts';
import { explainListenError } from './listen-check.ts';
import type { LiveConfig } from './live-config.ts';
import { createDiscovery, createHealth, createLiveConfig } from './live-parts.ts';
import type { ServableConfig } from './load-config.ts';
import { nodeIdentity } from './node-identity.ts';
import { openMetrics } from './open-metrics.ts';
import { SecretFiles } from './secrets.ts';
import { startOverload } from './start-overload.ts';
import { startXds } from './start-xds.ts';
import { Supervisor } from './supervisor.ts';
import type { XdsThread } from './xds-thread.ts';

const CONTROL_THREAD = 0;
/** After the start. */
const TIDY_AFTER_MS = 1000;
/** Envoy's `stats_flush_interval`: the histograms' intervals. */
const STATS_FLUSH_MS = 5000;

export interface ServeOptions {
  readonly config: ServableConfig;
  readonly concurrency: number;
  readonly envoyStrict: boolean;
  /** Everything may take so long to end after SIGTERM; also the time of a gradual `/drain_listeners`. */
  readonly drainMs: number;
  /** The part of it in which connections are still taken. */
  readonly lameDuckMs: number;
  /** A drain closes every connection with its next answer, instead of more and more of them. */
  readonly drainAtOnce: boolean;
  /** Workers whose event loop is late by so much for a second refuse requests; 0 for off. */
  readonly shedLagMs: number;
  /** Clusters, routes or listeners come by xDS: the process is ready when `markLive` says so. */
  readonly dynamic?: boolean;
  /** `--last-good-config`: where what the control plane says is kept for the next start. */
  readonly lastGoodPath?: string;
  /** The thread that talks to control planes, where it was started before there was a configuration. */
  readonly preparedXds?: Worker;
  /** The same of the workers. */
  readonly preparedWorkers?: readonly Worker[];
  /** `--reject-unknown-dynamic-fields` */
  readonly rejectUnknownFields?: boolean;
  /** Captured DNS queries are answered. */
  readonly dns?: DnsSettings;
  /** Read-only port for scrapes and readiness, none when undefined. */
  readonly metricsAddresses: readonly Address[];
  /** Written once the admin listens (`--admin-address-path`). */
  readonly onAdminAddress: (address: Address) => void;
  readonly commandLine: Readonly<Record<string, string | number | boolean>>;
  readonly log: LevelLogger;
}

/** The running process, as the signal handlers and the admin interface see it. */
export class ControlPlane {
  readonly options: ServeOptions;
  readonly bootstrap: Bootstrap;
  readonly aggregator = new StatAggregator();
  readonly store = new StatStore();
  readonly exposition: Exposition;
  readonly serverStats: ServerStats;
  readonly supervisor: Supervisor;
  readonly startedAt = new Date();
  runtime: Readonly<Record<string, unknown>>;
  readonly live: LiveConfig;
  /** Null unless something of the configuration comes by xDS. */
  xds: XdsThread | null = null;
  readonly #dns: DnsThread | null;
  /** Null before the start. */
  secretFiles: SecretFiles | null = null;
  /** Statistics that are texts, by name. */
  readonly texts = new Map<string, string>();
  /** When the configuration in force was saved by an earlier run; null: it is the control plane's. */
  staleSince: Date | null = null;
  #started: Promise<void> = Promise.resolve();
  state: ServerState = 'INITIALIZING';
  readonly signals: Float64Array;
  readonly health: HealthManager;
  readonly #discovery: Discovery;
  /** TLS secrets by key; see config/tls-secrets.ts. */
  readonly #secrets = new SecretStore();
  readonly certificates: Certificates;
  readonly #ticketSecret = new Uint8Array(randomBytes(32));
  readonly #closers: (() => void)[] = [];
  readonly #beganMs = performance.now();
  #stopping: Promise<number> | null = null;
  #exiting = false;
  readonly #exit: (code: number) => void;

  constructor(options: ServeOptions, exit: (code: number) => void) {
    const { config, log, concurrency } = options;
    this.options = options;
    for (const secret of config.bootstrap.staticResources?.secrets ?? [])
      this.#secrets.set(secret.name ?? '', secret);
    this.bootstrap = config.bootstrap;
    this.certificates = new Certificates(config.bootstrap, this.#secrets);
    this.#exit = exit;
    this.signals = createSignals(concurrency);
    this.signals[SIGNAL.drainTimeMs] = options.drainMs;
    this.signals[SIGNAL.drainAtOnce] = options.drainAtOnce ? 1 : 0;
    this.runtime = at('layered_runtime', () => flattenRuntime(config.bootstrap.layeredRuntime));
    this.store.onRegister((message) => this.aggregator.attach(CONTROL_THREAD, message));
    this.#closers.push(watchThread(this.store.root, 'main_thread'));
    this.exposition = new Exposition(this.aggregator, openRegistry);
    const flushMs = config.bootstrap.statsFlushInterval ?? STATS_FLUSH_MS;
    const flushing = setInterval(() => this.aggregator.flush(), flushMs);
    this.#closers.push(() => clearInterval(flushing));
    this.serverStats = createServerStats(this.store.root, this.aggregator, () => ({
      state: this.shownState,
      concurrency,
      version: 0,
      daysUntilFirstCertExpiring: this.certificates.daysUntilFirstExpires(Date.now()),
    }));
    this.#discovery = createDiscovery(this, (cluster, hosts) => this.health.onHosts(cluster, hosts));
    this.#closers.push(() => this.#discovery.close());
    this.live = createLiveConfig(this, this.#discovery, this.#secrets);
    this.live.init(this.#startsWith);
    this.supervisor = new Supervisor((index) => this.#seed(index), {
      onStats: (threadId, message) => this.aggregator.attach(threadId, message as StatsMessage),
      onDeath: (index, threadId, cause) => this.#onWorkerDeath(index, threadId, cause),
      onGivenUp: (cause) => {
        log.log('critical', 'main', cause);
        this.#exit(1);
      },
      onAccessLog: (grpcLog, entries) => this.xds?.sendAccessLog(grpcLog, entries),
      onDemand: (demand) => {
        if (this.xds !== null) this.xds.send({ type: 'demand', demand });
        else this.supervisor.broadcast({ type: 'demand-settled', key: demandKey(demand) });
      },
      onLoads: (id, loads) => this.xds?.send({ type: 'loads', id, loads }),
      onHostSignal: (cluster, host, signal) => this.health.onSignal(cluster, host, signal as HostSignal),
      onLog: (level, component, message) => log.log(level, component, message),
    });
    this.#dns = options.dns === undefined ? null : new DnsThread(options.dns, log, this.aggregator);
    this.#closers.push(() => this.#dns?.close());
    this.health = createHealth(this, this.#startsWith, {
      secrets: this.#secrets,
      ticketSecret: Buffer.from(this.#ticketSecret),
    });
    this.#closers.push(() => this.health.close());
  }

  /** What readiness and `server.state` say: a failed health check counts as draining. */
  get shownState(): ServerState {
    return this.state === 'LIVE' && this.signals[SIGNAL.health] !== HEALTH.ok ? 'DRAINING' : this.state;
  }

  /** `/healthcheck/fail` and `/healthcheck/ok`; a process that is about to end stays failed. */
  setHealthCheckFailed(failed: boolean): void {
    const passing = this.#stopping === null ? HEALTH.ok : HEALTH.leaving;
    this.signals[SIGNAL.health] = failed ? HEALTH.failed : passing;
  }

  /** `/drain_listeners` */
  drainListeners(options: DrainOptions): void {
    const timer = drainListeners(options, {
      signals: this.signals,
      stopListening: (inboundOnly) => this.#stopListening(inboundOnly),
    });
    if (timer !== undefined) this.#closers.push(() => clearTimeout(timer));
  }

  #stopListening(inboundOnly: boolean): void {
    const direction = inboundOnly ? DIRECTION.inbound : DIRECTION.all;
    this.signals[SIGNAL.stopped] = Math.max(this.signals[SIGNAL.stopped] ?? 0, direction);
    this.supervisor.broadcast({ type: 'stop-listening', inboundOnly });
  }

  /** Clusters that workers start with; in a dynamic configuration the others come by `apply`. */
  get #startsWith(): readonly ClusterConfig[] {
    const clusters = this.bootstrap.staticResources?.clusters ?? [];
    return this.options.dynamic === true ? clusters.filter((config) => !isDynamicCluster(config)) : clusters;
  }

  get listeners(): readonly ListenerConfig[] {
    return [...this.live.listeners.values()];
  }

  /** Takes over a step of the configuration; see LiveConfig. */
  apply(update: ConfigUpdate): Promise<UpdateOutcome> {
    return this.live.apply(update);
  }

  /** A dynamic configuration has all that the start waits for. */
  markLive(): void {
    if (this.state !== 'INITIALIZING') return;
    this.live.markLive();
    this.state = 'LIVE';
    // Not now: who waits for readiness would wait for this, too.
    const tidying = setTimeout(() => {
      collectGarbageOnce();
      releaseStartupMemory();
      helpersGiveWay();
    }, TIDY_AFTER_MS);
    this.#closers.push(() => clearTimeout(tidying));
    this.serverStats.initialized(performance.now() - this.#beganMs);
    const { log, concurrency } = this.options;
    for (const listener of this.listeners) {
      const where = formatAddress(listenAddress(listener.address));
      log.log('info', 'main', `listener '${listener.name ?? ''}' on ${where}`);
    }
    log.log('info', 'main', `started: inox ${inoxVersion}, ${concurrency} workers, pid ${process.pid}`);
  }

  /** Everything up to the moment when connections are accepted. Rejects with a readable error. */
  start(): Promise<void> {
    if (this.options.dynamic === true) this.#startXds();
    this.#started = this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const { config, concurrency } = this.options;
    await this.#openAdmin();
    this.#closers.push(await openMetrics(this, (error) => this.#onBug(error)));
    const listeners =
      this.options.dynamic === true ? [] : (config.bootstrap.staticResources?.listeners ?? []);
    await this.live.initListeners(listeners);
    await Promise.all(this.#startsWith.filter(Discovery.finds).map((one) => this.#discovery.set(one)));
    this.#closers.push(this.#watchSecrets());
    await this.health.start();
    await this.#dns?.start();
    await this.supervisor.start(concurrency, this.options.preparedWorkers);
    this.#closers.push(startOverload(this));
    if (this.options.dynamic !== true) this.markLive();
  }

  #startXds(): void {
    this.xds = startXds(
      this,
      () => this.#started,
      (names) => this.#dns?.setNames(names),
    );
    this.#closers.push(() => this.xds?.close());
  }

  /** `/reopen_logs` and SIGUSR1. */
  reopenLogs(): void {
    this.health.reopenLogs();
    this.supervisor.broadcast({ type: 'reopen-logs' });
  }

  setLogLevel(level: LogLevel): void {
    this.options.log.level = level;
    this.xds?.setLogLevel(level);
    this.#dns?.setLogLevel(level);
    this.supervisor.broadcast({ type: 'log-level', level });
  }

  /** Fails readiness, drains until the deadline, then exits. A second call changes nothing. */
  drainAndExit(): Promise<number> {
    this.#stopping ??= this.#drain();
    return this.#stopping;
  }

  async exitNow(code: number): Promise<void> {
    this.#exiting = true;
    for (const close of this.#closers.splice(0)) close();
    await this.supervisor.stop();
    this.#exit(code);
  }

  async #drain(): Promise<number> {
    const { log, drainMs, lameDuckMs } = this.options;
    this.state = 'DRAINING';
    const done = await drainProcess(
      { lameDuckMs, deadlineMs: drainMs },
      {
        signals: this.signals,
        stopListening: (inboundOnly) => this.#stopListening(inboundOnly),
        startDrain: () => this.supervisor.drain(),
        openConnections: () => this.supervisor.openConnections,
        aggregator: this.aggregator,
        listeners: this.listeners,
        log: (message) => log.log('info', 'main', message),
        stopped: () => this.#exiting,
      },
    );
    if (done) await this.exitNow(0);
    return 0;
  }

  #watchSecrets(): () => void {
    const files = new SecretFiles(this.bootstrap, {
      stats: this.store.root,
      log: this.options.log,
      publish: (key, secret) => {
        this.#secrets.set(key, secret);
        this.supervisor.broadcast({ type: 'secret', key, secret });
      },
    });
    this.secretFiles = files;
    files.start();
    return () => files.close();
  }

  #seed(index: number): WorkerInit {
    const { options, bootstrap } = this;
    return {
      index,
      concurrency: options.concurrency,
      logLevel: options.log.level,
      envoyStrict: options.envoyStrict,
      localCluster: this.bootstrap.clusterManager?.localClusterName ?? '',
      node: nodeIdentity(bootstrap),
      runtime: this.runtime,
      ...this.live.seed(),
      signals: this.signals,
      secrets: this.#secrets.snapshot(),
      ticketSecret: this.#ticketSecret,
      shedLagMs: options.shedLagMs,
    };
  }

  #onWorkerDeath(index: number, threadId: number, cause: string): void {
    this.options.log.log('critical', 'main', `worker ${index} died and is replaced: ${cause}`);
    this.aggregator.detach(threadId);
    this.signals[connectionSlot(index)] = 0;
    this.store.root.scope('server').counter('worker_restarts').inc();
    for (const memory of this.live.holdings.values()) releaseHoldings(memory, index);
    for (const memory of this.live.counts.values()) memory[index] = 0;
  }

  async #openAdmin(): Promise<void> {
    const { log, onAdminAddress } = this.options;
    if (this.bootstrap.admin?.address === undefined) return;
    const address = at('admin', () => listenAddress(this.bootstrap.admin?.address));
    try {
      const server = await startAdmin(address, createAdminContext(this), (error) => this.#onBug(error));
      this.#closers.push(() => server.close());
      log.log('info', 'main', `admin on ${formatAddress(server.address)}`);
      onAdminAddress(server.address);
    } catch (error) {
      throw new Error(`admin on ${formatAddress(address)}: ${explainListenError(error)}`, {
        cause: error,
      });
    }
  }

  #onBug(error: unknown): void {
    this.options.log.log(
      'error',
      'admin',
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    );
  }
}

/** Loads prom-client. */
async function openRegistry(): Promise<Registry> {
  const { createProcessRegistry } = await import('../stats/process-registry.ts');
  return createProcessRegistry();
}
