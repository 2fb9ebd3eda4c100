import type { RouteAction, VirtualHost as VirtualHostConfig } from '#plain/envoy.config.route.v3.ts';
import type { Cell } from '../core/cell.ts';
import type { ForwardPolicy } from '../forward/forward-policy.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import type { HttpFilter } from '../http/filter.ts';
import type { RequestHead } from '../http/stream.ts';
import type { PickContext } from '../upstream/lb/load-balancer.ts';
import type { HeaderMutations } from './policy.ts';
import type { RequestRewrite } from './rewrite.ts';
import type { UpgradeRules } from './upgrade.ts';

/** What every route has, whatever it does. */
export interface RouteBase {
  /** `name` of the route, '' when unnamed: `%ROUTE_NAME%`. */
  readonly name: string;
  readonly virtualHost: string;
  readonly statPrefix: string;
  /** The filters of its requests, null: the connection manager's. */
  readonly filters: readonly HttpFilter[] | null;
  /** Applied in this order; a forward route's come with its ClusterPick. */
  readonly requestMutations: readonly HeaderMutations[];
  readonly responseMutations: readonly HeaderMutations[];
}

/** The cluster that one request goes to; made at compile time (but for `cluster_header`). */
export interface ClusterPick<C = unknown> {
  readonly name: string;
  /** Empty while no such cluster exists: `clusterNotFoundStatus`, flag NC. */
  readonly cell: Cell<C>;
  /** The weighted cluster's own, which come before all others whatever wins elsewhere. */
  readonly ownRequestMutations: HeaderMutations | undefined;
  /** New authority of the weighted cluster, '' for none; the route may rewrite it again. */
  readonly hostRewriteLiteral: string;
  /** Those of the route and the levels around it. */
  readonly requestMutations: readonly HeaderMutations[];
  /** All of them, the weighted cluster's own first. */
  readonly responseMutations: readonly HeaderMutations[];
  /** The filters of its requests, null: the connection manager's. */
  readonly filters: readonly HttpFilter[] | null;
  /** What balancing is to know: the `metadata_match` of route and weighted cluster. Null: nothing. */
  readonly hosts: PickContext | null;
}

/** `RouteAction.MaxStreamDuration`; milliseconds, undefined: not set, 0: no limit. */
export interface RouteStreamDuration {
  readonly maxMs: number | undefined;
  /** Given: a request's `grpc-timeout` counts, up to this. */
  readonly grpcMaxMs: number | undefined;
  readonly grpcOffsetMs: number;
}

export interface ForwardRoute<C = unknown> extends RouteBase {
  readonly kind: 'forward';
  /** `random` is the request's one random number. Never throws, allocates for `cluster_header` alone. */
  readonly pickCluster: (random: number, request: RequestHead) => ClusterPick<C>;
  readonly clusterNotFoundStatus: number;
  /** Timeouts, retries, mirrors. */
  readonly forward: ForwardPolicy<C>;
  /** In place of the connection manager's `max_stream_duration`; undefined: that one. */
  readonly maxStreamDuration: RouteStreamDuration | undefined;
  /** `upgrade_configs`; null: as the connection manager says. */
  readonly upgrades: UpgradeRules | null;
  /** Undefined: the connection manager's stream idle timeout; 0: none. */
  readonly idleTimeoutMs: number | undefined;
  /** `hash_policy`: what hashing balancers go by; null: nothing is hashed. */
  readonly hash: ((request: RequestHead, remoteIp: string) => number | undefined) | null;
  /** Host and path; undefined when neither is touched. */
  readonly rewrite: RequestRewrite | undefined;
  /** The authority becomes the chosen host's name: done by whoever chooses the host (`rewriteAuthority`). */
  readonly autoHostRewrite: boolean;
  readonly appendXForwardedHost: boolean;
  readonly priority: 'DEFAULT' | 'HIGH';
  /** The plain config, for what others compile from it (retries, hashing, mirrors). */
  readonly config: RouteAction;
  readonly virtualHostConfig: VirtualHostConfig;
}

export interface RedirectRoute extends RouteBase {
  readonly kind: 'redirect';
  readonly status: number;
  readonly location: (request: RequestHead) => string;
}

export interface DirectRoute extends RouteBase {
  readonly kind: 'direct';
  readonly status: number;
  /** '' for none. */
  readonly body: string;
  /** Envoy answers 201 and 3xx with the request's own URL. */
  readonly location: ((request: RequestHead) => string) | undefined;
}

export type Route<C = unknown> = ForwardRoute<C> | RedirectRoute | DirectRoute;

/** What `%…%` in header values may read, and what rewriting changes. An Exchange is one. */
export interface RewritableInfo extends AccessLogInfo {
  readonly request: RequestHead;
  originalPath: string;
}
