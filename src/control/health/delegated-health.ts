import { isDeepStrictEqual } from 'node:util';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import { compileAssignment } from '../../config/cluster-hosts.ts';
import { clusterLabel } from '../../config/cluster-label.ts';
import type { DelegatedCluster, DelegatedStatus } from '../../core/xds-protocol.ts';
import type { StatScope } from '../../stats/scope.ts';
import type { ClusterHosts } from '../../upstream/cluster-hosts.ts';
import { HEALTH_FLAG } from '../../upstream/host.ts';
import { ClusterHealth, type HealthParts } from './cluster-health.ts';

/** One check of a cluster's hosts. */
interface Check {
  readonly config: ClusterConfig;
  readonly health: ClusterHealth;
  readonly scope: StatScope;
}

interface Watched {
  readonly checks: readonly Check[];
  readonly hosts: ClusterHosts;
}

/**
 * HDS: hosts that are checked for a management server and for nobody else; no request goes to them. What a check is
 * keeps what it knows, also when its hosts change.
 */
export class DelegatedHealth {
  readonly #parts: HealthParts;
  readonly #onProblem: (message: string) => void;
  #checks = new Map<string, Check>();
  #watched: readonly Watched[] = [];

  constructor(parts: HealthParts, onProblem: (message: string) => void) {
    this.#parts = { ...parts, publishHosts: nobody, publishHealth: nobody };
    this.#onProblem = onProblem;
  }

  /** What is checked from now on. */
  set(clusters: readonly DelegatedCluster[]): void {
    const before = this.#checks;
    this.#checks = new Map();
    this.#watched = clusters.map(({ checks, assignment }, i) => {
      const hosts = compileAssignment(assignment as ClusterLoadAssignment);
      return {
        hosts,
        checks: checks.flatMap((config, j) => this.#check(`${i} ${j}`, config, hosts, before) ?? []),
      };
    });
    for (const check of before.values()) stop(check);
  }

  /** By cluster, in the order of its endpoints. As in Envoy, one that nothing checks is not healthy. */
  statuses(): DelegatedStatus[][] {
    return this.#watched.map(({ hosts, checks }) => {
      const flags = checks.map(({ health }) => health.flags());
      return hosts.hosts.map(({ healthCheck }, i) => {
        if (checks.length === 0 || healthCheck?.disabled === true) return 'UNHEALTHY';
        return statusOf(flags.reduce((all, each) => all | (each[i] ?? 0), 0));
      });
    });
  }

  close(): void {
    for (const check of this.#checks.values()) stop(check);
    this.#checks.clear();
    this.#watched = [];
  }

  #check(
    place: string,
    config: ClusterConfig,
    hosts: ClusterHosts,
    before: Map<string, Check>,
  ): Check | null {
    const key = `${place} ${config.name ?? ''}`;
    const known = before.get(key);
    if (known !== undefined && isDeepStrictEqual(known.config, config)) {
      before.delete(key);
      known.health.update(hosts);
      this.#checks.set(key, known);
      return known;
    }
    const label = clusterLabel(config);
    const scope = this.#parts.stats.scope('cluster', label, { envoy_cluster_name: label });
    scope.retain();
    try {
      const check = { config, scope, health: new ClusterHealth(config, this.#parts) };
      check.health.update(hosts);
      void check.health.start();
      this.#checks.set(key, check);
      return check;
    } catch (error) {
      // Secrets of a transport socket, for one, are known here only.
      scope.release();
      this.#onProblem(
        `health checks of cluster '${config.name ?? ''}' for the management server: ${String(error)}`,
      );
      return null;
    }
  }
}

function stop({ health, scope }: Check): void {
  health.close();
  scope.release();
}

function statusOf(flags: number): DelegatedStatus {
  if ((flags & HEALTH_FLAG.failedActiveHc) === 0) {
    return (flags & HEALTH_FLAG.degradedActiveHc) === 0 ? 'HEALTHY' : 'DEGRADED';
  }
  return (flags & HEALTH_FLAG.activeHcTimeout) === 0 ? 'UNHEALTHY' : 'TIMEOUT';
}

function nobody(): void {
  // No worker has these hosts.
}
