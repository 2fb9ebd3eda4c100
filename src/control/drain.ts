import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { listenerStatPrefix } from '../config/listener.ts';
import { DIRECTION, HEALTH, SIGNAL } from '../core/signals.ts';
import type { StatAggregator } from '../stats/aggregator.ts';
import type { DrainOptions } from './admin/context.ts';

/** Workers say every 50 ms how many connections are left. */
const LOOK_MS = 60;

/** How the process ends when it is asked to end; times in milliseconds, counted from the signal. */
export interface DrainTimes {
  /** Readiness fails already, but connections and requests are taken: what routes to us needs time to hear of it. */
  readonly lameDuckMs: number;
  /** Then what is still open is cut. */
  readonly deadlineMs: number;
}

export interface DrainParts {
  readonly signals: Float64Array;
  readonly stopListening: (inboundOnly: boolean) => void;
  /** Connections may go from here on. */
  readonly startDrain: () => void;
  /** Infinity until every worker has said how many it has. */
  readonly openConnections: () => number;
  readonly aggregator: Pick<StatAggregator, 'series'>;
  readonly listeners: readonly Listener[];
  readonly log: (message: string) => void;
  /** A second signal was faster. */
  readonly stopped: () => boolean;
}

/**
 * The end on SIGTERM, up to the moment when the process can exit: lame duck, drain, report. Resolves with false when
 * a second signal was faster.
 */
export async function drainProcess(times: DrainTimes, parts: DrainParts): Promise<boolean> {
  const { signals, listeners, log, stopped } = parts;
  const began = performance.now();
  const before = countListeners(parts);
  // A failure that an operator asked for closes connections as well; ours must not, yet.
  if (signals[SIGNAL.health] === HEALTH.ok) signals[SIGNAL.health] = HEALTH.leaving;
  const lameDuckMs = listeners.length === 0 ? 0 : Math.min(times.lameDuckMs, times.deadlineMs);
  if (lameDuckMs > 0) {
    log(`draining: not ready any more, takes connections for another ${seconds(lameDuckMs)}`);
    while (!stopped() && performance.now() - began < lameDuckMs)
      await sleep(Math.min(LOOK_MS, Math.max(1, lameDuckMs - (performance.now() - began))));
    if (stopped()) return false;
  }
  log('draining: no new connections, the present ones may finish');
  signals[SIGNAL.drainAtOnce] = 1;
  signals[SIGNAL.draining] = DIRECTION.all;
  parts.stopListening(false);
  parts.startDrain();
  do await sleep(LOOK_MS);
  while (!stopped() && parts.openConnections() > 0 && performance.now() - began < times.deadlineMs);
  if (stopped()) return false;
  const tookMs = performance.now() - began;
  for (const line of drainReport(tookMs, lameDuckMs, before, countListeners(parts))) log(line);
  return true;
}

/** `/drain_listeners`: closes listeners, after the drain time when asked to be graceful. Never ends the process. */
export function drainListeners(
  options: DrainOptions,
  parts: Pick<DrainParts, 'signals' | 'stopListening'>,
): NodeJS.Timeout | undefined {
  const { signals, stopListening } = parts;
  if (!options.graceful) {
    stopListening(options.inboundOnly);
    return undefined;
  }
  const direction = options.inboundOnly ? DIRECTION.inbound : DIRECTION.all;
  // As in Envoy: a drain that runs already is not begun again.
  if ((signals[SIGNAL.draining] ?? 0) >= direction) return undefined;
  signals[SIGNAL.drainSinceMs] = Date.now();
  signals[SIGNAL.draining] = direction;
  if (options.skipExit) return undefined;
  const timer = setTimeout(() => stopListening(options.inboundOnly), signals[SIGNAL.drainTimeMs] ?? 0);
  return timer.unref();
}

/** What one listener has done so far. */
export interface ListenerCounts {
  readonly name: string;
  /** Undefined: it carries no HTTP. */
  readonly requests: number | undefined;
  readonly accepted: number;
  readonly closed: number;
  readonly open: number;
}

function countListeners(parts: Pick<DrainParts, 'aggregator' | 'listeners'>): ListenerCounts[] {
  const series = parts.aggregator.series();
  return parts.listeners.map((listener) => {
    const prefix = `listener.${listenerStatPrefix(listener)}.`;
    let requests: number | undefined;
    const own = new Map<string, number>();
    for (const one of series) {
      if (!one.name.startsWith(prefix)) continue;
      const name = one.name.slice(prefix.length);
      if (name.startsWith('http.') && name.endsWith('.downstream_rq_completed'))
        requests = (requests ?? 0) + one.value();
      else own.set(name, one.value());
    }
    return {
      name: listener.name ?? prefix.slice(9, -1),
      requests,
      accepted: own.get('downstream_cx_total') ?? 0,
      closed: own.get('downstream_cx_destroy') ?? 0,
      open: own.get('downstream_cx_active') ?? 0,
    };
  });
}

/** A sentence and a table, one row a listener, in columns. */
export function drainReport(
  tookMs: number,
  lameDuckMs: number,
  before: readonly ListenerCounts[],
  after: readonly ListenerCounts[],
): string[] {
  const rows = after.map((now, i) => {
    const then = before[i];
    return {
      name: now.name,
      requests: now.requests === undefined ? undefined : now.requests - (then?.requests ?? 0),
      accepted: now.accepted - (then?.accepted ?? 0),
      closed: now.closed - (then?.closed ?? 0),
      cut: now.open,
    };
  });
  const sum = (of: (row: (typeof rows)[number]) => number): number =>
    rows.reduce((total, row) => total + of(row), 0);
  const lead =
    `drained in ${seconds(tookMs)}, of which ${seconds(lameDuckMs)} lame duck: ` +
    `${sum((row) => row.requests ?? 0)} requests finished, ${sum((row) => row.closed)} connections closed gently, ` +
    `${sum((row) => row.cut)} cut at the deadline`;
  const cells = [
    ['listener', 'requests', 'accepted', 'closed', 'cut'],
    ...rows.map((row) => [row.name, row.requests ?? '-', row.accepted, row.closed, row.cut].map(String)),
  ];
  return [lead, ...(rows.length === 0 ? [] : table(cells))];
}

/** The first column to the left, numbers to the right. */
function table(cells: readonly (readonly string[])[]): string[] {
  const widths = cells[0]?.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0))) ?? [];
  return cells.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
