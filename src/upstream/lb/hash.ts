import type { Host } from '../host.ts';

/** 32 bits of a text: FNV-1a with Murmur3's finish, which spreads what is alike. Not for secrets. */
export function hashText(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Puts one more hash to what there is, as Envoy does with several policies. */
export function combineHashes(hash: number | undefined, next: number): number {
  return hash === undefined ? next : (((hash << 1) | (hash >>> 31)) ^ next) >>> 0;
}

/** What stands for a host in a hash: `hash_key` of its `envoy.lb` metadata, its name, or its address. */
export function hashKey(host: Host, useHostname: boolean): string {
  const lb = host.metadata?.['envoy.lb'];
  if (typeof lb === 'object' && lb !== null && 'hash_key' in lb && typeof lb.hash_key === 'string') {
    return lb.hash_key;
  }
  return useHostname && host.hostname !== '' ? host.hostname : host.key;
}
