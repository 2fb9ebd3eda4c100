import type { Listener } from '#plain/envoy.config.listener.v3.ts';

export const CONNECTION_LIMIT = 'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit';

/** Name of the count of all open connections of a listener. */
export function listenerCount(listener: string): string {
  return `listener/${listener}`;
}

/** Name of the count of the `index`-th connection_limit filter of a listener, in the order of its chains. */
export function filterCount(listener: string, index: number): string {
  return `listener/${listener}/connection_limit/${index}`;
}

/** Names of everything that workers count together: the control thread gives each its memory. */
export function connectionCounts(listeners: readonly Listener[]): string[] {
  return listeners.flatMap((config) => {
    const name = config.name ?? '';
    const chains = [...(config.filterChains ?? []), config.defaultFilterChain ?? {}];
    const limits = chains
      .flatMap((chain) => chain.filters ?? [])
      .filter((filter) => filter.typedConfig?.type === CONNECTION_LIMIT);
    return [listenerCount(name), ...limits.map((_, i) => filterCount(name, i))];
  });
}
