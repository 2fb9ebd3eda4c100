import type { ConnectionLimit } from '#plain/envoy.extensions.filters.network.connection_limit.v3.ts';
import { CONNECTION_LIMIT } from '../../config/connection-counts.ts';
import type { ListenerContext, NetworkFilter, NetworkFilterExtension } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';

export const connectionLimit: NetworkFilterExtension = {
  kind: 'network-filter',
  name: 'envoy.filters.network.connection_limit',
  type: CONNECTION_LIMIT,
  compile: compileConnectionLimit,
};

/** Closes connections beyond so many, over all workers; after a delay when one is set, to slow down those who retry. */
function compileConnectionLimit(value: object, ctx: ListenerContext): NetworkFilter {
  const config: ConnectionLimit = value;
  const limit = config.maxConnections ?? 0;
  const delayMs = config.delay ?? 0;
  const prefix = config.statPrefix ?? '';
  if (prefix === '') throw ConfigError.at('stat_prefix', 'must not be empty');
  const scope = ctx.stats.scope('connection_limit', prefix, { envoy_connection_limit_prefix: prefix });
  const limited = scope.counter('limited_connections');
  const active = scope.gauge('active_connections');
  const count = ctx.nextConnectionCount();
  const runtimeKey = config.runtimeEnabled?.runtimeKey ?? '';
  const whenUnset = config.runtimeEnabled?.defaultValue ?? true;
  const enabled = (): boolean => {
    const set = runtimeKey === '' ? undefined : ctx.runtime(runtimeKey);
    return typeof set === 'boolean' ? set : whenUnset;
  };
  const refuse = (connection: Connection): void => {
    limited.inc();
    if (delayMs === 0) {
      connection.destroy();
      return;
    }
    // What comes meanwhile is dropped.
    const timer = setTimeout(() => connection.destroy(), delayMs);
    connection.whenClosed(() => clearTimeout(timer));
  };
  return (connection, next) => {
    if (!enabled()) {
      next(connection);
      return;
    }
    if (count.total() >= limit) {
      refuse(connection);
      return;
    }
    count.add(1);
    active.inc();
    connection.whenClosed(() => {
      count.add(-1);
      active.dec();
    });
    next(connection);
  };
}
