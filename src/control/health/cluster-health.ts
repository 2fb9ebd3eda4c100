import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { isDnsCluster } from '../../config/cluster-dns.ts';
import { compileStaticHosts } from '../../config/cluster-hosts.ts';
import { clusterLabel } from '../../config/cluster-label.ts';
import { compileHealthCheck, compileHostTurnover, type HostTurnover } from '../../config/health-check.ts';
import { compileOutlierDetection, type Runtime } from '../../config/outlier-detection.ts';
import type { Clock } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../../core/timer-wheel.ts';
import type { StatScope } from '../../stats/scope.ts';
import { hostsByKey } from '../../upstream/cluster.ts';
import type { ClusterHosts, HostSpec } from '../../upstream/cluster-hosts.ts';
import {
  createHealthCheckStats,
  type HealthCheckHappening,
  type HealthCheckParts,
  HealthCheckSession,
  type HealthProbe,
  type ProbeListener,
} from '../../upstream/health-check-session.ts';
import type { HealthCheckSettings } from '../../upstream/health-check-settings.ts';
import type { HostHealth } from '../../upstream/health-view.ts';
import { HEALTH_FLAG } from '../../upstream/host.ts';
import { OutlierDetector, type OutlierHost } from '../../upstream/outlier-detector.ts';
import type { OutlierSignal } from '../../upstream/outlier-monitor.ts';
import { createOutlierRecord } from '../../upstream/outlier-record.ts';
import type { OutlierSettings } from '../../upstream/outlier-settings.ts';
import type { EventFiles } from './event-file.ts';
import { ejectEvent, healthCheckEvent, unejectEvent } from './events.ts';
import { GrpcProbe } from './grpc-probe.ts';
import { HttpProbe } from './http-probe.ts';
import { createOutlierStats } from './outlier-stats.ts';
import { type ProbeTargetParts, ProbeTargets } from './probe-targets.ts';
import { TcpProbe } from './tcp-probe.ts';

/** What all watched clusters share. */
export interface HealthParts extends ProbeTargetParts {
  readonly workers: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: TimerWheel;
  readonly runtime: Runtime;
  /** `cluster_manager.outlier_detection.event_log_path`, '' for none. */
  readonly outlierLogPath: string;
  readonly files: EventFiles;
  /** The root scope. */
  readonly stats: StatScope;
  /** Some worker has connected to the cluster. */
  hasTraffic(label: string): boolean;
  publishHosts(cluster: string, hosts: ClusterHosts): void;
  publishHealth(cluster: string, news: readonly HostHealth[]): void;
}

/** One host of a watched cluster. */
class Member {
  readonly key: string;
  spec: HostSpec;
  flags: number;
  readonly record: Int32Array | null;
  session: HealthCheckSession | null = null;
  #firstCheck: (() => void) | null = null;
  /** Resolves after the first check, or when there will be none. */
  readonly checked: Promise<void>;

  constructor(key: string, spec: HostSpec, flags: number, record: Int32Array | null) {
    this.key = key;
    this.spec = spec;
    this.flags = flags;
    this.record = record;
    this.checked = new Promise((resolve) => {
      this.#firstCheck = resolve;
    });
  }

  settle(): void {
    this.#firstCheck?.();
    this.#firstCheck = null;
  }
}

/** The health of one cluster's hosts, decided here for all workers: members, active checks and ejections. */
export class ClusterHealth implements TimerOwner {
  readonly name: string;
  readonly #parts: HealthParts;
  readonly #turnover: HostTurnover;
  readonly #outlier: OutlierSettings | null;
  readonly #check: HealthCheckSettings | null;
  readonly #checkParts: HealthCheckParts | null;
  readonly #targets: ProbeTargets | null;
  readonly #detector: OutlierDetector | null;
  readonly #members = new Map<string, Member>();
  /** Members whose health the workers have not been told yet. */
  readonly #news = new Set<Member>();
  readonly #sweepTimer = new WheelTimer(this);
  readonly #wakeTimer = new WheelTimer(this);
  #found: ClusterHosts | null = null;
  #started = false;
  #closed = false;

  constructor(config: ClusterConfig, parts: HealthParts) {
    const name = config.name ?? '';
    this.name = name;
    this.#parts = parts;
    this.#outlier = compileOutlierDetection(config, parts.runtime);
    this.#turnover = compileHostTurnover(config);
    this.#check = compileHealthCheck(config, parts.runtime);
    const label = clusterLabel(config);
    const scope = parts.stats.scope('cluster', label, { envoy_cluster_name: label });
    this.#detector = this.#outlier === null ? null : this.#createDetector(this.#outlier, scope);
    this.#targets = this.#check === null ? null : new ProbeTargets(config, this.#check, scope, parts);
    this.#checkParts =
      this.#check === null
        ? null
        : {
            settings: this.#check,
            stats: createHealthCheckStats(scope),
            timers: parts.timers,
            random: parts.random,
            hasTraffic: () => parts.hasTraffic(label),
          };
    if (!isDnsCluster(config) && config.type !== 'EDS') this.#setMembers(compileStaticHosts(config));
  }

  /** Whether anything of `config` needs watching. */
  static watches(config: ClusterConfig): boolean {
    return config.outlierDetection !== undefined || (config.healthChecks?.length ?? 0) > 0;
  }

  /** Discovery's result. The workers get the members, and before them what is known of their health. */
  update(found: ClusterHosts): void {
    const hosts = this.#setMembers(found);
    this.#flush();
    this.#parts.publishHosts(this.name, hosts);
  }

  /** Begins checking and sweeping; resolves when every host had its first check. */
  async start(): Promise<void> {
    this.#started = true;
    if (this.#outlier !== null) this.#parts.timers.schedule(this.#sweepTimer, this.#outlier.intervalMs);
    const members = [...this.#members.values()];
    for (const member of members) member.session?.start();
    await Promise.all(members.map((member) => (member.session === null ? undefined : member.checked)));
  }

  /** All hosts, for a worker that starts. */
  snapshot(): HostHealth[] {
    return [...this.#members.values()].map(healthOf);
  }

  /** Bits of `HEALTH_FLAG` of the hosts that discovery found last, in its order. */
  flags(): number[] {
    const bySpec = new Map(Array.from(this.#members.values(), ({ spec, flags }) => [spec, flags]));
    return (this.#found?.hosts ?? []).map((spec) => bySpec.get(spec) ?? 0);
  }

  onSignal(key: string, signal: OutlierSignal): void {
    this.#detector?.onSignal(key, signal, this.#parts.clock.now());
    this.#armWake();
  }

  /** A response of the host asked to be left out at once. */
  onImmediateFailure(key: string): void {
    this.#members.get(key)?.session?.failPassively();
  }

  get detector(): OutlierDetector | null {
    return this.#detector;
  }

  onTimer(timer: WheelTimer): void {
    const { clock, timers } = this.#parts;
    if (timer === this.#sweepTimer) {
      this.#detector?.sweep(clock.now());
      timers.schedule(this.#sweepTimer, this.#outlier?.intervalMs ?? 0);
    }
    this.#armWake();
  }

  close(): void {
    this.#closed = true;
    this.#parts.timers.cancel(this.#sweepTimer);
    this.#parts.timers.cancel(this.#wakeTimer);
    for (const member of this.#members.values()) member.session?.close();
  }

  /** Returns the members as the workers shall have them. */
  #setMembers(found: ClusterHosts): ClusterHosts {
    const kept = hostsByKey(found.hosts);
    for (const [key, spec] of kept) {
      const member = this.#members.get(key);
      if (member === undefined) this.#add(key, spec);
      else {
        const before = member.spec;
        member.spec = spec;
        if (member.session !== null && this.#targets?.sameTarget(before, spec) === false) {
          // Spoken to otherwise, or elsewhere: what is known of it stays until the next check says more.
          member.session.close();
          this.#openSession(member);
        }
        this.#setFlag(member, HEALTH_FLAG.pendingDynamicRemoval, false);
      }
    }
    const lingering: HostSpec[] = [];
    for (const member of [...this.#members.values()]) {
      if (kept.has(member.key)) continue;
      if (this.#outlivesDiscovery(member)) {
        this.#setFlag(member, HEALTH_FLAG.pendingDynamicRemoval, true);
        lingering.push(member.spec);
      } else this.#remove(member);
    }
    this.#found = found;
    return lingering.length === 0 ? found : { ...found, hosts: [...found.hosts, ...lingering] };
  }

  /** Envoy believes its own checks more than discovery, unless it is told otherwise. */
  #outlivesDiscovery(member: Member): boolean {
    if (member.session === null || this.#turnover.removeHealthy) return false;
    return (member.flags & HEALTH_FLAG.failedActiveHc) === 0;
  }

  #add(key: string, spec: HostSpec): void {
    const record = this.#outlier === null ? null : createOutlierRecord(this.#parts.workers);
    const checks = this.#checkParts !== null && spec.healthCheck?.disabled !== true;
    let flags = 0;
    if (checks) flags |= HEALTH_FLAG.failedActiveHc;
    if (checks && this.#turnover.excludeUnchecked) flags |= HEALTH_FLAG.pendingActiveHc;
    const member = new Member(key, spec, flags, record);
    this.#members.set(key, member);
    if (record !== null) this.#detector?.addHost(key, record);
    if (checks) this.#openSession(member);
    this.#tell(member);
  }

  #remove(member: Member): void {
    this.#members.delete(member.key);
    this.#news.delete(member);
    member.session?.close();
    member.settle();
    this.#detector?.removeHost(member.key);
  }

  #openSession(member: Member): void {
    const parts = this.#checkParts;
    if (parts === null) return;
    member.session = new HealthCheckSession(
      parts,
      {
        get flags() {
          return member.flags;
        },
        set flags(flags) {
          member.flags = flags;
        },
        onChecked: (healthy) => this.#onChecked(member, healthy),
        onHappening: (event) => this.#logCheck(member, event),
      },
      (listener) => this.#createProbe(member.spec, listener),
    );
    if (this.#started) member.session.start();
  }

  #onChecked(member: Member, healthy: boolean): void {
    member.settle();
    this.#tell(member);
    const failed = (member.flags & HEALTH_FLAG.failedActiveHc) !== 0;
    if (healthy && !failed) this.#detector?.onHealthCheckSuccess(member.key, this.#parts.clock.now());
    if (failed && (member.flags & HEALTH_FLAG.pendingDynamicRemoval) !== 0 && this.#found !== null) {
      this.update(this.#found);
    }
  }

  #createProbe(host: HostSpec, listener: ProbeListener): HealthProbe {
    const check = this.#check;
    const targets = this.#targets;
    if (check === null || targets === null) throw new Error('no health check');
    const { probe, reuseConnection: reuse, timeoutMs } = check;
    const target = targets.of(host);
    const cluster = this.name;
    switch (probe.kind) {
      case 'HTTP': {
        const verifyCluster = this.#checkParts?.stats.verifyCluster;
        if (verifyCluster === undefined) throw new Error('no health check');
        return new HttpProbe({ settings: probe, target, host, cluster, reuse, verifyCluster }, listener);
      }
      case 'TCP':
        return new TcpProbe(probe, target, reuse, listener);
      case 'GRPC':
        return new GrpcProbe({ settings: probe, target, host, cluster, reuse, timeoutMs }, listener);
      default:
        return probe satisfies never;
    }
  }

  #createDetector(settings: OutlierSettings, scope: StatScope): OutlierDetector {
    const stats = createOutlierStats(scope, settings.accrual !== null);
    const changed = (host: OutlierHost, out: boolean): void => {
      const member = this.#members.get(host.key);
      if (member === undefined) return;
      this.#setFlag(member, HEALTH_FLAG.onProbation, false);
      this.#setFlag(member, HEALTH_FLAG.failedOutlierCheck, out);
      stats.active(detector.active);
    };
    const detector: OutlierDetector = new OutlierDetector(settings, this.#parts.random, {
      onDetected: stats.detected,
      onOverflow: stats.overflow,
      onEjected: (host, type, enforced) => {
        stats.ejected(type, enforced);
        if (enforced) changed(host, true);
        this.#logOutlier(ejectEvent(this.name, host, detector, { type, enforced }, this.#time()));
      },
      onUnejected: (host) => {
        changed(host, false);
        this.#logOutlier(unejectEvent(this.name, host, this.#time()));
      },
      onProbation: (host) => {
        const member = this.#members.get(host.key);
        if (member === undefined) return;
        stats.probation();
        member.flags &= ~HEALTH_FLAG.failedOutlierCheck;
        member.flags |= HEALTH_FLAG.onProbation;
        this.#tell(member);
      },
      onProbeFailed: (host) => changed(host, true),
    });
    return detector;
  }

  #armWake(): void {
    const next = this.#detector?.wake(this.#parts.clock.now()) ?? Infinity;
    if (next === Infinity) return;
    this.#parts.timers.schedule(this.#wakeTimer, Math.max(1, next - this.#parts.clock.now()));
  }

  #setFlag(member: Member, flag: number, set: boolean): void {
    const flags = set ? member.flags | flag : member.flags & ~flag;
    if (flags === member.flags) return;
    member.flags = flags;
    this.#tell(member);
  }

  /** News of one turn travel together. */
  #tell(member: Member): void {
    if (this.#news.size === 0) queueMicrotask(() => this.#flush());
    this.#news.add(member);
  }

  #flush(): void {
    if (this.#news.size === 0 || this.#closed) return;
    const news = [...this.#news].map(healthOf);
    this.#news.clear();
    this.#parts.publishHealth(this.name, news);
  }

  #time(): { nowMs: number; wallMs: number } {
    return { nowMs: this.#parts.clock.now(), wallMs: this.#parts.clock.wall() };
  }

  #logOutlier(event: object): void {
    const { outlierLogPath, files } = this.#parts;
    if (outlierLogPath !== '') files.write(outlierLogPath, event);
  }

  #logCheck(member: Member, happening: HealthCheckHappening): void {
    const check = this.#check;
    if (check === null) return;
    for (const path of check.eventLogPaths) {
      const event = healthCheckEvent(this.name, member.spec, check, happening, this.#parts.clock.wall());
      this.#parts.files.write(path, event);
    }
  }
}

function healthOf({ key, flags, record }: Member): HostHealth {
  return { key, flags, record };
}
