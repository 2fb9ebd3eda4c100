import { createHash } from 'node:crypto';
import type { Counter, StatScope } from '../../stats/scope.ts';

/** Envoy's statistics of a subscription, below its prefix (`cluster_manager.cds.`). */
export interface SubscriptionStats {
  readonly attempt: Counter;
  readonly failure: Counter;
  readonly rejected: Counter;
  readonly timedOut: Counter;
  /** An update was looked at: how long that took, in milliseconds, and whether it was accepted. */
  took(ms: number, version: string, accepted: boolean): void;
  /** The subscription has ended. */
  letGo(): void;
}

export function createSubscriptionStats(stats: StatScope, prefix: string): SubscriptionStats {
  const scope = prefix.split('.').reduce((inner, part) => inner.scope(part), stats);
  scope.retain();
  const success = scope.counter('update_success');
  const rejected = scope.counter('update_rejected');
  const time = scope.gauge('update_time', 'max');
  const version = scope.gauge('version', 'max');
  const duration = scope.histogram('update_duration', 'milliseconds');
  return {
    attempt: scope.counter('update_attempt'),
    failure: scope.counter('update_failure'),
    rejected,
    timedOut: scope.counter('init_fetch_timeout'),
    letGo: () => scope.release(),
    took: (ms, text, accepted) => {
      duration.record(ms);
      if (!accepted) {
        rejected.inc();
        return;
      }
      success.inc();
      time.set(Date.now());
      version.set(hashOf(text));
    },
  };
}

/** A number for a version, to see in metrics that it changed. */
function hashOf(version: string): number {
  return createHash('sha256').update(version).digest().readUIntBE(0, 6);
}
