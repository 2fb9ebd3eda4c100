import type {
  Route as RouteConfig,
  RouteConfiguration,
  VirtualHost as VirtualHostConfig,
} from '#plain/envoy.config.route.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { asciiLower, toWire } from '../core/wire.ts';
import type { RedirectRoute, Route } from '../route/action.ts';
import { DomainIndex } from '../route/domain-index.ts';
import { compileRouteMatch } from '../route/match.ts';
import { compileHeaderMutations, type HeaderMutations, orderMutations } from '../route/policy.ts';
import { tlsLocation } from '../route/redirect.ts';
import { type RouteEntry, RouteIndex } from '../route/route-index.ts';
import { RouteTable, type VirtualHost, type VirtualHosts } from '../route/table.ts';
import { type LateHost, type LateRoutes, unpackHost } from './late-routes.ts';
import { compileRoute, type RouteContext, type RouteLevel } from './route-action.ts';

export type { RouteContext } from './route-action.ts';

/** `envoy.config.route.v3.RouteConfiguration`; throws a ConfigError with every mistake in it. */
export function compileRouteTable<C = unknown>(
  routes: RouteConfiguration | LateRoutes,
  ctx: RouteContext<C>,
): RouteTable<Route<C>> {
  const config = 'hosts' in routes ? routes.config : routes;
  const problems: ConfigProblem[] = [];
  const table = attempt(problems, () => compileTableLevel(config));
  const hosts =
    'hosts' in routes
      ? new LateHosts(routes.hosts, (host) => compileLate(host, table, config, ctx))
      : compileHosts(config, table, ctx, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return new RouteTable(config.name ?? '', hosts, {
    ignorePortInHostMatching: config.ignorePortInHostMatching === true,
    growing: config.vhds !== undefined,
    ignorePathParameters: config.ignorePathParametersInPathMatching === true,
  });
}

function compileHosts<C>(
  config: RouteConfiguration,
  table: TableLevel | undefined,
  ctx: RouteContext<C>,
  problems: ConfigProblem[],
): DomainIndex<VirtualHost<Route<C>>> {
  const index = new DomainIndex<VirtualHost<Route<C>>>();
  for (const [i, hostConfig] of (config.virtualHosts ?? []).entries()) {
    const path = `virtual_hosts[${i}]`;
    const host = compileVirtualHost(hostConfig, path, table, config, ctx, problems);
    for (const [j, domain] of (hostConfig.domains ?? []).entries()) {
      attempt(problems, () => {
        if (index.add(asciiLower(toWire(domain)), host)) return;
        const message =
          domain === '*'
            ? 'only one virtual host may have the domain *'
            : `domain '${domain}' is given more than once`;
        throw ConfigError.at(`${path}.domains[${j}]`, message);
      });
    }
  }
  return index;
}

/** Virtual hosts that are compiled when their first request comes. */
class LateHosts<R> implements VirtualHosts<R> {
  readonly #index: DomainIndex<LateHost>;
  readonly #compile: (host: LateHost) => VirtualHost<R>;
  readonly #compiled = new Map<LateHost, VirtualHost<R>>();

  constructor(index: DomainIndex<LateHost>, compile: (host: LateHost) => VirtualHost<R>) {
    this.#index = index;
    this.#compile = compile;
  }

  get onlyFallback(): boolean {
    return false;
  }

  get fallback(): VirtualHost<R> | undefined {
    return this.#open(this.#index.fallback);
  }

  find(host: string): VirtualHost<R> | undefined {
    return this.#open(this.#index.find(host));
  }

  #open(host: LateHost | undefined): VirtualHost<R> | undefined {
    if (host === undefined) return undefined;
    let compiled = this.#compiled.get(host);
    if (compiled === undefined) {
      compiled = this.#compile(host);
      this.#compiled.set(host, compiled);
    }
    return compiled;
  }
}

/** It was compiled before it was accepted; one that cannot be all the same has no routes (404). */
function compileLate<C>(
  late: LateHost,
  table: TableLevel | undefined,
  config: RouteConfiguration,
  ctx: RouteContext<C>,
): VirtualHost<Route<C>> {
  const problems: ConfigProblem[] = [];
  const path = `virtual_hosts[${late.index}]`;
  const host = compileVirtualHost(unpackHost(late), path, table, config, ctx, problems);
  if (problems.length === 0) return host;
  ctx.onLate?.(new ConfigError(problems));
  return { ...host, routes: new RouteIndex([]) };
}

/** Collects the problems of one part so that the next parts are looked at too. */
function attempt<T>(problems: ConfigProblem[], compile: () => T): T | undefined {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

interface TableLevel {
  readonly request: HeaderMutations | undefined;
  readonly response: HeaderMutations | undefined;
}

function compileTableLevel(config: RouteConfiguration): TableLevel {
  if (config.clusterSpecifierPlugins !== undefined && config.clusterSpecifierPlugins.length > 0) {
    throw ConfigError.at('cluster_specifier_plugins', 'cluster specifier plugins are not supported');
  }
  return compileLevel(config, '');
}

function compileLevel(
  config: Pick<
    RouteConfig,
    'requestHeadersToAdd' | 'requestHeadersToRemove' | 'responseHeadersToAdd' | 'responseHeadersToRemove'
  >,
  path: string,
): TableLevel {
  return {
    request: compileHeaderMutations(
      config.requestHeadersToAdd,
      config.requestHeadersToRemove,
      path,
      'request',
    ),
    response: compileHeaderMutations(
      config.responseHeadersToAdd,
      config.responseHeadersToRemove,
      path,
      'response',
    ),
  };
}

function compileVirtualHost<C>(
  config: VirtualHostConfig,
  path: string,
  table: TableLevel | undefined,
  tableConfig: RouteConfiguration,
  ctx: RouteContext<C>,
  problems: ConfigProblem[],
): VirtualHost<Route<C>> {
  if (config.matcher !== undefined) {
    problems.push({ path: `${path}.matcher`, message: 'matcher trees are not supported' });
  }
  const host = attempt(problems, () => compileLevel(config, `${path}.`));
  const entries: RouteEntry<Route<C>>[] = [];
  for (const [i, routeConfig] of (config.routes ?? []).entries()) {
    const at = `${path}.routes[${i}]`;
    const entry = attempt(problems, () => {
      const match = compileRouteMatch(routeConfig.match ?? {}, `${at}.match`, ctx.runtimeFractions);
      const own = compileLevel(routeConfig, `${at}.`);
      const level: RouteLevel = {
        path: at,
        matchedLength: match.rewriteLength,
        tableConfig,
        virtualHostConfig: config,
        request: [own.request, host?.request, table?.request],
        response: [own.response, host?.response, table?.response],
        filterLevels: [
          { config: routeConfig.typedPerFilterConfig, path: at },
          { config: config.typedPerFilterConfig, path },
          { config: tableConfig.typedPerFilterConfig, path: '' },
        ],
      };
      const route = compileRoute(routeConfig, level, ctx);
      return { path: match.path, condition: match.condition, route };
    });
    if (entry !== undefined) entries.push(entry);
  }
  const name = config.name ?? '';
  return {
    name,
    routes: new RouteIndex(entries),
    requireTls: config.requireTls ?? 'NONE',
    tlsRedirect: tlsRedirect(
      name,
      orderMutations([host?.response, table?.response], mostSpecificWins(tableConfig)),
    ),
  };
}

function mostSpecificWins(config: RouteConfiguration): boolean {
  return config.mostSpecificHeaderMutationsWins === true;
}

function tlsRedirect(virtualHost: string, responseMutations: readonly HeaderMutations[]): RedirectRoute {
  return {
    kind: 'redirect',
    name: '',
    virtualHost,
    statPrefix: '',
    filters: null,
    requestMutations: [],
    responseMutations,
    status: 301,
    location: tlsLocation,
  };
}
