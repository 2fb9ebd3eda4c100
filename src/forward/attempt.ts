import type { ResetReason } from '../core/errors.ts';
import type { Exchange } from '../http/exchange.ts';
import { isGrpc } from '../http/grpc.ts';
import { grpcToHttp, readGrpcStatus } from '../http/grpc-status.ts';
import type { Headers } from '../http/headers.ts';
import { transportFailure } from '../http/local-reply.ts';
import type { ClientStream, RequestHead, ResponseHead, StreamEvents } from '../http/stream.ts';
import type { Address } from '../net/connection.ts';
import type { ClusterStats } from '../upstream/cluster-stats.ts';
import type { Host } from '../upstream/host.ts';
import type { PoolConnection, PoolRequest } from '../upstream/pools/http-pool.ts';
import { type AttemptTimeout, AttemptTimers, type AttemptTimersOwner } from './attempt-timers.ts';
import { ConnectSource, type StreamSource } from './connect-stream.ts';
import type { Forwarder } from './forward-policy.ts';
import type { RequestBody } from './request-body.ts';

/** The request that an attempt is made for. Calls come while the attempt runs, none after `abort`. */
export interface AttemptOwner {
  readonly x: Exchange;
  readonly forwarder: Forwarder;
  /** The request head ends the request. */
  readonly headEnds: boolean;
  readonly priority: 'DEFAULT' | 'HIGH';
  /** A CONNECT that ends here: the host gets a raw connection. */
  readonly connects: boolean;
  /** There is a stream and the request's head was sent; the body may follow. */
  onAttemptOpen(attempt: HttpAttempt): void;
  /** The final head. */
  onAttemptHead(attempt: HttpAttempt, head: ResponseHead, end: boolean): void;
  /** The response is complete; its last piece is passed on next. */
  onAttemptEnd(attempt: HttpAttempt): void;
  /** It is over: there was no connection, or the stream was reset. */
  onAttemptFailure(attempt: HttpAttempt, reason: ResetReason): void;
  /** Nothing has been done about it yet. */
  onAttemptTimeout(attempt: HttpAttempt, what: AttemptTimeout): void;
}

const CANCELLED: ResetReason = {
  kind: 'cancelled',
  fault: 'downstream',
  retrySafe: false,
  details: 'downstream_gone',
};

type Phase = 'waiting' | 'open' | 'done';

/** One try of a request at one host: a place in its pool, then a stream, and what is learned from it. */
export class HttpAttempt implements PoolRequest, StreamEvents<ResponseHead>, AttemptTimersOwner {
  readonly response: StreamEvents<ResponseHead> = this;
  readonly host: Host;
  /** Where it goes to, for logs. */
  address: Address;
  /** Its head was passed on, or refused: the host has been told of the outcome. */
  answered: boolean;
  /** Another attempt was made because this one takes too long. */
  hedged: boolean;
  /** The connection had served another request before. */
  reused: boolean;
  /** Some byte of a response came. */
  heard: boolean;
  /** The request's head was given to the connection. */
  sent: boolean;
  readonly #owner: AttemptOwner;
  readonly #stats: ClusterStats;
  readonly #pool: StreamSource;
  #stream: ClientStream | null;
  #phase: Phase;
  #timers: AttemptTimers | null;
  #startMs: number;
  #sentMs: number;
  /** The host was told already, of a timeout. */
  #judged: boolean;
  /** Its head was counted as a success, which gRPC may take back. */
  #succeeded: boolean;
  #blocked: boolean;
  /** The stream is one of HTTP/2: as in Envoy only those count when we reset them. */
  #http2: boolean;
  #ended: boolean;

  constructor(owner: AttemptOwner, host: Host, stats: ClusterStats) {
    this.host = host;
    this.address = host.address;
    this.answered = false;
    this.hedged = false;
    this.reused = false;
    this.heard = false;
    this.sent = false;
    this.#owner = owner;
    this.#stats = stats;
    this.#pool = owner.connects
      ? new ConnectSource(host)
      : host.httpForRequest(owner.x.request, owner.priority, owner.x.downstream.accepted.source);
    this.#stream = null;
    this.#phase = 'waiting';
    this.#timers = null;
    this.#startMs = 0;
    this.#sentMs = 0;
    this.#judged = false;
    this.#succeeded = false;
    this.#blocked = false;
    this.#http2 = false;
    this.#ended = false;
  }

  get waiting(): boolean {
    return this.#phase === 'waiting';
  }

  get open(): boolean {
    return this.#phase === 'open';
  }

  /** It may still bring an answer. */
  get awaited(): boolean {
    return this.#phase !== 'done' && !this.answered;
  }

  start(): void {
    const { x } = this.#owner;
    this.#startMs = x.activeMs;
    x.upstreamAttempts++;
    x.upstreamHost = this.address;
    this.#pool.open(this);
  }

  /** Limits of the attempt itself; 0 = none. */
  startPerTry(perTryMs: number, idleMs: number): void {
    if (perTryMs > 0 || idleMs > 0) this.#clocks().startPerTry(perTryMs, idleMs);
  }

  startDuration(maxMs: number): void {
    this.#clocks().startDuration(maxMs);
  }

  // --- from the pool ---------------------------------------------------------------------------------------

  onPoolReady(stream: ClientStream, upstream: PoolConnection): void {
    const { x, forwarder, headEnds } = this.#owner;
    this.#phase = 'open';
    this.#stream = stream;
    this.reused = upstream.reused;
    this.#http2 = upstream.http2;
    if (this.host.logical && upstream.connection !== null) {
      this.address = upstream.connection.remote;
      x.upstreamHost = this.address;
    }
    x.upstreamLocal = upstream.connection?.local ?? null;
    x.upstreamTls = upstream.connection?.tls ?? null;
    x.upstreamHttp2 = upstream.http2;
    forwarder.onHost(x, this.host);
    this.#sentMs = x.now();
    x.upstreamFirstTxMs = this.#sentMs;
    this.sent = true;
    stream.sendHead(x.request, headEnds);
    if (headEnds) x.upstreamLastTxMs = this.#sentMs;
    this.#owner.onAttemptOpen(this);
  }

  onPoolFailure(reason: ResetReason): void {
    const { x } = this.#owner;
    this.#close();
    x.upstreamTransportFailure = transportFailure(reason);
    // Refused before the host was asked: none is named.
    if (reason.details === 'overflow') x.upstreamHost = null;
    if (reason.kind !== 'overflow') this.host.onFailure(x.now() - this.#startMs);
    this.#owner.onAttemptFailure(this, reason);
  }

  // --- the request -----------------------------------------------------------------------------------------

  sendData(chunk: Buffer, end: boolean): void {
    if (end) this.#owner.x.upstreamLastTxMs = this.#owner.x.activeMs;
    this.#stream?.sendData(chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    this.#stream?.sendTrailers(trailers);
  }

  sendBody(body: RequestBody, ended: boolean): void {
    if (ended) this.#owner.x.upstreamLastTxMs = this.#owner.x.activeMs;
    if (this.#stream !== null) body.sendTo(this.#stream, ended);
  }

  /** The client takes no more of the response (true), or takes again. */
  block(blocked: boolean): void {
    const stream = this.#stream;
    if (stream === null) return;
    if (blocked) {
      this.#stats.flowControlPausedReading.inc();
      stream.pause();
    } else {
      this.#stats.flowControlResumedReading.inc();
      stream.resume();
    }
  }

  // --- its end ---------------------------------------------------------------------------------------------

  /** The host took too long; told once, although the attempt may run on. */
  timedOut(): void {
    const { x } = this.#owner;
    if (!this.#judged && this.sent) this.host.onTimeout(x.now() - this.#sentMs);
    this.#judged = true;
  }

  /** The client left, or was answered otherwise. */
  abandon(): void {
    if (this.#phase === 'open' && !this.answered) {
      const { x } = this.#owner;
      if (!this.#judged) this.host.onAbandoned(x.now() - this.#sentMs);
    }
    this.abort();
  }

  /** Gives up the stream, or the place in the queue. Idempotent; nothing is told any more. */
  abort(): void {
    const phase = this.#phase;
    if (phase === 'done') return;
    const stream = this.#stream;
    this.#close();
    if (phase === 'waiting') {
      this.#pool.cancel(this);
      return;
    }
    if (this.#http2) this.#stats.rqTxReset.inc();
    stream?.reset(CANCELLED);
  }

  /** Both directions are complete. */
  complete(): void {
    this.#close();
  }

  /** The answer is not wanted: what is left of it is cut off. */
  dismiss(requestEnded: boolean): void {
    if (this.#ended && requestEnded) this.#close();
    else this.abort();
  }

  // --- the response, from the upstream codec ---------------------------------------------------------------

  onHead(head: ResponseHead, end: boolean): void {
    const { x } = this.#owner;
    this.heard = true;
    this.#timers?.touch();
    if (head.status < 200 && head.status !== 101) {
      this.#stats.codes.count(head.status);
      // Envoy lets no interim head through but the 100 that `proxy_100_continue` left to the upstream.
      if (head.status === 100 && x.request.expectContinue) x.sendInterim(head);
      return;
    }
    const nowMs = x.now();
    x.upstreamFirstRxMs = nowMs;
    this.answered = true;
    this.#ended = end;
    this.#timers?.endPerTry();
    const status = end ? statusOf(head, x.request) : head.status;
    if (!this.#judged) {
      this.host.onResponse(status, nowMs - this.#sentMs);
      this.#succeeded = status < 500 && !end;
    }
    if (this.host.check !== null) this.host.check.onResponse(head.headers);
    this.#owner.onAttemptHead(this, head, end);
  }

  onData(chunk: Buffer, end: boolean): void {
    this.#timers?.touch();
    if (end) {
      if (this.#http2) this.#failLate();
      this.#owner.onAttemptEnd(this);
    }
    this.#owner.x.sendData(chunk, end);
  }

  onTrailers(trailers: Headers): void {
    const grpc = readGrpcStatus(trailers);
    if (grpc > 0 && grpcToHttp(grpc) >= 500) this.#failLate();
    this.#succeeded = false;
    this.#owner.onAttemptEnd(this);
    this.#owner.x.sendTrailers(trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.#phase === 'done') return;
    if (this.answered) this.#failLate();
    this.#close();
    const { kind } = reason;
    if (kind === 'remote-reset' && !reason.retrySafe) this.#stats.rqRxReset.inc();
    else if (this.#http2 && (kind === 'protocol-error' || kind === 'local-reset'))
      this.#stats.rqTxReset.inc();
    this.#owner.onAttemptFailure(this, reason);
  }

  /** gRPC says in its trailers how it went: without them, or with bad news in them, the head was no success. */
  #failLate(): void {
    if (this.#succeeded && isGrpc(this.#owner.x.request.headers)) this.host.onLateFailure();
    this.#succeeded = false;
  }

  /** Tells the host of a stream that broke before its answer. */
  failed(): void {
    const { x } = this.#owner;
    if (this.sent && !this.#judged) this.host.onFailure(x.now() - this.#sentMs);
    this.#judged = true;
  }

  onBlocked(blocked: boolean): void {
    const { x } = this.#owner;
    this.#blocked = blocked;
    if (blocked) {
      this.#stats.flowControlBackedUp.inc();
      x.pauseRequest();
    } else {
      this.#stats.flowControlDrained.inc();
      x.resumeRequest();
    }
  }

  onAttemptTimeout(what: AttemptTimeout): void {
    if (this.#phase !== 'done') this.#owner.onAttemptTimeout(this, what);
  }

  #clocks(): AttemptTimers {
    const { x, forwarder } = this.#owner;
    this.#timers ??= new AttemptTimers(this, forwarder.wheel, x);
    return this.#timers;
  }

  #close(): void {
    this.#phase = 'done';
    this.#stream = null;
    this.#timers?.stop();
    if (!this.#blocked) return;
    // The next attempt, or the exchange's end, is not to find the client paused.
    this.#blocked = false;
    this.#owner.x.resumeRequest();
  }
}

/** A trailers-only answer to a gRPC request says 200 whatever happened. */
function statusOf(head: ResponseHead, request: RequestHead): number {
  const grpc = head.status === 200 ? readGrpcStatus(head.headers) : -1;
  return grpc < 0 || !isGrpc(request.headers) ? head.status : grpcToHttp(grpc);
}
