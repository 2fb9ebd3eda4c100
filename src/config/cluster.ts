import type { CircuitBreakers_Thresholds, Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { DialOptions } from '../net/dial.ts';
import type { ClientTransport } from '../net/transport.ts';
import type { StatScope } from '../stats/scope.ts';
import { type Breaker, type BreakerLimits, createBreaker, DEFAULT_LIMITS } from '../upstream/breaker.ts';
import { Cluster } from '../upstream/cluster.ts';
import { createClusterStats } from '../upstream/cluster-stats.ts';
import type { ClusterContext } from '../upstream/context.ts';
import { HealthView } from '../upstream/health-view.ts';
import { type PoolShared, withTransport } from '../upstream/pools/pool-shared.ts';
import { isAggregate } from './cluster-aggregate.ts';
import { compileBalancing } from './cluster-balancing.ts';
import { compileDns, compileDnsResolver, isDnsCluster } from './cluster-dns.ts';
import { compileStaticHosts } from './cluster-hosts.ts';
import { clusterLabel } from './cluster-label.ts';
import { compileOriginalDst, isOriginalDst } from './cluster-original-dst.ts';
import { clusterProtocol, compileAutoNames, compilePoolProtocols } from './cluster-protocol.ts';
import { compileHealthCheck, compileHostTurnover } from './health-check.ts';
import { compileOutlierDetection } from './outlier-detection.ts';
import { type ClusterTransports, compileTransportMatches, compileTransports } from './transport-matches.ts';
import { compileBind } from './upstream-bind.ts';

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;

/**
 * Makes a cluster of its configuration. STATIC clusters are warm at once; the others wait for their first
 * `update`. The control thread calls this too, to decide whether a configuration is acceptable.
 */
export function compileCluster(config: ClusterConfig, context: ClusterContext): Cluster {
  const name = config.name ?? '';
  if (name === '') throw ConfigError.at('name', 'must not be empty');
  checkSupported(config);
  const observabilityName = config.altStatName || name;
  const label = clusterLabel(config);
  const scope = context.stats.scope('cluster', label, { envoy_cluster_name: label });
  const breakers = compileBreakers(config, scope, context);
  const transports = compileTransports(config, scope, (socket, field) =>
    compileTransport(socket, field, scope, context),
  );
  const shared = compileShared(config, scope, breakers, transports, context);
  const cluster = new Cluster({
    name,
    observabilityName,
    addedViaApi: context.addedViaApi,
    discovered: config.type === 'STRICT_DNS' || config.type === 'EDS',
    countMembership: context.primary,
    scope,
    shared,
    transports: compileTransportMatches(config, transports, ({ transport, matches }) => ({
      shared: transport === shared.dialOptions.transport ? shared : withTransport(shared, transport),
      matches,
    })),
    breakers,
    balancing: compileBalancing(config, context),
    random: context.random,
    closeOnHostSetChange: config.commonLbConfig?.closeConnectionsOnHostSetChange ?? false,
    maxStreamDurationMs: clusterProtocol(config).common?.maxStreamDuration ?? 0,
    health: compileHealth(config, context),
    originalDst: isOriginalDst(config) ? compileOriginalDst(config, scope, context) : null,
    metadata: config.metadata?.filterMetadata ?? null,
  });
  if (isDnsCluster(config)) {
    // Resolving is the control thread's; here the settings are only checked.
    compileDns(config);
    compileDnsResolver(config, undefined);
  } else if (config.type === 'EDS') {
    checkEds(config);
  } else if (!isOriginalDst(config)) {
    cluster.update(compileStaticHosts(config));
  }
  return cluster;
}

/** Members come by EDS, to the control thread. */
function checkEds({ edsClusterConfig, loadAssignment }: ClusterConfig): void {
  if (edsClusterConfig?.edsConfig === undefined) {
    throw ConfigError.at('eds_cluster_config.eds_config', 'a cluster of type EDS needs it');
  }
  if (loadAssignment !== undefined) {
    throw ConfigError.at('load_assignment', 'a cluster of type EDS gets its endpoints by EDS');
  }
}

/** Checks are the control thread's; here their settings are only looked at. */
function compileHealth(config: ClusterConfig, { health }: ClusterContext): HealthView | null {
  const runtime = health?.runtime ?? (() => undefined);
  const outlier = compileOutlierDetection(config, runtime);
  const check = compileHealthCheck(config, runtime);
  compileHostTurnover(config);
  if (health === undefined || (outlier === null && check === null)) return null;
  return new HealthView(config.name ?? '', health, outlier, check !== null);
}

function checkSupported(config: ClusterConfig): void {
  if (config.clusterType !== undefined && !isAggregate(config)) {
    throw ConfigError.at('cluster_type', `'${config.clusterType.name ?? ''}' is not supported`);
  }
}

function compileShared(
  config: ClusterConfig,
  scope: StatScope,
  breakers: { readonly default: Breaker; readonly high: Breaker },
  { fallback, matched }: ClusterTransports,
  context: ClusterContext,
): PoolShared {
  const protocol = clusterProtocol(config);
  const { common } = protocol;
  const dialOptions = { ...compileDial(config, context), transport: fallback.transport };
  for (const { transport, path } of matched) {
    if (protocol.selection !== 'alpn' || transport?.alpn === true) continue;
    throw ConfigError.at(path, `has no ALPN, which ${protocol.selectionPath} needs`);
  }
  const { http, forHttp2 } = compilePoolProtocols(protocol, dialOptions, scope, context);
  const shared: PoolShared = {
    clock: context.clock,
    timers: context.timers,
    dial: context.dial,
    dialOptions,
    http,
    httpForHttp2: forHttp2,
    autoNames: compileAutoNames(protocol),
    stats: createClusterStats(scope),
    breaker: breakers.default,
    high: null,
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? config.maxRequestsPerConnection ?? 0,
    idleTimeoutMs: common?.idleTimeout ?? DEFAULT_IDLE_TIMEOUT_MS,
    closeOnHealthFailure: config.closeConnectionsOnHostHealthFailure ?? false,
    maxConnectionMs: common?.maxConnectionDuration ?? 0,
  };
  return { ...shared, high: { ...shared, breaker: breakers.high } };
}

function compileTransport(
  socket: TransportSocket,
  field: string,
  scope: StatScope,
  context: ClusterContext,
): ClientTransport | null {
  if (context.compileTransport !== undefined) return context.compileTransport(socket, scope, field);
  const type = socket.typedConfig?.type;
  if (type !== RAW_BUFFER) {
    throw ConfigError.at(`${field}.typed_config`, `${type} is not supported here`);
  }
  return null;
}

function compileDial(config: ClusterConfig, context: ClusterContext): DialOptions {
  const keepalive = config.upstreamConnectionOptions?.tcpKeepalive;
  return {
    connectTimeoutMs: config.connectTimeout ?? DEFAULT_CONNECT_TIMEOUT_MS,
    bufferLimitBytes: config.perConnectionBufferLimitBytes ?? 0,
    bind: compileBind(config.upstreamBindConfig, 'upstream_bind_config'),
    outgoing: context.outgoing ?? null,
    tcpKeepalive: keepalive === undefined ? undefined : { idleMs: (keepalive.keepaliveTime ?? 7200) * 1000 },
  };
}

function compileBreakers(
  config: ClusterConfig,
  scope: StatScope,
  context: ClusterContext,
): { default: Breaker; high: Breaker } {
  const name = config.name ?? '';
  const breaker = (priority: 'DEFAULT' | 'HIGH', part: 'default' | 'high'): Breaker => {
    const thresholds = config.circuitBreakers?.thresholds?.find(
      (t) => (t.priority ?? 'DEFAULT') === priority,
    );
    const perHost = config.circuitBreakers?.perHostThresholds?.find(
      (t) => (t.priority ?? 'DEFAULT') === priority,
    );
    const holdings = context.holdings(name, part);
    return createBreaker(
      compileLimits(thresholds, perHost, holdings.workers, context.envoyStrict),
      holdings,
      scope.scope(`circuit_breakers.${part}`),
      context.primary,
      context.clock,
      context.timers,
    );
  };
  return { default: breaker('DEFAULT', 'default'), high: breaker('HIGH', 'high') };
}

/** What control planes send for "no limit". */
const UNLIMITED = 0xffff_ffff;

function compileLimits(
  thresholds: CircuitBreakers_Thresholds | undefined,
  perHost: CircuitBreakers_Thresholds | undefined,
  workers: number,
  envoyStrict: boolean,
): BreakerLimits {
  const budget = thresholds?.retryBudget;
  const unlimited = thresholds?.maxRetries === undefined || thresholds.maxRetries === UNLIMITED;
  return {
    maxConnections: thresholds?.maxConnections ?? DEFAULT_LIMITS.maxConnections,
    maxPendingRequests: thresholds?.maxPendingRequests ?? DEFAULT_LIMITS.maxPendingRequests,
    maxRequests: thresholds?.maxRequests ?? DEFAULT_LIMITS.maxRequests,
    maxRetries: thresholds?.maxRetries ?? DEFAULT_LIMITS.maxRetries,
    retryBudget:
      budget === undefined
        ? null
        : {
            budgetPercent: budget.budgetPercent?.value ?? (budget.budgetPercent === undefined ? 20 : 0),
            minRetryConcurrency: budget.minRetryConcurrency ?? 3,
          },
    windowedRetries: budget === undefined && unlimited && !envoyStrict,
    trackRemaining: thresholds?.trackRemaining ?? false,
    maxConnectionPools: thresholds?.maxConnectionPools ?? Number.POSITIVE_INFINITY,
    maxConnectionsPerHost:
      perHost?.maxConnections === undefined
        ? Number.POSITIVE_INFINITY
        : Math.ceil(perHost.maxConnections / workers),
  };
}
