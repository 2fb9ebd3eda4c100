import { randomBytes } from 'node:crypto';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { compileClientTransport } from '../config/client-transport.ts';
import {
  PROMOTE_ENVIRONMENT,
  PROMOTE_RUNTIME_KEY,
  promotesLeastRequest,
} from '../config/cluster-balancing.ts';
import { ExtensionRegistry, type LiveConnection } from '../config/context.ts';
import { type BaseContext, type CompiledResources, compileResources } from '../config/static-resources.ts';
import { SecretStore } from '../config/tls-secrets.ts';
import type { Clock } from '../core/clock.ts';
import { LagWatch } from '../core/lag-watch.ts';
import type { Logger } from '../core/log.ts';
import type { Random } from '../core/random.ts';
import { Scope } from '../core/scope.ts';
import { createSharedCount } from '../core/shared-count.ts';
import { createSignals } from '../core/signals.ts';
import { TimerWheel } from '../core/timer-wheel.ts';
import type { NodeIdentity, WorkerInit } from '../core/worker-protocol.ts';
import { createAccessLogCompiler } from '../extensions/access-log/compiler.ts';
import { EXTENSIONS } from '../extensions/index.ts';
import { DateHeader } from '../http/date.ts';
import { createH1Client } from '../http/h1/client.ts';
import { createH2Client } from '../http/h2/client.ts';
import type { Dial } from '../net/dial.ts';
import { localIp } from '../net/local-address.ts';
import type { StatScope } from '../stats/scope.ts';
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
  /** Tells the control thread what a monitor has found out; left out where nobody listens. */
  readonly onHostSignal?: (cluster: string, host: string, signal: HostSignal) => void;
}

export interface DataPlane extends CompiledResources {
  readonly connections: ReadonlySet<LiveConnection>;
  readonly wheel: TimerWheel;
  readonly secrets: SecretStore;
  /** Stops what the configuration opened (logs, timers). */
  readonly scope: Scope;
  reopenLogs(): void;
}

/** The composition root of the data plane: plain configuration in, clusters and listeners out. */
export function createDataPlane(
  init: Pick<WorkerInit, 'clusters' | 'listeners' | 'runtime' | 'holdings' | 'index' | 'envoyStrict'> &
    Partial<Pick<WorkerInit, 'health'>> &
    Partial<Pick<WorkerInit, 'localCluster' | 'signals' | 'counts' | 'secrets' | 'ticketSecret'>>,
  parts: DataPlaneParts,
): DataPlane {
  const { clock, random, stats, dry } = parts;
  const wheel = new TimerWheel(clock);
  const scope = new Scope();
  const connections = new Set<LiveConnection>();
  const runtime = (key: string): unknown => init.runtime[key];
  const onException = createExceptionReport(
    stats.scope('server').counter('internal_errors'),
    parts.log,
    clock,
  );
  const secrets = new SecretStore(init.secrets ?? {});
  const ticketSecret = Buffer.from(init.ticketSecret ?? randomBytes(32));
  const debugLog = debugAccessLog(parts.log);
  const accessLogs = createAccessLogCompiler({ dry, stats, scope, random, runtime, onException });
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
      createSharedCount(init.counts?.[name] ?? new Int32Array(init.index + 1), init.index),
    compileAccessLogs: (configs, path) => [...accessLogs.compile(configs, path), debugLog],
    secrets,
    ticketSecret,
    onException,
  };
  const promote = init.runtime[PROMOTE_RUNTIME_KEY];
  const resources = compileResources(
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
      compileTransport: (config, clusterScope) =>
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
          'transport_socket',
        ),
      health: {
        worker: init.index,
        runtime,
        hosts: (cluster) => init.health?.[cluster] as readonly HostHealth[] | undefined,
        signal: parts.onHostSignal ?? ignoreSignal,
      },
      holdings: (cluster, priority) => {
        const memory = init.holdings[cluster];
        if (memory === undefined) return createLocalHoldings();
        const half = memory.length / 2;
        const part = priority === 'default' ? memory.subarray(0, half) : memory.subarray(half);
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
  return { ...resources, connections, wheel, scope, secrets, reopenLogs: accessLogs.sinks.reopen };
}

function ignoreSignal(): void {
  // Nobody listens: a dry compile, or a plane without a control thread.
}
