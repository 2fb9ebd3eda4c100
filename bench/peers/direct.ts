import type { Peer } from '../topology.ts';

/** No proxy: what the generator and the backend can do by themselves. */
export const direct: Peer = {
  name: 'direct',
  absent: () => undefined,
  unsupported: ({ downstream, upstream }) =>
    downstream === upstream ? undefined : 'the backend does not speak the version of the generator',
  prepare: () => undefined,
};
