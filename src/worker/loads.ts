import { type ClusterLoad, takeLoad } from '../upstream/load.ts';
import type { DataPlane } from './data-plane.ts';

/** Clusters that are looked at before connections have their turn. */
const CLUSTERS_PER_TURN = 500;

/** Load since it was taken last, of the clusters of these names or (null) of all. */
export async function takeLoads(
  { clusters }: Pick<DataPlane, 'clusters'>,
  names: readonly string[] | null,
): Promise<readonly ClusterLoad[]> {
  const loads: ClusterLoad[] = [];
  let looked = 0;
  for (const name of names ?? [...clusters.keys()]) {
    const cluster = clusters.get(name);
    const load = cluster === undefined ? null : takeLoad(cluster);
    if (load !== null) loads.push(load);
    if (++looked % CLUSTERS_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return loads;
}
