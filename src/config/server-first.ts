import type { Filter, FilterChain, Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import type { HttpConnectionManager } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { ServerFirst } from '../net/server-first.ts';
import type { ListenerContext } from './context.ts';
import { isInbound } from './drain.ts';

const FILTERS = 'envoy.extensions.filters.';
const HTTP_MANAGER = `${FILTERS}network.http_connection_manager.v3.HttpConnectionManager`;
const TCP_PROXY = `${FILTERS}network.tcp_proxy.v3.TcpProxy`;
const WAITING_FILTERS: readonly string[] = [
  `${FILTERS}listener.tls_inspector.v3.TlsInspector`,
  `${FILTERS}listener.http_inspector.v3.HttpInspector`,
];
/** They forbid nothing, so nobody gains by not being seen to speak HTTP. */
const HARMLESS_HTTP_FILTERS: readonly string[] = [
  `${FILTERS}http.router.v3.Router`,
  `${FILTERS}http.grpc_stats.v3.FilterConfig`,
  `${FILTERS}http.grpc_web.v3.GrpcWeb`,
  `${FILTERS}http.grpc_http1_bridge.v3.Config`,
  `${FILTERS}http.fault.v3.HTTPFault`,
  `${FILTERS}http.cors.v3.Cors`,
];

/** A client's first bytes are hardly ever later than this after its connection. */
const INBOUND_DELAY_MS = 1;
/** A connection that is made in vain costs more out there. */
const OUTBOUND_DELAY_MS = 20;

/**
 * Whether a listener of captured connections connects upstream for silent clients. Only where no chain has a policy
 * that looks at HTTP or TLS: a client could wait for the server's word to get around it. Null: it does not.
 */
export function compileServerFirst(config: ListenerConfig, ctx: ListenerContext): ServerFirst | null {
  const inspects = config.listenerFilters?.some(({ typedConfig }) =>
    WAITING_FILTERS.includes(typedConfig?.type ?? ''),
  );
  if (ctx.envoyStrict || inspects !== true || !isCaptured(config)) return null;
  const chains = [...(config.filterChains ?? []), config.defaultFilterChain ?? {}];
  if (!chains.every(isWithoutPolicy)) return null;
  const inbound = isInbound(config);
  const scope = ctx.stats.scope('server_first');
  return {
    delayMs: inbound ? INBOUND_DELAY_MS : OUTBOUND_DELAY_MS,
    learned: inbound ? null : ctx.serverFirst,
    stats: {
      detected: scope.counter('detected'),
      learned: scope.counter('learned'),
      clientFirst: scope.counter('client_first'),
      http: scope.counter('http'),
      failed: scope.counter('failed'),
    },
    now: () => ctx.clock.now(),
  };
}

/** Its connections were redirected: it finds out where from, or it gets them from a listener that did. */
function isCaptured({ bindToPort, deprecatedV1, useOriginalDst, listenerFilters }: ListenerConfig): boolean {
  const listens = (bindToPort ?? true) && (deprecatedV1?.bindToPort ?? true);
  const restores = listenerFilters?.some(
    ({ typedConfig }) => typedConfig?.type === `${FILTERS}listener.original_dst.v3.OriginalDst`,
  );
  return !listens || useOriginalDst === true || restores === true;
}

function isWithoutPolicy({ transportSocket, filters = [] }: FilterChain): boolean {
  return transportSocket === undefined && filters.every(forbidsNothing);
}

function forbidsNothing({ typedConfig }: Filter): boolean {
  if (typedConfig?.type === TCP_PROXY) return true;
  if (typedConfig?.type !== HTTP_MANAGER) return false;
  const { httpFilters = [] } = typedConfig.value as HttpConnectionManager;
  return httpFilters.every((filter) => HARMLESS_HTTP_FILTERS.includes(filter.typedConfig?.type ?? ''));
}
