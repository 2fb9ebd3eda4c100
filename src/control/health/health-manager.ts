import { randomBytes } from 'node:crypto';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { TurnClock } from '../../core/clock.ts';
import { createRandom } from '../../core/random.ts';
import { TimerWheel } from '../../core/timer-wheel.ts';
import { ReadArena } from '../../net/read-arena.ts';
import { createTcpDial } from '../../net/tcp-dial.ts';
import type { ClusterHosts } from '../../upstream/cluster-hosts.ts';
import type { HostHealth, HostSignal } from '../../upstream/health-view.ts';
import type { ClusterStatus } from '../admin/context.ts';
import { ClusterHealth, type HealthParts } from './cluster-health.ts';
import { DelegatedHealth } from './delegated-health.ts';
import { EventFiles } from './event-file.ts';

export type HealthManagerParts = Pick<
  HealthParts,
  | 'compileTransport'
  | 'workers'
  | 'runtime'
  | 'outlierLogPath'
  | 'stats'
  | 'hasTraffic'
  | 'publishHosts'
  | 'publishHealth'
> & {
  readonly onFileError: (path: string, error: Error) => void;
  readonly onProblem: (message: string) => void;
};

/** Watches the hosts of all clusters that ask for it: the one owner of checks and ejections in the process. */
export class HealthManager {
  readonly #clusters = new Map<string, ClusterHealth>();
  readonly #parts: HealthManagerParts;
  readonly #clock = new TurnClock();
  readonly #timers = new TimerWheel(this.#clock);
  readonly #files: EventFiles;
  /** Made with the first cluster that is watched. */
  #shared: HealthParts | null = null;
  #delegated: DelegatedHealth | null = null;

  constructor(clusters: readonly ClusterConfig[], parts: HealthManagerParts) {
    this.#parts = parts;
    this.#files = new EventFiles(parts.onFileError);
    for (const config of clusters) this.set(config);
  }

  /** Adds or replaces a cluster; what was known of the hosts of a replaced one is forgotten. */
  set(config: ClusterConfig): void {
    const name = config.name ?? '';
    this.remove(name);
    if (!ClusterHealth.watches(config)) return;
    this.#shared ??= this.#share();
    this.#clusters.set(name, new ClusterHealth(config, this.#shared));
  }

  remove(name: string): void {
    this.#clusters.get(name)?.close();
    this.#clusters.delete(name);
  }

  watches(name: string): boolean {
    return this.#clusters.has(name);
  }

  /** Begins to check the hosts of one cluster; resolves after the first round. */
  async startCluster(name: string): Promise<void> {
    await this.#clusters.get(name)?.start();
  }

  #share(): HealthParts {
    let lastId = 0;
    return {
      ...this.#parts,
      clock: this.#clock,
      random: createRandom(randomBytes(4).readUInt32LE()),
      timers: this.#timers,
      files: this.#files,
      dial: createTcpDial(() => --lastId, new ReadArena(this.#clock)),
    };
  }

  /** Hosts that are checked for a management server; made when there are some. */
  get delegated(): DelegatedHealth {
    this.#shared ??= this.#share();
    this.#delegated ??= new DelegatedHealth(this.#shared, this.#parts.onProblem);
    return this.#delegated;
  }

  /** What discovery found goes to the workers by way of here. */
  onHosts(cluster: string, hosts: ClusterHosts): void {
    const health = this.#clusters.get(cluster);
    if (health === undefined) this.#parts.publishHosts(cluster, hosts);
    else health.update(hosts);
  }

  /** After discovery's first results. Resolves after the first round of checks: the clusters are warm then. */
  async start(): Promise<void> {
    await Promise.all([...this.#clusters.values()].map((cluster) => cluster.start()));
  }

  /** What a worker needs to start, by cluster. */
  seed(): [string, readonly HostHealth[]][] {
    return Array.from(this.#clusters, ([name, cluster]) => [name, cluster.snapshot()]);
  }

  /** The same for one cluster; undefined when nobody watches it. */
  snapshot(cluster: string): readonly HostHealth[] | undefined {
    return this.#clusters.get(cluster)?.snapshot();
  }

  onSignal(cluster: string, host: string, signal: HostSignal): void {
    const health = this.#clusters.get(cluster);
    if (signal === 'immediate-failure') health?.onImmediateFailure(host);
    else health?.onSignal(host, signal);
  }

  /** Adds what only the control thread knows to what the workers said. */
  annotate(cluster: ClusterStatus): ClusterStatus {
    const detector = this.#clusters.get(cluster.name)?.detector;
    if (detector == null) return cluster;
    const hosts = cluster.hosts.map((host) => {
      const known = detector.hosts.get(host.key);
      if (known === undefined) return host;
      const { successRate, localOriginSuccessRate } = known;
      return { ...host, successRate, localOriginSuccessRate };
    });
    return {
      ...cluster,
      hosts,
      outlier: {
        successRateAverage: detector.external.average,
        successRateEjectionThreshold: detector.external.threshold,
        localOriginSuccessRateAverage: detector.localOrigin.average,
        localOriginSuccessRateEjectionThreshold: detector.localOrigin.threshold,
      },
    };
  }

  reopenLogs(): void {
    this.#files.reopen();
  }

  close(): void {
    for (const cluster of this.#clusters.values()) cluster.close();
    this.#delegated?.close();
    this.#timers.close();
    this.#files.close();
  }
}
