import { fromBinary, toJson } from '@bufbuild/protobuf';
import { type Json, type JsonObject, SENSITIVE } from '../core/redact.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';

/** Where a secret is, and not the secret. */
const REFERENCES: ReadonlySet<string> = new Set(['@type', 'filename', 'environment_variable']);
const ANY = Buffer.from('type.googleapis.com/');

/**
 * Whether a serialized resource holds a secret itself (and not the name of a file or of another resource that has it). What
 * cannot be read counts as one.
 */
export function holdsSecrets(type: string, bytes: Uint8Array): boolean {
  // Envoy has them in extensions only; endpoints and plain clusters need not be decoded.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(ANY)) return false;
  try {
    const registry = envoyRegistry();
    const desc = requireMessage(registry, type);
    return finds(toJson(desc, fromBinary(desc, bytes), { registry, useProtoFieldName: true }) as Json, '');
  } catch {
    return true;
  }
}

function finds(value: Json | undefined, parent: string): boolean {
  if (Array.isArray(value)) return value.some((item: Json) => finds(item, parent));
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value as JsonObject).some(([field, inner]) => {
    const secret = SENSITIVE.has(field) || SENSITIVE.has(`${parent}.${field}`);
    return secret ? saysMore(inner) : finds(inner, field);
  });
}

/** There is something beside references. */
function saysMore(value: Json | undefined): boolean {
  if (Array.isArray(value)) return value.some((item: Json) => saysMore(item));
  if (typeof value !== 'object' || value === null)
    return value !== undefined && value !== null && value !== '';
  return Object.entries(value as JsonObject).some(
    ([field, inner]) => !REFERENCES.has(field) && saysMore(inner),
  );
}
