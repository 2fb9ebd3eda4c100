import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';
import type { DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { LazyRegistry } from './lazy-registry.ts';

/** Envoy's v3 messages, each loaded at its first use: only what decodes configurations needs them. */
export const envoyRegistry: () => FileRegistry = once(() => loadRegistry(readDescriptorSet()));

/** Builds a registry from a serialized FileDescriptorSet. */
export function loadRegistry(descriptorSet: Uint8Array): FileRegistry {
  return new LazyRegistry(descriptorSet);
}

/** The message of that full name; throws when the descriptor set lacks it, which is a mistake of ours. */
export function requireMessage(registry: FileRegistry, typeName: string): DescMessage {
  const message = registry.getMessage(typeName);
  if (message === undefined) throw new Error(`the descriptor set has no ${typeName}`);
  return message;
}

/** Calls `create` at the first use only. */
export function once<T>(create: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: create() };
    return made.value;
  };
}

/** In a checkout the set lies in `gen/`, in a bundle beside the code, in a single executable inside it. */
function readDescriptorSet(): Uint8Array {
  const name = 'envoy.binpb';
  if (isSea()) return new Uint8Array(getRawAsset(name));
  const places = [join(import.meta.dirname, '../../gen', name), join(import.meta.dirname, name)];
  const found = places.find((place) => existsSync(place));
  if (found === undefined)
    throw new Error(`${name} is missing, run "npm run build:protos" (looked in ${places})`);
  return readFileSync(found);
}
