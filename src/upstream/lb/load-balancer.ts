import type { Address } from '../../net/connection.ts';
import type { Host } from '../host.ts';
import type { MetadataMatch } from './metadata-match.ts';

/** What a balancer may want to know about the request; one object serves all requests of a route. */
export interface PickContext {
  /** Hash policy's result, 32 bits; only for hashing balancers. */
  readonly hash: number | undefined;
  /** `metadata_match` of the route, for subsets. */
  readonly metadataMatch: MetadataMatch | null;
  /** Bit n: a retry would rather leave priority n alone. 0 for none. */
  readonly avoidPriorities: number;
  /** Only this priority may be used, because an aggregate cluster chose it; −1: any. */
  readonly onlyPriority: number;
  /** With `onlyPriority`: its degraded hosts rather than the healthy ones. */
  readonly degraded: boolean;
  /** Where an ORIGINAL_DST cluster is to connect; null when nobody knows. Left out for other clusters. */
  readonly destination?: Address | null;
}

/** A request about which there is nothing to know. */
export const ANY_HOST: PickContext = {
  hash: undefined,
  metadataMatch: null,
  avoidPriorities: 0,
  onlyPriority: -1,
  degraded: false,
};

/** Picks a host of a fixed list; undefined when there is none to pick. */
export interface LoadBalancer {
  pick(context: PickContext | null): Host | undefined;
}

/** Makes a balancer for a list of hosts that are all eligible; called again when the list changes. */
export type CreateLoadBalancer = (hosts: readonly Host[]) => LoadBalancer;

/** A balancer that is made with its first pick: most lists of a big cluster are never picked from. */
export class LazyBalancer implements LoadBalancer {
  readonly #hosts: readonly Host[];
  readonly #create: CreateLoadBalancer;
  #made: LoadBalancer | null;

  constructor(hosts: readonly Host[], create: CreateLoadBalancer) {
    this.#hosts = hosts;
    this.#create = create;
    this.#made = null;
  }

  pick(context: PickContext | null): Host | undefined {
    this.#made ??= this.#create(this.#hosts);
    return this.#made.pick(context);
  }
}
