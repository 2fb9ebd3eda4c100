import { isIP } from 'node:net';
import type { AccessLog } from '#plain/envoy.config.accesslog.v3.ts';
import type { Address as AddressConfig } from '#plain/envoy.config.core.v3.ts';
import type {
  FilterChain as ChainConfig,
  Listener as ListenerConfig,
  ListenerFilter,
} from '#plain/envoy.config.listener.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { AcceptPlan } from '../net/accept.ts';
import { formatAddress, ipAddress, unixAddress } from '../net/address.ts';
import { type Address, PLAIN_ACCEPT } from '../net/connection.ts';
import type { FilterChain } from '../net/filter-chain.ts';
import { HeldStats } from '../stats/held-stats.ts';
import type { Counter } from '../stats/scope.ts';
import { ChainLife } from './chain-life.ts';
import { filterCount, listenerCount } from './connection-counts.ts';
import { at, type CompileContext, type ListenerContext } from './context.ts';
import { compileDrainDecision, isInbound } from './drain.ts';
import { compileFilterChain } from './filter-chain.ts';
import { compileFilterChainMatch, type MatchedChain } from './filter-chain-match.ts';
import { compileListenerFilters } from './listener-filters.ts';
import { createListenerLog } from './listener-log.ts';
import { createListenerStats } from './listener-stats.ts';
import { compileServerFirst } from './server-first.ts';
import { compileAdmission, countedConnections } from './shedding.ts';

/** Envoy's default of `per_connection_buffer_limit_bytes`. */
const DEFAULT_BUFFER_LIMIT = 1024 * 1024;
const DEFAULT_BACKLOG = 1024;
const DEFAULT_FILTERS_TIMEOUT_MS = 15_000;
const ORIGINAL_DST = 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst';

export interface CompiledListener {
  readonly name: string;
  readonly address: Address;
  readonly ipv4Compat: boolean;
  readonly reusePort: boolean;
  readonly backlog: number;
  readonly bufferLimitBytes: number;
  /** False: gets what another listener hands over, and has no socket. */
  readonly bindsToPort: boolean;
  /** `use_original_dst`: gives redirected connections to the listener for the address that they dialled. */
  readonly handsOver: boolean;
  /** Connections that it takes come from elsewhere by redirection. */
  readonly captures: boolean;
  /** `transparent`: its socket takes connections to any address (TPROXY). */
  readonly transparent: boolean;
  /** `traffic_direction: INBOUND` */
  readonly inbound: boolean;
  readonly plan: AcceptPlan;
  readonly config: ListenerConfig;
  /** One for each filter chain. */
  readonly lives: readonly ChainLife[];
}

/** `envoy.config.listener.v3.Listener` */
export function compileListener(config: ListenerConfig, base: CompileContext): CompiledListener {
  const address = listenAddress(config.address);
  const prefix = listenerStatPrefix(config);
  const stats = new HeldStats(base.stats);
  const listenerScope = new HeldStats(stats.scope('listener', prefix, { envoy_listener_address: prefix }));
  const name = config.name ?? formatAddress(address);
  const lives: ChainLife[] = [];
  let limits = 0;
  const ctx: ListenerContext = {
    ...base,
    stats,
    listenerScope,
    transparent: config.transparent ?? false,
    drainDecision: compileDrainDecision(config, base),
    nextConnectionCount: () => base.sharedCount(filterCount(config.name ?? '', limits++)),
  };
  const plan = compileOrLetGo(() => compileAccept(config, ctx, lives), [listenerScope, stats], lives);
  return {
    name,
    address,
    ipv4Compat: ipv4Compat(config),
    reusePort: config.enableReusePort ?? true,
    backlog: config.tcpBacklogSize ?? DEFAULT_BACKLOG,
    bufferLimitBytes: config.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT,
    bindsToPort: bindsToPort(config),
    handsOver: config.useOriginalDst ?? false,
    captures: restoresDestination(config),
    transparent: config.transparent ?? false,
    inbound: isInbound(config),
    plan,
    config,
    lives,
  };
}

/** The statistics go with the last filter chain, or at once when nothing comes of the listener. */
function compileOrLetGo(
  compile: () => AcceptPlan,
  held: readonly HeldStats[],
  lives: readonly ChainLife[],
): AcceptPlan {
  const letGo = (): void => {
    for (const stats of held) stats.letGo();
  };
  try {
    const plan = compile();
    let left = lives.length;
    for (const life of lives) {
      life.scope.own(() => {
        left--;
        if (left === 0) letGo();
      });
    }
    return plan;
  } catch (error) {
    for (const life of lives) life.scope.close();
    letGo();
    throw error;
  }
}

/** From accepted sockets to connections in filter chains. */
function compileAccept(config: ListenerConfig, ctx: ListenerContext, lives: ChainLife[]): AcceptPlan {
  const { chains, fallback } = compileChains(config, ctx, lives);
  const filters = compileListenerFilters(listenerFilters(config), ctx);
  const only = soleChain(chains, fallback);
  const direct = filters.length === 0 && only?.transport === null ? only : null;
  const find = compileFilterChainMatch(chains);
  const stats = createListenerStats(ctx.listenerScope, ctx.worker);
  const { clock } = ctx;
  const plan: AcceptPlan = {
    direct,
    directInfo: { ...PLAIN_ACCEPT, chainName: direct?.name ?? '' },
    filters,
    filtersTimeoutMs: config.listenerFiltersTimeout ?? DEFAULT_FILTERS_TIMEOUT_MS,
    continueOnTimeout: config.continueOnListenerFiltersTimeout ?? false,
    choose: only !== null ? () => only : (accepted) => find(accepted) ?? fallback,
    admit: compileAdmission(config, ctx.listenerScope, ctx),
    serve: (connection, chain) => chain.handler(connection),
    observer: countedConnections(stats.connections, ctx),
    events: stats.accepting,
    serverFirst: compileServerFirst(config, ctx),
    wheel: ctx.wheel,
    now: () => clock.now(),
    live: ctx.connections,
  };
  const limited = withConnectionLimit(plan, config, stats.overflow, ctx);
  return config.accessLog === undefined ? limited : withAccessLog(limited, config.accessLog, ctx);
}

/** `envoy.resource_limits.listener.<name>.connection_limit` of the runtime: open connections over all workers. */
function withConnectionLimit(
  plan: AcceptPlan,
  config: ListenerConfig,
  overflow: Counter,
  ctx: ListenerContext,
): AcceptPlan {
  const name = config.name ?? '';
  const limit = ctx.runtime(`envoy.resource_limits.listener.${name}.connection_limit`);
  if (typeof limit !== 'number') return plan;
  const open = ctx.sharedCount(listenerCount(name));
  const { observer, events } = plan;
  return {
    ...plan,
    admit: () => {
      if (open.total() < limit) return true;
      overflow.inc();
      return false;
    },
    observer: {
      onOpen: () => {
        open.add(1);
        observer.onOpen();
      },
      onClosed: (lengthMs, id) => {
        open.add(-1);
        observer.onClosed(lengthMs, id);
      },
    },
    // Those that listener filters still look at count, too.
    events: {
      ...events,
      onPreOpen: () => {
        open.add(1);
        events.onPreOpen();
      },
      onPreClosed: () => {
        open.add(-1);
        events.onPreClosed();
      },
    },
  };
}

function withAccessLog(plan: AcceptPlan, configs: readonly AccessLog[], ctx: ListenerContext): AcceptPlan {
  const log = createListenerLog(ctx.compileAccessLogs(configs, 'access_log'), ctx);
  return {
    ...plan,
    serve: (connection, chain) => {
      log.onConnection(connection);
      plan.serve(connection, chain);
    },
    events: {
      ...plan.events,
      onUnserved: (why, arrival, reason) => {
        plan.events.onUnserved(why, arrival, reason);
        log.onUnserved(why, arrival, reason);
      },
    },
  };
}

interface CompiledChains {
  readonly chains: readonly MatchedChain<FilterChain>[];
  readonly fallback: FilterChain | null;
}

function compileChains(config: ListenerConfig, ctx: ListenerContext, lives: ChainLife[]): CompiledChains {
  const configs = config.filterChains ?? [];
  const fallbackConfig = config.defaultFilterChain;
  if (configs.length === 0 && fallbackConfig === undefined) {
    throw ConfigError.at('filter_chains', 'no filter chains specified');
  }
  const compile = (chain: ChainConfig): FilterChain => {
    const life = new ChainLife(chain, ctx);
    lives.push(life);
    return compileFilterChain(chain, {
      ...ctx,
      scope: life.scope,
      connections: life.connections,
      drainDecision: life.decide(ctx.drainDecision),
    });
  };
  const chains = configs.map((chain, i) => {
    const path = `filter_chains[${i}]`;
    return {
      name: chain.name ?? '',
      match: chain.filterChainMatch ?? {},
      path,
      chain: at(path, () => compile(chain)),
    };
  });
  const fallback =
    fallbackConfig === undefined ? null : at('default_filter_chain', () => compile(fallbackConfig));
  return { chains, fallback };
}

/** The chain that every connection gets; null when that depends on the connection. */
function soleChain(
  chains: readonly MatchedChain<FilterChain>[],
  fallback: FilterChain | null,
): FilterChain | null {
  const first = chains[0];
  if (first === undefined) return fallback;
  return chains.length === 1 && Object.keys(first.match).length === 0 ? first.chain : null;
}

/** What stands between `listener.` and the name of a metric. */
export function listenerStatPrefix(config: ListenerConfig): string {
  return config.statPrefix || formatAddress(listenAddress(config.address)).replaceAll(':', '_');
}

/** Whether a listener on `::` takes IPv4 as well; Envoy's default is that it does not. */
export function ipv4Compat(config: Pick<ListenerConfig, 'address'>): boolean {
  return config.address?.socketAddress?.ipv4Compat ?? false;
}

/** Whether it listens itself: `bind_to_port`, with its older place. */
export function bindsToPort({ bindToPort, deprecatedV1 }: ListenerConfig): boolean {
  return (bindToPort ?? true) && (deprecatedV1?.bindToPort ?? true);
}

/** `use_original_dst` brings the filter that finds out, after those that are configured. */
function listenerFilters(config: ListenerConfig): readonly ListenerFilter[] {
  const filters = config.listenerFilters ?? [];
  if (config.useOriginalDst !== true || filters.some((filter) => filter.typedConfig?.type === ORIGINAL_DST))
    return filters;
  return [
    ...filters,
    { name: 'envoy.filters.listener.original_dst', typedConfig: { type: ORIGINAL_DST, value: {} } },
  ];
}

function restoresDestination(config: ListenerConfig): boolean {
  return listenerFilters(config).some((filter) => filter.typedConfig?.type === ORIGINAL_DST);
}

/** Reads `address`: an IP and port, or a Unix socket. */
export function listenAddress(config: AddressConfig | undefined): Address {
  if (config?.pipe !== undefined) return unixAddress(config.pipe.path ?? '');
  const socket = config?.socketAddress;
  if (socket === undefined) throw ConfigError.at('address', 'expected a socket_address or a pipe');
  if (socket.protocol === 'UDP')
    throw ConfigError.at('address.socket_address.protocol', 'UDP is not supported');
  const ip = socket.address ?? '';
  if (isIP(ip) === 0) throw ConfigError.at('address.socket_address.address', `malformed IP address: ${ip}`);
  if (socket.namedPort !== undefined) {
    throw ConfigError.at('address.socket_address.named_port', 'named ports need a custom resolver');
  }
  return ipAddress(ip, socket.portValue ?? 0);
}
