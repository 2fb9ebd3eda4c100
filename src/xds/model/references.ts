import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { FilterChain, Listener } from '#plain/envoy.config.listener.v3.ts';
import type { HttpConnectionManager } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { SdsSecretConfig } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

type Json = Readonly<Record<string, unknown>>;

/** Secrets that a transport socket (anywhere below `value`) takes from elsewhere. */
export function secretsOf(value: unknown, found: SdsSecretConfig[] = []): SdsSecretConfig[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return found;
  if ('sdsConfig' in value) {
    found.push(value as SdsSecretConfig);
    return found;
  }
  for (const inner of Object.values(value)) secretsOf(inner, found);
  return found;
}

export function filterChainsOf(listener: Listener): readonly FilterChain[] {
  const { filterChains = [], defaultFilterChain } = listener;
  return defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
}

export function managersOf(listener: Listener): HttpConnectionManager[] {
  return filterChainsOf(listener)
    .flatMap((chain) => chain.filters ?? [])
    .map((filter) => filter.typedConfig)
    .filter((typed) => typed?.type === MANAGER)
    .map((typed) => typed?.value as HttpConnectionManager);
}

/** Where the on_demand filters (anywhere below `value`), or routes for them, ask for clusters. */
export function onDemandSourcesOf(value: unknown, found: ConfigSource[] = []): ConfigSource[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return found;
  if ('odcds' in value) {
    const { source } = value.odcds as { readonly source?: ConfigSource };
    if (source !== undefined) found.push(source);
    return found;
  }
  for (const inner of Object.values(value)) onDemandSourcesOf(inner, found);
  return found;
}

/** A filter whose configuration comes by its name (ECDS). */
export interface DiscoveredExtension {
  readonly name: string;
  readonly configSource: ConfigSource;
  readonly defaultConfig: unknown;
  readonly withoutWarming: boolean;
  /** Full message names that it may be of; none: any. */
  readonly types: readonly string[];
}

/** Filters of all kinds with `config_discovery`, anywhere in a listener. */
export function extensionsOf(value: unknown, found: DiscoveredExtension[] = []): DiscoveredExtension[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return found;
  const { name, configDiscovery } = value as Json;
  if (typeof configDiscovery === 'object' && configDiscovery !== null) {
    const { configSource, defaultConfig, applyDefaultConfigWithoutWarming, typeUrls } =
      configDiscovery as Json;
    found.push({
      name: String(name ?? ''),
      configSource: (configSource ?? {}) as ConfigSource,
      defaultConfig,
      withoutWarming: applyDefaultConfigWithoutWarming === true,
      types: ((typeUrls ?? []) as string[]).map((url) => url.slice(url.lastIndexOf('/') + 1)),
    });
    return found;
  }
  for (const inner of Object.values(value)) extensionsOf(inner, found);
  return found;
}

/** The same listener with the configurations in place of their discovery. */
export function withExtensions<T>(value: T, configs: ReadonlyMap<string, unknown>): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((inner) => withExtensions(inner, configs)) as T;
  if ('configDiscovery' in value) {
    const { configDiscovery: _, ...rest } = value as Json;
    return { ...rest, typedConfig: configs.get(String(rest.name ?? '')) } as T;
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, withExtensions(inner, configs)]),
  ) as T;
}

const ledTo = new WeakMap<object, ReadonlySet<string>>();

/** Clusters that routes or TCP proxies anywhere in a route configuration or listener send to; found once for each. */
export function clustersOf(config: unknown): ReadonlySet<string> {
  if (typeof config !== 'object' || config === null) return new Set();
  const known = ledTo.get(config);
  if (known !== undefined) return known;
  const found = new Set<string>();
  addClusters(config, found);
  ledTo.set(config, found);
  return found;
}

function addClusters(value: unknown, found: Set<string>): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'cluster' && typeof inner === 'string') found.add(inner);
    else if (key === 'weightedClusters') {
      for (const { name } of (inner as { clusters?: { name?: string }[] }).clusters ?? [])
        if (name !== undefined && name !== '') found.add(name);
    } else if (typeof inner === 'object') addClusters(inner, found);
  }
}
