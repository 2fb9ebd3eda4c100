import { isDeepStrictEqual } from 'node:util';
import type { ScopedRouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type {
  ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor as Extractor,
  ScopedRoutes,
} from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import { Scope } from '../core/scope.ts';
import { asciiLower } from '../core/wire.ts';
import { getHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import { at, type CompileContext } from './context.ts';
import { type CompileTable, followRoutes, type RouteSource, type Table } from './follow-routes.ts';

/** One part of a scope's key, out of a request; undefined when it has none: then no scope is the request's. */
type Fragment = (request: RequestHead) => string | undefined;

interface LiveScope {
  readonly config: ScopedRouteConfiguration;
  readonly table: Cell<Table>;
  readonly life: Scope;
}

const SEPARATOR = '\n';

/** `scoped_routes`: a key is built of each request's headers, and names the route configuration. */
export function compileScopedRoutes(
  config: ScopedRoutes,
  compile: CompileTable,
  ctx: CompileContext,
): RouteSource {
  const fragments = (config.scopeKeyBuilder?.fragments ?? []).map((fragment, i) => {
    const path = `scope_key_builder.fragments[${i}].header_value_extractor`;
    const { headerValueExtractor: extractor } = fragment;
    if (extractor === undefined) throw ConfigError.at(path, 'is required');
    return at(path, () => compileExtractor(extractor));
  });
  const byKey = new Map<string, LiveScope>();
  const replace = (scopes: readonly ScopedRouteConfiguration[]): void => {
    const before = new Map(byKey);
    byKey.clear();
    for (const scope of scopes) {
      const key = (scope.key?.fragments ?? []).map((fragment) => fragment.stringKey ?? '').join(SEPARATOR);
      const known = before.get(key);
      if (known !== undefined && leadsAlike(known.config, scope)) {
        before.delete(key);
        byKey.set(key, known);
      } else byKey.set(key, follow(scope, compile, ctx));
    }
    for (const { life } of before.values()) life.close();
  };
  ctx.scope.own(() => replace([]));
  const inline = config.scopedRouteConfigurationsList?.scopedRouteConfigurations;
  if (inline !== undefined) replace(inline);
  else {
    ctx.routes.subscribeScopes(config.name ?? '', ctx.scope, (scopes) => {
      if (scopes.length > 0 || !ctx.scope.retired) replace(scopes);
    });
  }
  return {
    pick: (request) => {
      let key = '';
      for (let i = 0; i < fragments.length; i++) {
        const part = fragments[i]?.(request);
        if (part === undefined) return undefined;
        key = i === 0 ? part : key + SEPARATOR + part;
      }
      return byKey.get(key)?.table.value;
    },
  };
}

/** To a configuration of the same name, whose table follows it by itself, or to the same one within. */
function leadsAlike(a: ScopedRouteConfiguration, b: ScopedRouteConfiguration): boolean {
  return (
    a.routeConfigurationName === b.routeConfigurationName &&
    isDeepStrictEqual(a.routeConfiguration, b.routeConfiguration)
  );
}

function follow(config: ScopedRouteConfiguration, compile: CompileTable, ctx: CompileContext): LiveScope {
  const life = new Scope();
  const { routeConfiguration: inline, routeConfigurationName: name = '' } = config;
  if (inline !== undefined && name === '') return { config, life, table: { value: compile(inline) } };
  return { config, life, table: followRoutes(name, compile, ctx, life) };
}

function compileExtractor({ name = '', elementSeparator = '', index, element }: Extractor): Fragment {
  const header = asciiLower(name);
  if (elementSeparator === '' && index !== undefined && index > 0) {
    throw ConfigError.at('index', 'Index > 0 for empty string element separator.');
  }
  const separator = element?.separator ?? '';
  const wanted = element?.key ?? '';
  if (index === undefined && element === undefined) throw ConfigError.at('', 'set one of index, element');
  const isHost = header === 'host' || header === ':authority';
  return ({ headers, authority }) => {
    const value = isHost ? authority : getHeader(headers, header);
    if (value === undefined) return undefined;
    const parts = elementSeparator === '' ? [value] : value.split(elementSeparator);
    if (element === undefined) return parts[index ?? 0];
    for (const part of parts) {
      const at = part.indexOf(separator);
      if (at < 0 ? part === wanted : part.slice(0, at) === wanted)
        return at < 0 ? '' : part.slice(at + separator.length);
    }
    return undefined;
  };
}
