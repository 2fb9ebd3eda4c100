import type { Exchange } from '../http/exchange.ts';
import type { ResponseHead } from '../http/stream.ts';
import type { ClusterPick, Route } from './action.ts';
import { applyHeaderMutations } from './policy.ts';

/** The route that the connection manager found for an exchange; null when there is none. */
export function routeOf<C>(x: Exchange): Route<C> | null {
  // Only the route table writes the field; the http layer carries it without knowing routes.
  return x.route as Route<C> | null;
}

/** The cluster that was drawn with a forwarding route; null for other routes. */
export function pickOf<C>(x: Exchange): ClusterPick<C> | null {
  return x.clusterPick as ClusterPick<C> | null;
}

/** Applies `response_headers_to_add` and `…_to_remove` of all levels to any response, local ones included. */
export function applyResponseRules(x: Exchange, head: ResponseHead): void {
  const pick = pickOf(x);
  const rules = pick === null ? routeOf(x)?.responseMutations : pick.responseMutations;
  if (rules === undefined) return;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i];
    if (rule !== undefined) applyHeaderMutations(rule, head.headers, x);
  }
}
