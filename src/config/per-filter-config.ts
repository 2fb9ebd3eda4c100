import type { FilterConfig } from '#plain/envoy.config.route.v3.ts';
import type { Any } from '#plain/google.protobuf.ts';
import { ConfigError } from '../core/errors.ts';
import type { HttpFilter } from '../http/filter.ts';
import { at, type CompiledHttpFilter, type ExtensionRegistry, typedObject } from './context.ts';

const WRAPPER = 'envoy.config.route.v3.FilterConfig';

/** `typed_per_filter_config` of one level, and where it stands. */
export interface PerFilterLevel {
  readonly config: Readonly<Record<string, Any>> | undefined;
  readonly path: string;
}

/** One place of a connection manager's chain. */
export interface ChainPlace {
  readonly name: string;
  readonly filter: CompiledHttpFilter;
  /** `HttpFilter.disabled`: left out where no route asks for it. */
  readonly disabled: boolean;
}

/**
 * The chain of a route: filters that its levels configure are replaced by ones of their own, and those they disable
 * do nothing, so that nothing is looked up by name while serving. Null: the connection manager's own chain.
 * `levels` come with the most specific first.
 */
export type CompileRouteFilters = (levels: readonly PerFilterLevel[]) => readonly HttpFilter[] | null;

/** Stands in for a disabled filter, because filters are known by their place in the chain. */
const DISABLED: HttpFilter = {};

/** The chain of requests whose route says nothing about filters. */
export function ownFilters(places: readonly ChainPlace[]): readonly HttpFilter[] {
  return places.map((place) => (place.disabled ? DISABLED : place.filter));
}

/** As Envoy resolves it: the most specific level that names a filter decides whether it runs. */
export function createRouteFilters(
  places: readonly ChainPlace[],
  extensions: ExtensionRegistry,
): CompileRouteFilters {
  return (levels) => {
    const named = levels.filter((level) => level.config !== undefined);
    if (named.length === 0) return null;
    const entries = named.map((level) => readLevel(level, extensions));
    return places.map((place) => {
      const own = entries.flatMap((level) => level.get(place.name) ?? []);
      return (own[0]?.disabled ?? place.disabled) ? DISABLED : routeFilter(place, own);
    });
  };
}

interface Entry {
  readonly disabled: boolean;
  /** Undefined: only on or off. */
  readonly config: Any | undefined;
  readonly path: string;
}

function routeFilter(place: ChainPlace, entries: readonly Entry[]): HttpFilter {
  const configs = entries.flatMap(({ config, path }) => (config === undefined ? [] : [{ config, path }]));
  const [first] = configs;
  if (first === undefined) return place.filter;
  const { forRoute } = place.filter;
  if (forRoute === undefined) {
    throw ConfigError.at(first.path, `filter '${place.name}' takes no configuration from routes`);
  }
  return at(first.path, () => forRoute(configs.map(({ config }) => typedObject(config.value))));
}

function readLevel(level: PerFilterLevel, extensions: ExtensionRegistry): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const [name, any] of Object.entries(level.config ?? {})) {
    const path = `${level.path}.typed_per_filter_config["${name}"]`;
    if (any.type !== WRAPPER) {
      checkType(any, path, extensions);
      entries.set(name, { disabled: false, config: any, path });
      continue;
    }
    const wrapper: FilterConfig = typedObject(any.value);
    const disabled = wrapper.disabled === true;
    const { config } = wrapper;
    if (config === undefined && !disabled) {
      throw ConfigError.at(`${path}.config`, 'is required unless the filter is disabled');
    }
    if (config === undefined || disabled) {
      entries.set(name, { disabled, config: undefined, path });
      continue;
    }
    // Envoy passes an unknown configuration over that says it is optional.
    if (wrapper.isOptional === true && !extensions.isRouteType(config.type)) continue;
    checkType(config, `${path}.config`, extensions);
    entries.set(name, { disabled, config, path: `${path}.config` });
  }
  return entries;
}

function checkType(any: Any, path: string, extensions: ExtensionRegistry): void {
  if (!extensions.isRouteType(any.type)) {
    throw ConfigError.at(path, `'${any.type}' is not a configuration of routes that inox knows`);
  }
}
