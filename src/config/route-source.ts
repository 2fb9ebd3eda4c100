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
      const { tables } = ctx.routes;
      const known = tables.get(routes);
      if (known !== undefined) return known;
      // Whether virtual hosts that are compiled later configure filters will be seen then.
      const late = 'hosts' in routes;
      const checked = late ? false : (routes.validateClusters ?? validate);
      let configuresFilters = late;
      const table = compileRouteTable<Cluster>(routes, {
        cluster: ctx.cluster,
        ...(checked ? { clusterExists: ctx.clusterExists } : {}),
        onLate: ctx.onException,
        runtimeFractions: runtimeFractions(ctx),
        routeFilters: (levels) => {
          const filters = routeFilters(levels);
          if (filters !== null) configuresFilters = true;
          return filters;
        },
        retryExtensions: ctx.extensions,
        random: ctx.random,
      });
      if (!configuresFilters) tables.set(routes, table);
      return table;
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
