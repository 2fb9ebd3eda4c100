/**
 * What the xds thread tells the control thread, and the control thread its workers: resources that were decoded,
 * validated and compiled dry. Plain objects only, as in worker-protocol.ts.
 */

/**
 * One step from one whole state to the next. It is applied in the order of the fields: what is new before what
 * leads to it, removals last, so that no request meets a gap. A name is in a list once at most.
 */
export interface ConfigUpdate {
  /** Runtime values by key, all of them; left out when nothing changed. */
  readonly runtime?: Readonly<Record<string, unknown>>;
  /** TLS secrets by the key of config/tls-secrets.ts. */
  readonly secrets?: readonly { readonly key: string; readonly secret: object }[];
  /** `envoy.config.cluster.v3.Cluster`, added or replaced by name. Those of type EDS come with their endpoints. */
  readonly clusters?: readonly object[];
  /** `ClusterLoadAssignment` for a cluster of type EDS, by the cluster's name (not `service_name`). */
  readonly endpoints?: readonly { readonly cluster: string; readonly assignment: object }[];
  /** `RouteConfiguration` by name, for every connection manager whose `rds` or scope names it; with its virtual hosts; may be packed (config/late-routes.ts). */
  readonly routes?: readonly object[];
  /** `ScopedRouteConfiguration`s, all that are in force, by the name of `scoped_routes`. */
  readonly scopes?: readonly { readonly name: string; readonly scopes: readonly object[] }[];
  /** `envoy.config.listener.v3.Listener`, added or replaced by name. */
  readonly listeners?: readonly object[];
  readonly removedListeners?: readonly string[];
  readonly removedRoutes?: readonly string[];
  readonly removedClusters?: readonly string[];
  /** Keys of TLS secrets that nothing names any more. */
  readonly removedSecrets?: readonly string[];
}

/** What could not be had of an update; the rest is in force in every worker. */
export interface UpdateOutcome {
  /** Listeners whose address could not be opened, with the reason; what they replace serves on. */
  readonly failedListeners: readonly { readonly name: string; readonly message: string }[];
  /** New clusters that are not in force yet: they wait for DNS or a first health check. */
  readonly warming?: readonly string[];
}
