import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { ScopedRouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { ScopedRoutes } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { OpenSource } from './hub.ts';
import type { Publisher } from './publisher.ts';
import type { Acceptance } from './resource.ts';
import type { Routes } from './routes.ts';
import { ResourceSet, type SetOptions } from './set.ts';
import type { ResourceStatus } from './status.ts';

const SCOPE = 'envoy.config.route.v3.ScopedRouteConfiguration';

export interface ScopesParts {
  readonly routes: Pick<Routes, 'use'>;
  readonly publisher: Publisher;
  /** Called once, when all routes are published, or known not to exist. */
  readonly ready: () => void;
}

/** One manager's scopes; each leads to a route configuration of its own. */
export class Scopes {
  readonly #config: ScopedRoutes;
  readonly #parts: ScopesParts;
  readonly #source: ScopeSource | null;
  readonly #used = new Map<string, { readonly route: string; readonly end: () => void }>();
  #ready: (() => void) | null;
  #pending = 0;
  #settled = false;

  /** Throws a ConfigError for a bad source. */
  constructor(config: ScopedRoutes, parts: ScopesParts, sources: ScopeSources) {
    this.#config = config;
    this.#parts = parts;
    this.#ready = parts.ready;
    for (const scope of config.scopedRouteConfigurationsList?.scopedRouteConfigurations ?? [])
      this.onScope(scope);
    const source = config.scopedRds?.scopedRdsConfigSource;
    this.#source = source === undefined ? null : sources.get(source, config.name ?? '');
    if (this.#source === null) this.onSettled();
    else this.#source.join(this);
  }

  status(): ResourceStatus[] {
    const group = this.#config.name ?? '';
    return (this.#source?.set.status() ?? []).map((one) => ({ ...one, group }));
  }

  close(): void {
    this.#ready = null;
    this.#source?.leave(this);
    for (const { end } of this.#used.values()) end();
    this.#used.clear();
  }

  /** A scope that is new or has changed. */
  onScope(scope: ScopedRouteConfiguration): void {
    const { name = '', routeConfigurationName: route = '' } = scope;
    const before = this.#used.get(name);
    const source = this.#config.rdsConfigSource;
    if (before?.route === route) return;
    if (route === '' || source === undefined) return;
    this.#pending++;
    let pending = true;
    const done = (): void => {
      if (!pending) return;
      pending = false;
      this.#pending--;
      this.#check();
    };
    const leave = this.#parts.routes.use(source, route, done);
    const end = (): void => {
      leave();
      done();
    };
    this.#used.set(name, { route, end });
    before?.end();
  }

  onRemoved(name: string): void {
    this.#used.get(name)?.end();
    this.#used.delete(name);
  }

  /** The source has said all it has for now. */
  onSettled(): void {
    this.#settled = true;
    if (this.#source !== null) {
      const scopes = Array.from(this.#source.set.values(), (held) => held.config);
      this.#parts.publisher.scopes(this.#config.name ?? '', scopes);
    }
    this.#check();
  }

  #check(): void {
    if (!this.#settled || this.#pending > 0) return;
    this.#ready?.();
    this.#ready = null;
  }
}

/**
 * Where scopes come from. Each source is asked once for all managers, and never given up: a server that is asked for
 * everything again on the same stream says nothing.
 */
export class ScopeSources {
  readonly #open: OpenSource;
  readonly #acceptance: Acceptance;
  readonly #check: (config: ScopedRouteConfiguration) => void;
  readonly #sources = new Map<string, ScopeSource>();

  /** `check` compiles dry; throws a ConfigError. */
  constructor(open: OpenSource, acceptance: Acceptance, check: (config: ScopedRouteConfiguration) => void) {
    this.#open = open;
    this.#acceptance = acceptance;
    this.#check = check;
  }

  /** `group` is the name of `scoped_routes`; of several, the first one counts. Throws a ConfigError. */
  get(config: ConfigSource, group: string): ScopeSource {
    const { key } = this.#open(config);
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = new ScopeSource(
        (hooks) =>
          new ResourceSet(
            { type: SCOPE, name: '*', statPrefix: `http.scoped_rds.${group}`, check: this.#check, ...hooks },
            config,
            this.#open,
            this.#acceptance,
          ),
      );
      this.#sources.set(key, source);
    }
    return source;
  }
}

type ScopeHooks = Pick<SetOptions<ScopedRouteConfiguration>, 'onSet' | 'onRemoved' | 'onSettled'>;

/** All scopes of one source: a server answers the question for everything once, so whoever comes later asks here. */
class ScopeSource {
  readonly set: ResourceSet<ScopedRouteConfiguration>;
  readonly #users = new Set<Scopes>();
  #settled = false;

  constructor(open: (hooks: ScopeHooks) => ResourceSet<ScopedRouteConfiguration>) {
    this.set = open({
      onSet: ({ config }) => {
        for (const user of this.#users) user.onScope(config);
      },
      onRemoved: (name) => {
        for (const user of this.#users) user.onRemoved(name);
      },
      onSettled: () => {
        this.#settled = true;
        for (const user of this.#users) user.onSettled();
      },
    });
  }

  join(user: Scopes): void {
    this.#users.add(user);
    for (const { config } of this.set.values()) user.onScope(config);
    if (this.#settled) user.onSettled();
  }

  leave(user: Scopes): void {
    this.#users.delete(user);
  }
}
