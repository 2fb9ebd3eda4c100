import type { RouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import { Cell } from '../core/cell.ts';
import type { RequestHead } from '../http/stream.ts';
import type { Route } from '../route/action.ts';
import type { RouteTable } from '../route/table.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { CompileContext } from './context.ts';
import type { LateRoutes } from './late-routes.ts';

export type Table = RouteTable<Route<Cluster>>;

/** Where a connection manager finds the routes of a request; undefined when there are none (404, flag NR). */
export interface RouteSource {
  pick(request: RequestHead): Table | undefined;
}

/** Compiles a RouteConfiguration for one manager, whose filters its routes may configure. */
export type CompileTable = (routes: RouteConfiguration | LateRoutes) => Table;

/** The table of a route configuration that comes by its name, as it is at each moment until `life` ends. */
export function followRoutes(
  name: string,
  compile: CompileTable,
  ctx: CompileContext,
  life = ctx.scope,
): Cell<Table> {
  const cell = new Cell<Table>();
  ctx.routes.subscribe(name, life, (routes) => {
    // It goes when no listener names it any more; connections of the last one that did may still be draining.
    if (routes === undefined && ctx.scope.retired) return;
    try {
      cell.value = routes === undefined ? undefined : compile(routes);
    } catch (error) {
      // It was compiled before it was accepted, but perhaps not with this manager's filters.
      ctx.onException(error);
    }
  });
  return cell;
}
