import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { DIRECTION, HEALTH, SIGNAL } from '../core/signals.ts';
import type { CompileContext } from './context.ts';

/** Whether the connection that an answer is about to go out on should be given up. Asked per answer, never throws. */
export type DrainDecision = () => boolean;

/**
 * Envoy's drain decision for one listener: at once while `/healthcheck/fail` is in force (unless `drain_type` is
 * MODIFY_ONLY), and during a drain with a probability that grows to 1 over the drain time, so that clients do not
 * all come back at the same moment.
 */
export function compileDrainDecision(
  config: Pick<Listener, 'drainType' | 'trafficDirection'>,
  ctx: Pick<CompileContext, 'signals' | 'clock' | 'random'>,
): DrainDecision {
  const { signals, clock, random } = ctx;
  const closesUnhealthy = config.drainType !== 'MODIFY_ONLY';
  const affectedFrom = isInbound(config) ? DIRECTION.inbound : DIRECTION.all;
  return () => {
    if (closesUnhealthy && signals[SIGNAL.health] === HEALTH.failed) return true;
    const draining = signals[SIGNAL.draining] ?? DIRECTION.none;
    if (draining < affectedFrom) return false;
    if (signals[SIGNAL.drainAtOnce] === 1) return true;
    const timeMs = signals[SIGNAL.drainTimeMs] ?? 0;
    const sinceMs = clock.wall() - (signals[SIGNAL.drainSinceMs] ?? 0);
    return sinceMs >= timeMs || sinceMs > random.float() * timeMs;
  };
}

/** What `inboundonly` of `/drain_listeners` is about. */
export function isInbound(config: Pick<Listener, 'trafficDirection'>): boolean {
  return config.trafficDirection === 'INBOUND';
}
