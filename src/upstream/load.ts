import type { Address } from '../net/connection.ts';
import type { Cluster } from './cluster.ts';
import type { Host, HostStats } from './host.ts';

/** What one worker did for a host since it was asked last; what runs now is no difference. */
export interface HostLoad {
  readonly address: Address;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly priority: number;
  readonly issued: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly active: number;
}

/** The same for a cluster; hosts with nothing to tell are left out. */
export interface ClusterLoad {
  readonly name: string;
  /** Requests that were refused because a limit was reached. */
  readonly dropped: number;
  readonly hosts: readonly HostLoad[];
}

/** What was told already, kept for clusters that are asked about only. */
export interface LoadMark {
  issued: number;
  succeeded: number;
  failed: number;
}

/** The load since the call before this one; null when there was none. What a removed host did is lost, as in Envoy. */
export function takeLoad(cluster: Cluster): ClusterLoad | null {
  const dropped = cluster.dropped;
  cluster.dropped = 0;
  const hosts: HostLoad[] = [];
  for (const host of cluster.hosts.value?.hosts ?? []) {
    const load = takeHost(host, host.stats);
    if (load !== null) hosts.push(load);
  }
  return dropped === 0 && hosts.length === 0 ? null : { name: cluster.name, dropped, hosts };
}

function takeHost({ address, locality, priority }: Host, stats: HostStats): HostLoad | null {
  if (stats.rqTotal === 0 && stats.rqActive === 0 && stats.rqError === 0) return null;
  stats.told ??= { issued: 0, succeeded: 0, failed: 0 };
  const { told } = stats;
  const issued = stats.rqTotal - told.issued;
  // A success that was told may turn out to be none: the next ones make up for it.
  const succeeded = Math.max(0, stats.rqSuccess - told.succeeded);
  const failed = stats.rqError - told.failed;
  const active = stats.rqActive;
  if (issued === 0 && succeeded === 0 && failed === 0 && active === 0) return null;
  told.issued = stats.rqTotal;
  told.succeeded += succeeded;
  told.failed = stats.rqError;
  return { address, ...locality, priority, issued, succeeded, failed, active };
}
