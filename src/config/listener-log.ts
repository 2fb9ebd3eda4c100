import type { ResetReason } from '../core/errors.ts';
import type { AccessLogger, AccessLogInfo } from '../http/access-log-info.ts';
import type { DownstreamInfo } from '../http/exchange.ts';
import type { Headers } from '../http/headers.ts';
import { FLAG } from '../http/response-flags.ts';
import type { RequestHead, ResponseHead } from '../http/stream.ts';
import type { Arrival } from '../net/accept.ts';
import type { Unserved } from '../net/accept-observer.ts';
import {
  type AcceptInfo,
  type Address,
  type Connection,
  type ConnectionSummary,
  PLAIN_ACCEPT,
} from '../net/connection.ts';
import type { ListenerContext } from './context.ts';

/** `access_log` of a listener: one entry for each accepted socket, when it is closed. */
export interface ListenerLog {
  /** Before the filters of its chain see it. */
  onConnection(connection: Connection): void;
  onUnserved(why: Unserved, arrival: Arrival, reason: ResetReason | null): void;
}

export function createListenerLog(logs: readonly AccessLogger[], ctx: ListenerContext): ListenerLog {
  const write = (entry: Entry): void => {
    for (const log of logs) log.log(entry);
  };
  return {
    onConnection: (connection) => {
      const summary = emptySummary();
      connection.accepted = { ...connection.accepted, summary };
      const startMs = ctx.clock.now();
      const startWallMs = ctx.clock.wall();
      connection.whenClosed(() => {
        const { bytesRead, bytesWritten } = connection;
        const endMs = ctx.clock.now();
        write(
          new Entry(connection, summary, {
            ...{ startMs, endMs, startWallMs },
            bytesReceived: bytesRead,
            bytesSent: bytesWritten,
          }),
        );
      });
    },
    onUnserved: (why, arrival, reason) => {
      const summary = emptySummary();
      if (why === 'no-filter-chain') {
        summary.responseFlags = FLAG.noRouteFound;
        summary.details = 'filter_chain_not_found';
      }
      if (reason !== null) summary.terminationDetails = reason.details;
      const endMs = ctx.clock.now();
      const { startMs } = arrival;
      const startWallMs = ctx.clock.wall() - (endMs - startMs);
      const { id, remote, local, directRemote, directLocal, serverName, chainName } = arrival;
      const accepted = { ...PLAIN_ACCEPT, serverName, chainName, directRemote, directLocal };
      const times = { startMs, endMs, startWallMs };
      write(
        new Entry({ id, remote, local, accepted }, summary, { ...times, bytesReceived: 0, bytesSent: 0 }),
      );
    },
  };
}

function emptySummary(): ConnectionSummary {
  return {
    protocol: '',
    responseFlags: 0,
    details: '',
    terminationDetails: '',
    upstreamCluster: '',
    upstreamHost: null,
    upstreamLocal: null,
    upstreamTransportFailure: '',
  };
}

interface Ends {
  readonly id: number;
  readonly remote: Address;
  readonly local: Address;
  readonly accepted: AcceptInfo;
}

interface Measured {
  readonly startMs: number;
  readonly endMs: number;
  readonly startWallMs: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

class Entry implements AccessLogInfo {
  readonly kind = 'listener';
  readonly downstream: DownstreamInfo;
  readonly startWallMs: number;
  readonly startMs: number;
  readonly request: RequestHead | null = null;
  readonly response: ResponseHead | null = null;
  readonly responseTrailers: Headers | null = null;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly responseFlags: number;
  readonly responseCodeDetails: string;
  readonly connectionTerminationDetails: string;
  readonly protocol: string;
  readonly requestId = '';
  readonly routeName = '';
  readonly upstreamCluster: string;
  readonly upstreamHost: Address | null;
  readonly upstreamLocal: Address | null;
  readonly upstreamTransportFailure: string;
  readonly upstreamAttempts = 0;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly requestEndMs = -1;
  readonly upstreamFirstTxMs = -1;
  readonly upstreamLastTxMs = -1;
  readonly upstreamFirstRxMs = -1;
  readonly upstreamLastRxMs = -1;
  readonly firstTxMs = -1;
  readonly endMs: number;

  constructor(ends: Ends, summary: ConnectionSummary, measured: Measured) {
    const { id, remote, local, accepted } = ends;
    this.downstream = { connectionId: id, directRemote: remote, local, accepted };
    this.remoteIp = remote.ip;
    this.remotePort = remote.port;
    this.startWallMs = measured.startWallMs;
    this.startMs = measured.startMs;
    this.endMs = measured.endMs;
    this.bytesReceived = measured.bytesReceived;
    this.bytesSent = measured.bytesSent;
    this.responseFlags = summary.responseFlags;
    this.responseCodeDetails = summary.details;
    this.connectionTerminationDetails = summary.terminationDetails;
    this.protocol = summary.protocol;
    this.upstreamCluster = summary.upstreamCluster;
    this.upstreamHost = summary.upstreamHost;
    this.upstreamLocal = summary.upstreamLocal;
    this.upstreamTransportFailure = summary.upstreamTransportFailure;
  }
}
