import type { Json, JsonObject } from './context.ts';

/**
 * Keeps the fields that a FieldMask (`cluster.name,cluster.type`) names; `@type` always stays. A path goes into
 * each element of a repeated field.
 */
export function applyFieldMask(value: JsonObject, mask: string): JsonObject {
  const paths = mask
    .split(',')
    .map((path) => path.trim().split('.'))
    .filter((path) => path[0] !== '');
  return keepFields(value, paths);
}

/** Whether a mask names at least one field of the object. */
export function maskApplies(value: JsonObject, mask: string): boolean {
  return mask.split(',').some((path) => {
    const first = path.trim().split('.', 1)[0] ?? '';
    return value[first] !== undefined;
  });
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
