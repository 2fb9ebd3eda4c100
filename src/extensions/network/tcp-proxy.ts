import type { TcpProxy } from '#plain/envoy.extensions.filters.network.tcp_proxy.v3.ts';
import type { CompileContext, NetworkExtension } from '../../config/context.ts';
import { Cell } from '../../core/cell.ts';
import { ConfigError } from '../../core/errors.ts';
import { EarlyTcpUpstream } from '../../forward/early-upstream.ts';
import { forwardTcp } from '../../forward/tcp.ts';
import type { TcpPlan, TcpStats, TcpTarget } from '../../forward/tcp-plan.ts';
import type { TunnelOptions } from '../../forward/tunnel.ts';
import { compileFormat } from '../../http/substitution.ts';
import type { Connection } from '../../net/connection.ts';
import type { ConnectionHandler } from '../../net/listener.ts';
import type { ConnectEarly } from '../../net/server-first.ts';
import { applyHeaderMutations, compileHeaderMutations } from '../../route/policy.ts';
import type { StatScope } from '../../stats/scope.ts';
import type { Cluster } from '../../upstream/cluster.ts';

export const tcpProxy: NetworkExtension = {
  kind: 'network',
  name: 'envoy.filters.network.tcp_proxy',
  type: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  compile: compileTcpProxy,
};

const HOUR_MS = 3_600_000;

function compileTcpProxy(value: object, ctx: CompileContext): ConnectionHandler {
  const config: TcpProxy = value;
  const prefix = config.statPrefix ?? '';
  const plan: TcpPlan = {
    stats: tcpStats(ctx.stats.scope('tcp', prefix, { envoy_tcp_prefix: prefix })),
    clock: ctx.clock,
    wheel: ctx.wheel,
    pickTarget: compilePick(config, ctx),
    tunnel: compileTunnel(config.tunnelingConfig),
    maxConnectAttempts: config.maxConnectAttempts ?? 1,
    idleTimeoutMs: config.idleTimeout ?? HOUR_MS,
    maxDurationMs: config.maxDownstreamConnectionDuration ?? 0,
    accessLogs: ctx.compileAccessLogs(config.accessLog, 'access_log'),
    sessions: ctx.connections,
  };
  const handler: ConnectionHandler = (connection) => forwardTcp(connection, plan);
  if (plan.tunnel !== null) return handler;
  const connectEarly: ConnectEarly = (client, listener) =>
    new EarlyTcpUpstream(client, plan, listener).start();
  return Object.assign(handler, { connectEarly });
}

function compileTunnel(config: TcpProxy['tunnelingConfig']): TunnelOptions | null {
  if (config === undefined) return null;
  const path = 'tunneling_config';
  if (config.propagateResponseHeaders === true || config.propagateResponseTrailers === true) {
    const field =
      config.propagateResponseHeaders === true ? 'propagate_response_headers' : 'propagate_response_trailers';
    throw ConfigError.at(`${path}.${field}`, 'there is no filter state to put them into');
  }
  const { hostname = '', usePost = false, postPath = '' } = config;
  if (hostname === '') throw ConfigError.at(`${path}.hostname`, 'must not be empty');
  if (postPath !== '' && !usePost) {
    throw ConfigError.at(`${path}.post_path`, "Can't set a post path when POST method isn't used");
  }
  const authority = compileFormat(hostname, `${path}.hostname`);
  const mutations = compileHeaderMutations(config.headersToAdd, undefined, `${path}.`, 'request');
  return {
    hostname: authority,
    postPath: usePost ? postPath || '/' : '',
    addHeaders: (headers, session) => {
      if (mutations !== undefined) applyHeaderMutations(mutations, headers, session);
    },
  };
}

/** A network filter before this one may have chosen the cluster. */
function compilePick(
  config: TcpProxy,
  ctx: CompileContext,
): (connection: Pick<Connection, 'accepted'>) => TcpTarget {
  const pick = compileTargets(config, ctx);
  return (connection) => {
    const { cluster: name } = connection.accepted;
    return name === '' ? pick() : { name, cell: ctx.findCluster(name) ?? NOWHERE };
  };
}

const NOWHERE = new Cell<Cluster>();

function compileTargets(config: TcpProxy, ctx: CompileContext): () => TcpTarget {
  const weighted = config.weightedClusters?.clusters;
  if (weighted === undefined) {
    const target = compileTarget(config.cluster ?? '', ctx);
    return () => target;
  }
  let total = 0;
  const entries = weighted.map((entry) => {
    total += entry.weight ?? 0;
    return {
      upTo: total,
      target: compileTarget(entry.name ?? '', ctx),
    };
  });
  const last = entries.at(-1);
  if (last === undefined || total === 0) {
    throw ConfigError.at('weighted_clusters.clusters', 'needs at least one cluster with a weight');
  }
  return () => {
    const draw = ctx.random.uint32() % total;
    return (entries.find((entry) => draw < entry.upTo) ?? last).target;
  };
}

/** A cluster that does not exist is no mistake, as in Envoy: it may come later, and until then connections are closed. */
function compileTarget(name: string, ctx: CompileContext): TcpTarget {
  const cell: Cell<Cluster> = ctx.cluster(name);
  return { name, cell };
}

function tcpStats(scope: StatScope): TcpStats {
  return {
    cxTotal: scope.counter('downstream_cx_total'),
    cxNoRoute: scope.counter('downstream_cx_no_route'),
    cxRxBytesTotal: scope.counter('downstream_cx_rx_bytes_total'),
    cxTxBytesTotal: scope.counter('downstream_cx_tx_bytes_total'),
    cxRxBytesBuffered: scope.gauge('downstream_cx_rx_bytes_buffered'),
    cxTxBytesBuffered: scope.gauge('downstream_cx_tx_bytes_buffered'),
    idleTimeout: scope.counter('idle_timeout'),
    maxDownstreamConnectionDuration: scope.counter('max_downstream_connection_duration'),
    flowControlPaused: scope.counter('downstream_flow_control_paused_reading_total'),
    flowControlResumed: scope.counter('downstream_flow_control_resumed_reading_total'),
  };
}
