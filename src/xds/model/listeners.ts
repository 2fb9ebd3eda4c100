import type { TypedExtensionConfig } from '#plain/envoy.config.core.v3.ts';
import type { Listener } from '#plain/envoy.config.listener.v3.ts';
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
import { Warming } from './warming.ts';

interface Version {
  readonly held: Held<Listener>;
  readonly warming: Warming;
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
  /** With the configurations of all filters in place; throws a ConfigError. */
  readonly check: (config: Listener) => void;
  readonly onWarmingChanged: (warming: number) => void;
  readonly onProblem: (message: string) => void;
}

/** Listeners, each with the version that serves and the one that warms behind it. */
export class Listeners {
  readonly #parts: ListenersParts;
  readonly #entries = new Map<string, Entry>();
  #warming = 0;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
  }

  get warming(): number {
    return this.#warming;
  }

  isWarming(name: string): boolean {
    return this.#entries.get(name)?.next !== null;
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
    if (entry.active !== null) this.#parts.publisher.removeListener(name);
    release(entry.active);
    release(entry.next);
    if (entry.next !== null) this.#countWarming(-1);
  }

  #warm(entry: Entry, held: Held<Listener>): void {
    const replaced = entry.next;
    const wanted = extensionsOf(held.config);
    const version: Version = {
      held,
      unwatch: [],
      extensions: wanted.length === 0 ? null : new Map(),
      warming: new Warming(() => this.#activate(entry, version)),
    };
    entry.next = version;
    if (replaced === null) this.#countWarming(1);
    const { config } = held;
    for (const { rds, scopedRoutes } of managersOf(config)) {
      if (rds?.configSource !== undefined) {
        const ready = version.warming.need();
        version.unwatch.push(this.#parts.routes.use(rds.configSource, rds.routeConfigName ?? '', ready));
      }
      if (scopedRoutes !== undefined) {
        version.unwatch.push(this.#parts.routes.useScopes(scopedRoutes, version.warming.need()));
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
    const ready = version.warming.need();
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
    if (!this.#publish(version)) return;
    const before = entry.active;
    entry.active = version;
    entry.next = null;
    release(before);
    this.#countWarming(-1);
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
