import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Envoy's v3 messages. Loaded on first use (about 50 ms): only the control thread and the CLI need them. */
export const envoyRegistry: () => FileRegistry = once(() => loadRegistry(readDescriptorSet()));

/** Builds a registry from a serialized FileDescriptorSet. */
export function loadRegistry(descriptorSet: Uint8Array): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));
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
