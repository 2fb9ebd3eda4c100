import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import { ANY_HOST, type PickContext } from '../upstream/lb/load-balancer.ts';
import type { RetryPolicy } from './retry-policy.ts';

/**
 * A host for a retry, in a priority that was not tried yet if the policy says so: draws again while a predicate
 * refuses, a limited number of times; the last one is taken.
 */
export function pickRetryHost(
  cluster: Cluster,
  first: PickContext | null,
  policy: RetryPolicy,
  tried: readonly Host[],
): Host | undefined {
  const { hostPredicates, priorityFrequency } = policy;
  const context = priorityFrequency === 0 ? first : elsewhere(first, tried, priorityFrequency);
  let host = cluster.pick(context);
  for (let i = 0; i < policy.hostAttempts && host !== undefined; i++) {
    if (!isRefused(host, hostPredicates, tried)) return host;
    host = cluster.pick(context);
  }
  return host;
}

/** `previous_priorities`: after every `frequency` attempts, their priorities are left alone too. */
function elsewhere(first: PickContext | null, tried: readonly Host[], frequency: number): PickContext | null {
  const count = tried.length - (tried.length % frequency);
  let avoidPriorities = 0;
  for (let i = 0; i < count; i++) avoidPriorities |= 1 << Math.min(30, tried[i]?.priority ?? 0);
  return avoidPriorities === 0 ? first : { ...(first ?? ANY_HOST), avoidPriorities };
}

function isRefused(host: Host, predicates: RetryPolicy['hostPredicates'], tried: readonly Host[]): boolean {
  for (const refuses of predicates) if (refuses(host, tried)) return true;
  return false;
}
