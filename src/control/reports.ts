import type { LoadedCluster, ReportQuestion } from '../core/xds-protocol.ts';
import type { ControlPlane } from './serve.ts';

/** Gets the xds thread what it reports to management servers. */
export function answerReports(control: ControlPlane, question: ReportQuestion): void {
  const { xds, health } = control;
  switch (question.type) {
    case 'take-loads':
      takeLoads(control, question.id, question.clusters);
      return;
    case 'health-checks':
      health.delegated.set(question.clusters);
      return;
    case 'take-health':
      xds?.send({ type: 'health', id: question.id, statuses: health.delegated.statuses() });
      return;
    default:
      question satisfies never;
  }
}

/** Asks all workers for the load of the clusters of these names or (null) of all; their answers go to the xds thread. */
function takeLoads(control: ControlPlane, id: number, names: readonly string[] | null): void {
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
