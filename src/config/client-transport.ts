import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { ClientTransport } from '../net/transport.ts';
import { at, type ClientTransportContext, typedObject } from './context.ts';

/** The transport socket of a cluster, or the one inside another; null: the bytes as they are. */
export function compileClientTransport(
  config: TransportSocket | undefined,
  ctx: ClientTransportContext,
  field: string,
): ClientTransport | null {
  if (config === undefined) return null;
  const path = `${field}.typed_config`;
  const typed = config.typedConfig;
  if (typed === undefined) {
    throw ConfigError.at(path, `transport socket '${config.name ?? ''}' has no typed_config`);
  }
  const extension = ctx.extensions.find(typed.type);
  if (extension?.kind !== 'transport' || extension.compileClient === undefined) {
    throw ConfigError.at(path, `'${typed.type}' is no transport socket that inox knows for clusters`);
  }
  return at(path, () => extension.compileClient?.(typedObject(typed.value), ctx) ?? null);
}
