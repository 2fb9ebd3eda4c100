import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import { Slices } from '../../core/slices.ts';
import type { DiscoverySource, DiscoveryUpdate, RawResource, Subscription } from '../protocol/discovery.ts';
import { type Acceptance, explainRefusal, type Held, type Refused, SLICE_MS, sameBytes } from './resource.ts';
import type { ResourceStatus } from './status.ts';

/** Envoy's `initial_fetch_timeout`. */
export const FETCH_TIMEOUT_MS = 15_000;

/** Opens the source that a ConfigSource names; equal ones are one. Throws a ConfigError. */
export type OpenSource = (config: ConfigSource) => { readonly key: string; readonly source: DiscoverySource };

/** Who wants a resource by its name. */
export interface Watcher<T> {
  /** The resource as it is now; null when it does not exist, or did not come in time. It may come later. */
  onResource(held: Held<T> | null): void;
}

export interface HubOptions<T> {
  /** Full message name. */
  readonly type: string;
  /** Prefix of Envoy's counters of a subscription to `name`. */
  statPrefix(name: string): string;
  /** Compiles dry; throws a ConfigError. */
  check(config: T, name: string): void;
  /** What a removal by the server means: the resource goes, or lives as long as somebody wants it (as Envoy's RDS). */
  readonly keepRemoved: boolean;
  /** What an earlier run had, until a source says otherwise. */
  saved?(name: string): RawResource | undefined;
}

interface Entry<T> {
  readonly name: string;
  readonly watchers: Set<Watcher<T>>;
  held: Held<T> | null;
  refused: Refused | null;
  /** It is known that there is none. */
  missing: boolean;
}

interface Feed<T> {
  readonly key: string;
  readonly entries: Map<string, Entry<T>>;
  subscription: Subscription | null;
  /** Names changed since the subscription heard of them. */
  stale: boolean;
  /** The server has said something. */
  answered: boolean;
}

/**
 * Resources that are asked for by name: endpoints, routes, secrets and the like. A resource lives as long as
 * somebody watches it; whoever comes later finds it at once, so that warming ends although a server does not answer
 * a second question for the same name.
 */
export class ResourceHub<T> {
  readonly #options: HubOptions<T>;
  readonly #open: OpenSource;
  readonly #acceptance: Acceptance;
  readonly #feeds = new Map<string, Feed<T>>();
  #flushing = false;
  #paused = false;

  constructor(options: HubOptions<T>, open: OpenSource, acceptance: Acceptance) {
    this.#options = options;
    this.#open = open;
    this.#acceptance = acceptance;
  }

  get type(): string {
    return this.#options.type;
  }

  /** Calls back at once when the resource is there. Returns what ends it. Throws a ConfigError for a bad source. */
  watch(config: ConfigSource, name: string, watcher: Watcher<T>): () => void {
    const feed = this.#feedOf(config);
    let entry = feed.entries.get(name);
    if (entry === undefined) {
      entry = { name, watchers: new Set(), held: null, refused: null, missing: false };
      feed.entries.set(name, entry);
      this.#namesChanged(feed);
      // Once there was an answer, what was saved is of another time.
      const saved = feed.answered ? undefined : this.#options.saved?.(name);
      if (saved !== undefined) this.#take(entry, saved);
    }
    entry.watchers.add(watcher);
    if (entry.held !== null || entry.missing) watcher.onResource(entry.held);
    const watched = entry;
    return () => {
      watched.watchers.delete(watcher);
      // When names are said the next time: whoever wants it again before finds it, and the server notices nothing.
      if (watched.watchers.size === 0) this.#namesChanged(feed);
    };
  }

  status(): ResourceStatus[] {
    const all: ResourceStatus[] = [];
    for (const feed of this.#feeds.values()) {
      for (const { name, watchers, held, refused, missing } of feed.entries.values()) {
        if (watchers.size === 0) continue;
        const state = held !== null ? 'active' : missing ? 'missing' : 'requested';
        all.push({ type: this.#options.type, name, state, held, refused });
      }
    }
    return all;
  }

  #feedOf(config: ConfigSource): Feed<T> {
    const { key, source } = this.#open(config);
    const known = this.#feeds.get(key);
    if (known !== undefined) return known;
    const feed: Feed<T> = { key, entries: new Map(), subscription: null, stale: false, answered: false };
    this.#feeds.set(key, feed);
    feed.subscription = source.subscribe(
      {
        type: this.#options.type,
        names: new Set(),
        initialFetchTimeoutMs: config.initialFetchTimeout ?? FETCH_TIMEOUT_MS,
        statPrefix: this.#options.statPrefix(''),
      },
      {
        onUpdate: (update) => this.#onUpdate(feed, update),
        onMissing: (names) => this.#onMissing(feed, names),
      },
    );
    return feed;
  }

  /** Asks for nothing until `resume`: an update is read that will name more of them. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flushSoon();
  }

  #namesChanged(feed: Feed<T>): void {
    feed.stale = true;
    this.#flushSoon();
  }

  /** One question for all names of a turn. */
  #flushSoon(): void {
    if (this.#flushing || this.#paused) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#paused) return;
      for (const each of this.#feeds.values()) {
        if (!each.stale) continue;
        each.stale = false;
        for (const [name, { watchers }] of each.entries) if (watchers.size === 0) each.entries.delete(name);
        each.subscription?.setNames(new Set(each.entries.keys()));
      }
    });
  }

  async #onUpdate(feed: Feed<T>, update: DiscoveryUpdate): Promise<readonly string[]> {
    feed.answered = true;
    const mistakes: string[] = [];
    const slices = new Slices(SLICE_MS);
    for (const raw of update.resources) {
      const entry = feed.entries.get(raw.name);
      if (entry === undefined) continue;
      const mistake = this.#take(entry, raw);
      if (mistake !== undefined) mistakes.push(mistake);
      await slices.breathe();
    }
    for (const name of update.removed) {
      const entry = feed.entries.get(name);
      if (entry === undefined || (this.#options.keepRemoved && entry.held !== null)) continue;
      entry.held = null;
      this.#miss(entry);
    }
    return mistakes;
  }

  #miss(entry: Entry<T>): void {
    entry.missing = true;
    for (const watcher of [...entry.watchers]) watcher.onResource(null);
  }

  #take(entry: Entry<T>, raw: RawResource): string | undefined {
    const { held } = entry;
    entry.missing = false;
    if (held !== null && sameBytes(held.bytes, raw.bytes)) {
      entry.refused = null;
      if (held.version !== raw.version) entry.held = { ...held, version: raw.version };
      return undefined;
    }
    try {
      entry.held = this.#acceptance.accept<T>(raw, this.#options.type, (config) =>
        this.#options.check(config, raw.name),
      );
      entry.refused = null;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const message = explainRefusal(this.#options.type, raw.name, error);
      entry.refused = { version: raw.version, message, at: new Date(), bytes: raw.bytes };
      // As in Envoy, nobody waits for one that is wrong.
      if (held === null) this.#miss(entry);
      return message;
    }
    for (const watcher of [...entry.watchers]) watcher.onResource(entry.held);
    return undefined;
  }

  #onMissing(feed: Feed<T>, names: readonly string[]): void {
    for (const name of names) {
      const entry = feed.entries.get(name);
      if (entry !== undefined && entry.held === null) this.#miss(entry);
    }
  }
}
