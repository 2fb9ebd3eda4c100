import type { Cell } from '../core/cell.ts';
import type { Clock } from '../core/clock.ts';
import type { TimerWheel } from '../core/timer-wheel.ts';
import type { AccessLogger } from '../http/access-log-info.ts';
import type { Connection } from '../net/connection.ts';
import type { Counter, Gauge } from '../stats/scope.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import { ANY_HOST } from '../upstream/lb/load-balancer.ts';
import type { TunnelOptions } from './tunnel.ts';

/** `tcp.<stat_prefix>.*` */
export interface TcpStats {
  readonly cxTotal: Counter;
  readonly cxNoRoute: Counter;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly cxRxBytesBuffered: Gauge;
  readonly cxTxBytesBuffered: Gauge;
  readonly idleTimeout: Counter;
  readonly maxDownstreamConnectionDuration: Counter;
  readonly flowControlPaused: Counter;
  readonly flowControlResumed: Counter;
}

export interface TcpTarget {
  readonly name: string;
  /** Empty while there is no such cluster. */
  readonly cell: Cell<Cluster>;
}

/** A compiled tcp_proxy; shared by its sessions. */
export interface TcpPlan {
  readonly stats: TcpStats;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  /** Chooses the cluster of a connection. */
  readonly pickTarget: (connection: Pick<Connection, 'accepted'>) => TcpTarget;
  /** `tunneling_config`; null: raw connections. */
  readonly tunnel: TunnelOptions | null;
  readonly maxConnectAttempts: number;
  /** 0 = off. */
  readonly idleTimeoutMs: number;
  readonly maxDurationMs: number;
  readonly accessLogs: readonly AccessLogger[];
  /** Live sessions, for drain and shutdown. */
  readonly sessions: Set<{ drain(): void; destroy(): void }>;
}

/** A host for a client's connection; of an ORIGINAL_DST cluster the one that the client dialled. None for a loop. */
export function pickHost(
  cluster: Cluster,
  client: Pick<Connection, 'local' | 'remote' | 'accepted'>,
): Host | undefined {
  const { originalDst } = cluster;
  if (client.accepted.looped) return undefined;
  const destination = originalDst === null ? null : originalDst.destinationOf(client, null);
  return cluster.pick(destination === null ? null : { ...ANY_HOST, destination });
}
