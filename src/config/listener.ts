import { isIP } from 'node:net';
import type { Address as AddressConfig } from '#plain/envoy.config.core.v3.ts';
import type { FilterChain, Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { formatAddress, ipAddress, unixAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import type { ConnectionHandler } from '../net/listener.ts';
import type { ConnectionObserver } from '../net/socket-connection.ts';
import type { StatScope } from '../stats/scope.ts';
import { at, type CompileContext, type ListenerContext, typedObject } from './context.ts';
import { compileDrainDecision, isInbound } from './drain.ts';

/** Envoy's default of `per_connection_buffer_limit_bytes`. */
const DEFAULT_BUFFER_LIMIT = 1024 * 1024;
const DEFAULT_BACKLOG = 1024;

export interface CompiledListener {
  readonly name: string;
  readonly address: Address;
  readonly reusePort: boolean;
  readonly backlog: number;
  readonly bufferLimitBytes: number;
  /** `traffic_direction: INBOUND` */
  readonly inbound: boolean;
  readonly handler: ConnectionHandler;
  readonly observer: ConnectionObserver;
}

/** `envoy.config.listener.v3.Listener`: one filter chain (matching comes with TLS), network filters, a terminal. */
export function compileListener(config: ListenerConfig, ctx: CompileContext): CompiledListener {
  const address = listenAddress(config.address);
  const chains = config.filterChains ?? [];
  const chain = chains[0] ?? config.defaultFilterChain;
  if (chains.length > 1) {
    throw ConfigError.at(
      'filter_chains[1]',
      'more than one filter chain needs filter_chain_match, not supported yet',
    );
  }
  if (chain === undefined) throw ConfigError.at('filter_chains', 'no filter chains specified');
  const prefix = listenerStatPrefix(config);
  const scope = ctx.stats.scope('listener', prefix, { envoy_listener_address: prefix });
  const drainDecision = compileDrainDecision(config, ctx);
  const path = chains.length > 0 ? 'filter_chains[0]' : 'default_filter_chain';
  const handler = at(path, () => compileFilterChain(chain, { ...ctx, listenerScope: scope, drainDecision }));
  return {
    name: config.name ?? formatAddress(address),
    address,
    reusePort: config.enableReusePort ?? true,
    backlog: config.tcpBacklogSize ?? DEFAULT_BACKLOG,
    bufferLimitBytes: config.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT,
    inbound: isInbound(config),
    handler,
    observer: compileObserver(scope, ctx.worker),
  };
}

/** What stands between `listener.` and the name of a metric. */
export function listenerStatPrefix(config: ListenerConfig): string {
  return config.statPrefix || formatAddress(listenAddress(config.address)).replaceAll(':', '_');
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

function compileFilterChain(chain: FilterChain, ctx: ListenerContext): ConnectionHandler {
  const filters = chain.filters ?? [];
  const last = filters.at(-1);
  // Envoy closes the connections of a chain without filters.
  if (last === undefined) return (connection) => connection.destroy();
  if (filters.length > 1) {
    throw ConfigError.at(
      'filters[0]',
      `'${filters[0]?.name ?? ''}' is terminal or unknown and must be the last filter`,
    );
  }
  const path = `filters[${filters.length - 1}].typed_config`;
  const typed = last.typedConfig;
  if (typed === undefined) throw ConfigError.at(path, `filter '${last.name ?? ''}' has no typed_config`);
  const extension = ctx.extensions.find(typed.type);
  if (extension === undefined || extension.kind !== 'network') {
    throw ConfigError.at(path, `'${typed.type}' is not a network filter that inox knows`);
  }
  return at(path, () => extension.compile(typedObject(typed.value), ctx));
}

/** `listener.<address>.downstream_cx_*` */
function compileObserver(scope: StatScope, worker: number): ConnectionObserver {
  const own = scope.scope(`worker_${worker}`);
  const ownTotal = own.counter('downstream_cx_total');
  const ownActive = own.gauge('downstream_cx_active');
  const total = scope.counter('downstream_cx_total');
  const active = scope.gauge('downstream_cx_active');
  const destroy = scope.counter('downstream_cx_destroy');
  const length = scope.histogram('downstream_cx_length_ms', 'milliseconds');
  scope.counter('no_filter_chain_match');
  scope.counter('downstream_cx_overflow');
  scope.counter('downstream_pre_cx_timeout');
  scope.gauge('downstream_pre_cx_active');
  return {
    onOpen: () => {
      total.inc();
      active.inc();
      ownTotal.inc();
      ownActive.inc();
    },
    onClosed: (lengthMs) => {
      active.dec();
      ownActive.dec();
      destroy.inc();
      length.record(lengthMs);
    },
  };
}
