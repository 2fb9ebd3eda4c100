import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import { hashKey, hashText } from './hash.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';

export interface RingHashOptions {
  readonly minimumSize: number;
  readonly maximumSize: number;
  readonly useHostname: boolean;
}

export const DEFAULT_RING_HASH: RingHashOptions = {
  minimumSize: 1024,
  maximumSize: 8_388_608,
  useHostname: false,
};

/**
 * Envoy's RING_HASH (ketama): each host stands on many places of a ring, in proportion to its weight; a request goes to
 * the next place after its hash, so that few requests move when hosts come and go. Without a hash it goes anywhere.
 */
export function compileRingHash(random: Random, options: RingHashOptions): CreateLoadBalancer {
  return (hosts) => {
    if (hosts.length < 2) return { pick: () => hosts[0] };
    const { places, owners } = createRing(hosts, options);
    return {
      pick(context) {
        const hash = context?.hash ?? random.uint32();
        return hosts[owners[after(places, hash)] ?? 0];
      },
    };
  };
}

/** Places in order, and which host is on each. */
function createRing(
  hosts: readonly Host[],
  { minimumSize, maximumSize, useHostname }: RingHashOptions,
): { readonly places: Uint32Array; readonly owners: Uint32Array } {
  const total = hosts.reduce((sum, host) => sum + host.weight, 0);
  const lightest = Math.min(...hosts.map((host) => host.weight / total));
  const scale = Math.min(Math.ceil(lightest * minimumSize) / lightest, maximumSize);
  const ring: { readonly place: number; readonly owner: number }[] = [];
  let target = 0;
  hosts.forEach((host, owner) => {
    target += (scale * host.weight) / total;
    const key = hashKey(host, useHostname);
    for (let i = 0; ring.length < target; i++) ring.push({ place: hashText(`${key}_${i}`), owner });
  });
  ring.sort((a, b) => a.place - b.place || a.owner - b.owner);
  return {
    places: Uint32Array.from(ring, (one) => one.place),
    owners: Uint32Array.from(ring, (one) => one.owner),
  };
}

/** Index of the first place that is not before `hash`; the ring is closed. */
function after(places: Uint32Array, hash: number): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((places[middle] ?? 0) < hash) low = middle + 1;
    else high = middle;
  }
  return low === places.length ? 0 : low;
}
