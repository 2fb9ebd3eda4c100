import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import { Slices } from '../../core/slices.ts';
import type { DiscoveryUpdate, RawResource, Subscription } from '../protocol/discovery.ts';
import { FETCH_TIMEOUT_MS, type OpenSource } from './hub.ts';
import { type Acceptance, explainRefusal, type Held, type Refused, SLICE_MS, sameBytes } from './resource.ts';
import type { ResourceStatus } from './status.ts';

/** A first answer may come in several parts. */
const CONFIRM_MS = 5000;

export interface SetOptions<T> {
  /** Full message name. */
  readonly type: string;
  readonly name: '*';
  readonly statPrefix: string;
  /** Compiles dry; throws a ConfigError. */
  check(config: T, name: string): void;
  /** An accepted resource that is new or has changed. */
  onSet(held: Held<T>): void;
  onRemoved(name: string): void;
  /** The source has said something; `onSettled` follows when it has been read. */
  onAnswer?(): void;
  /** After each response, and when none came in time. */
  onSettled(): void;
}

/** All resources of a type that a server has for us: clusters, listeners, scopes; virtual hosts of a route. */
export class ResourceSet<T> {
  readonly #options: SetOptions<T>;
  readonly #acceptance: Acceptance;
  readonly #held = new Map<string, Held<T>>();
  readonly #refused = new Map<string, Refused>();
  readonly #subscription: Subscription;
  readonly #unconfirmed = new Set<string>();
  #cleaning: NodeJS.Timeout | null = null;
  #version = '';

  /** Asks at once. Throws a ConfigError for a bad source. */
  constructor(options: SetOptions<T>, config: ConfigSource, open: OpenSource, acceptance: Acceptance) {
    this.#options = options;
    this.#acceptance = acceptance;
    this.#subscription = open(config).source.subscribe(
      {
        type: options.type,
        names: new Set([options.name]),
        initialFetchTimeoutMs: config.initialFetchTimeout ?? FETCH_TIMEOUT_MS,
        statPrefix: options.statPrefix,
      },
      {
        onUpdate: (update) => this.#onUpdate(update),
        onMissing: () => options.onSettled(),
      },
    );
  }

  /** Of the newest update, whether all of it was accepted or not. */
  get version(): string {
    return this.#version;
  }

  get size(): number {
    return this.#held.size;
  }

  values(): IterableIterator<Held<T>> {
    return this.#held.values();
  }

  /**
   * Puts in what an earlier run had, before the source has answered. What the source does not confirm goes soon
   * after its first answer.
   */
  seed(resources: readonly RawResource[]): void {
    for (const raw of resources) {
      this.#take(raw);
      this.#unconfirmed.add(raw.name);
    }
    this.#options.onSettled();
  }

  status(): ResourceStatus[] {
    const { type } = this.#options;
    const all: ResourceStatus[] = [];
    for (const held of this.#held.values()) {
      const refused = this.#refused.get(held.name) ?? null;
      all.push({ type, name: held.name, state: 'active', held, refused });
    }
    for (const [name, refused] of this.#refused) {
      if (!this.#held.has(name)) all.push({ type, name, state: 'requested', held: null, refused });
    }
    return all;
  }

  close(): void {
    if (this.#cleaning !== null) clearTimeout(this.#cleaning);
    this.#subscription.close();
  }

  async #onUpdate(update: DiscoveryUpdate): Promise<readonly string[]> {
    this.#options.onAnswer?.();
    const mistakes: string[] = [];
    const slices = new Slices(SLICE_MS);
    if (this.#unconfirmed.size > 0) this.#cleaning ??= setTimeout(() => this.#clean(), CONFIRM_MS);
    try {
      for (const raw of update.resources) {
        this.#unconfirmed.delete(raw.name);
        const mistake = this.#take(raw);
        if (mistake !== undefined) mistakes.push(mistake);
        await slices.breathe();
      }
      for (const name of update.removed) {
        this.#refused.delete(name);
        if (this.#held.delete(name)) this.#options.onRemoved(name);
      }
      this.#version = update.version;
    } finally {
      this.#options.onSettled();
    }
    return mistakes;
  }

  #clean(): void {
    for (const name of this.#unconfirmed) if (this.#held.delete(name)) this.#options.onRemoved(name);
    this.#unconfirmed.clear();
    this.#options.onSettled();
  }

  #take(raw: RawResource): string | undefined {
    const { type } = this.#options;
    const known = this.#held.get(raw.name);
    if (known !== undefined && sameBytes(known.bytes, raw.bytes)) {
      this.#refused.delete(raw.name);
      if (known.version !== raw.version) this.#held.set(raw.name, { ...known, version: raw.version });
      return undefined;
    }
    try {
      const held = this.#acceptance.accept<T>(raw, type, (config) => this.#options.check(config, raw.name));
      this.#held.set(raw.name, held);
      this.#refused.delete(raw.name);
      this.#options.onSet(held);
      return undefined;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const message = explainRefusal(type, raw.name, error);
      this.#refused.set(raw.name, { version: raw.version, message, at: new Date(), bytes: raw.bytes });
      return message;
    }
  }
}
