import type {
  Route as RouteConfig,
  RouteConfiguration,
  VirtualHost as VirtualHostConfig,
} from '#plain/envoy.config.route.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { asciiLower, toWire } from '../core/wire.ts';
import type { RedirectRoute, Route } from '../route/action.ts';
import { compileRouteMatch } from '../route/match.ts';
import { compileHeaderMutations, type HeaderMutations, orderMutations } from '../route/policy.ts';
import { tlsLocation } from '../route/redirect.ts';
import { type RouteEntry, RouteIndex } from '../route/route-index.ts';
import {
  type RequireTls,
  RouteTable,
  type VirtualHost,
  type VirtualHostIndex,
  type WildcardDomains,
} from '../route/table.ts';
import { compileRoute, type RouteContext, type RouteLevel } from './route-action.ts';

export type { RouteContext } from './route-action.ts';

/** `envoy.config.route.v3.RouteConfiguration`; throws a ConfigError with every mistake in it. */
export function compileRouteTable<C = unknown>(
  config: RouteConfiguration,
  ctx: RouteContext<C>,
): RouteTable<Route<C>> {
  const problems: ConfigProblem[] = [];
  const table = attempt(problems, () => compileTableLevel(config));
  const domains = new DomainIndex<Route<C>>();
  const hosts = config.virtualHosts ?? [];
  const { onLate } = ctx;
  for (const [i, hostConfig] of hosts.entries()) {
    const compile = (found: ConfigProblem[]) =>
      compileVirtualHost(hostConfig, `virtual_hosts[${i}]`, table, config, ctx, found);
    const host = new LazyVirtualHost(
      hostConfig.name ?? '',
      onLate !== undefined && hosts.length > EAGER_HOSTS
        ? () => compileLate(hostConfig, compile, onLate)
        : compile(problems),
    );
    for (const [j, domain] of (hostConfig.domains ?? []).entries()) {
      attempt(problems, () => domains.add(domain, host, () => `virtual_hosts[${i}].domains[${j}]`));
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return new RouteTable(config.name ?? '', domains.build(), {
    ignorePortInHostMatching: config.ignorePortInHostMatching === true,
    ignorePathParameters: config.ignorePathParametersInPathMatching === true,
  });
}

/** So many virtual hosts are compiled at once. Of more, in a mesh, most never see a request of this proxy. */
const EAGER_HOSTS = 64;

type HostParts<R> = Pick<VirtualHost<R>, 'routes' | 'requireTls' | 'tlsRedirect'>;

/** A virtual host that may be compiled when its first request comes. */
class LazyVirtualHost<R> implements VirtualHost<R> {
  readonly name: string;
  #parts: HostParts<R> | null;
  #compile: (() => HostParts<R>) | null;

  constructor(name: string, parts: HostParts<R> | (() => HostParts<R>)) {
    this.name = name;
    this.#parts = typeof parts === 'function' ? null : parts;
    this.#compile = typeof parts === 'function' ? parts : null;
  }

  get routes(): RouteIndex<R> {
    return (this.#parts ?? this.#make()).routes;
  }

  get requireTls(): RequireTls {
    return (this.#parts ?? this.#make()).requireTls;
  }

  get tlsRedirect(): R {
    return (this.#parts ?? this.#make()).tlsRedirect;
  }

  #make(): HostParts<R> {
    if (this.#compile === null) throw new Error('a virtual host needs its parts while it is made');
    this.#parts = this.#compile();
    this.#compile = null;
    return this.#parts;
  }
}

/** It was compiled before it was accepted; one that cannot be all the same has no routes (404). */
function compileLate<C>(
  config: VirtualHostConfig,
  compile: (problems: ConfigProblem[]) => HostParts<Route<C>>,
  onLate: (error: unknown) => void,
): HostParts<Route<C>> {
  const problems: ConfigProblem[] = [];
  const parts = compile(problems);
  if (problems.length === 0) return parts;
  onLate(new ConfigError(problems));
  return { ...parts, routes: new RouteIndex([]), requireTls: config.requireTls ?? 'NONE' };
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
): HostParts<Route<C>> {
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

/** Gathers domains; a domain may be given once only. */
class DomainIndex<R> {
  readonly #exact = new Map<string, VirtualHost<R>>();
  readonly #suffixes = new Map<number, Map<string, VirtualHost<R>>>();
  readonly #prefixes = new Map<number, Map<string, VirtualHost<R>>>();
  #fallback: VirtualHost<R> | undefined;

  add(given: string, host: VirtualHost<R>, path: () => string): void {
    const domain = asciiLower(toWire(given));
    if (domain === '*') {
      if (this.#fallback !== undefined)
        throw ConfigError.at(path(), 'only one virtual host may have the domain *');
      this.#fallback = host;
    } else if (domain.startsWith('*')) {
      addUnique(byLength(this.#suffixes, domain.length - 1), domain.slice(1), host, given, path);
    } else if (domain.endsWith('*')) {
      addUnique(byLength(this.#prefixes, domain.length - 1), domain.slice(0, -1), host, given, path);
    } else {
      addUnique(this.#exact, domain, host, given, path);
    }
  }

  build(): VirtualHostIndex<R> {
    return {
      exact: this.#exact,
      suffixes: longestFirst(this.#suffixes),
      prefixes: longestFirst(this.#prefixes),
      fallback: this.#fallback,
    };
  }
}

function byLength<R>(
  index: Map<number, Map<string, VirtualHost<R>>>,
  length: number,
): Map<string, VirtualHost<R>> {
  let hosts = index.get(length);
  if (hosts === undefined) {
    hosts = new Map();
    index.set(length, hosts);
  }
  return hosts;
}

function addUnique<R>(
  hosts: Map<string, VirtualHost<R>>,
  key: string,
  host: VirtualHost<R>,
  given: string,
  path: () => string,
): void {
  if (hosts.has(key)) throw ConfigError.at(path(), `domain '${given}' is given more than once`);
  hosts.set(key, host);
}

function longestFirst<R>(index: Map<number, Map<string, VirtualHost<R>>>): WildcardDomains<R>[] {
  return [...index].map(([length, hosts]) => ({ length, hosts })).sort((a, b) => b.length - a.length);
}
