/**
 * What the control thread and its workers say to each other. Plain objects only: structured clone copies them,
 * and a Buffer view would copy the whole buffer behind it.
 */
import type { ConfigUpdate, UpdateOutcome } from './config-update.ts';
import type { LogLevel } from './log.ts';
import type { Demand } from './on-demand.ts';

/** Everything a worker needs to start, and all that its successor needs to take its place. */
export interface WorkerInit {
  /** 0 … concurrency − 1; a replacement keeps the index of the worker it replaces. */
  readonly index: number;
  readonly concurrency: number;
  readonly logLevel: LogLevel;
  /** Exactly Envoy's behaviour where inox would deliberately do better. */
  readonly envoyStrict: boolean;
  readonly node: NodeIdentity;
  /** `envoy.config.listener.v3.Listener` as sparse plain objects, port 0 already resolved. */
  readonly listeners: readonly object[];
  /** `envoy.config.cluster.v3.Cluster` as sparse plain objects. */
  readonly clusters: readonly object[];
  /** Those that came by xDS and need not be made before they are used (`PackedCluster`). */
  readonly dormant: readonly object[];
  /** `RouteConfiguration`s and scopes that came by themselves; see ConfigUpdate. */
  readonly routes?: readonly object[];
  readonly scopes?: readonly { readonly name: string; readonly scopes: readonly object[] }[];
  /** Members by cluster name (`ClusterHosts`), for clusters whose members discovery finds. */
  readonly hosts: Readonly<Record<string, object>>;
  /** `cluster_manager.local_cluster_name`, '' for none. */
  readonly localCluster: string;
  /** Runtime values by key. */
  readonly runtime: Readonly<Record<string, unknown>>;
  /** What the workers hold of each cluster's circuit breakers, by cluster name; one slice a worker. */
  readonly holdings: Readonly<Record<string, Int32Array>>;
  /** What the workers count together, by name (config/connection-counts.ts); one slot a worker. */
  readonly counts: Readonly<Record<string, Int32Array>>;
  /** Health of the hosts of watched clusters (`HostHealth[]`), by cluster name. */
  readonly health: Readonly<Record<string, readonly object[]>>;
  /** TLS secrets by key (`Secret` as sparse plain objects), for the workers alone: no snapshot shows them. */
  readonly secrets: Readonly<Record<string, object>>;
  /** From which the keys of TLS session tickets are drawn, alike in all workers. */
  readonly ticketSecret: Uint8Array;
  /** What the control thread tells all workers at once, see signals.ts. */
  readonly signals: Float64Array;
  /** `--shed-lag-ms`, 0 for off. */
  readonly shedLagMs: number;
}

/** A step of the configuration, with what the control thread adds for its new clusters and listeners. */
export interface WorkerUpdate extends Omit<ConfigUpdate, 'endpoints'> {
  /** As in WorkerInit, for the clusters and listeners of this step. */
  readonly dormant?: readonly object[];
  readonly hosts?: Readonly<Record<string, object>>;
  readonly health?: Readonly<Record<string, readonly object[]>>;
  readonly holdings?: Readonly<Record<string, Int32Array>>;
  readonly counts?: Readonly<Record<string, Int32Array>>;
}

export interface NodeIdentity {
  readonly id: string;
  readonly cluster: string;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export type ToWorker =
  /** The first of all: what to do. */
  | { readonly type: 'init'; readonly init: WorkerInit }
  /** Members of a cluster changed; `hosts` is a `ClusterHosts`. */
  | { readonly type: 'hosts'; readonly cluster: string; readonly hosts: object }
  /** The health of some hosts of a cluster changed (`HostHealth[]`), or is known before they come. */
  | { readonly type: 'health'; readonly cluster: string; readonly hosts: readonly object[] }
  /** A TLS secret changed; new handshakes use it. */
  | { readonly type: 'secret'; readonly key: string; readonly secret: object }
  /** Answered by `updated` with the same id, once it is in force. */
  | { readonly type: 'update'; readonly id: number; readonly update: WorkerUpdate }
  /** What a `demand` asked for is there, or does not exist; `key` is its `demandKey`. */
  | { readonly type: 'demand-settled'; readonly key: string }
  | { readonly type: 'log-level'; readonly level: LogLevel }
  /** Asks for a plain snapshot; answered by `answer` with the same id. */
  | { readonly type: 'query'; readonly id: number; readonly what: 'clusters' | 'listeners' }
  /** Asks for the load since the last time, of these clusters or (null) all; answered by `loads` with the same id. */
  | { readonly type: 'take-loads'; readonly id: number; readonly clusters: readonly string[] | null }
  /** Stop accepting, on all listeners or on inbound ones; connections live on. */
  | { readonly type: 'stop-listening'; readonly inboundOnly: boolean }
  /** Let connections go as they become idle, and say how many are left. */
  | { readonly type: 'drain' }
  /** Memory is short: collect garbage now. */
  | { readonly type: 'shrink-heap' }
  /** Overload has changed how long connections and streams may be idle. */
  | { readonly type: 'timeouts-changed' }
  | { readonly type: 'reopen-logs' }
  /** Flush what is buffered, close everything, exit. */
  | { readonly type: 'shutdown' }
  /** A test's way to see a worker die. */
  | { readonly type: 'fail'; readonly message: string };

export type FromWorker =
  /** All listeners accept. */
  | { readonly type: 'ready' }
  /** A listener could not be opened: the process cannot serve as configured. */
  | { readonly type: 'listen-failed'; readonly message: string }
  | {
      readonly type: 'answer';
      readonly id: number;
      readonly data: readonly unknown[];
      /** Nothing follows. */
      readonly last: boolean;
    }
  /** Entries (proto JSON) for a gRPC access log service; `log` is a `GrpcLog`. */
  | { readonly type: 'access-log'; readonly log: object; readonly entries: readonly object[] }
  /** `loads` is a `ClusterLoad[]`. */
  | { readonly type: 'loads'; readonly id: number; readonly loads: readonly object[] }
  /** A request waits for it; answered by `demand-settled`, to all workers. */
  | { readonly type: 'demand'; readonly demand: Demand }
  | { readonly type: 'updated'; readonly id: number; readonly outcome: UpdateOutcome }
  /** What requests say about a host; `signal` is a `HostSignal`. */
  | { readonly type: 'host-signal'; readonly cluster: string; readonly host: string; readonly signal: string }
  /** Number of open downstream connections, after `drain`. */
  | { readonly type: 'connections'; readonly open: number }
  | { readonly type: 'log'; readonly level: LogLevel; readonly component: string; readonly message: string }
  /** A StatsMessage, passed to the aggregator untouched. */
  | { readonly type: 'stats' };
