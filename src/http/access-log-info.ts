import type { Address } from '../net/connection.ts';
import type { TlsInfo } from '../net/transport.ts';
import type { DownstreamInfo, ResponseFlags } from './exchange.ts';
import type { Headers } from './headers.ts';
import type { RequestHead, ResponseHead } from './stream.ts';

/**
 * What access logs and header values may ask of one request or one proxied TCP connection. Exchange has this
 * shape; a TCP session leaves the HTTP fields null, '' or −1. Times are monotonic milliseconds, −1 for "did
 * not happen".
 */
export interface AccessLogInfo {
  /** The entry of a listener, which stands for all that happened on the connection. */
  readonly kind?: 'listener';
  /** Of a listener's entry, '' when no HTTP was spoken. */
  readonly protocol?: string;
  readonly downstream: DownstreamInfo;
  readonly startWallMs: number;
  readonly startMs: number;
  readonly request: RequestHead | null;
  readonly response: ResponseHead | null;
  readonly responseTrailers: Headers | null;
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly responseFlags: ResponseFlags;
  /** The health check filter knows it for a health check. */
  readonly healthCheck?: boolean;
  readonly responseCodeDetails: string;
  readonly connectionTerminationDetails: string;
  readonly requestId: string;
  readonly routeName: string;
  readonly upstreamCluster: string;
  readonly upstreamHost: Address | null;
  readonly upstreamLocal: Address | null;
  /** The request went out over HTTP/2; left out where nothing goes out over HTTP. */
  readonly upstreamHttp2?: boolean;
  readonly upstreamTls?: TlsInfo | null;
  readonly upstreamTransportFailure: string;
  readonly upstreamAttempts: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly requestEndMs: number;
  readonly upstreamFirstTxMs: number;
  readonly upstreamLastTxMs: number;
  readonly upstreamFirstRxMs: number;
  readonly upstreamLastRxMs: number;
  readonly firstTxMs: number;
  readonly endMs: number;
}

/** One configured access log; `log` is called once at the end of each request or connection. */
export interface AccessLogger {
  log(info: AccessLogInfo): void;
}
