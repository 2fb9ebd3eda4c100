import { type Json, type JsonObject, redactSecrets } from '../../core/redact.ts';
import type { FileSecret } from './context.ts';
import { TYPES } from './dump-dynamic.ts';
import type { DumpItem, DumpList } from './json-text.ts';

/** In front of every name, so that a page that ends here goes on with the names. */
const MARK = '\u0000';

/** The active secrets: those from files of the bootstrap first, then those of control planes, each name once. */
export function withFileSecrets(
  list: DumpList,
  secrets: readonly FileSecret[],
  accepts: (name: string) => boolean,
): DumpList {
  const chosen = secrets.filter(({ name }) => accepts(name));
  return {
    ...list,
    items: async function* (after) {
      const first =
        after === undefined ? 0 : after.startsWith(MARK) ? Number(after.slice(1)) + 1 : chosen.length;
      const items = chosen.map((secret, i): DumpItem => ({ json: secretJson(secret), token: MARK + i }));
      yield items.slice(first);
      const known = new Set(chosen.map(({ name }) => name));
      for await (const slice of list.items(after?.startsWith(MARK) === true ? undefined : after))
        yield slice.filter(({ json }) => !known.has(String(json.name)));
    },
  };
}

function secretJson({ name, updatedAt, secret }: FileSecret): JsonObject {
  return {
    name,
    last_updated: updatedAt.toISOString(),
    secret: redactSecrets({
      '@type': `type.googleapis.com/${TYPES.secret}`,
      ...(protoJson(secret) as JsonObject),
    }),
    client_status: 'ACKED',
  };
}

/** A plain object as proto JSON. Bytes that were read from a file stand for its name, as Envoy shows them. */
function protoJson(value: unknown): Json {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(protoJson);
  if (typeof value !== 'object' || value === null) return value as string | number | boolean | null;
  const fields = Object.entries(value).filter(([field]) => field !== 'filename' || !('inlineBytes' in value));
  return Object.fromEntries(
    fields.map(([field, inner]) => [
      field.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
      protoJson(inner),
    ]),
  );
}
