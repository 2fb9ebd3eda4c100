import { serialize } from 'node:v8';

/** A plain value for `v8.deserialize`, in memory of its own: a view would take the pool behind it along. */
export function pack(value: unknown): Uint8Array {
  return Uint8Array.from(serialize(value));
}
