import { Slices } from '../core/slices.ts';
import { type ClusterLoad, takeLoad } from '../upstream/load.ts';
import type { DataPlane } from './data-plane.ts';
import { SLICE_MS } from './update.ts';

/** Load since it was taken last, of the clusters of these names or (null) of all. */
export async function takeLoads(
  { clusters }: Pick<DataPlane, 'clusters'>,
  names: readonly string[] | null,
): Promise<readonly ClusterLoad[]> {
  const loads: ClusterLoad[] = [];
  const slices = new Slices(SLICE_MS);
  for (const name of names ?? [...clusters.keys()]) {
    const cluster = clusters.get(name);
    const load = cluster === undefined ? null : takeLoad(cluster);
    if (load !== null) loads.push(load);
    await slices.breathe();
  }
  return loads;
}
