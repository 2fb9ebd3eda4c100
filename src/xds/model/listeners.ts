import { createHash } from 'node:crypto';
import type { TypedExtensionConfig } from '#plain/envoy.config.core.v3.ts';
import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { sameButForChains } from '../../config/chain-life.ts';
import type { ResourceHub } from './hub.ts';
import type { Publisher } from './publisher.ts';
import {
  type DiscoveredExtension,
  extensionsOf,
  filterChainsOf,
  managersOf,
  withExtensions,
} from './references.ts';
import type { Held } from './resource.ts';
import type { Routes } from './routes.ts';
import type { Secrets } from './secrets.ts';
import type { Versions } from './status.ts';
import { type Unready, Warming } from './warming.ts';

interface Version {
  readonly held: Held<Listener>;
  readonly warming: Warming;
  /** The start waits for it, and it is counted among those that warm. */
  awaited: boolean;
  readonly unwatch: (() => void)[];
  /** Configurations of filters that come by name; null where none is needed. */
  readonly extensions: Map<string, unknown> | null;
}

interface Entry {
  readonly name: string;
  readonly fromBootstrap: boolean;
  active: Version | null;
  next: Version | null;
}

export interface ListenersParts {
  readonly routes: Routes;
  readonly secrets: Secrets;
  readonly extensions: ResourceHub<TypedExtensionConfig>;
  readonly publisher: Publisher;
  /** How long a listener that was replaced or removed drains, milliseconds. */
  readonly drainMs: number;
  /** With the configurations of all filters in place; throws a ConfigError. */
  readonly check: (config: Listener) => void;
  readonly onWarmingChanged: (warming: number) => void;
  readonly onProblem: (message: string) => void;
}

/** Listeners, each with the version that serves and the one that warms behind it. */
export class Listeners {
  readonly #parts: ListenersParts;
  readonly #entries = new Map<string, Entry>();
  readonly #draining = new Map<string, Held<Listener>>();
  #warming = 0;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
  }

  get warming(): number {
    return this.#warming;
  }

  /** What serves, what warms and what drains; undefined for one that is not known. */
  versions(name: string): Versions | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    const draining = this.#draining.get(name) ?? null;
    return { active: entry.active?.held ?? null, warming: entry.next?.held ?? null, draining };
  }

  /** Listeners that are gone but for connections that end. */
  leaving(): Held<Listener>[] {
    return [...this.#draining.values()].filter((held) => !this.#entries.has(held.name));
  }

  /** What the listeners that warm wait for, under Envoy's names. */
  unready(): Unready[] {
    return [...this.#entries.values()].flatMap(({ name, next }) => {
      if (next === null || !next.awaited) return [];
      const hash = createHash('sha256').update(next.held.bytes).digest().readBigUInt64BE();
      const manager = `init manager Listener-local-init-manager ${name} ${hash}`;
      return [{ name: manager, targets: next.warming.missing }];
    });
  }

  set(held: Held<Listener>, fromBootstrap = false): void {
    let entry = this.#entries.get(held.name);
    if (entry === undefined) {
      entry = { name: held.name, fromBootstrap, active: null, next: null };
      this.#entries.set(held.name, entry);
    }
    // A server cannot replace what the bootstrap says.
    if (entry.fromBootstrap && !fromBootstrap) return;
    this.#warm(entry, held);
  }

  remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.fromBootstrap) return;
    this.#entries.delete(name);
    if (entry.active !== null) {
      this.#parts.publisher.removeListener(name);
      this.#drain(entry.active.held);
    }
    release(entry.active);
    release(entry.next);
    if (entry.next !== null) this.#conclude(entry.next);
  }

  #warm(entry: Entry, held: Held<Listener>): void {
    const replaced = entry.next;
    const wanted = extensionsOf(held.config);
    const version: Version = {
      held,
      unwatch: [],
      extensions: wanted.length === 0 ? null : new Map(),
      warming: new Warming(() => this.#activate(entry, version)),
      awaited: true,
    };
    entry.next = version;
    this.#countWarming(1);
    if (replaced !== null) this.#conclude(replaced);
    const { config } = held;
    for (const { rds, scopedRoutes } of managersOf(config)) {
      if (rds?.configSource !== undefined) {
        const { routeConfigName = '' } = rds;
        const ready = version.warming.need(
          `shared target RdsRouteConfigSubscription RDS init ${routeConfigName}`,
        );
        version.unwatch.push(this.#parts.routes.use(rds.configSource, routeConfigName, ready));
      }
      if (scopedRoutes !== undefined) {
        const ready = version.warming.need("target ConfigSubscriptionCommonBase init target 'SRDS'");
        version.unwatch.push(this.#parts.routes.useScopes(scopedRoutes, ready));
      }
    }
    const sockets = filterChainsOf(config).map((chain) => chain.transportSocket);
    version.unwatch.push(...this.#parts.secrets.need(sockets, version.warming));
    for (const extension of wanted) this.#watchExtension(entry, version, extension);
    release(replaced);
    version.warming.start();
  }

  #watchExtension(entry: Entry, version: Version, wanted: DiscoveredExtension): void {
    const { name, defaultConfig, configSource, types } = wanted;
    const ready = version.warming.need(`shared target FilterConfigSubscription init ${name}`);
    if (defaultConfig !== undefined) version.extensions?.set(name, defaultConfig);
    if (wanted.withoutWarming) ready();
    const unwatch = this.#parts.extensions.watch(configSource, name, {
      onResource: (held) => {
        const typed = held?.config.typedConfig;
        if (typed !== undefined && types.length > 0 && !types.includes(typed.type)) {
          this.#parts.onProblem(`extension '${name}' is a ${typed.type}, which its filter does not take`);
        } else if (typed !== undefined) version.extensions?.set(name, typed);
        ready();
        if (entry.active === version) this.#publish(version);
        // It had come together, but without this it was of no use.
        else if (entry.next === version && version.warming.warm) this.#activate(entry, version);
      },
    });
    version.unwatch.push(unwatch);
  }

  #activate(entry: Entry, version: Version): void {
    if (entry.next !== version || this.#entries.get(entry.name) !== entry) return;
    if (!this.#publish(version)) {
      this.#conclude(version);
      return;
    }
    const before = entry.active;
    entry.active = version;
    entry.next = null;
    if (before !== null && !sameButForChains(before.held.config, version.held.config))
      this.#drain(before.held);
    release(before);
    this.#conclude(version);
  }

  /** Nobody waits for it any more: it is in force, of no use as it is, replaced or gone. */
  #conclude(version: Version): void {
    if (!version.awaited) return;
    version.awaited = false;
    this.#countWarming(-1);
  }

  /** Remembers what drains for as long as that may take, to show it. */
  #drain(held: Held<Listener>): void {
    this.#draining.set(held.name, held);
    const timer = setTimeout(() => {
      if (this.#draining.get(held.name) === held) this.#draining.delete(held.name);
    }, this.#parts.drainMs);
    timer.unref();
  }

  /** False when it cannot be used as it has come together; what serves goes on. */
  #publish({ held, extensions }: Version): boolean {
    if (extensions === null) {
      this.#parts.publisher.listener(held.config);
      return true;
    }
    const config = withExtensions(held.config, extensions);
    try {
      this.#parts.check(config);
    } catch (error) {
      this.#parts.onProblem(
        `listener '${held.name}': ${error instanceof Error ? error.message : String(error)}`,
      );
      return false;
    }
    this.#parts.publisher.listener(config);
    return true;
  }

  #countWarming(change: number): void {
    this.#warming += change;
    this.#parts.onWarmingChanged(this.#warming);
  }
}

function release(version: Version | null): void {
  for (const unwatch of version?.unwatch ?? []) unwatch();
}
