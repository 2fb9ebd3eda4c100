import type { StatAggregator } from './aggregator.ts';
import type { StatScope } from './scope.ts';
import type { Series } from './series.ts';

/** Envoy's server states, in the order of the numbers that `server.state` shows. */
export const SERVER_STATES = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING'] as const;
export type ServerState = (typeof SERVER_STATES)[number];

/** What the server statistics say; asked for at each refresh. */
export interface ServerFacts {
  readonly state: ServerState;
  readonly concurrency: number;
  /** Days until the first certificate expires; `undefined` without certificates. */
  readonly daysUntilFirstCertExpiring?: number;
  /** A number for the build, as Envoy derives one from its commit. */
  readonly version: number;
}

/** Keeps `server.*`; `refresh` brings it up to date before a read, `initialized` is called once. */
export interface ServerStats {
  refresh(): void;
  /** How long it took until all listeners were open. */
  initialized(milliseconds: number): void;
}

/** Envoy's value of `server.days_until_first_cert_expiring` when there is no certificate. */
const NO_CERTIFICATE = 4_294_967_295;

/** Registers Envoy's `server.*` statistics in the control thread's root scope. */
export function createServerStats(
  root: StatScope,
  aggregator: StatAggregator,
  facts: () => ServerFacts,
): ServerStats {
  const scope = root.scope('server');
  const live = scope.gauge('live');
  const state = scope.gauge('state');
  const uptime = scope.gauge('uptime');
  const concurrency = scope.gauge('concurrency');
  const physical = scope.gauge('memory_physical_size');
  const connections = scope.gauge('total_connections');
  const version = scope.gauge('version');
  const expiring = scope.gauge('days_until_first_cert_expiring');
  // Not looked after; Envoy says 0 where there are no staples.
  scope.gauge('seconds_until_first_ocsp_response_expiring').set(0);
  const initialization = scope.histogram('initialization_time_ms');
  scope.gauge('parent_connections').set(0);
  scope.gauge('hot_restart_epoch').set(0);
  scope.gauge('hot_restart_generation').set(1);
  scope.counter('static_unknown_fields').add(0);
  scope.counter('dynamic_unknown_fields').add(0);
  const activeConnections = createConnectionCount(aggregator);

  const refresh = () => {
    const now = facts();
    // Live says that the server answers health checks: a draining one does not, see /healthcheck/fail.
    live.set(now.state === 'LIVE' ? 1 : 0);
    state.set(SERVER_STATES.indexOf(now.state));
    uptime.set(Math.floor(process.uptime()));
    concurrency.set(now.concurrency);
    physical.set(residentBytes());
    connections.set(activeConnections());
    version.set(now.version);
    expiring.set(now.daysUntilFirstCertExpiring ?? NO_CERTIFICATE);
  };
  refresh();
  return { refresh, initialized: (milliseconds) => initialization.record(milliseconds) };
}

/** Of this process; 0 in a root without /proc. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

/** Sums `downstream_cx_active` over listeners (the admin's is not one); the list follows new stats. */
function createConnectionCount(aggregator: StatAggregator): () => number {
  let known: readonly Series[] | undefined;
  let gauges: readonly Series[] = [];
  return () => {
    const all = aggregator.series();
    if (all !== known) {
      known = all;
      gauges = all.filter((series) => series.extracted === 'listener.downstream_cx_active');
    }
    return gauges.reduce((sum, gauge) => sum + gauge.value(), 0);
  };
}
