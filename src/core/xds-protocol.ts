/** What the control thread and the xds thread say to each other; plain objects only, as in worker-protocol.ts. */
import type { ConfigUpdate, UpdateOutcome } from './config-update.ts';
import type { LogLevel } from './log.ts';
import type { NodeIdentity } from './worker-protocol.ts';

export interface XdsInit {
  /** `envoy.config.bootstrap.v3.Bootstrap` as a sparse plain object. */
  readonly bootstrap: object;
  readonly node: NodeIdentity;
  readonly envoyStrict: boolean;
  /** `--reject-unknown-dynamic-fields` */
  readonly rejectUnknownFields: boolean;
  readonly logLevel: LogLevel;
  /** `--last-good-config`, '' for none. */
  readonly lastGoodPath: string;
}

/** A resource as `/config_dump` and `inox config` show it. */
export interface XdsResource {
  /** Full message name. */
  readonly type: string;
  readonly name: string;
  readonly state: 'active' | 'warming' | 'requested' | 'missing';
  readonly version: string;
  /** Milliseconds since 1970; 0 for one that never came. */
  readonly updatedAt: number;
  /** Proto JSON with Envoy's field names; secrets without what is secret in them. */
  readonly config?: unknown;
  /** Why its last version was refused. */
  readonly error?: { readonly version: string; readonly message: string; readonly at: number };
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
  /** When what is in force was saved by an earlier run; left out once the control plane has spoken. */
  readonly staleSince?: number;
  readonly resources: readonly XdsResource[];
  readonly streams: readonly XdsStream[];
  /** What the start still waits for, in words. */
  readonly waitsFor: readonly string[];
}

export type ToXds =
  /** The step of that id is in force. */
  | { readonly type: 'applied'; readonly id: number; readonly outcome: UpdateOutcome }
  /** Answered by `status` with the same id. */
  | { readonly type: 'status'; readonly id: number }
  /** Entries for a gRPC access log service, as workers gave them. */
  | { readonly type: 'access-log'; readonly log: object; readonly entries: readonly object[] }
  | { readonly type: 'log-level'; readonly level: LogLevel }
  | { readonly type: 'shutdown' };

export type FromXds =
  | { readonly type: 'update'; readonly id: number; readonly update: ConfigUpdate }
  /** Everything that the start waits for is in force. */
  | { readonly type: 'live' }
  /** What is in force was saved by an earlier run at that time; null: the control plane has spoken. */
  | { readonly type: 'stale'; readonly since: number | null }
  | { readonly type: 'status'; readonly id: number; readonly status: XdsStatus }
  | { readonly type: 'log'; readonly level: LogLevel; readonly component: string; readonly message: string }
  /** Something of the bootstrap cannot be done: the process must end. */
  | { readonly type: 'failed'; readonly message: string }
  /** A StatsMessage, passed to the aggregator untouched. */
  | { readonly type: 'stats' };
