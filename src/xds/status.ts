import { type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf';
import { type Json, type JsonObject, redactSecrets } from '../core/redact.ts';
import type { XdsResource, XdsVersion } from '../core/xds-protocol.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';
import type { Held } from './model/resource.ts';
import type { ResourceStatus } from './model/status.ts';

const CLIENT_STATUS = {
  active: 'ACKED',
  warming: 'ACKED',
  draining: 'ACKED',
  requested: 'REQUESTED',
  missing: 'DOES_NOT_EXIST',
} as const;

/** Shows resources: with their configurations or without, and nothing that is secret. */
export class ResourceView {
  readonly #withConfig: boolean;

  constructor(withConfig: boolean) {
    this.#withConfig = withConfig;
  }

  show(status: ResourceStatus): XdsResource {
    const { type, name, state, held, refused, group, hosts } = status;
    const { active, warming, draining } = status.versions ?? { active: held, warming: null, draining: null };
    const version = (one: Held<unknown> | null): XdsVersion | undefined =>
      one === null ? undefined : this.#version(type, one, hosts);
    return {
      type,
      name,
      clientStatus: refused === null ? CLIENT_STATUS[state] : 'NACKED',
      ...(group === undefined ? {} : { group }),
      ...some('active', version(active)),
      ...some('warming', version(warming)),
      ...some('draining', version(draining)),
      ...(refused === null
        ? {}
        : {
            error: {
              version: refused.version,
              message: refused.message,
              at: refused.at.getTime(),
              ...this.#config(type, name, refused.bytes),
            },
          }),
    };
  }

  #version(type: string, held: Held<unknown>, hosts: readonly Held<unknown>[] = []): XdsVersion {
    const { version, updatedAt, bytes } = held;
    const shown = this.#config(type, held.name, bytes);
    if (shown.config !== undefined && hosts.length > 0) {
      const more = hosts.map((host) => jsonOf('envoy.config.route.v3.VirtualHost', host.bytes));
      const own = shown.config.virtual_hosts;
      const all = [...(Array.isArray(own) ? own : []), ...more];
      return { version, updatedAt: updatedAt.getTime(), config: { ...shown.config, virtual_hosts: all } };
    }
    return { version, updatedAt: updatedAt.getTime(), ...shown };
  }

  #config(type: string, name: string, bytes: Uint8Array): { config?: JsonObject } {
    if (!this.#withConfig || bytes.length === 0) return {};
    let json: JsonObject;
    try {
      json = jsonOf(type, bytes);
    } catch {
      // One that was refused may hold what nobody can read.
      json = { name };
    }
    return { config: { '@type': `type.googleapis.com/${type}`, ...json } };
  }
}

/** The first path that leads to no field of the message, or undefined. As in Envoy it ends at a repeated field. */
export function unknownField(type: string, paths: readonly string[]): string | undefined {
  const desc = requireMessage(envoyRegistry(), type);
  return paths.find((path) => !leadsToField(desc, path.split('.')));
}

function leadsToField(desc: DescMessage, path: readonly string[]): boolean {
  let at: DescMessage | undefined = desc;
  for (const segment of path) {
    const field: DescMessage['fields'][number] | undefined = at?.fields.find((one) => one.name === segment);
    if (field === undefined) return false;
    at = field.fieldKind === 'message' ? field.message : undefined;
  }
  return true;
}

/** Proto JSON with Envoy's field names; secrets are replaced before anything leaves this thread. */
function jsonOf(type: string, bytes: Uint8Array): JsonObject {
  const registry = envoyRegistry();
  const desc = requireMessage(registry, type);
  const json = toJson(desc, fromBinary(desc, bytes), { registry, useProtoFieldName: true });
  return redactSecrets(json as Json) as JsonObject;
}

function some<K extends string>(key: K, version: XdsVersion | undefined): { [key in K]?: XdsVersion } {
  return version === undefined ? {} : ({ [key]: version } as { [key in K]: XdsVersion });
}
