import { randomBytes } from 'node:crypto';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import type { GrpcLog } from '../config/access-log.ts';
import { compileClientTransport } from '../config/client-transport.ts';
import {
  PROMOTE_ENVIRONMENT,
  PROMOTE_RUNTIME_KEY,
  promotesLeastRequest,
} from '../config/cluster-balancing.ts';
import { filterCount, listenerCount } from '../config/connection-counts.ts';
import { ExtensionRegistry, type LiveConnection } from '../config/context.ts';
import { Demands } from '../config/demands.ts';
import type { PackedCluster } from '../config/dormant.ts';
import { prepareRoutesNow } from '../config/late-routes.ts';
import type { CompiledListener } from '../config/listener.ts';
import { type BaseContext, compileResources, type Resources } from '../config/resources.ts';
import { SecretStore } from '../config/tls-secrets.ts';
import type { Clock } from '../core/clock.ts';
import { LagWatch } from '../core/lag-watch.ts';
import type { Logger } from '../core/log.ts';
import { type Demand, demandKey } from '../core/on-demand.ts';
import type { Random } from '../core/random.ts';
import { Scope } from '../core/scope.ts';
import { createSharedCount } from '../core/shared-count.ts';
import { createSignals } from '../core/signals.ts';
import { TimerWheel } from '../core/timer-wheel.ts';
import type { NodeIdentity, WorkerInit, WorkerUpdate } from '../core/worker-protocol.ts';
import { createAccessLogCompiler } from '../extensions/access-log/compiler.ts';
import { EXTENSIONS } from '../extensions/index.ts';
import { DateHeader } from '../http/date.ts';
import { createH1Client } from '../http/h1/client.ts';
import { createH2Client } from '../http/h2/client.ts';
import type { Dial } from '../net/dial.ts';
import { localIp } from '../net/local-address.ts';
import { OutgoingConnections } from '../net/outgoing.ts';
import { OwnAddresses } from '../net/own-addresses.ts';
import { LearnedDestinations } from '../net/server-first.ts';
import type { StatScope } from '../stats/scope.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { HostHealth, HostSignal } from '../upstream/health-view.ts';
import { createHoldings, createLocalHoldings } from '../upstream/holdings.ts';
import { debugAccessLog } from './debug-log.ts';
import { createExceptionReport } from './exception-report.ts';

/** What a data plane is made with; `dry` opens nothing. */
export interface DataPlaneParts {
  readonly dry: boolean;
  readonly stats: StatScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly dial: Dial;
  readonly node: NodeIdentity;
  /** Left out: event loops may lag as they like. */
  readonly lag?: LagWatch;
  /** Hands entries of gRPC access logs to the thread that sends them. */
  readonly sendEntries?: (log: GrpcLog, entries: readonly object[]) => void;
  /** Asks for what is to be had by name only; left out where nobody can be asked. */
  readonly demand?: (demand: Demand) => void;
  /** Tells the control thread what a monitor has found out; left out where nobody listens. */
  readonly onHostSignal?: (cluster: string, host: string, signal: HostSignal) => void;
}

export interface DataPlane {
  readonly resources: Resources;
  /** Of `resources`, by name. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** What the thread starts with; later ones are compiled by `resources`. */
  readonly listeners: readonly CompiledListener[];
  readonly connections: ReadonlySet<LiveConnection>;
  readonly wheel: TimerWheel;
  readonly secrets: SecretStore;
  readonly demands: Demands;
  /** Counts and logs what should not have been thrown. */
  readonly onException: (error: unknown) => void;
  /** Stops what the configuration opened (logs, timers). */
  readonly scope: Scope;
  /** What the workers share of each cluster and listener. */
  readonly memory: SharedMemory;
  /** Where redirected connections come in; whoever opens listeners tells. */
  readonly own: OwnAddresses;
  /** Whoever asks for a runtime value from now on sees these. */
  setRuntime(values: Readonly<Record<string, unknown>>): void;
  reopenLogs(): void;
}

/** The composition root of the data plane: plain configuration in, clusters and listeners out. */
export function createDataPlane(
  init: Pick<WorkerInit, 'clusters' | 'listeners' | 'runtime' | 'holdings' | 'index' | 'envoyStrict'> &
    Partial<Pick<WorkerInit, 'dormant' | 'health' | 'routes' | 'scopes'>> &
    Partial<Pick<WorkerInit, 'localCluster' | 'signals' | 'counts' | 'secrets' | 'ticketSecret'>>,
  parts: DataPlaneParts,
): DataPlane {
  const { clock, random, stats, dry } = parts;
  const wheel = new TimerWheel(clock);
  const memory = new SharedMemory();
  memory.add(init);
  const own = new OwnAddresses();
  const scope = new Scope();
  const connections = new Set<LiveConnection>();
  let runtimeValues = init.runtime;
  const runtime = (key: string): unknown => runtimeValues[key];
  const onException = createExceptionReport(
    stats.scope('server').counter('internal_errors'),
    parts.log,
    clock,
  );
  const secrets = new SecretStore(init.secrets ?? {});
  const ticketSecret = Buffer.from(init.ticketSecret ?? randomBytes(32));
  const demands: Demands = new Demands(
    wheel,
    parts.demand ?? ((demand) => queueMicrotask(() => demands.settled(demandKey(demand)))),
  );
  const debugLog = debugAccessLog(parts.log);
  const accessLogs = createAccessLogCompiler({
    dry,
    stats,
    scope,
    random,
    runtime,
    onException,
    ...(parts.sendEntries === undefined ? {} : { sendEntries: parts.sendEntries }),
  });
  const base: BaseContext = {
    dry,
    worker: init.index,
    stats,
    clock,
    random,
    wheel,
    date: new DateHeader(),
    log: parts.log,
    node: parts.node,
    envoyStrict: init.envoyStrict,
    extensions: new ExtensionRegistry(EXTENSIONS),
    scope,
    connections,
    signals: init.signals ?? createSignals(1),
    lag: parts.lag ?? new LagWatch(0),
    localIp: localIp(),
    runtime,
    sharedCount: (name) =>
      createSharedCount(memory.counts.get(name) ?? new Int32Array(init.index + 1), init.index),
    compileAccessLogs: (configs, path) => [...accessLogs.compile(configs, path), debugLog],
    secrets,
    demands,
    serverFirst: new LearnedDestinations(clock),
    outgoing: new OutgoingConnections(),
    ticketSecret,
    onException,
  };
  const promote = init.runtime[PROMOTE_RUNTIME_KEY];
  const { resources, listeners } = compileResources(
    init.clusters as readonly ClusterConfig[],
    init.listeners as readonly ListenerConfig[],
    base,
    {
      stats,
      clock,
      random,
      timers: wheel,
      dial: parts.dial,
      createHttp1: createH1Client,
      createHttp2: createH2Client,
      compileTransport: (config, clusterScope, field) =>
        compileClientTransport(
          config,
          {
            dry,
            stats,
            clusterScope,
            extensions: base.extensions,
            clock,
            log: parts.log,
            secrets,
            ticketSecret,
          },
          field,
        ),
      isOwnAddress: (address) => own.has(address),
      outgoing: base.outgoing,
      health: {
        worker: init.index,
        runtime,
        hosts: (cluster) => memory.health.get(cluster) as readonly HostHealth[] | undefined,
        signal: parts.onHostSignal ?? ignoreSignal,
      },
      holdings: (cluster, priority) => {
        const held = memory.holdings.get(cluster);
        if (held === undefined) return createLocalHoldings();
        const half = held.length / 2;
        const part = priority === 'default' ? held.subarray(0, half) : held.subarray(half);
        return createHoldings(part, init.index);
      },
      localCluster: init.localCluster ?? '',
      addedViaApi: false,
      envoyStrict: init.envoyStrict,
      primary: init.index === 0,
      promoteLeastRequest: promotesLeastRequest(
        typeof promote === 'boolean' ? promote : undefined,
        process.env[PROMOTE_ENVIRONMENT],
      ),
    },
  );
  for (const packed of init.dormant ?? []) resources.setDormant(packed as PackedCluster);
  for (const packed of init.routes ?? []) resources.routes.set(prepareRoutesNow(packed));
  for (const { name, scopes } of init.scopes ?? []) resources.routes.setScopes(name, scopes);
  return {
    resources,
    clusters: resources.clusters,
    listeners,
    connections,
    wheel,
    scope,
    secrets,
    demands,
    memory,
    own,
    onException,
    setRuntime: (values) => {
      runtimeValues = values;
    },
    reopenLogs: accessLogs.sinks.reopen,
  };
}

/** What the workers share, by the name of the cluster or count: as the control thread has handed it out. */
export class SharedMemory {
  readonly holdings = new Map<string, Int32Array>();
  readonly counts = new Map<string, Int32Array>();
  readonly health = new Map<string, readonly object[]>();

  add(parts: Pick<WorkerUpdate, 'holdings' | 'counts' | 'health'>): void {
    for (const [name, memory] of Object.entries(parts.holdings ?? {})) this.holdings.set(name, memory);
    for (const [name, memory] of Object.entries(parts.counts ?? {})) this.counts.set(name, memory);
    for (const [name, hosts] of Object.entries(parts.health ?? {})) this.health.set(name, hosts);
  }

  forgetListener(name: string): void {
    this.counts.delete(listenerCount(name));
    for (let i = 0; this.counts.delete(filterCount(name, i)); i++);
  }

  forget(cluster: string): void {
    this.holdings.delete(cluster);
    this.health.delete(cluster);
  }
}

function ignoreSignal(): void {
  // Nobody listens: a dry compile, or a plane without a control thread.
}
