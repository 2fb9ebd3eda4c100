/**
 * The seam between the xDS protocol (streams, polls and files, one implementation each) and what is made of the
 * resources (src/xds/model). Sources: the xDS protocol documentation of Envoy; rules that are easily got wrong are
 * numbered in the conformance suite.
 */

/** A resource as it came: still undecoded, so that what has not changed need not be. */
export interface RawResource {
  readonly name: string;
  /** Of the resource in delta and wrapped resources, of the response otherwise. */
  readonly version: string;
  /** Full message name, without the `type.googleapis.com/`. */
  readonly type: string;
  /** The serialized message. */
  readonly bytes: Uint8Array;
  /** Other names that it was asked for by (VHDS); left out for none. */
  readonly aliases?: readonly string[];
}

export interface DiscoveryUpdate {
  /** Of the response (`version_info`, `system_version_info`), '' when the server gave none. */
  readonly version: string;
  readonly resources: readonly RawResource[];
  /**
   * Names that are gone: removed by the server in delta, missing from a state-of-the-world response where that
   * means removal (a subscription to `*`), or past their time to live.
   */
  readonly removed: readonly string[];
}

/** Where a subscription's resources go. */
export interface DiscoverySink {
  /**
   * Takes an update. Resolves with what is wrong with it (one text per mistake, with field paths); none: it is
   * acknowledged. The good resources of a bad update are in force all the same. There is one call at a time for a
   * subscription.
   */
  onUpdate(update: DiscoveryUpdate): Promise<readonly string[]>;
  /**
   * The server says, or keeps silent for `initial_fetch_timeout`, that these do not exist; `*` when nothing came
   * for a wildcard. Later they may come all the same.
   */
  onMissing(names: readonly string[]): void;
}

/** Interest in resources of one type from one source. */
export interface Subscription {
  /** All names that are wanted from now on, `*` for whatever there is. Nothing is asked for an empty set. */
  setNames(names: ReadonlySet<string>): void;
  close(): void;
}

/** One management server, file or poll: made from an `envoy.config.core.v3.ConfigSource`. */
export interface DiscoverySource {
  /**
   * `type` is a full message name, e.g. `envoy.config.cluster.v3.Cluster`; `initialFetchTimeoutMs` 0 waits for
   * ever. `statPrefix` is where Envoy counts `update_attempt` and the like, e.g. `cluster_manager.cds`.
   */
  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription;
  close(): void;
}

export interface SubscribeOptions {
  readonly type: string;
  readonly names: ReadonlySet<string>;
  /**
   * A name stands for all resources below it (`route` for `route/host-1`, `route/host-2`), as Envoy asks for
   * virtual hosts (VHDS); they come although nobody asked for their names.
   */
  readonly byNamespace?: boolean;
  /** The names are collections (`xdstp://authority/type/path/*`), which stand for all resources in them. */
  readonly byCollection?: boolean;
  readonly initialFetchTimeoutMs: number;
  readonly statPrefix: string;
}
