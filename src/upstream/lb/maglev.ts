import type { Random } from '../../core/random.ts';
import type { Host } from '../host.ts';
import { hashKey, hashText } from './hash.ts';
import type { CreateLoadBalancer } from './load-balancer.ts';

export interface MaglevOptions {
  /** A prime. */
  readonly tableSize: number;
  readonly useHostname: boolean;
}

export const DEFAULT_MAGLEV: MaglevOptions = { tableSize: 65_537, useHostname: false };

/** Second hash of a host, for its steps through the table. */
const SKIP_SEED = 0x5bd1_e995;

/**
 * Google's Maglev, as in Envoy: hosts take turns in choosing free places of a table, each in an order of its own and as
 * often as its weight says; a request's hash is an index. Without a hash it goes anywhere.
 */
export function compileMaglev(random: Random, options: MaglevOptions): CreateLoadBalancer {
  return (hosts) => {
    if (hosts.length < 2) return { pick: () => hosts[0] };
    const table = createTable(hosts, options);
    return {
      pick(context) {
        const hash = context?.hash ?? random.uint32();
        return hosts[table[hash % table.length] ?? 0];
      },
    };
  };
}

function createTable(hosts: readonly Host[], { tableSize, useHostname }: MaglevOptions): Int32Array {
  const heaviest = Math.max(...hosts.map((host) => host.weight));
  const turns = hosts.map((host) => {
    const key = hashKey(host, useHostname);
    return {
      weight: host.weight,
      due: 0,
      at: hashText(key) % tableSize,
      skip: (hashText(key, SKIP_SEED) % (tableSize - 1)) + 1,
    };
  });
  const table = new Int32Array(tableSize).fill(-1);
  let taken = 0;
  for (let round = 1; taken < tableSize; round++) {
    for (let i = 0; i < turns.length && taken < tableSize; i++) {
      const turn = turns[i];
      // Lighter hosts sit rounds out.
      if (turn === undefined || round * turn.weight < turn.due) continue;
      turn.due += heaviest;
      while (table[turn.at] !== -1) turn.at = (turn.at + turn.skip) % tableSize;
      table[turn.at] = i;
      taken++;
    }
  }
  return table;
}
