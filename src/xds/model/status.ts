import type { Held, Refused } from './resource.ts';

/** What is known of one resource, for `/config_dump` and `inox config`. */
export interface ResourceStatus {
  /** Full message name. */
  readonly type: string;
  readonly name: string;
  /**
   * `warming`: accepted, waits for what it needs; `requested`: asked for, nothing came yet; `missing`: the server
   * has none; `draining`: gone but for connections that end.
   */
  readonly state: 'active' | 'warming' | 'requested' | 'missing' | 'draining';
  /** The newest that was accepted. */
  readonly held: Held<unknown> | null;
  readonly refused: Refused | null;
  /** Where the newest is not the one that serves. */
  readonly versions?: Versions;
  /** Of a scope: the name of its `scoped_routes`. */
  readonly group?: string;
  /** Virtual hosts of a route configuration that came by themselves. */
  readonly hosts?: readonly Held<unknown>[];
}

export interface Versions {
  readonly active: Held<unknown> | null;
  readonly warming: Held<unknown> | null;
  readonly draining: Held<unknown> | null;
}

/** With what serves and what warms, as `set` knows it. */
export function withVersions(
  one: ResourceStatus,
  set: { versions(name: string): Versions | undefined },
): ResourceStatus {
  const versions = set.versions(one.name);
  if (one.held === null || versions === undefined) return one;
  return { ...one, state: versions.warming === null ? 'active' : 'warming', versions };
}

/** A listener that is replaced or removed and drains. */
export function leaving(held: Held<unknown>): ResourceStatus {
  const versions = { active: null, warming: null, draining: held };
  return {
    type: 'envoy.config.listener.v3.Listener',
    name: held.name,
    state: 'draining',
    held: null,
    refused: null,
    versions,
  };
}
