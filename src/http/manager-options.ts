import type { Clock } from '../core/clock.ts';
import type { TimerWheel } from '../core/timer-wheel.ts';
import type { Connection } from '../net/connection.ts';
import type { ResponseCodes } from '../stats/http-codes.ts';
import type { AccessLogger } from './access-log-info.ts';
import type { ServerConnection, ServerConnectionEvents } from './codec.ts';
import type { DateHeader } from './date.ts';
import type { Exchange } from './exchange.ts';
import type { HttpFilter } from './filter.ts';
import type { ManagerStats } from './manager-stats.ts';
import type { RequestHeaderRules } from './request-headers.ts';
import type { ResponseHead } from './stream.ts';

export type ServerHeaderTransformation = 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH';

/** Milliseconds; 0 = off. Names as in Envoy's HttpConnectionManager. */
export interface ManagerTimeouts {
  /** No stream open on the connection. */
  readonly idleTimeoutMs: number;
  /** No byte on a stream in either direction. */
  readonly streamIdleTimeoutMs: number;
  /** From the first byte of a request to its last. */
  readonly requestTimeoutMs: number;
  /** From the first byte of a request's head to its last. */
  readonly requestHeadersTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  /** How long a connection that is to end still takes requests, whose answers then say `connection: close`. */
  readonly drainMs: number;
  readonly maxStreamDurationMs: number;
}

/** What overload asks of a connection manager; each question draws anew where an action is scaled. */
export interface RequestShedding {
  /** Refuse the request that begins now. */
  stopsRequest(): boolean;
  /** It is refused because this thread's event loop lags. */
  lagging(): boolean;
  /** Close the connection with the answer that goes out now. */
  disablesKeepalive(): boolean;
  /** What is left of an idle timeout, of connections and of streams; milliseconds, 0 for none. */
  idleMs(configured: number): number;
  streamIdleMs(configured: number): number;
}

/** Everything a compiled HTTP connection manager knows; shared by all its connections. */
export interface ManagerOptions {
  readonly createCodec: (connection: Connection, events: ServerConnectionEvents) => ServerConnection;
  readonly stats: ManagerStats;
  /** The same codes once more, under the listener's name. */
  readonly listenerCodes: ResponseCodes;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly date: DateHeader;
  readonly timeouts: ManagerTimeouts;
  readonly maxRequestsPerConnection: number;
  readonly rules: RequestHeaderRules;
  readonly serverName: string;
  readonly serverHeader: ServerHeaderTransformation;
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly accessLogs: readonly AccessLogger[];
  readonly filters: readonly HttpFilter[];
  /** Normalises path and authority in place; false when it has replied. */
  readonly normalize: (x: Exchange) => boolean;
  /** Finds the route and fills `x.route`, `x.routeName`, …; leaves null when there is none. */
  readonly selectRoute: (x: Exchange) => void;
  /** The name of the request's route configuration when its virtual hosts are to be had one by one, else ''. */
  readonly vhdsRoute: (x: Exchange) => string;
  readonly terminal: (x: Exchange, end: boolean) => void;
  readonly routeResponse: (x: Exchange, head: ResponseHead) => void;
  /** `Expect: 100-continue` goes to the upstream; otherwise it is answered here. */
  /** Whether the upgrade that a request asks for, or its CONNECT, is allowed; asked behind `selectRoute`. */
  readonly allowUpgrade: (x: Exchange) => boolean;
  readonly proxy100Continue: boolean;
  /** Whether the connection should be given up with the answer that goes out now. */
  readonly drainDecision: () => boolean;
  readonly shedding: RequestShedding;
  /** Counts and logs what was thrown while an exchange was served. */
  readonly onException: (error: unknown) => void;
  /** Live connections, for drain and for `/listeners`. */
  readonly connections: Set<{ drain(): void; destroy(): void }>;
}
