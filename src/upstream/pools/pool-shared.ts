import type { Clock } from '../../core/clock.ts';
import type { ResetReason } from '../../core/errors.ts';
import type { TimerWheel } from '../../core/timer-wheel.ts';
import type { ClientConnection, ClientConnectionEvents } from '../../http/codec.ts';
import type { Connection } from '../../net/connection.ts';
import type { Dial, DialOptions } from '../../net/dial.ts';
import type { Breaker } from '../breaker.ts';
import type { ClusterStats } from '../cluster-stats.ts';
import type { Host } from '../host.ts';

/** Puts an HTTP codec on a fresh upstream connection; the cluster's protocol options are bound in it. */
export type CreateClient = (connection: Connection, events: ClientConnectionEvents) => ClientConnection;

/** How a pool speaks HTTP. */
export interface PoolProtocol {
  readonly createClient: CreateClient;
  /** With the protocols to offer by ALPN. */
  readonly dialOptions: DialOptions;
  /** Null: known when a connection is there. */
  readonly http2: boolean | null;
  /** Requests that a connection is expected to take at once, until it is there and tells: 1 for HTTP/1. */
  readonly expectedStreams: number;
}

/** Connections are for the server that requests are for, as `header` ('': the authority) says. */
export interface AutoNames {
  readonly header: string;
  /** `auto_sni`: they ask for it in their handshake. */
  readonly ask: boolean;
  /** `auto_san_validation`: the certificate must be for it. */
  readonly verify: boolean;
}

/** What the pools of all hosts of one cluster share. */
export interface PoolShared {
  readonly clock: Clock;
  readonly timers: TimerWheel;
  readonly dial: Dial;
  /** Of connections that do not speak HTTP. */
  readonly dialOptions: DialOptions;
  readonly http: PoolProtocol;
  /** What requests of HTTP/2 clients use instead (`use_downstream_protocol_config`); null: the same as all. */
  readonly httpForHttp2: PoolProtocol | null;
  /** Null: all requests to a host share its connections, whomever they are for. */
  readonly autoNames: AutoNames | null;
  readonly stats: ClusterStats;
  readonly breaker: Breaker;
  /** The same with the breaker of requests of HIGH priority, which have pools of their own; null in that one. */
  readonly high: PoolShared | null;
  /** 0 = no limit. */
  readonly maxRequestsPerConnection: number;
  /** 0 = never. */
  readonly idleTimeoutMs: number;
  /** `max_connection_duration`, 0 = no limit. */
  readonly maxConnectionMs: number;
  /** `close_connections_on_host_health_failure`. */
  readonly closeOnHealthFailure?: boolean;
}

/** The same for hosts that are spoken to by another transport socket than the cluster's. */
export function withTransport(shared: PoolShared, transport: DialOptions['transport']): PoolShared {
  const options = (dialOptions: DialOptions): DialOptions => ({ ...dialOptions, transport });
  const { dialOptions, http, httpForHttp2, high } = shared;
  return {
    ...shared,
    dialOptions: options(dialOptions),
    http: { ...http, dialOptions: options(http.dialOptions) },
    httpForHttp2:
      httpForHttp2 === null ? null : { ...httpForHttp2, dialOptions: options(httpForHttp2.dialOptions) },
    high: high === null ? null : withTransport(high, transport),
  };
}

/** A breaker's limit was hit before anything was sent. */
export const OVERFLOW: ResetReason = {
  kind: 'overflow',
  fault: 'local',
  retrySafe: true,
  details: 'overflow',
};

/** As OVERFLOW, but the host had been asked: `max_requests` of a connection that was there. */
export const ACTIVE_OVERFLOW: ResetReason = { ...OVERFLOW, details: 'active_overflow' };

/** The host left the cluster while a request waited for one of its connections. */
export const HOST_REMOVED: ResetReason = {
  kind: 'connection-failure',
  fault: 'local',
  retrySafe: true,
  details: 'host removed',
};

/** Whether the limits of the cluster and of the host leave room for one more connection. */
export function mayConnect(host: Host, breaker: Breaker): boolean {
  return host.stats.cxActive < breaker.limits.maxConnectionsPerHost && breaker.connections.available;
}

/** Counts a closed upstream connection by who closed it, as Envoy's reportUpstreamCxDestroy. */
export function countDestroy(stats: ClusterStats, local: boolean, withActiveRequest: boolean): void {
  stats.cxDestroy.inc();
  if (local) stats.cxDestroyLocal.inc();
  else stats.cxDestroyRemote.inc();
  if (!withActiveRequest) return;
  stats.cxDestroyWithActiveRq.inc();
  if (local) stats.cxDestroyLocalWithActiveRq.inc();
  else stats.cxDestroyRemoteWithActiveRq.inc();
}
