import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { UpdateOutcome } from '../../core/config-update.ts';
import { clustersOf, managersOf } from './references.ts';

/** Milliseconds. */
export interface HoldLimits {
  /** A cluster that warms for longer holds nothing up any more: what leads to it answers 503, as in Envoy. */
  readonly warmingMs: number;
  /** So long what is in force already waits for a cluster that nobody has heard of: servers order as they like. */
  readonly unknownMs: number;
}

const LIMITS: HoldLimits = { warmingMs: 15_000, unknownMs: 1000 };

/** What is known of a cluster: nothing, that it warms for the first time, or that a version of it serves. */
export type Readiness = 'unknown' | 'warming' | 'ready';

/**
 * Which routes and listeners must wait for clusters that they lead to: a new cluster warms before anything uses it,
 * and what went out before serves on until then.
 */
export class HoldBack {
  readonly #readiness: (cluster: string) => Readiness;
  readonly #recheck: () => void;
  readonly #limits: HoldLimits;
  /** Clusters in force, or on their way to the workers. */
  readonly #sent = new Set<string>();
  /** Of them, those that wait for DNS or a first health check. */
  readonly #warmingThere = new Set<string>();
  readonly #since = new Map<string, number>();
  /** Clusters that were waited for, and never came. */
  readonly #vain = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #wakesAt = 0;

  /** `recheck` is called when waiting has taken long enough. */
  constructor(readiness: (cluster: string) => Readiness, recheck: () => void, limits = LIMITS) {
    this.#readiness = readiness;
    this.#recheck = recheck;
    this.#limits = limits;
  }

  /** Clusters that are about to go to the workers. */
  sending(configs: Iterable<object>): void {
    for (const config of configs as Iterable<Cluster>) {
      const { name = '', type, healthChecks = [] } = config;
      const takesTime = type === 'STRICT_DNS' || type === 'LOGICAL_DNS' || healthChecks.length > 0;
      if (takesTime && !this.#sent.has(name)) this.#warmingThere.add(name);
      this.#sent.add(name);
    }
  }

  /** It went to the workers, and waits there for DNS or a first health check. */
  warms(cluster: string): boolean {
    return this.#warmingThere.has(cluster);
  }

  /** They are there. True when some of them did not warm after all: what leads to them need not wait. */
  sent(configs: Iterable<object>, { warming = [] }: UpdateOutcome): boolean {
    let came = false;
    for (const { name = '' } of configs as Iterable<Cluster>)
      if (!warming.includes(name) && this.#warmingThere.delete(name)) came = true;
    return came;
  }

  removed(cluster: string): void {
    this.#sent.delete(cluster);
    this.#warmingThere.delete(cluster);
  }

  /** A cluster that had waited for DNS or a first health check is in force. */
  warmed(cluster: string): void {
    this.#warmingThere.delete(cluster);
  }

  /**
   * True while the resource leads to a cluster that is not there yet. `key` tells resources apart; `replaces`: a
   * version before it is in force.
   */
  mustWait(key: string, config: object, replaces: boolean): boolean {
    const clusters = clustersOf(config);
    let limitMs = 0;
    for (const name of clusters) limitMs = Math.max(limitMs, this.#patienceWith(name, replaces));
    if (limitMs === 0) {
      this.#since.delete(key);
      return false;
    }
    const now = performance.now();
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    const leftMs = since + limitMs - now;
    if (leftMs > 0) {
      this.#wakeIn(leftMs);
      return true;
    }
    for (const name of clusters) if (this.#patienceWith(name, replaces) > 0) this.#vain.add(name);
    this.#since.delete(key);
    return false;
  }

  /** Milliseconds. */
  #patienceWith(cluster: string, replaces: boolean): number {
    const readiness = this.#readiness(cluster);
    if (readiness === 'ready' && !this.#warmingThere.has(cluster)) {
      this.#vain.delete(cluster);
      return 0;
    }
    if (this.#vain.has(cluster)) return 0;
    if (readiness !== 'unknown') return this.#limits.warmingMs;
    return replaces ? this.#limits.unknownMs : 0;
  }

  #wakeIn(ms: number): void {
    const at = performance.now() + ms;
    if (this.#timer !== null && this.#wakesAt <= at) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wakesAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#recheck();
    }, ms).unref();
  }
}

/** Names of route configurations that the connection managers of a listener ask for. */
export function routesOf(listener: object): string[] {
  return managersOf(listener).flatMap(({ rds }) => rds?.routeConfigName ?? []);
}
