/**
 * A route configuration with thousands of virtual hosts on its way between threads: the hosts are packed by the
 * hundred, so that who receives it can unpack it a little at a time.
 */
import { deserialize, serialize } from 'node:v8';
import type { Slices } from './slices.ts';

interface Routes {
  readonly name?: string;
  readonly virtualHosts?: readonly object[];
}

interface PackedRoutes extends Routes {
  readonly packedHosts?: readonly Uint8Array[];
}

const HOSTS_PER_PACK = 100;
/** Fewer go as they are. */
const PACKED_FROM = 200;

/** Plain data for `unpackRoutes`. */
export function packRoutes(config: Routes): object {
  const { virtualHosts = [], ...rest } = config;
  if (virtualHosts.length < PACKED_FROM) return config;
  const packedHosts: Uint8Array[] = [];
  for (let at = 0; at < virtualHosts.length; at += HOSTS_PER_PACK) {
    // A copy of its own: a view would take the pool behind it along.
    packedHosts.push(Uint8Array.from(serialize(virtualHosts.slice(at, at + HOSTS_PER_PACK))));
  }
  return { ...rest, packedHosts };
}

export async function unpackRoutes<T extends Routes>(packed: object, slices: Slices): Promise<T> {
  const { packedHosts, ...rest } = packed as PackedRoutes;
  if (packedHosts === undefined) return packed as T;
  const virtualHosts: object[] = [];
  for (const pack of packedHosts) {
    for (const host of deserialize(pack) as object[]) virtualHosts.push(host);
    await slices.breathe();
  }
  return { ...rest, virtualHosts } as unknown as T;
}

/** The same at once, where nobody waits. */
export function unpackRoutesNow<T extends Routes>(packed: object): T {
  const { packedHosts, ...rest } = packed as PackedRoutes;
  if (packedHosts === undefined) return packed as T;
  return {
    ...rest,
    virtualHosts: packedHosts.flatMap((pack) => deserialize(pack) as object[]),
  } as unknown as T;
}
