import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { type Any as AnyMessage, durationMs } from '@bufbuild/protobuf/wkt';
import { typeNameOf } from '../../proto/json-check.ts';
import { envoyRegistry, requireMessage } from '../../proto/registry.ts';
import type { RawResource } from './discovery.ts';

const WRAPPER = 'envoy.service.discovery.v3.Resource';
/** Istio's names for DNS: of all that come by xDS, the ones without a name of their own. */
export const NAME_TABLE = 'istio.networking.nds.v1.NameTable';

/** A packed message, as far as it matters here. */
type Any = Pick<AnyMessage, 'typeUrl' | 'value'>;

/** One resource of a response; `raw` is null for a heartbeat, which only says that the resource is still there. */
export interface ReadResource {
  readonly name: string;
  readonly raw: RawResource | null;
  /** Other names that it was asked for by (VHDS). */
  readonly aliases?: readonly string[];
  /** The answer to a question for these names: there is no such resource. */
  readonly nothing?: boolean;
  /** Milliseconds, undefined for one that does not expire. */
  readonly ttlMs: number | undefined;
}

/** `envoy.service.discovery.v3.Resource`, as far as it matters here. */
export interface WrappedResource {
  readonly name: string;
  readonly version: string;
  readonly resource?: Any;
  readonly aliases?: readonly string[];
  readonly ttl?: Parameters<typeof durationMs>[0];
}

/** An entry of a state-of-the-world response. Throws an Error that says what is wrong with it. */
export function readAny(any: Any, version: string): ReadResource {
  const type = typeNameOf(any.typeUrl);
  if (type === undefined) throw new Error(`'${any.typeUrl}' is no type URL`);
  if (type !== WRAPPER) {
    return { name: nameOf(any.value, type), raw: rawOf(any, type, '', version), ttlMs: undefined };
  }
  let wrapped: ReturnType<typeof fromBinary>;
  try {
    wrapped = fromBinary(requireMessage(envoyRegistry(), WRAPPER), any.value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`a ${WRAPPER} cannot be decoded: ${why}`, { cause });
  }
  return readWrapped(wrapped as unknown as WrappedResource, version);
}

/** An entry of a delta response. */
export function readWrapped(wrapped: WrappedResource, version = ''): ReadResource {
  const { resource, ttl, aliases = [] } = wrapped;
  const ttlMs = ttl === undefined ? undefined : durationMs(ttl);
  if (resource === undefined) {
    if (ttlMs === undefined && aliases.length > 0) {
      return { name: wrapped.name, raw: null, ttlMs, aliases, nothing: true };
    }
    if (ttlMs === undefined) throw new Error(`resource '${wrapped.name}' is empty`);
    return { name: wrapped.name, raw: null, ttlMs };
  }
  const type = typeNameOf(resource.typeUrl);
  if (type === undefined) throw new Error(`'${resource.typeUrl}' is no type URL`);
  const name = wrapped.name || nameOf(resource.value, type);
  const raw = rawOf(resource, type, name, wrapped.version || version);
  return { name, raw: aliases.length === 0 ? raw : { ...raw, aliases }, ttlMs, aliases };
}

function rawOf(any: Any, type: string, name: string, version: string): RawResource {
  // Copied out: the bytes are a view of the whole response, which they would keep alive.
  const bytes = new Uint8Array(any.value);
  return { name: name || nameOf(bytes, type), version, type, bytes };
}

/** All resource types have their name in field 1; read without decoding the rest. */
function nameOf(bytes: Uint8Array, type: string): string {
  if (type === NAME_TABLE) return '';
  try {
    const reader = new BinaryReader(bytes);
    let name = '';
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.LengthDelimited) name = reader.string();
      else reader.skip(wire, field);
    }
    return name;
  } catch (cause) {
    throw new Error(
      `a ${type} cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
  }
}
