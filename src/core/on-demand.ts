/** What a request waits for that the control plane gives when it is asked by name. Plain data: it travels. */
export type Demand =
  /** `source` is an `envoy.config.core.v3.ConfigSource`. */
  | { readonly kind: 'cluster'; readonly name: string; readonly source: object }
  /** The virtual host of a route configuration for requests to `host` (VHDS). */
  | { readonly kind: 'virtual-host'; readonly route: string; readonly host: string };

/** Alike for demands that one answer settles. */
export function demandKey(demand: Demand): string {
  return demand.kind === 'cluster' ? clusterKey(demand.name) : `host ${demand.route}/${demand.host}`;
}

export function clusterKey(name: string): string {
  return `cluster ${name}`;
}
