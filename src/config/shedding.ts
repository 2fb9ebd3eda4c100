import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { connectionSlot, countConnections, reducedTimeout, SIGNAL } from '../core/signals.ts';
import type { RequestShedding } from '../http/manager-options.ts';
import type { ConnectionObserver } from '../net/socket-connection.ts';
import type { StatScope } from '../stats/scope.ts';
import type { CompileContext } from './context.ts';

type Ctx = Pick<CompileContext, 'signals' | 'random' | 'lag'>;

export function compileRequestShedding(ctx: Ctx): RequestShedding {
  const { signals, lag } = ctx;
  return {
    stopsRequest: () =>
      lag.shedding || drawn(ctx, SIGNAL.stopAcceptingRequests) || drawn(ctx, SIGNAL.shedDecodeHeaders),
    lagging: () => lag.shedding,
    idleMs: (ms) => reducedTimeout(signals, SIGNAL.idleMinScale, ms),
    streamIdleMs: (ms) => reducedTimeout(signals, SIGNAL.streamIdleMinScale, ms),
    disablesKeepalive: () => drawn(ctx, SIGNAL.disableHttpKeepalive),
  };
}

/** Counts the worker's downstream connections where all workers see them. */
export function countedConnections(
  observer: ConnectionObserver,
  ctx: Pick<CompileContext, 'signals' | 'worker'>,
): ConnectionObserver {
  const { signals, worker } = ctx;
  const slot = connectionSlot(worker);
  return {
    onOpen: () => {
      signals[slot] = (signals[slot] ?? 0) + 1;
      observer.onOpen();
    },
    onClosed: (lengthMs, id) => {
      signals[slot] = (signals[slot] ?? 0) - 1;
      observer.onClosed(lengthMs, id);
    },
  };
}

/**
 * Whether a listener takes another connection. All workers together keep to the limit of connections, give or take
 * what they accept in the same moment; `overload.global_downstream_max_connections` is its older name, in runtime.
 */
export function compileAdmission(
  config: Listener,
  scope: StatScope,
  ctx: Pick<CompileContext, 'signals' | 'random' | 'runtime'>,
): () => boolean {
  const { signals } = ctx;
  const rejected = scope.counter('downstream_cx_overload_reject');
  const globalOverflow = scope.counter('downstream_global_cx_overflow');
  const ofRuntime = integer(ctx.runtime('overload.global_downstream_max_connections'));
  const global = config.ignoreGlobalConnLimit !== true;
  const bypass = config.bypassOverloadManager === true;
  return () => {
    if (!bypass && rejects(ctx)) {
      rejected.inc();
      return false;
    }
    const limit = global ? signals[SIGNAL.maxConnections] || ofRuntime : 0;
    if (limit > 0 && countConnections(signals) >= limit) {
      globalOverflow.inc();
      return false;
    }
    return true;
  };
}

function rejects(ctx: Pick<CompileContext, 'signals' | 'random'>): boolean {
  return (
    drawn(ctx, SIGNAL.stopAcceptingConnections) ||
    drawn(ctx, SIGNAL.rejectIncomingConnections) ||
    drawn(ctx, SIGNAL.shedAccept)
  );
}

/** True with the probability that the signal says. */
function drawn(ctx: Pick<CompileContext, 'signals' | 'random'>, signal: number): boolean {
  const state = ctx.signals[signal] ?? 0;
  return state > 0 && (state >= 1 || ctx.random.float() < state);
}

function integer(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : -1;
}
