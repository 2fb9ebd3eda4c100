import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { type Demand, demandKey } from '../../core/on-demand.ts';
import type { Clusters } from './clusters.ts';
import type { ResourceHub } from './hub.ts';
import type { Publisher } from './publisher.ts';
import { type Held, sameBytes } from './resource.ts';
import type { Routes } from './routes.ts';
import type { ResourceStatus } from './status.ts';

/** So many names may be asked for at once; clients choose them (`cluster_header`, host). */
export const MAX_DEMANDS = 1000;

export interface OnDemandParts {
  readonly hub: ResourceHub<Cluster>;
  readonly clusters: Clusters;
  readonly routes: Routes;
  readonly publisher: Publisher;
  /** Who waits for what has that key may go on. */
  readonly onSettled: (key: string) => void;
}

/**
 * What requests wait for. A cluster that comes goes the way of all clusters, and those who wait see it when it is in
 * force; it stays until its server removes it. What does not exist is forgotten: the next request asks again.
 */
export class OnDemand {
  readonly #parts: OnDemandParts;
  /** Clusters that were asked for, with what ends the interest; `known` once there was an answer. */
  readonly #clusters = new Map<string, { known: boolean; end: () => void }>();
  /** Keys of virtual hosts that are being asked for. */
  readonly #hosts = new Set<string>();
  #pending = 0;

  constructor(parts: OnDemandParts) {
    this.#parts = parts;
  }

  ask(demand: Demand): void {
    if (demand.kind === 'cluster') this.#askCluster(demandKey(demand), demand.name, demand.source);
    else this.#askHost(demandKey(demand), demand.route, demand.host);
  }

  /** Clusters that were asked for. */
  status(): ResourceStatus[] {
    return this.#parts.hub.status();
  }

  #askCluster(key: string, name: string, source: ConfigSource): void {
    const { clusters, hub } = this.#parts;
    if (clusters.has(name)) {
      this.#settleCluster(key, name);
      return;
    }
    if (this.#clusters.has(name)) return;
    if (this.#pending >= MAX_DEMANDS) {
      this.#parts.onSettled(key);
      return;
    }
    const entry = { known: false, end: (): void => {} };
    this.#clusters.set(name, entry);
    this.#pending++;
    const end = hub.watch(source, name, {
      onResource: (held) => {
        const awaited = this.#isAwaited(name);
        if (!entry.known) this.#pending--;
        entry.known = true;
        if (held !== null) this.#take(held);
        else this.#missing(key, name, awaited);
      },
    });
    if (this.#clusters.get(name) === entry) entry.end = end;
    else end();
  }

  #take(held: Held<Cluster>): void {
    const { clusters } = this.#parts;
    const versions = clusters.versions(held.name);
    const before = versions?.warming ?? versions?.active;
    // A wildcard may have brought it by the same stream.
    if (before == null || !sameBytes(before.bytes, held.bytes)) clusters.set(held);
  }

  #missing(key: string, name: string, awaited: boolean): void {
    this.#clusters.get(name)?.end();
    this.#clusters.delete(name);
    this.#parts.clusters.remove(name);
    // Of one that was in force nobody waits, and who finds it gone asks anew: that question must not be answered here.
    if (awaited) this.#settleCluster(key, name);
  }

  /** Whether requests that ask for it wait for something that is yet to come: an answer, or its warming. */
  #isAwaited(name: string): boolean {
    if (this.#clusters.get(name)?.known === false) return true;
    const { clusters, publisher } = this.#parts;
    return clusters.has(name) && (clusters.readiness(name) !== 'ready' || publisher.warms(name));
  }

  #askHost(key: string, route: string, host: string): void {
    if (this.#hosts.has(key)) return;
    if (this.#pending >= MAX_DEMANDS) {
      this.#parts.onSettled(key);
      return;
    }
    this.#hosts.add(key);
    this.#pending++;
    this.#parts.routes.askHost(route, host, () => {
      this.#pending--;
      this.#hosts.delete(key);
      const { publisher, onSettled } = this.#parts;
      void publisher.routeSettled(route).then(() => onSettled(key));
    });
  }

  /** When all that came is in force; unless it is awaited then, and what comes is the answer. */
  #settleCluster(key: string, name: string): void {
    const { publisher, onSettled } = this.#parts;
    void publisher.settled().then(() => {
      if (!this.#isAwaited(name)) onSettled(key);
    });
  }
}
