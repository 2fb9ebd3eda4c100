import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import type { FilterChain as ChainConfig, Filter as FilterConfig } from '#plain/envoy.config.listener.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { FilterChain } from '../net/filter-chain.ts';
import type { ConnectionHandler } from '../net/listener.ts';
import type { ServerTransport } from '../net/transport.ts';
import { at, type ListenerContext, typedObject } from './context.ts';

/** A client that is silent in its handshake is idle, for which Envoy's connection manager allows an hour. */
const HANDSHAKE_MS = 3_600_000;

/** `envoy.config.listener.v3.FilterChain`, without its match. */
export function compileFilterChain(config: ChainConfig, ctx: ListenerContext): FilterChain {
  const { filters = [] } = config;
  const transport = compileTransport(config.transportSocket, ctx);
  const handler = compileFilters(filters, ctx);
  return {
    name: config.name ?? '',
    transport,
    transportTimeoutMs: config.transportSocketConnectTimeout ?? HANDSHAKE_MS,
    handler,
    live: ctx.connections,
    connectEarly: transport === null && filters.length === 1 ? (handler.connectEarly ?? null) : null,
  };
}

function compileTransport(config: TransportSocket | undefined, ctx: ListenerContext): ServerTransport | null {
  if (config === undefined) return null;
  const path = 'transport_socket.typed_config';
  const typed = config.typedConfig;
  if (typed === undefined) {
    throw ConfigError.at(path, `transport socket '${config.name ?? ''}' has no typed_config`);
  }
  const extension = ctx.extensions.find(typed.type);
  if (extension?.kind !== 'transport' || extension.compileServer === undefined) {
    throw ConfigError.at(path, `'${typed.type}' is no transport socket that inox knows for filter chains`);
  }
  return at(path, () => extension.compileServer?.(typedObject(typed.value), ctx) ?? null);
}

/** Network filters, the last of which ends the chain. */
function compileFilters(configs: readonly FilterConfig[], ctx: ListenerContext): ConnectionHandler {
  // Envoy closes the connections of a chain without filters.
  let handler: ConnectionHandler = (connection) => connection.destroy();
  for (let i = configs.length - 1; i >= 0; i--) {
    const next = handler;
    const config = configs[i] ?? {};
    handler = at(`filters[${i}].typed_config`, () =>
      compileFilter(config, i === configs.length - 1 ? null : next, ctx),
    );
  }
  return handler;
}

/** `next` is null for the last filter of the chain. */
function compileFilter(
  config: FilterConfig,
  next: ConnectionHandler | null,
  ctx: ListenerContext,
): ConnectionHandler {
  const name = config.name ?? '';
  const typed = config.typedConfig;
  if (typed === undefined) throw ConfigError.at('', `filter '${name}' has no typed_config`);
  const extension = ctx.extensions.find(typed.type);
  if (extension?.kind === 'network') {
    if (next !== null) throw ConfigError.at('', `'${name}' is a terminal filter and must be the last one`);
    return extension.compile(typedObject(typed.value), ctx);
  }
  if (extension?.kind !== 'network-filter') {
    throw ConfigError.at('', `'${typed.type}' is not a network filter that inox knows`);
  }
  if (next === null) throw ConfigError.at('', `'${name}' is no terminal filter and must not be the last one`);
  const filter = extension.compile(typedObject(typed.value), ctx);
  return (connection) => filter(connection, next);
}
