import { type ActionPlan, type MonitorPlan, type OverloadPlan, triggerState } from '../config/overload.ts';
import { SIGNAL } from '../core/signals.ts';
import type { Counter, Gauge, StatScope } from '../stats/scope.ts';
import { createMonitor, type LookUp, type ResourceSources } from './resource-monitors.ts';

/** Envoy's `shrink_heap` interval. */
const SHRINK_MS = 10_000;

export interface OverloadParts {
  readonly signals: Float64Array;
  /** The root scope. */
  readonly stats: StatScope;
  /** The workers are to give memory back. */
  readonly shrinkHeap: () => void;
  /** Timers that run already may be due earlier, or later, than they were. */
  readonly timeoutsChanged: () => void;
  readonly log: (message: string) => void;
  readonly sources: ResourceSources;
}

interface Monitor {
  readonly plan: MonitorPlan;
  readonly lookUp: LookUp;
  readonly pressure: Gauge;
  readonly failedUpdates: Counter;
  /** Undefined until the first look. */
  value: number | undefined;
}

interface Action {
  readonly plan: ActionPlan;
  readonly active: Gauge | null;
  readonly scalePercent: Gauge;
  state: number;
}

/**
 * The overload manager: looks at the resources in turn, and puts what their pressure asks for into the signals, where
 * workers see it with their next connection or request. `refresh` runs by itself after `start`.
 */
export class OverloadController {
  readonly #plan: OverloadPlan;
  readonly #parts: OverloadParts;
  readonly #monitors: readonly Monitor[];
  readonly #actions: readonly Action[];
  #timers: NodeJS.Timeout[] = [];

  constructor(plan: OverloadPlan, parts: OverloadParts) {
    this.#plan = plan;
    this.#parts = parts;
    const scope = parts.stats.scope('overload');
    this.#monitors = plan.monitors.map((monitor) => {
      const own = scope.scope(monitor.name);
      // Looking never takes longer than until the next time, so no update is ever left out.
      own.counter('skipped_updates');
      return {
        plan: monitor,
        lookUp: createMonitor(monitor.source, parts.sources),
        pressure: own.gauge('pressure'),
        failedUpdates: own.counter('failed_updates'),
        value: undefined,
      };
    });
    this.#actions = plan.actions.map((action) => {
      const own = scope.scope(action.name);
      return {
        plan: action,
        active: action.kind === 'action' ? own.gauge('active') : null,
        scalePercent: own.gauge('scale_percent'),
        state: 0,
      };
    });
    const { signals } = parts;
    signals[SIGNAL.maxConnections] = plan.maxConnections;
    signals.fill(-1, SIGNAL.idleMinScale, SIGNAL.streamIdleMinMs + 1);
    for (const { signal, scale, ms } of plan.minimums) signals.set([scale, ms], signal);
  }

  start(): void {
    if (this.#monitors.length === 0) return;
    this.#timers.push(setInterval(() => this.refresh(), this.#plan.refreshMs));
    if (!this.#actions.some(({ plan }) => plan.signal === SIGNAL.shrinkHeap)) return;
    this.#timers.push(
      setInterval(() => {
        if (this.#parts.signals[SIGNAL.shrinkHeap] === 1) this.#parts.shrinkHeap();
      }, SHRINK_MS),
    );
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  refresh(): void {
    for (const monitor of this.#monitors) this.#look(monitor);
    for (const action of this.#actions) this.#decide(action);
  }

  #look(monitor: Monitor): void {
    const value = monitor.lookUp();
    if (value === undefined) {
      monitor.failedUpdates.inc();
      return;
    }
    monitor.value = value;
    monitor.pressure.set(Math.trunc(value * 100));
  }

  #decide(action: Action): void {
    let state = 0;
    for (const trigger of action.plan.triggers) {
      const pressure = this.#monitors.find(({ plan }) => plan.name === trigger.resource)?.value;
      if (pressure !== undefined) state = Math.max(state, triggerState(trigger, pressure));
    }
    if (state === action.state) return;
    const { name, signal } = action.plan;
    if ((state === 1) !== (action.state === 1))
      this.#parts.log(`overload: ${name} became ${state === 1 ? 'active' : 'inactive'}`);
    action.state = state;
    action.active?.set(state === 1 ? 1 : 0);
    action.scalePercent.set(Math.trunc(state * 100));
    this.#parts.signals[signal] = state;
    if (signal === SIGNAL.reduceTimeouts) this.#parts.timeoutsChanged();
    if (signal === SIGNAL.shrinkHeap && state === 1) this.#parts.shrinkHeap();
  }
}
