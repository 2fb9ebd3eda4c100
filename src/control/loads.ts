import type { LoadedCluster } from '../core/xds-protocol.ts';
import type { ControlPlane } from './serve.ts';

/** Asks all workers for the load of the clusters of these names or (null) of all; their answers go to the xds thread. */
export function takeLoads(control: ControlPlane, id: number, names: readonly string[] | null): void {
  const { supervisor, live, xds } = control;
  const configs =
    names === null ? live.clusters.values() : names.flatMap((name) => live.clusters.get(name) ?? []);
  const clusters = Array.from(
    configs,
    ({ name = '', edsClusterConfig }): LoadedCluster => ({
      name,
      serviceName: edsClusterConfig?.serviceName ?? '',
    }),
  );
  xds?.send({ type: 'clusters', id, workers: supervisor.alive, clusters });
  supervisor.broadcast({ type: 'take-loads', id, clusters: names });
}
