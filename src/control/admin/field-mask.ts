import type { Json, JsonObject } from './context.ts';
import type { DumpSection } from './json-text.ts';

/** The paths of a FieldMask (`cluster.name,last_updated`), each in its parts. */
export function splitMask(mask: string): string[][] {
  return mask
    .split(',')
    .map((path) => path.trim().split('.'))
    .filter((path) => path[0] !== '');
}

/**
 * Keeps the fields that a FieldMask (`cluster.name,cluster.type`) names; `@type` always stays. A path goes into
 * each element of a repeated field.
 */
export function applyFieldMask(value: JsonObject, mask: string): JsonObject {
  return keepFields(value, splitMask(mask));
}

/** Whether every path of the mask leads to something of the section; as in Envoy it ends at a repeated field. */
export function maskApplies(mask: string, { fields, lists }: DumpSection): boolean {
  return splitMask(mask).every(([first = '', ...inner]) => {
    if (inner.length === 0) return first in fields || lists.some(({ name }) => name === first);
    return leadsSomewhere(fields[first], inner);
  });
}

/** Without the descriptors at hand, what is not there counts as unknown. */
function leadsSomewhere(value: Json | undefined, path: readonly string[]): boolean {
  const [first, ...inner] = path;
  if (first === undefined) return value !== undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return leadsSomewhere((value as JsonObject)[first], inner);
}

const COMMON = ['version_info', 'last_updated', 'error_state', 'client_status'];
const ELEMENTS: Readonly<Record<string, readonly string[]>> = {
  StaticCluster: ['cluster', 'last_updated'],
  DynamicCluster: ['cluster', ...COMMON],
  StaticListener: ['listener', 'last_updated'],
  DynamicListener: [
    'name',
    'active_state',
    'warming_state',
    'draining_state',
    'error_state',
    'client_status',
  ],
  StaticRouteConfig: ['route_config', 'last_updated'],
  DynamicRouteConfig: ['route_config', ...COMMON],
  InlineScopedRouteConfigs: ['name', 'scoped_route_configs', 'last_updated'],
  DynamicScopedRouteConfigs: ['name', 'scoped_route_configs', ...COMMON],
  StaticEndpointConfig: ['endpoint_config', 'last_updated'],
  DynamicEndpointConfig: ['endpoint_config', ...COMMON],
  StaticSecret: ['name', 'last_updated', 'secret'],
  DynamicSecret: ['name', 'secret', ...COMMON],
  EcdsFilterConfig: ['ecds_filter', ...COMMON],
};

/** Whether an element of the dump can have a field. */
export function isField(element: string, field: string): boolean {
  return ELEMENTS[element]?.includes(field) === true;
}

function keepFields(value: JsonObject, paths: readonly (readonly string[])[]): JsonObject {
  const kept: Record<string, Json | undefined> = {};
  for (const [field, inner] of Object.entries(value)) {
    const below = paths.filter((path) => path[0] === field).map((path) => path.slice(1));
    if (field === '@type' || below.some((path) => path.length === 0)) kept[field] = inner;
    else if (below.length > 0 && inner !== undefined) kept[field] = keepInside(inner, below);
  }
  return kept;
}

function keepInside(value: Json, paths: readonly (readonly string[])[]): Json {
  if (Array.isArray(value)) return value.map((item: Json) => keepInside(item, paths));
  if (typeof value !== 'object' || value === null) return value;
  return keepFields(value as JsonObject, paths);
}
