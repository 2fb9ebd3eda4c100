import type { StatScope } from '../../stats/scope.ts';
import type { DiscoverySink, DiscoveryUpdate, RawResource, SubscribeOptions } from './discovery.ts';
import type { ReadResource } from './raw-resource.ts';
import { createSubscriptionStats, type SubscriptionStats } from './subscription-stats.ts';

/** Of all types the one that others depend on goes first. */
const ORDER = [
  'envoy.service.runtime.v3.Runtime',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.extensions.transport_sockets.tls.v3.Secret',
  'envoy.config.listener.v3.Listener',
  'envoy.config.route.v3.ScopedRouteConfiguration',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.route.v3.VirtualHost',
];

export function typeRank(type: string): number {
  const rank = ORDER.indexOf(type);
  return rank < 0 ? ORDER.length : rank;
}

/** What one user of a type wants. */
class Interest {
  names: ReadonlySet<string>;
  readonly byNamespace: boolean;
  readonly timeoutMs: number;
  readonly sink: DiscoverySink;
  readonly stats: SubscriptionStats;
  /** Names that a wildcard has brought; what a whole state lacks of them is gone. */
  readonly held = new Set<string>();
  readonly timers = new Map<string, NodeJS.Timeout>();

  constructor(options: SubscribeOptions, sink: DiscoverySink, stats: SubscriptionStats) {
    this.names = new Set(options.names);
    this.byNamespace = options.byNamespace === true;
    this.timeoutMs = options.initialFetchTimeoutMs;
    this.sink = sink;
    this.stats = stats;
  }

  get wildcard(): boolean {
    return this.names.has('*');
  }

  wants(name: string): boolean {
    if (this.names.has(name) || this.wildcard) return true;
    if (!this.byNamespace) return false;
    const slash = name.lastIndexOf('/');
    return slash > 0 && this.names.has(name.slice(0, slash));
  }
}

/** What a response amounts to, whatever the protocol. */
export interface TypeUpdate {
  readonly version: string;
  readonly resources: readonly ReadResource[];
  readonly removed: readonly string[];
  /** It names everything that there is: what it lacks of a wildcard is gone. */
  readonly whole: boolean;
}

/**
 * The resources of one type from one server: who wants what, what was answered. A stream of either protocol, a poll
 * or a file feeds it.
 */
export class TypeState {
  readonly type: string;
  /** Version that was last accepted. */
  version = '';
  lastError = '';
  /** Versions of what is held, for delta. */
  readonly versions = new Map<string, string>();
  readonly #interests = new Set<Interest>();
  readonly #expiry = new Map<string, NodeJS.Timeout>();
  readonly #stats: StatScope;
  readonly #onNames: () => void;

  /** `onNames` hears when the names that are wanted may have changed. */
  constructor(type: string, stats: StatScope, onNames: () => void) {
    this.type = type;
    this.#stats = stats;
    this.#onNames = onNames;
  }

  get empty(): boolean {
    return this.#interests.size === 0;
  }

  /** All names that somebody wants; `*` stands for everything. */
  get names(): Set<string> {
    const names = new Set<string>();
    for (const interest of this.#interests) for (const name of interest.names) names.add(name);
    return names;
  }

  add(
    options: SubscribeOptions,
    sink: DiscoverySink,
  ): { setNames(names: ReadonlySet<string>): void; close(): void } {
    const interest = new Interest(options, sink, createSubscriptionStats(this.#stats, options.statPrefix));
    this.#interests.add(interest);
    this.#startTimers(interest, interest.names);
    this.#onNames();
    return {
      setNames: (names) => {
        const added = [...names].filter((name) => !interest.names.has(name));
        for (const name of interest.names) if (!names.has(name)) this.#settle(interest, name);
        interest.names = new Set(names);
        this.#startTimers(interest, added);
        this.#onNames();
      },
      close: () => {
        for (const name of [...interest.timers.keys()]) this.#settle(interest, name);
        this.#interests.delete(interest);
        this.#onNames();
      },
    };
  }

  /** Something was asked. */
  countAttempt(): void {
    for (const { stats } of this.#interests) stats.attempt.inc();
  }

  /** The stream or poll failed. */
  countFailure(): void {
    for (const { stats } of this.#interests) stats.failure.inc();
  }

  /** Hands the update to all who want part of it. Resolves with everything that is wrong with it. */
  async take(update: TypeUpdate): Promise<string[]> {
    const mistakes = this.#checkNames(update);
    if (mistakes.length > 0) {
      for (const { stats } of this.#interests) stats.rejected.inc();
      this.lastError = mistakes.join('\n');
      return mistakes;
    }
    const resources: RawResource[] = [];
    for (const resource of update.resources) {
      this.#arm(resource);
      if (resource.raw === null) continue;
      resources.push(resource.raw);
    }
    for (const name of update.removed) this.#forget(name);
    for (const interest of this.#interests)
      mistakes.push(...(await this.#deliver(interest, update, resources)));
    if (mistakes.length === 0) {
      this.version = update.version;
      // What was refused is not held: a server shall send it again to the next stream.
      for (const { name, version } of resources) this.versions.set(name, version);
    }
    this.lastError = mistakes.join('\n');
    return mistakes;
  }

  /** A response could not even be read. */
  refuse(mistake: string): void {
    for (const { stats } of this.#interests) stats.rejected.inc();
    this.lastError = mistake;
  }

  close(): void {
    for (const timer of this.#expiry.values()) clearTimeout(timer);
    for (const interest of this.#interests) {
      for (const name of [...interest.timers.keys()]) this.#settle(interest, name);
    }
  }

  async #deliver(
    interest: Interest,
    update: TypeUpdate,
    resources: readonly RawResource[],
  ): Promise<readonly string[]> {
    const wanted = resources.filter((resource) => interest.wants(resource.name));
    const removed = update.removed.filter((name) => interest.wants(name) || interest.held.has(name));
    if (interest.wildcard && update.whole) {
      const there = new Set(update.resources.map((resource) => resource.name));
      for (const name of interest.held) if (!there.has(name)) removed.push(name);
      for (const name of removed) this.versions.delete(name);
    }
    if (interest.wildcard || interest.byNamespace) {
      for (const { name } of wanted) interest.held.add(name);
    }
    for (const name of removed) interest.held.delete(name);
    for (const { name } of wanted) this.#settle(interest, name);
    for (const name of removed) this.#settle(interest, name);
    // Whoever wants everything, or all below a name, has been answered by any answer.
    if (interest.wildcard) this.#settle(interest, '*');
    if (interest.byNamespace) for (const name of interest.names) this.#settle(interest, name);
    const answered = interest.wildcard || interest.byNamespace;
    if (wanted.length === 0 && removed.length === 0 && !answered) return [];
    const found: DiscoveryUpdate = { version: update.version, resources: wanted, removed };
    const began = performance.now();
    const mistakes = await interest.sink.onUpdate(found);
    interest.stats.took(performance.now() - began, update.version, mistakes.length === 0);
    const missing = interest.wildcard ? [] : removed.filter((name) => interest.names.has(name));
    if (missing.length > 0) interest.sink.onMissing(missing);
    return mistakes;
  }

  #checkNames({ resources }: TypeUpdate): string[] {
    const seen = new Set<string>();
    const mistakes: string[] = [];
    for (const { name, raw } of resources) {
      if (seen.has(name)) mistakes.push(`duplicate resource '${name}' of ${this.type}`);
      seen.add(name);
      if (raw !== null && raw.type !== this.type) {
        mistakes.push(`resource '${name}' is a ${raw.type}, expected ${this.type}`);
      }
    }
    return mistakes;
  }

  #startTimers(interest: Interest, names: Iterable<string>): void {
    if (interest.timeoutMs === 0) return;
    for (const name of names) {
      const timer = setTimeout(() => {
        interest.timers.delete(name);
        interest.stats.timedOut.inc();
        interest.sink.onMissing([name]);
      }, interest.timeoutMs);
      interest.timers.set(name, timer);
    }
  }

  #settle(interest: Interest, name: string): void {
    const timer = interest.timers.get(name);
    if (timer === undefined) return;
    clearTimeout(timer);
    interest.timers.delete(name);
  }

  /** Starts the resource's time to live anew, or ends it. */
  #arm({ name, ttlMs }: ReadResource): void {
    const running = this.#expiry.get(name);
    if (running !== undefined) clearTimeout(running);
    this.#expiry.delete(name);
    if (ttlMs === undefined) return;
    const expire = (): void => {
      this.#forget(name);
      void this.#expire(name);
    };
    this.#expiry.set(name, setTimeout(expire, ttlMs));
  }

  async #expire(name: string): Promise<void> {
    for (const interest of this.#interests) {
      if (!interest.wants(name)) continue;
      interest.held.delete(name);
      await interest.sink.onUpdate({ version: this.version, resources: [], removed: [name] });
    }
  }

  #forget(name: string): void {
    this.versions.delete(name);
    const running = this.#expiry.get(name);
    if (running !== undefined) clearTimeout(running);
    this.#expiry.delete(name);
  }
}
