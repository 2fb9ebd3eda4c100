import type { Address } from '../net/connection.ts';
import type { RequestHead, ResponseHead } from './stream.ts';

/** Envoy's response flags as bits; `response-flags.ts` has their short and long names. */
export type ResponseFlags = number;

/** What is known of the connection that a request came on. One per connection. */
export interface DownstreamInfo {
  readonly connectionId: number;
  /** Peer of the socket. */
  readonly directRemote: Address;
  readonly local: Address;
  /** SNI, '' without TLS. */
  readonly serverName: string;
}

/**
 * One request and its response: what filters, routes, stats and the access log see of it.
 * Times are monotonic milliseconds (Clock.now); −1 means "did not happen".
 */
export class Exchange {
  readonly downstream: DownstreamInfo;
  readonly startWallMs: number;
  readonly startMs: number;
  request: RequestHead;
  response: ResponseHead | null;
  /** Client address after x-forwarded-for and trusted hops were taken into account. */
  remoteIp: string;
  remotePort: number;
  responseFlags: ResponseFlags;
  /** Envoy's `%RESPONSE_CODE_DETAILS%`, '' when unset. */
  responseCodeDetails: string;
  connectionTerminationDetails: string;
  /** Path before a rewrite, '' when it was not rewritten. */
  originalPath: string;
  requestId: string;
  routeName: string;
  virtualHost: string;
  upstreamCluster: string;
  upstreamHost: Address | null;
  upstreamLocal: Address | null;
  upstreamTransportFailure: string;
  upstreamAttempts: number;
  /** Body bytes. */
  bytesReceived: number;
  bytesSent: number;
  requestHeaderBytes: number;
  responseHeaderBytes: number;
  /** Last byte of the request received. */
  requestEndMs: number;
  /** First and last byte to and from the upstream. */
  upstreamFirstTxMs: number;
  upstreamLastTxMs: number;
  upstreamFirstRxMs: number;
  upstreamLastRxMs: number;
  /** First and last byte sent downstream; the last one is the end of the exchange. */
  firstTxMs: number;
  endMs: number;

  constructor(downstream: DownstreamInfo, request: RequestHead, nowMs: number, wallMs: number) {
    this.downstream = downstream;
    this.startWallMs = wallMs;
    this.startMs = nowMs;
    this.request = request;
    this.response = null;
    this.remoteIp = downstream.directRemote.ip;
    this.remotePort = downstream.directRemote.port;
    this.responseFlags = 0;
    this.responseCodeDetails = '';
    this.connectionTerminationDetails = '';
    this.originalPath = '';
    this.requestId = '';
    this.routeName = '';
    this.virtualHost = '';
    this.upstreamCluster = '';
    this.upstreamHost = null;
    this.upstreamLocal = null;
    this.upstreamTransportFailure = '';
    this.upstreamAttempts = 0;
    this.bytesReceived = 0;
    this.bytesSent = 0;
    this.requestHeaderBytes = 0;
    this.responseHeaderBytes = 0;
    this.requestEndMs = -1;
    this.upstreamFirstTxMs = -1;
    this.upstreamLastTxMs = -1;
    this.upstreamFirstRxMs = -1;
    this.upstreamLastRxMs = -1;
    this.firstTxMs = -1;
    this.endMs = -1;
  }
}
