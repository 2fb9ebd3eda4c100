import type {
  OverloadManager,
  ResourceMonitor,
  ScaleTimersOverloadActionConfig,
  Trigger,
} from '#plain/envoy.config.overload.v3.ts';
import type { CgroupMemoryConfig } from '#plain/envoy.extensions.resource_monitors.cgroup_memory.v3.ts';
import type { CpuUtilizationConfig } from '#plain/envoy.extensions.resource_monitors.cpu_utilization.v3.ts';
import type { DownstreamConnectionsConfig } from '#plain/envoy.extensions.resource_monitors.downstream_connections.v3.ts';
import type { FixedHeapConfig } from '#plain/envoy.extensions.resource_monitors.fixed_heap.v3.ts';
import type { InjectedResourceConfig } from '#plain/envoy.extensions.resource_monitors.injected_resource.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { SIGNAL } from '../core/signals.ts';
import { at, typedObject } from './context.ts';

/** A resource whose pressure is looked up again and again. */
export interface MonitorPlan {
  readonly name: string;
  readonly source: /** Memory of the whole process. */
    | { readonly kind: 'heap'; readonly maxBytes: number }
    /** Memory of the container, of its limit or of `maxBytes` (Infinity for none). */
    | { readonly kind: 'cgroup-memory'; readonly maxBytes: number }
    | { readonly kind: 'cpu'; readonly mode: 'HOST' | 'CONTAINER' }
    /** A file with a number, for tests. */
    | { readonly kind: 'file'; readonly path: string };
}

/** What pressure does: an overload action or a load shed point, which a signal carries to the workers. */
export interface ActionPlan {
  readonly name: string;
  readonly kind: 'action' | 'shed-point';
  readonly signal: number;
  readonly triggers: readonly TriggerPlan[];
}

/** State between 0 and 1 from a pressure: 0 up to `from`, 1 from `to` on. */
export interface TriggerPlan {
  readonly resource: string;
  readonly from: number;
  readonly to: number;
}

export interface OverloadPlan {
  readonly refreshMs: number;
  readonly monitors: readonly MonitorPlan[];
  readonly actions: readonly ActionPlan[];
  /** Downstream connections of the process, 0 for no limit. */
  readonly maxConnections: number;
  /** What `reduce_timeouts` reduces to at most. */
  readonly minimums: readonly TimerMinimum[];
}

export interface TimerMinimum {
  /** First of the timer's two slots. */
  readonly signal: number;
  /** Share of the configured time, −1 when `ms` counts. */
  readonly scale: number;
  readonly ms: number;
}

const REFRESH_MS = 1000;
const REDUCE_TIMEOUTS = 'envoy.overload_actions.reduce_timeouts';
const MONITORS = 'envoy.extensions.resource_monitors';

const ACTIONS: Readonly<Record<string, number>> = {
  'envoy.overload_actions.stop_accepting_requests': SIGNAL.stopAcceptingRequests,
  'envoy.overload_actions.disable_http_keepalive': SIGNAL.disableHttpKeepalive,
  'envoy.overload_actions.stop_accepting_connections': SIGNAL.stopAcceptingConnections,
  'envoy.overload_actions.reject_incoming_connections': SIGNAL.rejectIncomingConnections,
  'envoy.overload_actions.shrink_heap': SIGNAL.shrinkHeap,
  [REDUCE_TIMEOUTS]: SIGNAL.reduceTimeouts,
};

const TIMERS: Readonly<Record<string, number>> = {
  HTTP_DOWNSTREAM_CONNECTION_IDLE: SIGNAL.idleMinScale,
  HTTP_DOWNSTREAM_STREAM_IDLE: SIGNAL.streamIdleMinScale,
};

const SHED_POINTS: Readonly<Record<string, number>> = {
  'envoy.load_shed_points.tcp_listener_accept': SIGNAL.shedAccept,
  'envoy.load_shed_points.http_connection_manager_decode_headers': SIGNAL.shedDecodeHeaders,
};

/** `envoy.config.overload.v3.OverloadManager`; names it does not know are errors, since they were to protect. */
export function compileOverload(config: OverloadManager): OverloadPlan {
  const monitors: MonitorPlan[] = [];
  const names = new Set<string>();
  let maxConnections = 0;
  for (const [i, monitor] of (config.resourceMonitors ?? []).entries()) {
    const name = monitor.name ?? '';
    const path = `resource_monitors[${i}]`;
    if (names.has(name)) throw ConfigError.at(path, `duplicate resource monitor '${name}'`);
    names.add(name);
    const compiled = at(path, () => compileMonitor(monitor));
    if (typeof compiled === 'number') {
      maxConnections = compiled;
      names.delete(name);
    } else monitors.push({ name, source: compiled });
  }
  const actions: ActionPlan[] = [];
  let minimums: readonly TimerMinimum[] = [];
  const compileNamed = (
    kind: ActionPlan['kind'],
    known: Readonly<Record<string, number>>,
    path: string,
    { name = '', triggers = [] }: { readonly name?: string; readonly triggers?: readonly Trigger[] },
  ): void => {
    const signal = known[name];
    if (signal === undefined) throw ConfigError.at(`${path}.name`, `'${name}' is not supported`);
    if (actions.some((action) => action.name === name)) {
      throw ConfigError.at(path, `duplicate overload action '${name}'`);
    }
    actions.push({ name, kind, signal, triggers: compileTriggers(triggers, names, path) });
  };
  for (const [i, action] of (config.actions ?? []).entries()) {
    const typed = action.typedConfig;
    if (action.name === REDUCE_TIMEOUTS) {
      if (typed === undefined) throw ConfigError.at(`actions[${i}].typed_config`, 'is required');
      minimums = at(`actions[${i}].typed_config`, () => compileMinimums(typedObject(typed.value)));
    } else if (typed !== undefined) {
      throw ConfigError.at(`actions[${i}].typed_config`, 'this action takes no configuration');
    }
    compileNamed('action', ACTIONS, `actions[${i}]`, action);
  }
  for (const [i, point] of (config.loadshedPoints ?? []).entries()) {
    compileNamed('shed-point', SHED_POINTS, `loadshed_points[${i}]`, point);
  }
  return { refreshMs: config.refreshInterval ?? REFRESH_MS, monitors, actions, maxConnections, minimums };
}

/** A number is the limit of connections, which is a resource without pressure. */
function compileMonitor(monitor: ResourceMonitor): MonitorPlan['source'] | number {
  const typed = monitor.typedConfig;
  if (typed === undefined) throw ConfigError.at('typed_config', 'is required');
  const value = typedObject(typed.value);
  switch (typed.type) {
    case `${MONITORS}.fixed_heap.v3.FixedHeapConfig`: {
      const { maxHeapSizeBytes: maxBytes = 0 }: FixedHeapConfig = value;
      if (maxBytes === 0) throw ConfigError.at('typed_config.max_heap_size_bytes', 'must be greater than 0');
      return { kind: 'heap', maxBytes };
    }
    case `${MONITORS}.cgroup_memory.v3.CgroupMemoryConfig`: {
      const { maxMemoryBytes: maxBytes = Infinity }: CgroupMemoryConfig = value;
      return { kind: 'cgroup-memory', maxBytes };
    }
    case `${MONITORS}.cpu_utilization.v3.CpuUtilizationConfig`: {
      const { mode = 'HOST' }: CpuUtilizationConfig = value;
      return { kind: 'cpu', mode };
    }
    case `${MONITORS}.injected_resource.v3.InjectedResourceConfig`: {
      const { filename: path = '' }: InjectedResourceConfig = value;
      return { kind: 'file', path };
    }
    case `${MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig`: {
      const { maxActiveDownstreamConnections: limit = 0 }: DownstreamConnectionsConfig = value;
      return limit;
    }
    default:
      throw ConfigError.at('typed_config', `'${typed.type}' is not a resource monitor that inox knows`);
  }
}

function compileTriggers(
  configs: readonly Trigger[],
  resources: ReadonlySet<string>,
  path: string,
): TriggerPlan[] {
  const triggers: TriggerPlan[] = [];
  for (const [i, { name: resource = '', threshold, scaled }] of configs.entries()) {
    const place = `${path}.triggers[${i}]`;
    if (!resources.has(resource)) {
      throw ConfigError.at(`${place}.name`, `unknown trigger resource '${resource}'`);
    }
    if (triggers.some((trigger) => trigger.resource === resource)) {
      throw ConfigError.at(place, `duplicate trigger resource '${resource}'`);
    }
    if (threshold !== undefined) {
      const value = threshold.value ?? 0;
      triggers.push({ resource, from: value, to: value });
    } else if (scaled !== undefined) {
      const { scalingThreshold: from = 0, saturationThreshold: to = 0 } = scaled;
      if (from >= to) {
        throw ConfigError.at(`${place}.scaled`, 'scaling_threshold must be less than saturation_threshold');
      }
      triggers.push({ resource, from, to });
    } else throw ConfigError.at(place, 'one of threshold, scaled is required');
  }
  return triggers;
}

function compileMinimums({ timerScaleFactors = [] }: ScaleTimersOverloadActionConfig): TimerMinimum[] {
  const minimums: TimerMinimum[] = [];
  for (const [i, { timer = 'UNSPECIFIED', minTimeout, minScale }] of timerScaleFactors.entries()) {
    const path = `timer_scale_factors[${i}]`;
    const signal = TIMERS[timer];
    if (signal === undefined) throw ConfigError.at(`${path}.timer`, `'${timer}' is not supported`);
    if (minimums.some((one) => one.signal === signal)) throw ConfigError.at(path, `${timer} is given twice`);
    if (minScale !== undefined) minimums.push({ signal, scale: (minScale.value ?? 0) / 100, ms: -1 });
    else if (minTimeout !== undefined) minimums.push({ signal, scale: -1, ms: minTimeout });
    else throw ConfigError.at(path, 'one of min_timeout, min_scale is required');
  }
  return minimums;
}

/** The state that a pressure asks for, 0 … 1. */
export function triggerState(trigger: Pick<TriggerPlan, 'from' | 'to'>, pressure: number): number {
  if (pressure >= trigger.to) return 1;
  return pressure <= trigger.from ? 0 : (pressure - trigger.from) / (trigger.to - trigger.from);
}
