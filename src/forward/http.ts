import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Exchange, RequestSink } from '../http/exchange.ts';
import type { Headers } from '../http/headers.ts';
import { removeHeader } from '../http/headers.ts';
import { LOCAL_REPLY, transportFailure, upstreamReset } from '../http/local-reply.ts';
import { FLAG } from '../http/response-flags.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../http/stream.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { ClusterStats } from '../upstream/cluster-stats.ts';
import type { Host } from '../upstream/host.ts';
import type { PoolRequest } from '../upstream/pools/http-pool.ts';
import type { HttpPoolConnection } from '../upstream/pools/http-pool-connection.ts';

/** What a route says about forwarding. */
export interface ForwardPolicy {
  /** From the end of the request to the end of the response; 0 for none. */
  readonly timeoutMs: number;
}

/** What the forwarding of one router filter shares. */
export interface Forwarder {
  readonly wheel: TimerWheel;
  /** Leave out `x-envoy-upstream-service-time`. */
  readonly suppressEnvoyHeaders: boolean;
  /** Told the chosen host before the request head is sent (host rewriting). */
  onHost(x: Exchange, host: Host): void;
}

const CANCELLED: ResetReason = {
  kind: 'cancelled',
  fault: 'downstream',
  retrySafe: false,
  details: 'downstream_gone',
};

/** Sends an exchange's request to one host of a cluster and its response back. */
export function forwardHttp(
  x: Exchange,
  cluster: Cluster,
  policy: ForwardPolicy,
  forwarder: Forwarder,
  end: boolean,
): void {
  const host = cluster.pick();
  if (host === undefined) {
    cluster.stats.codes.count(503);
    x.reply(LOCAL_REPLY.noHealthyUpstream);
    return;
  }
  const attempt = new HttpAttempt(x, cluster, host, forwarder, end);
  attempt.timeoutMs = policy.timeoutMs;
  attempt.start();
}

type Phase = 'waiting' | 'open' | 'done';

/** One try of a request at one host: the two streams joined, and what is learned from it. */
class HttpAttempt implements RequestSink, PoolRequest, StreamEvents<ResponseHead>, TimerOwner {
  readonly response: StreamEvents<ResponseHead> = this;
  readonly #x: Exchange;
  /** From the end of the request to the end of the response; 0 for none. */
  timeoutMs = 0;
  readonly #forwarder: Forwarder;
  readonly #stats: ClusterStats;
  readonly #host: Host;
  readonly #timer: WheelTimer;
  #stream: ClientStream | null = null;
  #phase: Phase = 'waiting';
  /** The request head ends the request. */
  readonly #headEnds: boolean;
  #requestEnded: boolean;
  /** Request bytes that came before a connection was there; bounded because the client is paused. */
  #early: Buffer[] | null = null;
  #earlyTrailers: Headers | null = null;
  #startMs = 0;
  #sentMs = 0;
  #answered = false;
  #downstreamPaused = false;

  constructor(x: Exchange, cluster: Cluster, host: Host, forwarder: Forwarder, end: boolean) {
    this.#x = x;
    this.#forwarder = forwarder;
    this.#stats = cluster.stats;
    this.#host = host;
    this.#headEnds = end;
    this.#requestEnded = end;
    this.#timer = new WheelTimer(this);
  }

  start(): void {
    const x = this.#x;
    this.#startMs = x.activeMs;
    x.upstreamAttempts++;
    x.upstreamHost = this.#host.address;
    x.sink = this;
    if (this.#requestEnded) this.#startTimeout();
    this.#host.httpFor(x.request.protocol).open(this);
    if (this.#phase === 'waiting' && !this.#requestEnded) {
      this.#downstreamPaused = true;
      x.pauseRequest();
    }
  }

  // --- from the pool ---------------------------------------------------------------------------------------

  onPoolReady(stream: ClientStream, upstream: HttpPoolConnection): void {
    const x = this.#x;
    this.#phase = 'open';
    this.#stream = stream;
    x.upstreamLocal = upstream.connection?.local ?? null;
    this.#forwarder.onHost(x, this.#host);
    this.#sentMs = x.now();
    x.upstreamFirstTxMs = this.#sentMs;
    stream.sendHead(x.request, this.#headEnds);
    if (this.#headEnds) x.upstreamLastTxMs = this.#sentMs;
    else if (this.#early !== null || this.#earlyTrailers !== null) this.#sendEarly(stream);
    if (this.#downstreamPaused) {
      this.#downstreamPaused = false;
      x.resumeRequest();
    }
  }

  onPoolFailure(reason: ResetReason): void {
    this.#phase = 'done';
    this.#forwarder.wheel.cancel(this.#timer);
    this.#x.upstreamTransportFailure = transportFailure(reason);
    // Refused before the host was asked: none is named.
    if (reason.details === 'overflow') this.#x.upstreamHost = null;
    if (reason.kind !== 'overflow') this.#host.onFailure(this.#x.now() - this.#startMs);
    const answer = upstreamReset(reason, false);
    this.#stats.codes.count(answer.status);
    this.#x.reply(answer);
  }

  // --- the request, from the exchange ----------------------------------------------------------------------

  onRequestData(chunk: Buffer, end: boolean): void {
    if (end) this.#endRequest();
    const stream = this.#stream;
    if (stream !== null) {
      if (end) this.#x.upstreamLastTxMs = this.#x.activeMs;
      stream.sendData(chunk, end);
      return;
    }
    if (this.#phase !== 'waiting') return;
    this.#early ??= [];
    if (chunk.length > 0) this.#early.push(Buffer.from(chunk));
  }

  onRequestTrailers(trailers: Headers): void {
    this.#endRequest();
    if (this.#stream !== null) this.#stream.sendTrailers(trailers);
    else this.#earlyTrailers = trailers;
  }

  onDownstreamBlocked(blocked: boolean): void {
    const stream = this.#stream;
    if (stream === null) return;
    const stats = this.#stats;
    if (blocked) {
      stats.flowControlPausedReading.inc();
      stream.pause();
    } else {
      stats.flowControlResumedReading.inc();
      stream.resume();
    }
  }

  onFinished(): void {
    if (this.#phase === 'done') return;
    const waiting = this.#phase === 'waiting';
    this.#phase = 'done';
    this.#forwarder.wheel.cancel(this.#timer);
    if (waiting) {
      this.#host.httpFor(this.#x.request.protocol).cancel(this);
      return;
    }
    // The client left, or the response ended before the request did.
    if (!this.#answered) {
      this.#host.onAbandoned(this.#x.now() - this.#sentMs);
      this.#stats.rqCancelled.inc();
    }
    this.#stats.rqTxReset.inc();
    this.#stream?.reset(CANCELLED);
  }

  // --- the response, from the upstream codec ---------------------------------------------------------------

  onHead(head: ResponseHead, end: boolean): void {
    const x = this.#x;
    if (head.status < 200 && head.status !== 101) {
      // Envoy lets no interim head through but the 100 that `proxy_100_continue` left to the upstream.
      if (head.status === 100 && x.request.expectContinue) x.sendInterim(head);
      return;
    }
    const nowMs = x.now();
    const rttMs = nowMs - this.#sentMs;
    x.upstreamFirstRxMs = nowMs;
    this.#answered = true;
    this.#host.onResponse(head.status, rttMs);
    this.#stats.codes.count(head.status);
    if (x.responseCodeDetails === '') x.responseCodeDetails = 'via_upstream';
    if (!this.#forwarder.suppressEnvoyHeaders) {
      removeHeader(head.headers, 'x-envoy-upstream-service-time');
      // Envoy counts from the end of the request: an answer that comes before it has no such time.
      if (x.requestEndMs >= 0) {
        head.headers.push('x-envoy-upstream-service-time', String(Math.trunc(rttMs)));
      }
    }
    if (end) this.#endResponse(nowMs);
    x.sendHead(head, end);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (end) this.#endResponse(this.#x.now());
    this.#x.sendData(chunk, end);
  }

  onTrailers(trailers: Headers): void {
    this.#endResponse(this.#x.now());
    this.#x.sendTrailers(trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.#phase === 'done') return;
    this.#phase = 'done';
    const x = this.#x;
    this.#forwarder.wheel.cancel(this.#timer);
    if (reason.kind === 'remote-reset') this.#stats.rqRxReset.inc();
    if (!this.#answered) this.#host.onFailure(x.now() - this.#sentMs);
    const answer = upstreamReset(reason, this.#answered);
    if (!this.#answered) this.#stats.codes.count(answer.status);
    x.reply(answer);
  }

  onBlocked(blocked: boolean): void {
    const stats = this.#stats;
    if (blocked) {
      stats.flowControlBackedUp.inc();
      this.#x.pauseRequest();
    } else {
      stats.flowControlDrained.inc();
      this.#x.resumeRequest();
    }
  }

  // --- time ------------------------------------------------------------------------------------------------

  onTimer(): void {
    if (this.#phase === 'done') return;
    const waiting = this.#phase === 'waiting';
    this.#phase = 'done';
    const x = this.#x;
    const stats = this.#stats;
    stats.rqTimeout.inc();
    if (waiting) this.#host.httpFor(this.#x.request.protocol).cancel(this);
    else {
      if (!this.#answered) this.#host.onTimeout(x.now() - this.#sentMs);
      stats.rqTxReset.inc();
      this.#stream?.reset(CANCELLED);
    }
    const answer = LOCAL_REPLY.requestTimeout;
    if (!this.#answered) this.#stats.codes.count(answer.status);
    x.responseFlags |= FLAG.upstreamRequestTimeout;
    x.reply(answer);
  }

  #startTimeout(): void {
    if (this.timeoutMs > 0) this.#forwarder.wheel.schedule(this.#timer, this.timeoutMs, this.#x.activeMs);
  }

  #endRequest(): void {
    this.#requestEnded = true;
    this.#startTimeout();
  }

  #endResponse(nowMs: number): void {
    const x = this.#x;
    x.upstreamLastRxMs = nowMs;
    this.#stats.rqTime.record(nowMs - this.#startMs);
    if (!this.#requestEnded) return;
    this.#phase = 'done';
    this.#forwarder.wheel.cancel(this.#timer);
  }

  #sendEarly(stream: ClientStream): void {
    const chunks = this.#early ?? [];
    const trailers = this.#earlyTrailers;
    this.#early = null;
    this.#earlyTrailers = null;
    for (let i = 0; i < chunks.length; i++) {
      const last = i === chunks.length - 1 && this.#requestEnded && trailers === null;
      stream.sendData(chunks[i] ?? EMPTY, last);
    }
    if (trailers !== null) stream.sendTrailers(trailers);
    else if (chunks.length === 0 && this.#requestEnded) stream.sendData(EMPTY, true);
  }
}

const EMPTY = Buffer.alloc(0);
