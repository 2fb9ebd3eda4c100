import type { Host } from '../host.ts';

/** What a balancer may want to know about the request. */
export interface PickContext {
  /** Hash policy's result, 32 bits; only for hashing balancers. */
  readonly hash: number | undefined;
}

/** Picks a host of a fixed list; undefined when there is none to pick. */
export interface LoadBalancer {
  pick(context: PickContext | null): Host | undefined;
}

/** Makes a balancer for a list of hosts that are all eligible; called again when the list changes. */
export type CreateLoadBalancer = (hosts: readonly Host[]) => LoadBalancer;
