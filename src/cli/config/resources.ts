import { type Dump, type JsonRecord, list, record, text } from './source.ts';

export const KINDS = [
  'listeners',
  'routes',
  'clusters',
  'endpoints',
  'secrets',
  'scopes',
  'extensions',
] as const;
export type Kind = (typeof KINDS)[number];

export type State = 'static' | 'active' | 'warming' | 'draining' | 'rejected' | 'requested' | 'missing';

/** One version of a resource of a config dump. */
export interface Resource {
  readonly kind: Kind;
  readonly name: string;
  readonly state: State;
  readonly version: string;
  /** ISO 8601, '' where it is not known. */
  readonly lastUpdated: string;
  /** Why its last version was refused, '' for nothing. */
  readonly error: string;
  readonly config: JsonRecord;
}

/** Where resources stand in a dump: the repeated field, and the field of the configuration in its elements. */
const LISTS: readonly (readonly [field: string, kind: Kind, config: string, state: State])[] = [
  ['static_clusters', 'clusters', 'cluster', 'static'],
  ['dynamic_active_clusters', 'clusters', 'cluster', 'active'],
  ['dynamic_warming_clusters', 'clusters', 'cluster', 'warming'],
  ['static_listeners', 'listeners', 'listener', 'static'],
  ['static_route_configs', 'routes', 'route_config', 'static'],
  ['dynamic_route_configs', 'routes', 'route_config', 'active'],
  ['inline_scoped_route_configs', 'scopes', '', 'static'],
  ['dynamic_scoped_route_configs', 'scopes', '', 'active'],
  ['static_endpoint_configs', 'endpoints', 'endpoint_config', 'static'],
  ['dynamic_endpoint_configs', 'endpoints', 'endpoint_config', 'active'],
  ['static_secrets', 'secrets', 'secret', 'static'],
  ['dynamic_active_secrets', 'secrets', 'secret', 'active'],
  ['dynamic_warming_secrets', 'secrets', 'secret', 'warming'],
  ['ecds_filters', 'extensions', 'ecds_filter', 'active'],
];

/** Every resource of a dump, in its order; of listeners each version that there is. */
export function resourcesOf({ sections }: Dump): Resource[] {
  return sections.flatMap((section) => [
    ...LISTS.flatMap(([field, kind, config, state]) =>
      list(section[field]).map((one) =>
        resource(kind, one, config === '' ? one : record(one[config]), one, state),
      ),
    ),
    ...list(section.dynamic_listeners).flatMap(listenerVersions),
  ]);
}

function listenerVersions(one: JsonRecord): Resource[] {
  const versions = (['active', 'warming', 'draining'] as const).flatMap((state) => {
    const version = one[`${state}_state`];
    if (version === undefined) return [];
    return [resource('listeners', one, record(record(version).listener), record(version), state)];
  });
  return versions.length > 0 ? versions : [resource('listeners', one, {}, {}, 'active')];
}

function resource(
  kind: Kind,
  one: JsonRecord,
  config: JsonRecord,
  version: JsonRecord,
  state: State,
): Resource {
  const failure = record(one.error_state);
  const failed = record(failure.failed_configuration);
  const name = config.name ?? config.cluster_name ?? one.name ?? failed.name ?? failed.cluster_name;
  const never =
    Object.keys(config).length === 0 || (kind === 'scopes' && config.scoped_route_configs === undefined);
  return {
    kind,
    name: text(name),
    state: stateOf(text(one.client_status), state, never, failure),
    version: text(version.version_info) || text(failure.version_info),
    lastUpdated: text(version.last_updated) || text(failure.last_update_attempt),
    error: text(failure.details),
    config: never && Object.keys(failed).length > 0 ? failed : config,
  };
}

function stateOf(clientStatus: string, state: State, never: boolean, failure: JsonRecord): State {
  if (never && failure.details !== undefined) return 'rejected';
  if (clientStatus === 'REQUESTED') return 'requested';
  if (clientStatus === 'DOES_NOT_EXIST') return 'missing';
  return state;
}
