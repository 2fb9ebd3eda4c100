import type { Random } from '../core/random.ts';
import type { AccrualSettings } from './outlier-settings.ts';

/** A host that is shut until a probe succeeds. */
export interface AccrualState {
  /** Back-off without its jitter. */
  penaltyMs: number;
  /** When probation is offered (again). */
  untilMs: number;
}

export function startAccrual(settings: AccrualSettings, nowMs: number, random: Random): AccrualState {
  const penaltyMs = settings.minPenaltyMs;
  return { penaltyMs, untilMs: nowMs + jittered(penaltyMs, settings, random) };
}

/** A probe failed: the back-off doubles, up to its limit. */
export function nextPenaltyMs(state: AccrualState, settings: AccrualSettings, random: Random): number {
  state.penaltyMs = Math.min(settings.maxPenaltyMs, 2 * state.penaltyMs);
  return jittered(state.penaltyMs, settings, random);
}

function jittered(penaltyMs: number, settings: AccrualSettings, random: Random): number {
  return penaltyMs * (1 + settings.jitterRatio * random.float());
}
