import type { LayeredRuntime } from '#plain/envoy.config.bootstrap.v3.ts';
import type { FractionalPercent } from '#plain/envoy.type.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import type { CompileContext } from './context.ts';

/** The values of RTDS layers by the name of their resource; a layer that has not come yet is empty. */
export type DiscoveredLayers = ReadonlyMap<string, object>;

/** Values of all layers by dotted key; later layers win. */
export function flattenRuntime(
  config: LayeredRuntime | undefined,
  discovered?: DiscoveredLayers,
): Record<string, unknown> {
  return Object.assign({}, ...flattenLayers(config, discovered));
}

/** Values of each layer by dotted key, in the order of the layers. */
export function flattenLayers(
  config: LayeredRuntime | undefined,
  discovered: DiscoveredLayers = new Map(),
): Record<string, unknown>[] {
  return (config?.layers ?? []).map((layer, i) => {
    const values: Record<string, unknown> = {};
    if (layer.staticLayer !== undefined) flatten('', layer.staticLayer, values);
    else if (layer.rtdsLayer !== undefined)
      flatten('', discovered.get(layer.rtdsLayer.name ?? '') ?? {}, values);
    // An admin layer is empty: nothing sets values through the admin port.
    else if (layer.adminLayer === undefined) {
      throw ConfigError.at(`layered_runtime.layers[${i}]`, 'disk_layer is not supported');
    }
    return values;
  });
}

function flatten(prefix: string, value: unknown, out: Record<string, unknown>): void {
  const nested = typeof value === 'object' && value !== null && !Array.isArray(value);
  // A FractionalPercent is a value, not a folder of keys.
  if (!nested || (prefix !== '' && ('numerator' in value || 'denominator' in value))) {
    out[prefix] = value;
    return;
  }
  for (const [key, inner] of Object.entries(value))
    flatten(prefix === '' ? key : `${prefix}.${key}`, inner, out);
}

/** Fractions by runtime key: a number is per cent, an object a FractionalPercent. */
export function runtimeFractions(
  ctx: Pick<CompileContext, 'runtime'>,
): (key: string) => Cell<FractionalPercent> {
  return (key) => new Cell(toFraction(ctx.runtime(key)));
}

function toFraction(value: unknown): FractionalPercent | undefined {
  if (typeof value === 'number') return { numerator: value, denominator: 'HUNDRED' };
  if (typeof value !== 'object' || value === null || !('numerator' in value)) return undefined;
  const { numerator } = value;
  const denominator = 'denominator' in value ? value.denominator : 'HUNDRED';
  if (typeof numerator !== 'number') return undefined;
  if (denominator === 'TEN_THOUSAND' || denominator === 'MILLION') return { numerator, denominator };
  return { numerator, denominator: 'HUNDRED' };
}
