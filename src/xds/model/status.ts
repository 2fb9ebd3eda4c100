import type { Held, Refused } from './resource.ts';

/** What is known of one resource, for `/config_dump` and `inox config`. */
export interface ResourceStatus {
  /** Full message name. */
  readonly type: string;
  readonly name: string;
  /**
   * `warming`: accepted, waits for what it needs; `requested`: asked for, nothing came yet; `missing`: the server
   * has none.
   */
  readonly state: 'active' | 'warming' | 'requested' | 'missing';
  readonly held: Held<unknown> | null;
  readonly refused: Refused | null;
}
