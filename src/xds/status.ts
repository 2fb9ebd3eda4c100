import { fromBinary, toJson } from '@bufbuild/protobuf';
import type { XdsResource } from '../core/xds-protocol.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';
import type { ResourceStatus } from './model/status.ts';

const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';

/** A resource as it is shown. Of secrets nothing but the name leaves this thread. */
export function showResource({ type, name, state, held, refused }: ResourceStatus): XdsResource {
  return {
    type,
    name,
    state,
    version: held?.version ?? '',
    updatedAt: held?.updatedAt.getTime() ?? 0,
    ...(held === null || held.bytes.length === 0 ? {} : { config: configOf(type, name, held.bytes) }),
    ...(refused === null
      ? {}
      : { error: { version: refused.version, message: refused.message, at: refused.at.getTime() } }),
  };
}

function configOf(type: string, name: string, bytes: Uint8Array): unknown {
  if (type === SECRET) return { '@type': `type.googleapis.com/${type}`, name };
  const registry = envoyRegistry();
  const desc = requireMessage(registry, type);
  const json = toJson(desc, fromBinary(desc, bytes), { registry, useProtoFieldName: true });
  return { '@type': `type.googleapis.com/${type}`, ...(json as object) };
}
