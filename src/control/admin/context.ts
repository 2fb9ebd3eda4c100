import type { LogLevel } from '../../core/log.ts';
import type { Json, JsonObject } from '../../core/redact.ts';
import type { XdsQuery, XdsResource, XdsStatus } from '../../core/xds-protocol.ts';
import type { Address } from '../../net/connection.ts';
import type { StatAggregator } from '../../stats/aggregator.ts';
import type { Exposition } from '../../stats/exposition.ts';
import type { ServerState } from '../../stats/process.ts';
import type { ClusterStatus as WorkerClusterStatus } from '../../upstream/status.ts';

export type { Json, JsonObject };

/**
 * What the admin interface shows and does; the supervisor of the process provides it.
 *
 * Functions are called in the control thread, once per request that needs them. JSON is canonical proto JSON with
 * the field names of the .proto files (`lb_endpoints`), as Envoy prints it.
 */
export interface AdminContext {
  readonly aggregator: StatAggregator;
  readonly exposition: Exposition;
  /** Statistics that are texts, by name. */
  readonly texts: ReadonlyMap<string, string>;
  /** Brings `server.*` up to date before statistics are read. */
  refreshStats(): void;

  state(): ServerState;
  /** What the start still waits for, in words. */
  waitsFor(): Promise<readonly string[]>;
  /** When the configuration in force was saved by an earlier run; null: it is not. */
  staleSince(): Date | null;
  serverInfo(): ServerInfo;
  configDump(): ConfigDumpSource;
  /** Secrets that the bootstrap takes from files, with everything that is secret in them. */
  fileSecrets(): readonly FileSecret[];
  /** What came from control planes; null when everything is in the bootstrap. */
  dynamic(): DynamicConfig | null;
  listeners(): readonly ListenerStatus[];
  /** Asks the workers; hosts of several workers are merged by the provider. */
  clusters(): Promise<readonly ClusterStatus[]>;
  runtime(): RuntimeStatus;
  /** Entries of `envoy.admin.v3.Certificates.certificates`. */
  certificates(): readonly JsonObject[];

  /** Level per logger, in the order to show. */
  loggers(): readonly (readonly [name: string, level: LogLevel])[];
  /** `logger` undefined means all. Only called with names that `loggers` gives. */
  setLogLevel(logger: string | undefined, level: LogLevel): void;
  /** Undefined when there is no admin layer to write to. An empty value removes the key. */
  modifyRuntime?(values: Readonly<Record<string, string>>): void;
  setHealthCheckFailed(failed: boolean): void;
  drainListeners(options: DrainOptions): void;
  reopenLogs(): void;
  /** Ends the process as SIGTERM does; called after the answer was sent. */
  quit(): void;
}

export interface ServerInfo {
  /** `<commit>/<version>/Clean/RELEASE/<TLS library>`, as Envoy spells it. */
  readonly version: string;
  readonly startedAt: Date;
  readonly commandLineOptions: JsonObject;
  readonly node: JsonObject;
}

export interface DrainOptions {
  readonly graceful: boolean;
  readonly inboundOnly: boolean;
  readonly skipExit: boolean;
}

export interface ListenerStatus {
  readonly name: string;
  readonly addresses: readonly Address[];
}

export interface ConfigDumpSource {
  /** `envoy.config.bootstrap.v3.Bootstrap`. */
  readonly bootstrap: JsonObject;
  readonly loadedAt: Date;
  /** `envoy.config.cluster.v3.Cluster`, and so on; those of the bootstrap. */
  readonly staticClusters: readonly JsonObject[];
  readonly staticListeners: readonly JsonObject[];
  /** With everything that is secret in them: what shows them leaves it out. */
  readonly staticSecrets?: readonly JsonObject[];
  /** Paths of settings that are accepted without effect. */
  readonly inert: readonly string[];
}

export interface FileSecret {
  readonly name: string;
  readonly updatedAt: Date;
  /** Sparse plain object, see proto/plain.ts. */
  readonly secret: object;
}

export interface DynamicConfig {
  /** Null when the thread that knows does not answer. */
  status(): Promise<XdsStatus | null>;
  /** In slices, each made when the one before was taken. Rejects with a BadField when the query names one. */
  resources(query: XdsQuery): AsyncIterable<readonly XdsResource[]>;
  /** A cluster that waits for its members or a first health check. */
  warms(cluster: string): boolean;
}

/** A field that a query names is none of the message. */
export class BadField extends Error {
  override readonly name = 'BadField';
}

export interface RuntimeStatus {
  /** Names of the layers, lowest first. */
  readonly layers: readonly string[];
  /** Value per layer (empty string: not set there) and the value that counts. */
  readonly entries: Readonly<Record<string, { layerValues: readonly string[]; finalValue: string }>>;
}

/** A cluster as the workers report it, and what later features will add. */
export interface ClusterStatus extends WorkerClusterStatus {
  readonly edsServiceName?: string;
  /** Only with outlier detection; −1 where there are too few hosts or requests. */
  readonly outlier?: OutlierStatus;
}

export interface OutlierStatus {
  readonly successRateAverage: number;
  readonly successRateEjectionThreshold: number;
  readonly localOriginSuccessRateAverage: number;
  readonly localOriginSuccessRateEjectionThreshold: number;
}
