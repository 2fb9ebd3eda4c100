import type { JsonObject } from './context.ts';

/** The route configurations that stand inside a listener's connection managers. */
export function inlineRoutes(listener: JsonObject): JsonObject[] {
  return managersOf(listener)
    .filter((manager) => manager.route_config !== undefined)
    .map((manager) => object(manager.route_config));
}

/** Scopes that stand inside a listener's connection managers. */
export function inlineScopes(listener: JsonObject): { name: string; scopes: readonly JsonObject[] }[] {
  return managersOf(listener).flatMap((manager) => {
    const { name, scoped_route_configurations_list: inside } = object(manager.scoped_routes);
    const scopes = list(object(inside).scoped_route_configurations);
    return scopes.length === 0 ? [] : [{ name: String(name ?? ''), scopes }];
  });
}

function managersOf(listener: JsonObject): JsonObject[] {
  const chains = [...list(listener.filter_chains), object(listener.default_filter_chain)];
  return chains.flatMap((chain) => list(chain.filters)).map((filter) => object(filter.typed_config));
}

function object(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function list(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.map(object) : [];
}
