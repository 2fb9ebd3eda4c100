/** What the control thread and the xds thread say to each other; plain objects only, as in worker-protocol.ts. */
import type { ConfigUpdate, UpdateOutcome } from './config-update.ts';
import type { NameTable } from './dns-protocol.ts';
import type { LogLevel } from './log.ts';
import type { Demand } from './on-demand.ts';
import type { NodeIdentity } from './worker-protocol.ts';

export interface XdsInit {
  /** `envoy.config.bootstrap.v3.Bootstrap` as a sparse plain object. */
  readonly bootstrap: object;
  readonly node: NodeIdentity;
  readonly envoyStrict: boolean;
  /** `--reject-unknown-dynamic-fields` */
  readonly rejectUnknownFields: boolean;
  readonly logLevel: LogLevel;
  /** How long a replaced listener drains, milliseconds. */
  readonly drainMs: number;
  /** There are requests already: the thread replaces one that died. */
  readonly serving: boolean;
  /** `--last-good-config`, '' for none. */
  readonly lastGoodPath: string;
  /** Names for DNS are asked for, too. */
  readonly names: boolean;
}

/** One version of a resource. */
export interface XdsVersion {
  readonly version: string;
  /** When it was accepted, milliseconds since 1970. */
  readonly updatedAt: number;
  /** Proto JSON with Envoy's field names; what is secret in it is replaced. */
  readonly config?: unknown;
}

/** A resource as `/config_dump` and `inox config` show it. */
export interface XdsResource {
  /** Full message name. */
  readonly type: string;
  readonly name: string;
  /** Of a scope: the name of its `scoped_routes`. */
  readonly group?: string;
  /** As `envoy.admin.v3.ClientResourceStatus` has it. */
  readonly clientStatus: 'REQUESTED' | 'DOES_NOT_EXIST' | 'ACKED' | 'NACKED';
  readonly active?: XdsVersion;
  readonly warming?: XdsVersion;
  readonly draining?: XdsVersion;
  /** Why its last version was refused. */
  readonly error?: {
    readonly version: string;
    readonly message: string;
    /** Milliseconds since 1970. */
    readonly at: number;
    readonly config?: unknown;
  };
}

/** Which resources to show: those that every field lets through. They come by name. */
export interface XdsQuery {
  /** Full message name. */
  readonly type: string;
  /** Resources that have one of these; without it all. */
  readonly states?: readonly ('active' | 'warming' | 'draining')[];
  /** RE2 expression that the whole name must match. */
  readonly nameRegex?: string;
  /** Only names behind this one. */
  readonly after?: string;
  /** Without it only what is known about the configurations is told. */
  readonly withConfig: boolean;
  /** Fields that the configuration must be able to have (`name`, `load_assignment.cluster_name`). */
  readonly fields?: readonly string[];
}

/** A stream to a management server, for all types (ADS) or one. */
export interface XdsStream {
  /** `ads`, or the ConfigSource as JSON. */
  readonly source: string;
  /** The cluster or target, in words. */
  readonly server: string;
  /** It has answered, and has not ended since. */
  readonly connected: boolean;
  /** What the server calls itself, '' for nothing. */
  readonly identifier: string;
  /** Why the stream before this one ended, '' when there was none. */
  readonly lastEnd: string;
  readonly types: readonly {
    /** Full message name. */
    readonly type: string;
    readonly names: readonly string[];
    /** The last one that was accepted. */
    readonly version: string;
    readonly nonce: string;
    /** What was wrong with the newest response, '' for nothing. */
    readonly error: string;
    /** When the newest response was taken, milliseconds since 1970; 0 for never. */
    readonly updatedAt: number;
  }[];
}

export interface XdsStatus {
  readonly streams: readonly XdsStream[];
  /** What the start still waits for, in words. */
  readonly waitsFor: readonly string[];
  /** The same under Envoy's names: who waits, and what for. */
  readonly unready: readonly { readonly name: string; readonly targets: readonly string[] }[];
  /** Newest version of a type that is asked for as a whole, by its full message name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A slice of the answer to a query. */
export type XdsSlice =
  | { readonly resources: readonly XdsResource[]; readonly last: boolean }
  /** A field of the query is none of the message. */
  | { readonly badField: string };

/** A cluster whose load may be reported. */
export interface LoadedCluster {
  readonly name: string;
  /** `eds_cluster_config.service_name`, '' for none. */
  readonly serviceName: string;
}

export type ToXds =
  /** The first of all: what to do. */
  | { readonly type: 'init'; readonly init: XdsInit }
  /** The step of that id is in force. */
  | { readonly type: 'applied'; readonly id: number; readonly outcome: UpdateOutcome }
  /** A cluster that an outcome had among the warming ones is in force. */
  | { readonly type: 'warmed'; readonly cluster: string }
  /** Answered by `status` with the same id. */
  | { readonly type: 'status'; readonly id: number }
  /** Answered by the first slice of `resources` with the same id; `more` asks for the next one. */
  | { readonly type: 'resources'; readonly id: number; readonly query: XdsQuery }
  | { readonly type: 'more'; readonly id: number }
  /** Nobody wants the rest. */
  | { readonly type: 'enough'; readonly id: number }
  /** Entries for a gRPC access log service, as workers gave them. */
  | { readonly type: 'access-log'; readonly log: object; readonly entries: readonly object[] }
  /** The first answer to `take-loads`: so many workers will say `loads`, about these clusters. */
  | {
      readonly type: 'clusters';
      readonly id: number;
      readonly workers: number;
      readonly clusters: readonly LoadedCluster[];
    }
  /** What a worker did; `loads` is a `ClusterLoad[]`. */
  | { readonly type: 'loads'; readonly id: number; readonly loads: readonly object[] }
  /** By cluster of `health-checks`, in the order of its endpoints. */
  | {
      readonly type: 'health';
      readonly id: number;
      readonly statuses: readonly (readonly DelegatedStatus[])[];
    }
  /** A request waits for it; answered by `demand-settled`. */
  | { readonly type: 'demand'; readonly demand: Demand }
  | { readonly type: 'log-level'; readonly level: LogLevel }
  | { readonly type: 'shutdown' };

/** What management servers are told comes from the control thread and the workers. */
export type ReportQuestion =
  /** Asks for the load since the last time, of the clusters of these names or (null) of all. */
  | { readonly type: 'take-loads'; readonly id: number; readonly clusters: readonly string[] | null }
  /** These, and no others, are to be checked for a management server. */
  | { readonly type: 'health-checks'; readonly clusters: readonly DelegatedCluster[] }
  /** How they are; answered by `health` with the same id. */
  | { readonly type: 'take-health'; readonly id: number };

/** Endpoints that a management server wants to have checked. */
export interface DelegatedCluster {
  /** `envoy.config.cluster.v3.Cluster`, one with each of the checks. */
  readonly checks: readonly object[];
  /** `envoy.config.endpoint.v3.ClusterLoadAssignment` */
  readonly assignment: object;
}

/** `envoy.config.core.v3.HealthStatus`, as far as a check can tell. */
export type DelegatedStatus = 'HEALTHY' | 'DEGRADED' | 'UNHEALTHY' | 'TIMEOUT';

export type FromXds =
  /** It has read its code, and now reads what every configuration needs. */
  | { readonly type: 'begun' }
  | { readonly type: 'update'; readonly id: number; readonly update: ConfigUpdate }
  /** A statistic that is a text has that value now. */
  | { readonly type: 'text'; readonly name: string; readonly value: string }
  /** Everything that the start waits for is in force. */
  | { readonly type: 'live' }
  /** What is in force was saved by an earlier run at that time; null: the control plane has spoken. */
  | { readonly type: 'stale'; readonly since: number | null }
  | { readonly type: 'status'; readonly id: number; readonly status: XdsStatus }
  | { readonly type: 'resources'; readonly id: number; readonly slice: XdsSlice }
  /** What a demand of that key asked for is in force, or does not exist. */
  | { readonly type: 'demand-settled'; readonly key: string }
  | ReportQuestion
  /** All names that the control plane has for DNS. */
  | { readonly type: 'names'; readonly names: NameTable }
  | { readonly type: 'log'; readonly level: LogLevel; readonly component: string; readonly message: string }
  /** Something of the bootstrap cannot be done: the process must end. */
  | { readonly type: 'failed'; readonly message: string }
  /** A StatsMessage, passed to the aggregator untouched. */
  | { readonly type: 'stats' };
