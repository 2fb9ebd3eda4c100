import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import type { Readiness } from './hold-back.ts';
import type { ResourceHub } from './hub.ts';
import { AssignmentInParts, type LocalityEndpoints } from './locality-endpoints.ts';
import type { Publisher } from './publisher.ts';
import type { Held } from './resource.ts';
import type { Secrets } from './secrets.ts';
import type { Versions } from './status.ts';
import { type Unready, Warming } from './warming.ts';

/** A removed cluster that routes still lead to is kept for so long, for the routes that come behind. */
const REMOVAL_GRACE_MS = 1000;

interface Version {
  readonly held: Held<Cluster>;
  readonly warming: Warming;
  readonly unwatch: (() => void)[];
  assignment: ClusterLoadAssignment | null;
}

interface Entry {
  readonly name: string;
  readonly fromBootstrap: boolean;
  active: Version | null;
  next: Version | null;
  leaving: NodeJS.Timeout | null;
}

export interface ClustersParts {
  readonly endpoints: ResourceHub<ClusterLoadAssignment>;
  readonly localities: LocalityEndpoints;
  readonly secrets: Secrets;
  readonly publisher: Publisher;
  /** A route or listener leads to it. */
  readonly inUse: (name: string) => boolean;
  readonly onWarmingChanged: (warming: number) => void;
}

/** Clusters, each with the version that serves and the one that warms behind it. */
export class Clusters {
  readonly #parts: ClustersParts;
  readonly #entries = new Map<string, Entry>();
  #warming = 0;

  constructor(parts: ClustersParts) {
    this.#parts = parts;
  }

  get warming(): number {
    return this.#warming;
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Whether what leads to it can be used. */
  readiness(name: string): Readiness {
    const entry = this.#entries.get(name);
    if (entry === undefined) return 'unknown';
    return entry.active === null && entry.next !== null ? 'warming' : 'ready';
  }

  /** What serves and what warms; undefined for one that is not known. */
  versions(name: string): Versions | undefined {
    const entry = this.#entries.get(name);
    return entry === undefined
      ? undefined
      : { active: entry.active?.held ?? null, warming: entry.next?.held ?? null, draining: null };
  }

  /** What the clusters that warm wait for, under Envoy's names. */
  unready(): Unready[] {
    return [...this.#entries.values()].flatMap(({ name, next }) =>
      next === null ? [] : [{ name: `init manager Cluster ${name}`, targets: next.warming.missing }],
    );
  }

  /** A cluster of the bootstrap that the control thread has already; a server cannot replace it. */
  addStatic(name: string): void {
    this.#entries.set(name, { name, fromBootstrap: true, active: null, next: null, leaving: null });
  }

  /** `fromBootstrap`: static, but its members or secrets come by xDS. */
  set(held: Held<Cluster>, fromBootstrap = false): void {
    let entry = this.#entries.get(held.name);
    if (entry === undefined) {
      entry = { name: held.name, fromBootstrap, active: null, next: null, leaving: null };
      this.#entries.set(held.name, entry);
    }
    if (entry.fromBootstrap && !fromBootstrap) return;
    if (entry.leaving !== null) clearTimeout(entry.leaving);
    entry.leaving = null;
    this.#warm(entry, held);
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.fromBootstrap || entry.leaving !== null) return;
    if (!this.#parts.inUse(name)) this.#drop(entry);
    else entry.leaving = setTimeout(() => this.#drop(entry), REMOVAL_GRACE_MS);
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.name);
    if (entry.active !== null) this.#parts.publisher.removeCluster(entry.name);
    else this.#parts.publisher.recheck();
    release(entry.active);
    release(entry.next);
    if (entry.next !== null) this.#countWarming(-1);
  }

  #warm(entry: Entry, held: Held<Cluster>): void {
    const replaced = entry.next;
    const version: Version = {
      held,
      unwatch: [],
      assignment: null,
      warming: new Warming(() => this.#activate(entry, version)),
    };
    entry.next = version;
    if (replaced === null) this.#countWarming(1);
    this.#watchEndpoints(version);
    version.unwatch.push(...this.#parts.secrets.need(secretHolders(held.config), version.warming));
    release(replaced);
    version.warming.start();
  }

  #watchEndpoints(version: Version): void {
    const { config } = version.held;
    const { edsClusterConfig } = config;
    if (config.type !== 'EDS' || edsClusterConfig?.edsConfig === undefined) return;
    const name = edsClusterConfig.serviceName || config.name || '';
    const ready = version.warming.need(`target EDS ${name}`);
    const parts = new AssignmentInParts(this.#parts.localities, (assignment) => {
      version.assignment = assignment;
      ready();
      const entry = this.#entries.get(version.held.name);
      if (entry?.active === version) this.#parts.publisher.endpoints(entry.name, assignment);
    });
    const unwatch = this.#parts.endpoints.watch(edsClusterConfig.edsConfig, name, {
      onResource: (endpoints) => {
        // What was there once is not undone by a server's silence.
        if (endpoints === null && version.assignment !== null) return;
        parts.set(endpoints?.config ?? { clusterName: name });
      },
    });
    version.unwatch.push(unwatch, () => parts.close());
  }

  #activate(entry: Entry, version: Version): void {
    const before = entry.active;
    entry.active = version;
    entry.next = null;
    this.#parts.publisher.cluster(version.held.config, version.assignment);
    release(before);
    this.#countWarming(-1);
  }

  #countWarming(change: number): void {
    this.#warming += change;
    this.#parts.onWarmingChanged(this.#warming);
  }
}

function release(version: Version | null): void {
  for (const unwatch of version?.unwatch ?? []) unwatch();
}

/** The parts of a cluster that may name secrets: all else need not be searched. */
function secretHolders({ transportSocket, transportSocketMatches }: Cluster): unknown[] {
  return [transportSocket, transportSocketMatches];
}
