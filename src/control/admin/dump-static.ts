import { type JsonObject, redactSecrets } from '../../core/redact.ts';
import type { DynamicConfig } from './context.ts';
import { TYPES, time } from './dump-dynamic.ts';
import { inlineRoutes, inlineScopes } from './inline-routes.ts';
import { type DumpItem, type DumpList, slicesOf } from './json-text.ts';

export type NameTest = (name: string) => boolean;

/** Resources of the bootstrap; their order counts, so that a page ends at a number. */
export function staticList(
  name: string,
  element: string,
  resources: readonly JsonObject[],
  accepts: NameTest,
  show: (resource: JsonObject) => JsonObject,
): DumpList {
  const chosen = resources.filter((resource) => accepts(nameOf(resource)));
  const shown = async function* () {
    for await (const slice of slicesOf(chosen)) yield slice.map(show);
  };
  return { name, element, items: (after) => numbered(shown(), after) };
}

/** `{field: <the resource as an Any>, last_updated}`. */
export function wrapped(
  field: string,
  type: string,
  last_updated: string,
): (resource: JsonObject) => JsonObject {
  return (resource) => ({
    [field]: redactSecrets({ '@type': `type.googleapis.com/${type}`, ...resource }),
    last_updated,
  });
}

/**
 * Route configurations inside listeners, which Envoy calls static wherever the listener came from: those of the
 * bootstrap first.
 */
export function inlineRouteList(
  listeners: readonly JsonObject[],
  last_updated: string,
  dynamic: DynamicConfig | null,
  accepts: NameTest,
): DumpList {
  const show = (listener: JsonObject, updated: string): JsonObject[] =>
    inlineRoutes(listener)
      .filter((routes) => accepts(nameOf(routes)))
      .map(wrapped('route_config', TYPES.routes, updated));
  return {
    name: 'static_route_configs',
    element: 'StaticRouteConfig',
    items: (after) => numbered(insideListeners(listeners, last_updated, dynamic, show), after),
  };
}

/** The same for scopes, by the name of their `scoped_routes`. */
export function inlineScopeList(
  listeners: readonly JsonObject[],
  last_updated: string,
  dynamic: DynamicConfig | null,
  accepts: NameTest,
): DumpList {
  const typed = (scope: JsonObject): JsonObject => ({
    '@type': `type.googleapis.com/${TYPES.scope}`,
    ...scope,
  });
  const show = (listener: JsonObject, updated: string): JsonObject[] =>
    inlineScopes(listener)
      .filter(({ name }) => accepts(name))
      .map(({ name, scopes }) => ({ name, scoped_route_configs: scopes.map(typed), last_updated: updated }));
  return {
    name: 'inline_scoped_route_configs',
    element: 'InlineScopedRouteConfigs',
    items: (after) => numbered(insideListeners(listeners, last_updated, dynamic, show), after),
  };
}

async function* insideListeners(
  listeners: readonly JsonObject[],
  last_updated: string,
  dynamic: DynamicConfig | null,
  show: (listener: JsonObject, updated: string) => JsonObject[],
): AsyncGenerator<readonly JsonObject[]> {
  yield listeners.flatMap((listener) => show(listener, last_updated));
  const query = { type: TYPES.listener, states: ['active'], withConfig: true } as const;
  for await (const slice of dynamic?.resources(query) ?? []) {
    yield slice.flatMap(({ active }) =>
      active?.config === undefined ? [] : show(active.config as JsonObject, time(active.updatedAt)),
    );
  }
}

async function* numbered(
  slices: AsyncIterable<readonly JsonObject[]>,
  after: string | undefined,
): AsyncGenerator<readonly DumpItem[]> {
  const first = after === undefined ? 0 : Number(after) + 1;
  let next = 0;
  for await (const slice of slices) {
    const items = slice.map((json, i) => ({ json, token: String(next + i) }));
    yield items.slice(Math.max(0, first - next));
    next += slice.length;
  }
}

function nameOf(resource: JsonObject): string {
  return typeof resource.name === 'string' ? resource.name : '';
}
