import type { StatScope } from '../../stats/scope.ts';
import type { DiscoverySink, DiscoveryUpdate, RawResource, SubscribeOptions } from './discovery.ts';
import { describeMistakes } from './messages.ts';
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

/** Longer timers fire at once in Node. */
const MAX_TIMER_MS = 0x7fff_ffff;

/** What one user of a type wants. */
class Interest {
  names: ReadonlySet<string>;
  readonly byNamespace: boolean;
  readonly byCollection: boolean;
  readonly timeoutMs: number;
  readonly sink: DiscoverySink;
  readonly stats: SubscriptionStats;
  /** Names that a wildcard has brought; what a whole state lacks of them is gone. */
  readonly held = new Set<string>();
  /** Names that nothing is known of yet, with their timers; null: waits for ever. */
  readonly pending = new Map<string, NodeJS.Timeout | null>();

  constructor(options: SubscribeOptions, sink: DiscoverySink, stats: SubscriptionStats) {
    this.names = new Set(options.names);
    this.byNamespace = options.byNamespace === true;
    this.byCollection = options.byCollection === true;
    this.timeoutMs = options.initialFetchTimeoutMs;
    this.sink = sink;
    this.stats = stats;
  }

  get wildcard(): boolean {
    return this.names.has('*');
  }

  wants(name: string): boolean {
    if (this.names.has(name) || this.wildcard) return true;
    if (this.byCollection) return this.names.has(collectionOf(name));
    if (!this.byNamespace) return false;
    const slash = name.lastIndexOf('/');
    return slash > 0 && this.names.has(name.slice(0, slash));
  }

  /** The same for the names that a resource was asked for by, and its own. */
  wantsAny(name: string, aliases: readonly string[] = []): boolean {
    return this.wants(name) || aliases.some((alias) => this.names.has(alias));
  }

  expect(names: Iterable<string>): void {
    for (const name of names) {
      const give = (): void => {
        this.stats.timedOut.inc();
        this.pending.delete(name);
        this.sink.onMissing([name]);
      };
      const timer = this.timeoutMs === 0 ? null : setTimeout(give, Math.min(this.timeoutMs, MAX_TIMER_MS));
      this.pending.set(name, timer);
    }
  }

  settle(name: string): void {
    const timer = this.pending.get(name);
    if (timer === undefined) return;
    if (timer !== null) clearTimeout(timer);
    this.pending.delete(name);
  }

  /** These do not exist, the server says. */
  miss(names: readonly string[]): void {
    const missing = names.filter((name) => this.names.has(name));
    for (const name of missing) this.settle(name);
    if (missing.length > 0) this.sink.onMissing(missing);
  }

  /** Nothing will come of what was asked for, so nobody needs to wait for it. */
  giveUp(): void {
    const names = [...this.pending.keys()];
    for (const name of names) this.settle(name);
    if (names.length > 0) this.sink.onMissing(names);
  }

  close(): void {
    for (const name of [...this.pending.keys()]) this.settle(name);
    this.stats.letGo();
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
  /** Of the newest response, '' where there is no such thing. */
  nonce = '';
  /** What was wrong with the newest response, '' for nothing. */
  lastError = '';
  /** When the newest response was taken, accepted or not. */
  updatedAt: Date | null = null;
  /** Versions of what is held, for delta. */
  readonly versions = new Map<string, string>();
  readonly #interests = new Set<Interest>();
  readonly #expiry = new Map<string, NodeJS.Timeout>();
  readonly #stats: StatScope;
  readonly #onNames: () => void;
  /** One update at a time, also when one of the stream before is still being looked at. */
  #last: Promise<unknown> = Promise.resolve();

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

  wants(name: string, aliases?: readonly string[]): boolean {
    for (const interest of this.#interests) if (interest.wantsAny(name, aliases)) return true;
    return false;
  }

  add(
    options: SubscribeOptions,
    sink: DiscoverySink,
  ): { setNames(names: ReadonlySet<string>): void; close(): void } {
    const interest = new Interest(options, sink, createSubscriptionStats(this.#stats, options.statPrefix));
    this.#interests.add(interest);
    interest.expect(interest.names);
    this.#onNames();
    return {
      setNames: (names) => {
        const added = [...names].filter((name) => !interest.names.has(name));
        for (const name of interest.names) if (!names.has(name)) interest.settle(name);
        const before = interest.names;
        interest.names = new Set(names);
        for (const name of before) if (!this.wants(name)) this.#forget(name);
        interest.expect(added);
        this.#onNames();
      },
      close: () => {
        interest.close();
        this.#interests.delete(interest);
        // Whoever asks for them again gets them again.
        for (const name of interest.held) if (!this.wants(name)) this.#forget(name);
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
  take(update: TypeUpdate): Promise<string[]> {
    const taken = this.#last.then(() => this.#take(update));
    this.#last = taken.catch(() => {
      // Whoever asked for the update hears of it.
    });
    return taken;
  }

  async #take(update: TypeUpdate): Promise<string[]> {
    const mistakes = this.#checkNames(update);
    if (mistakes.length > 0) {
      this.refuse(mistakes.join('\n'));
      return mistakes;
    }
    const resources: RawResource[] = [];
    for (const resource of update.resources) {
      // What nobody asked for is not there at all.
      if (!this.wants(resource.name, resource.aliases)) continue;
      this.#arm(resource);
      if (resource.raw !== null) resources.push(resource.raw);
    }
    const nothing = update.resources.flatMap((one) => (one.nothing === true ? (one.aliases ?? []) : []));
    for (const name of update.removed) this.#forget(name);
    for (const interest of [...this.#interests]) interest.miss(nothing);
    for (const interest of [...this.#interests]) {
      if (!this.#interests.has(interest)) continue;
      mistakes.push(...(await this.#deliver(interest, update, resources)));
    }
    this.updatedAt = new Date();
    this.lastError = describeMistakes(mistakes);
    if (mistakes.length === 0) this.version = update.version;
    // Of an update with mistakes we have some, the next server must know, and should say all of it again.
    for (const { name, version, aliases } of resources)
      if (this.wants(name, aliases)) this.versions.set(name, mistakes.length > 0 ? '' : version);
    return mistakes;
  }

  /**
   * A response could not even be read, or contradicts itself: nothing of it is in force. What Envoy counts it as
   * depends on the source.
   */
  refuse(mistake: string, counts: 'rejected' | 'failure' = 'rejected'): void {
    this.updatedAt = new Date();
    this.lastError = mistake;
    for (const { stats } of this.#interests) {
      stats.attempt.inc();
      stats[counts].inc();
    }
    // As in Envoy, a start does not wait for a server that is wrong.
    for (const interest of this.#interests) interest.giveUp();
  }

  /** The source has said everything: what did not come is not there. */
  concludeMissing(): void {
    for (const interest of this.#interests) interest.giveUp();
  }

  close(): void {
    for (const timer of this.#expiry.values()) clearTimeout(timer);
    for (const interest of this.#interests) interest.close();
  }

  async #deliver(
    interest: Interest,
    update: TypeUpdate,
    resources: readonly RawResource[],
  ): Promise<readonly string[]> {
    const wanted = resources.filter(({ name, aliases }) => interest.wantsAny(name, aliases));
    const removed = update.removed.filter((name) => interest.wants(name) || interest.held.has(name));
    if (interest.wildcard && update.whole) {
      const there = new Set(update.resources.map((resource) => resource.name));
      for (const name of interest.held) if (!there.has(name)) removed.push(name);
      for (const name of removed) this.versions.delete(name);
    }
    if (interest.wildcard || interest.byNamespace || interest.byCollection) {
      for (const { name } of wanted) interest.held.add(name);
    }
    for (const name of removed) interest.held.delete(name);
    for (const { name, aliases = [] } of wanted) {
      interest.settle(name);
      for (const alias of aliases) interest.settle(alias);
    }
    for (const name of removed) interest.settle(name);
    // Whoever wants everything, or all below a name, has been answered by any answer.
    if (interest.wildcard) interest.settle('*');
    if (interest.byNamespace) for (const name of interest.names) interest.settle(name);
    // A collection, by what is in it, or by an answer that says nothing at all.
    const says = wanted.length > 0 || update.resources.length + update.removed.length === 0;
    if (interest.byCollection && says) for (const name of interest.names) interest.settle(name);
    const answered = interest.wildcard || interest.byNamespace || (interest.byCollection && says);
    if (wanted.length === 0 && removed.length === 0 && !answered) return [];
    const found: DiscoveryUpdate = { version: update.version, resources: wanted, removed };
    const began = performance.now();
    interest.stats.attempt.inc();
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

  /** Starts the resource's time to live anew, or ends it. */
  #arm({ name, ttlMs }: ReadResource): void {
    const running = this.#expiry.get(name);
    if (running !== undefined) clearTimeout(running);
    this.#expiry.delete(name);
    if (ttlMs === undefined) return;
    this.#expireIn(name, ttlMs);
  }

  #expireIn(name: string, ms: number): void {
    const stepMs = Math.min(ms, MAX_TIMER_MS);
    const expire = (): void => {
      if (ms > stepMs) {
        this.#expireIn(name, ms - stepMs);
        return;
      }
      this.#forget(name);
      this.#last = this.#last.then(() => this.#expire(name));
    };
    this.#expiry.set(name, setTimeout(expire, stepMs));
  }

  async #expire(name: string): Promise<void> {
    // An update that was waiting has given it time again.
    if (this.#expiry.has(name)) return;
    for (const interest of [...this.#interests]) {
      if (!interest.wants(name)) continue;
      interest.held.delete(name);
      await interest.sink.onUpdate({ version: this.version, resources: [], removed: [name] });
      if (interest.names.has(name)) interest.sink.onMissing([name]);
    }
  }

  #forget(name: string): void {
    this.versions.delete(name);
    const running = this.#expiry.get(name);
    if (running !== undefined) clearTimeout(running);
    this.#expiry.delete(name);
  }
}

/** The collection that a resource of such a name is in: the last part of the path does not count. */
function collectionOf(name: string): string {
  const query = name.indexOf('?');
  const end = query < 0 ? name.length : query;
  const slash = name.lastIndexOf('/', end);
  return `${name.slice(0, slash + 1)}*${name.slice(end)}`;
}
