import type { HttpConnectionManager } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { at, type CompileContext } from './context.ts';
import { type CompileTable, followRoutes, type RouteSource } from './follow-routes.ts';
import type { CompileRouteFilters } from './per-filter-config.ts';
import { compileRouteTable } from './route.ts';
import { runtimeFractions } from './runtime.ts';
import { compileScopedRoutes } from './scoped-routes.ts';

/** `route_config`, `rds` or `scoped_routes` of a connection manager. */
export function compileRouteSource(
  config: HttpConnectionManager,
  routeFilters: CompileRouteFilters,
  ctx: CompileContext,
): RouteSource {
  const { routeConfig, rds, scopedRoutes } = config;
  // Clusters of routes that come by themselves may come later; of those that stand here they must be known.
  const compile =
    (validate: boolean): CompileTable =>
    (routes) => {
      const checked = 'hosts' in routes ? false : (routes.validateClusters ?? validate);
      return compileRouteTable<Cluster>(routes, {
        cluster: ctx.cluster,
        ...(checked ? { clusterExists: ctx.clusterExists } : {}),
        onLate: ctx.onException,
        runtimeFractions: runtimeFractions(ctx),
        routeFilters,
        retryExtensions: ctx.extensions,
        random: ctx.random,
      });
    };
  if (scopedRoutes !== undefined) {
    return at('scoped_routes', () => compileScopedRoutes(scopedRoutes, compile(false), ctx));
  }
  if (rds === undefined) {
    const table = at('route_config', () => compile(true)(routeConfig ?? {}));
    return { pick: () => table };
  }
  if (rds.configSource === undefined) throw ConfigError.at('rds.config_source', 'is required');
  const cell = followRoutes(rds.routeConfigName ?? '', compile(false), ctx);
  return { pick: () => cell.value };
}
