import type { AccessLog } from '#plain/envoy.config.accesslog.v3.ts';
import type { Cell } from '../core/cell.ts';
import type { Clock } from '../core/clock.ts';
import { ConfigError } from '../core/errors.ts';
import type { LagWatch } from '../core/lag-watch.ts';
import type { Logger } from '../core/log.ts';
import type { Random } from '../core/random.ts';
import type { Scope } from '../core/scope.ts';
import type { SharedCount } from '../core/shared-count.ts';
import type { TimerWheel } from '../core/timer-wheel.ts';
import type { NodeIdentity } from '../core/worker-protocol.ts';
import type { HostPredicate } from '../forward/retry-policy.ts';
import type { AccessLogger } from '../http/access-log-info.ts';
import type { DateHeader } from '../http/date.ts';
import type { Exchange } from '../http/exchange.ts';
import type { HttpFilter } from '../http/filter.ts';
import type { Connection } from '../net/connection.ts';
import type { ConnectionHandler } from '../net/listener.ts';
import type { ListenerFilter } from '../net/listener-filter.ts';
import type { OutgoingConnections } from '../net/outgoing.ts';
import type { LearnedDestinations } from '../net/server-first.ts';
import type { ClientTransport, ServerTransport } from '../net/transport.ts';
import type { StatScope } from '../stats/scope.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Demands } from './demands.ts';
import type { DrainDecision } from './drain.ts';
import type { RouteDirectory } from './live-routes.ts';
import type { SecretStore } from './tls-secrets.ts';

/** The message of a resolved `Any`: always an object, but its type is known to its extension only. */
export function typedObject(value: unknown): object {
  if (typeof value !== 'object' || value === null) throw new TypeError('a resolved Any holds no message');
  return value;
}

/** Live downstream connections of a thread, whatever they speak: for drain and for shutdown. */
export interface LiveConnection {
  /** Finish what runs, then close. Idempotent. */
  drain(): void;
  destroy(): void;
  /** Its timers may be due earlier than they were. */
  onTimeoutsChanged?(): void;
}

/**
 * What configuration is compiled with. The control thread compiles everything dry, to accept or refuse it: there
 * `dry` is true and nothing may open sockets, files or timers.
 */
export interface CompileContext {
  readonly dry: boolean;
  /** Number of the worker, from 0. */
  readonly worker: number;
  /** The root scope. */
  readonly stats: StatScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly date: DateHeader;
  readonly log: Logger;
  readonly node: NodeIdentity;
  readonly envoyStrict: boolean;
  readonly extensions: ExtensionRegistry;
  /** Owns what the compiled configuration opens. */
  readonly scope: Scope;
  readonly connections: Set<LiveConnection>;
  /** What the control thread tells all workers at once, see core/signals.ts. */
  readonly signals: Float64Array;
  readonly lag: LagWatch;
  /** This machine's address towards others, told to upstreams in place of a loopback peer. */
  readonly localIp: string;
  /** The cell of a cluster, empty until there is one. */
  cluster(name: string): Cell<Cluster>;
  /** The same for a name that came with a connection; undefined when nobody configured it. */
  findCluster(name: string): Cell<Cluster> | undefined;
  readonly clusterExists: (name: string) => boolean;
  readonly routes: RouteDirectory;
  /** The value of a runtime key, or undefined. */
  runtime(key: string): unknown;
  /** A count over all workers, by one of the names of config/connection-counts.ts. */
  sharedCount(name: string): SharedCount;
  compileAccessLogs(configs: readonly AccessLog[] | undefined, path: string): AccessLogger[];
  readonly secrets: SecretStore;
  /** Requests that wait for what is asked for by name. */
  readonly demands: Demands;
  /** Destinations whose servers speak first. */
  readonly serverFirst: LearnedDestinations;
  /** What this thread has connected to, which rules may bring back. */
  readonly outgoing: OutgoingConnections;
  /** Secret of this process, for TLS session tickets. */
  readonly ticketSecret: Buffer;
  /** Counts and logs what extensions throw while serving. Never throws. */
  readonly onException: (error: unknown) => void;
}

/** What is compiled for one listener. */
export interface ListenerContext extends CompileContext {
  /** `listener.<address>.` */
  readonly listenerScope: StatScope;
  /** `transparent`: sockets show the address that the client dialled as their own. */
  readonly transparent: boolean;
  /** The count of the next connection_limit filter. */
  nextConnectionCount(): SharedCount;
  /** Whether a connection should be given up with the answer that goes out now. */
  readonly drainDecision: DrainDecision;
}

/** A network filter that ends a filter chain: HTTP connection manager, TCP proxy. */
export interface NetworkExtension {
  readonly kind: 'network';
  /** Envoy's name, e.g. `envoy.filters.network.tcp_proxy`. */
  readonly name: string;
  /** Full message name of its configuration. */
  readonly type: string;
  compile(config: object, ctx: ListenerContext): ConnectionHandler;
}

/**
 * A network filter that is not the last of its chain. It calls `next` with the connection, now or later, or closes
 * the connection itself.
 */
export type NetworkFilter = (connection: Connection, next: ConnectionHandler) => void;

export interface NetworkFilterExtension {
  readonly kind: 'network-filter';
  readonly name: string;
  readonly type: string;
  compile(config: object, ctx: ListenerContext): NetworkFilter;
}

/** A listener filter: looks at the first bytes of a connection before its filter chain is chosen. */
export interface ListenerFilterExtension {
  readonly kind: 'listener';
  readonly name: string;
  readonly type: string;
  compile(config: object, ctx: ListenerContext): ListenerFilter;
}

/** What compiling the transport socket of a cluster needs; transport sockets may wrap each other. */
export interface ClientTransportContext {
  readonly dry: boolean;
  readonly stats: StatScope;
  /** `cluster.<name>.` */
  readonly clusterScope: StatScope;
  readonly extensions: ExtensionRegistry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly secrets: SecretStore;
  /** Secret of this process, for TLS session tickets. */
  readonly ticketSecret: Buffer;
}

/** A transport socket, for one side or both: TLS, raw_buffer, proxy_protocol. */
export interface TransportExtension {
  readonly kind: 'transport';
  readonly name: string;
  readonly type: string;
  /** For filter chains; null: the bytes as they are. Absent: not for this side. */
  compileServer?(config: object, ctx: ListenerContext): ServerTransport | null;
  /** For clusters; null: the bytes as they are. Absent: not for this side. */
  compileClient?(config: object, ctx: ClientTransportContext): ClientTransport | null;
}

/** The end of an HTTP filter chain. */
export type HttpTerminal = (x: Exchange, end: boolean) => void;

export interface HttpFilterContext extends CompileContext {
  /** `http.<stat_prefix>.` */
  readonly httpScope: StatScope;
  /** The filter's number in its chain, for its FilterSlot. */
  readonly slot: number;
}

/** A filter of a connection manager's chain, which routes may configure anew. */
export interface CompiledHttpFilter extends HttpFilter {
  /**
   * The filter as `typed_per_filter_config` wants it; it shares counters and limits with this one. Messages of
   * `routeTypes`, at least one, the most specific first. May throw a ConfigError.
   */
  forRoute?(this: void, configs: readonly object[]): HttpFilter;
}

export interface HttpFilterExtension {
  readonly kind: 'http';
  readonly name: string;
  readonly type: string;
  /** Full message names that routes may configure it with; none when left out. */
  readonly routeTypes?: readonly string[];
  compile(config: object, ctx: HttpFilterContext): CompiledHttpFilter;
}

export interface HttpTerminalExtension {
  readonly kind: 'http-terminal';
  readonly name: string;
  readonly type: string;
  compile(config: object, ctx: HttpFilterContext): HttpTerminal;
}

/** `retry_host_predicate`: which hosts a retry had better not go to. */
export interface RetryHostPredicateExtension {
  readonly kind: 'retry-host-predicate';
  readonly name: string;
  readonly type: string;
  compile(config: object): HostPredicate;
}

/** `retry_priority`: compiles to the attempts after which the priorities that failed are left out. */
export interface RetryPriorityExtension {
  readonly kind: 'retry-priority';
  readonly name: string;
  readonly type: string;
  compile(config: object): number;
}

export type Extension =
  | RetryPriorityExtension
  | RetryHostPredicateExtension
  | ListenerFilterExtension
  | TransportExtension
  | NetworkFilterExtension
  | NetworkExtension
  | HttpFilterExtension
  | HttpTerminalExtension;

/** Extensions by the type of their configuration; a value, made of one explicit list. */
export class ExtensionRegistry {
  readonly #byType = new Map<string, Extension>();
  readonly #routeTypes = new Set<string>();

  constructor(extensions: readonly Extension[]) {
    for (const extension of extensions) {
      this.#byType.set(extension.type, extension);
      if (extension.kind !== 'http') continue;
      for (const type of extension.routeTypes ?? []) this.#routeTypes.add(type);
    }
  }

  /** `typed_per_filter_config` may hold it. */
  isRouteType(type: string): boolean {
    return this.#routeTypes.has(type);
  }

  find(type: string): Extension | undefined {
    return this.#byType.get(type);
  }
}

/** Runs `compile` and puts `prefix` before the paths of its problems. */
export function at<T>(prefix: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      error.problems.map((p) => ({ ...p, path: joinPath(prefix, p.path) })),
      { cause: error },
    );
  }
}

function joinPath(prefix: string, path: string): string {
  if (prefix === '') return path;
  if (path === '') return prefix;
  return path.startsWith('[') ? prefix + path : `${prefix}.${path}`;
}
