import type { Peer } from '../topology.ts';

/** No proxy: what the generator and the backend can do by themselves. */
export const direct: Peer = {
  name: 'direct',
  absent: () => undefined,
  unsupported: () => undefined,
  prepare: () => undefined,
};
