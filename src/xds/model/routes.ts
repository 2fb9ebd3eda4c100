import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type {
  RouteConfiguration,
  ScopedRouteConfiguration,
  VirtualHost,
} from '#plain/envoy.config.route.v3.ts';
import type { ScopedRoutes } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import { HostDemands } from './host-demands.ts';
import { FETCH_TIMEOUT_MS, type OpenSource, type ResourceHub } from './hub.ts';
import type { Publisher } from './publisher.ts';
import type { Acceptance, Held } from './resource.ts';
import { ScopeSources, Scopes } from './scopes.ts';
import { ResourceSet } from './set.ts';
import type { ResourceStatus } from './status.ts';

const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';
/** After an answer without virtual hosts of a route: others may come right behind it. */
const ANSWERED_PATIENCE_MS = 200;

export interface RoutesParts {
  readonly hub: ResourceHub<RouteConfiguration>;
  readonly open: OpenSource;
  readonly acceptance: Acceptance;
  readonly publisher: Publisher;
  readonly checkVirtualHost: (config: VirtualHost) => void;
  readonly checkScope: (config: ScopedRouteConfiguration) => void;
}

interface Entry {
  readonly name: string;
  users: number;
  /** Called once, when it is known whether there is one. */
  waiting: (() => void)[];
  settled: boolean;
  held: Held<RouteConfiguration> | null;
  published: boolean;
  hosts: HostSet | null;
  /** Until virtual hosts of the route came, or were waited for long enough. */
  patience: NodeJS.Timeout | null;
  unwatch: () => void;
}

/**
 * All virtual hosts that a source has for us: each belongs to the route configuration that its name begins with. Never
 * given up: a server that is asked for everything again on the same stream says nothing.
 */
interface HostSet {
  readonly key: string;
  readonly set: ResourceSet<VirtualHost>;
  readonly source: ConfigSource;
  /** Those that requests ask for; null until one does. */
  demands: HostDemands | null;
  /** The source has said what it has, or kept silent for long enough. */
  answered: boolean;
  /** Routes whose hosts changed since they were published. */
  readonly changed: Set<string>;
}

/** Route configurations that connection managers and scopes ask for, each published once for all of them. */
export class Routes {
  readonly #parts: RoutesParts;
  readonly #entries = new Map<string, Entry>();
  readonly #scopes = new Set<Scopes>();
  readonly #scopeSources: ScopeSources;
  readonly #hostSets = new Map<string, HostSet>();

  constructor(parts: RoutesParts) {
    this.#parts = parts;
    this.#scopeSources = new ScopeSources(parts.open, parts.acceptance, parts.checkScope);
  }

  /** `ready` is called once, when the routes are published or known not to exist. Returns what ends the interest. */
  use(source: ConfigSource, name: string, ready: () => void): () => void {
    const entry = this.#entries.get(name) ?? this.#watch(source, name);
    entry.users++;
    if (entry.settled) ready();
    else entry.waiting.push(ready);
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      entry.waiting = entry.waiting.filter((one) => one !== ready);
      entry.users--;
      // Whoever takes over comes within the turn.
      queueMicrotask(() => {
        if (entry.users === 0 && this.#entries.get(name) === entry) this.#drop(entry);
      });
    };
  }

  /** The same for all routes of a manager's `scoped_routes`. */
  useScopes(config: ScopedRoutes, ready: () => void): () => void {
    const scopes = new Scopes(
      config,
      { routes: this, publisher: this.#parts.publisher, ready },
      this.#scopeSources,
    );
    this.#scopes.add(scopes);
    return () => {
      this.#scopes.delete(scopes);
      scopes.close();
    };
  }

  /** Asks for the virtual host of requests to `host`; calls back once, when what came of it was handed on. */
  askHost(route: string, host: string, answered: () => void): void {
    const hosts = this.#entries.get(route)?.hosts;
    if (hosts == null) {
      answered();
      return;
    }
    hosts.demands ??= new HostDemands(hosts.source, this.#parts.open);
    hosts.demands.ask(`${route}/${host}`, answered);
  }

  status(): ResourceStatus[] {
    const hosts = Array.from(this.#hostSets.values(), ({ set }) => set.status()).flat();
    return [...hosts, ...Array.from(this.#scopes, (scopes) => scopes.status()).flat()];
  }

  /** Virtual hosts of a route configuration that came by themselves. */
  hostsOf(name: string): Held<VirtualHost>[] {
    const entry = this.#entries.get(name);
    return entry === undefined ? [] : heldHosts(entry);
  }

  #watch(source: ConfigSource, name: string): Entry {
    const entry: Entry = {
      name,
      users: 0,
      waiting: [],
      settled: false,
      held: null,
      published: false,
      hosts: null,
      patience: null,
      unwatch: () => {},
    };
    this.#entries.set(name, entry);
    entry.unwatch = this.#parts.hub.watch(source, name, {
      onResource: (held) => this.#onRoutes(entry, held),
    });
    return entry;
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.name);
    entry.unwatch();
    entry.hosts = null;
    if (entry.patience !== null) clearTimeout(entry.patience);
    if (entry.published) this.#parts.publisher.removeRoute(entry.name);
  }

  #onRoutes(entry: Entry, held: Held<RouteConfiguration> | null): void {
    entry.held = held ?? entry.held;
    const vhds = entry.held?.config.vhds?.configSource;
    const wanted = vhds === undefined ? undefined : this.#parts.open(vhds).key;
    if (wanted !== entry.hosts?.key) {
      entry.hosts = null;
      if (vhds !== undefined && wanted !== undefined) this.#joinHosts(entry, wanted, vhds);
    }
    if (entry.hosts === null || entry.settled || hostsOf(entry).length > 0) this.#publish(entry);
    else {
      const fetchMs = vhds?.initialFetchTimeout ?? FETCH_TIMEOUT_MS;
      const waitMs = entry.hosts.answered ? ANSWERED_PATIENCE_MS : fetchMs;
      if (waitMs > 0) entry.patience ??= setTimeout(() => this.#publish(entry), waitMs);
    }
  }

  #joinHosts(entry: Entry, key: string, source: ConfigSource): void {
    let hosts = this.#hostSets.get(key);
    if (hosts === undefined) {
      const changed = new Set<string>();
      const set = this.#openHosts(source, changed);
      hosts = { key, set, source, demands: null, answered: false, changed };
      this.#hostSets.set(key, hosts);
    }
    entry.hosts = hosts;
  }

  /** Envoy, too, asks for everything, and finds out by the names what belongs where. */
  #openHosts(source: ConfigSource, changed: Set<string>): ResourceSet<VirtualHost> {
    return new ResourceSet<VirtualHost>(
      {
        type: VIRTUAL_HOST,
        name: '*',
        statPrefix: 'http.vhds',
        check: this.#parts.checkVirtualHost,
        onSet: ({ name }) => changed.add(routeOf(name)),
        onRemoved: (name) => changed.add(routeOf(name)),
        onSettled: () => {
          for (const name of changed) {
            const entry = this.#entries.get(name);
            if (entry !== undefined && entry.hosts?.changed === changed) this.#publish(entry);
          }
          changed.clear();
          this.#hurry(changed);
        },
      },
      source,
      this.#parts.open,
      this.#parts.acceptance,
    );
  }

  /** A server that gives virtual hosts one by one has none for whoever asks for all. */
  #hurry(changed: Set<string>): void {
    for (const hosts of this.#hostSets.values()) if (hosts.changed === changed) hosts.answered = true;
    for (const entry of this.#entries.values()) {
      if (entry.settled || entry.held === null || entry.hosts?.changed !== changed) continue;
      if (entry.patience !== null) clearTimeout(entry.patience);
      entry.patience = setTimeout(() => this.#publish(entry), ANSWERED_PATIENCE_MS);
    }
  }

  #publish(entry: Entry): void {
    if (entry.held !== null) {
      const { config } = entry.held;
      const discovered = hostsOf(entry);
      entry.published = true;
      this.#parts.publisher.route(
        discovered.length === 0
          ? config
          : { ...config, virtualHosts: [...(config.virtualHosts ?? []), ...discovered] },
        (entry.hosts?.demands ?? null) !== null,
      );
    }
    if (entry.patience !== null) clearTimeout(entry.patience);
    entry.patience = null;
    entry.settled = true;
    for (const ready of entry.waiting.splice(0)) ready();
  }
}

/** `route/host` belongs to `route`. */
function routeOf(host: string): string {
  return host.slice(0, Math.max(0, host.lastIndexOf('/')));
}

function hostsOf(entry: Entry): VirtualHost[] {
  return heldHosts(entry).map((held) => held.config);
}

function heldHosts({ name, hosts }: Entry): Held<VirtualHost>[] {
  return Array.from(hosts?.set.values() ?? []).filter((held) => routeOf(held.name) === name);
}
