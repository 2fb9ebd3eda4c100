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
