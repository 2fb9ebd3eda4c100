import type { AcceptObserver } from '../net/accept-observer.ts';
import type { ConnectionObserver } from '../net/socket-connection.ts';
import type { Counter, StatScope } from '../stats/scope.ts';

/** What one listener counts. */
export interface ListenerStats {
  /** `downstream_cx_*` */
  readonly connections: ConnectionObserver;
  /** `downstream_pre_cx_*`, and why sockets became no connections. */
  readonly accepting: AcceptObserver;
  readonly overflow: Counter;
}

/** `listener.<address>.*` */
export function createListenerStats(scope: StatScope, worker: number): ListenerStats {
  return {
    connections: connectionStats(scope, worker),
    accepting: acceptStats(scope),
    overflow: scope.counter('downstream_cx_overflow'),
  };
}

function connectionStats(scope: StatScope, worker: number): ConnectionObserver {
  const own = scope.scope(`worker_${worker}`);
  const ownTotal = own.counter('downstream_cx_total');
  const ownActive = own.gauge('downstream_cx_active');
  const total = scope.counter('downstream_cx_total');
  const active = scope.gauge('downstream_cx_active');
  const destroy = scope.counter('downstream_cx_destroy');
  const length = scope.histogram('downstream_cx_length_ms', 'milliseconds');
  return {
    onOpen: () => {
      total.inc();
      active.inc();
      ownTotal.inc();
      ownActive.inc();
    },
    onClosed: (lengthMs) => {
      active.dec();
      ownActive.dec();
      destroy.inc();
      length.record(lengthMs);
    },
  };
}

function acceptStats(scope: StatScope): AcceptObserver {
  const noMatch = scope.counter('no_filter_chain_match');
  const timeout = scope.counter('downstream_pre_cx_timeout');
  const active = scope.gauge('downstream_pre_cx_active');
  const transportTimeout = scope.counter('downstream_cx_transport_socket_connect_timeout');
  const remoteClose = scope.counter('downstream_listener_filter_remote_close');
  const error = scope.counter('downstream_listener_filter_error');
  return {
    onPreOpen: () => active.inc(),
    onPreClosed: () => active.dec(),
    onFilterTimeout: () => timeout.inc(),
    onUnserved: (why) => {
      if (why === 'no-filter-chain') noMatch.inc();
      else if (why === 'transport-timeout') transportTimeout.inc();
      else if (why === 'remote-close') remoteClose.inc();
      else if (why === 'filter-error') error.inc();
    },
  };
}
