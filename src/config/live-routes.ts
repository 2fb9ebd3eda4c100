import type { RouteConfiguration, ScopedRouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { Scope } from '../core/scope.ts';
import type { Table } from './follow-routes.ts';
import type { LateRoutes } from './late-routes.ts';

/** The route configurations and scopes that came by themselves, for the connection managers that name them. */
export interface RouteDirectory {
  /** Those whose routes leave the filters of their managers alone, compiled once for all of them. */
  readonly tables: WeakMap<RouteConfiguration | LateRoutes, Table>;
  /** Calls back at once with what there is (undefined: nothing), and for each change until `scope` closes. */
  subscribe(
    name: string,
    scope: Scope,
    onRoutes: (routes: RouteConfiguration | LateRoutes | undefined) => void,
  ): void;
  /** The same for the scopes of a manager's `scoped_routes`, all of them each time. */
  subscribeScopes(
    name: string,
    scope: Scope,
    onScopes: (scopes: readonly ScopedRouteConfiguration[]) => void,
  ): void;
}

/** One kind of named value with those who want to hear of it. */
class Subscriptions<T> {
  readonly #values = new Map<string, T>();
  readonly #subscribers = new Map<string, Set<(value: T | undefined) => void>>();

  subscribe(name: string, scope: Scope, onValue: (value: T | undefined) => void): void {
    let subscribers = this.#subscribers.get(name);
    if (subscribers === undefined) {
      subscribers = new Set();
      this.#subscribers.set(name, subscribers);
    }
    const set = subscribers;
    set.add(onValue);
    scope.own(() => {
      set.delete(onValue);
      if (set.size === 0 && this.#subscribers.get(name) === set) this.#subscribers.delete(name);
    });
    onValue(this.#values.get(name));
  }

  set(name: string, value: T | undefined): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
    for (const onValue of [...(this.#subscribers.get(name) ?? [])]) onValue(value);
  }
}

export class LiveRoutes implements RouteDirectory {
  readonly tables = new WeakMap<RouteConfiguration | LateRoutes, Table>();
  readonly #routes = new Subscriptions<RouteConfiguration | LateRoutes>();
  readonly #scopes = new Subscriptions<readonly ScopedRouteConfiguration[]>();

  subscribe(
    name: string,
    scope: Scope,
    onRoutes: (routes: RouteConfiguration | LateRoutes | undefined) => void,
  ): void {
    this.#routes.subscribe(name, scope, onRoutes);
  }

  subscribeScopes(
    name: string,
    scope: Scope,
    onScopes: (scopes: readonly ScopedRouteConfiguration[]) => void,
  ): void {
    this.#scopes.subscribe(name, scope, (scopes) => onScopes(scopes ?? []));
  }

  set(routes: RouteConfiguration | LateRoutes): void {
    const { name = '' } = 'hosts' in routes ? routes.config : routes;
    this.#routes.set(name, routes);
  }

  remove(name: string): void {
    this.#routes.set(name, undefined);
  }

  setScopes(name: string, scopes: readonly ScopedRouteConfiguration[]): void {
    this.#scopes.set(name, scopes);
  }
}
