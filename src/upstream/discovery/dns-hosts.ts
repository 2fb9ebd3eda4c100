import type { Random } from '../../core/random.ts';
import type { Scope } from '../../core/scope.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../../core/timer-wheel.ts';
import type { ClusterHosts, HostSpec } from '../cluster-hosts.ts';
import type { DnsFamily, DnsResolver, DnsResult, ResolvedAddress } from './dns-resolver.ts';
import type { UpdateStats } from './update-stats.ts';

/** An endpoint whose name is to be resolved; everything else about its hosts is known. */
export interface DnsTarget {
  readonly name: string;
  readonly port: number;
  /** What its hosts have in common; the address is filled in per answer. */
  readonly spec: HostSpec;
}

/** A STRICT_DNS or LOGICAL_DNS cluster, as far as resolving goes. */
export interface DnsSettings {
  readonly targets: readonly DnsTarget[];
  /** LOGICAL_DNS: there is one host, which is wherever the newest answer with an address begins. */
  readonly logical: boolean;
  readonly family: DnsFamily;
  readonly refreshMs: number;
  /** `dns_failure_refresh_rate`; without it failures are retried at the normal rate. */
  readonly failureBackoff: { readonly baseMs: number; readonly maxMs: number } | null;
  readonly respectTtl: boolean;
  readonly overprovisioningFactor: number;
}

export interface DiscoveryContext {
  readonly resolver: DnsResolver;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly stats: UpdateStats;
  /** Ends the resolving. */
  readonly scope: Scope;
  /** Called once when every name was answered or failed, then with each change. */
  onHosts(hosts: ClusterHosts): void;
  /** A name could not be resolved; it is tried again. */
  onFailure(name: string, error: string): void;
}

/**
 * Resolves the names of a cluster again and again, each at its own pace; every address is a host (LOGICAL_DNS: the
 * first one). Runs on the control thread. A failed answer keeps the hosts that the name had; an answer without addresses
 * removes them, but counts as a failure where the host is the name.
 *
 * The first report waits for all names, where Envoy is content with one: otherwise the first requests would
 * all go to the hosts of the fastest name.
 */
export function startDns(settings: DnsSettings, context: DiscoveryContext): void {
  const { targets, overprovisioningFactor } = settings;
  const runs: TargetRun[] = [];
  let waiting = targets.length;
  const report = (): void => {
    if (waiting > 0 || context.scope.closed) return;
    context.onHosts({ hosts: runs.flatMap((run) => run.hosts), overprovisioningFactor });
  };
  for (const target of targets) {
    runs.push(
      new TargetRun(target, settings, context, (first, changed) => {
        if (first) waiting--;
        if (changed || (first && waiting === 0)) report();
      }),
    );
  }
  for (const run of runs) run.start();
  if (targets.length === 0) report();
}

/** One name: its hosts now, and the timer until it is asked for again. */
class TargetRun implements TimerOwner {
  hosts: readonly HostSpec[] = [];
  readonly #target: DnsTarget;
  readonly #settings: DnsSettings;
  readonly #context: DiscoveryContext;
  readonly #onAnswer: (first: boolean, changed: boolean) => void;
  readonly #timer: WheelTimer;
  #answered = false;
  #failures = 0;

  constructor(
    target: DnsTarget,
    settings: DnsSettings,
    context: DiscoveryContext,
    onAnswer: (first: boolean, changed: boolean) => void,
  ) {
    this.#target = target;
    this.#settings = settings;
    this.#context = context;
    this.#onAnswer = onAnswer;
    this.#timer = new WheelTimer(this);
  }

  start(): void {
    this.#context.scope.own(() => this.#context.timers.cancel(this.#timer));
    this.onTimer();
  }

  onTimer(): void {
    const { resolver, stats, scope } = this.#context;
    if (scope.closed) return;
    stats.attempt.inc();
    void resolver.resolve(this.#target.name, this.#settings.family).then((result) => this.#onResult(result));
  }

  #onResult(result: DnsResult): void {
    const { scope, timers } = this.#context;
    if (scope.closed) return;
    const { logical } = this.#settings;
    let changed = false;
    let nextMs: number;
    if (result.ok && (!logical || result.addresses.length > 0)) {
      const addresses = logical ? result.addresses.slice(0, 1) : result.addresses;
      changed = this.#onAddresses(addresses);
      nextMs = this.#refreshMs(addresses);
    } else {
      this.#onFailure(result.ok ? 'no addresses' : result.error);
      nextMs = this.#backoffMs();
    }
    timers.schedule(this.#timer, nextMs);
    const first = !this.#answered;
    this.#answered = true;
    this.#onAnswer(first, changed);
  }

  #onAddresses(addresses: readonly ResolvedAddress[]): boolean {
    const { stats } = this.#context;
    stats.success.inc();
    this.#failures = 0;
    const changed = this.#take(addresses.map((address) => address.ip));
    if (!changed && !this.#settings.logical) stats.noRebuild.inc();
    return changed;
  }

  #onFailure(error: string): void {
    this.#context.stats.failure.inc();
    this.#context.onFailure(this.#target.name, error);
    this.#failures++;
  }

  /** True when the set of addresses is another one; their order does not matter. */
  #take(ips: readonly string[]): boolean {
    const now = new Set(ips);
    const before = new Set(this.hosts.map((host) => host.address.ip));
    if (now.size === before.size && ips.every((ip) => before.has(ip))) return false;
    const { spec, port } = this.#target;
    this.hosts = [...now].map((ip) => ({ ...spec, address: { ip, port, path: '' } }));
    return true;
  }

  #refreshMs(addresses: readonly ResolvedAddress[]): number {
    const { respectTtl, refreshMs } = this.#settings;
    if (!respectTtl || addresses.length === 0) return refreshMs;
    const ttlMs = Math.min(...addresses.map((address) => address.ttlMs));
    return ttlMs > 0 ? ttlMs : refreshMs;
  }

  /** Envoy's jittered exponential back-off: uniform below a bound that doubles. */
  #backoffMs(): number {
    const { failureBackoff, refreshMs } = this.#settings;
    if (failureBackoff === null) return refreshMs;
    const bound = Math.min(failureBackoff.maxMs, failureBackoff.baseMs * 2 ** (this.#failures - 1));
    return Math.max(1, this.#context.random.float() * bound);
  }
}
