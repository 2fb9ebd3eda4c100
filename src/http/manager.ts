// Over 400 lines: what ends a connection (time, drain, overload) and what begins on it decide with the same state.
import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../core/timer-wheel.ts';
import type { Connection } from '../net/connection.ts';
import type { ServerConnection, ServerConnectionEvents } from './codec.ts';
import { type DownstreamInfo, Exchange, type ExchangeHost } from './exchange.ts';
import type { HttpFilter } from './filter.ts';
import { hasHeader, removeHeader, setHeader } from './headers.ts';
import { badRequest, LOCAL_REPLY } from './local-reply.ts';
import type { ManagerOptions } from './manager-options.ts';
import { appendVia, applyRequestHeaderRules } from './request-headers.ts';
import { FLAG } from './response-flags.ts';
import { RequestHead, ResponseHead, type ServerStream } from './stream.ts';

const SLASH = 47;

/** A head that is slow is no protocol error. */
const SLOW_HEADS = [LOCAL_REPLY.requestHeaders, LOCAL_REPLY.streamIdleOpen];

const NO_REQUEST = new RequestHead('', '', '', []);
const NO_H2_REQUEST = new RequestHead('', '', '', []);
NO_H2_REQUEST.protocol = 'HTTP/2';

/** One downstream connection under an HTTP connection manager: its codec, its exchanges and its timer. */
export class HttpConnection implements ServerConnectionEvents, ExchangeHost, TimerOwner {
  readonly filters: readonly HttpFilter[];
  readonly #options: ManagerOptions;
  readonly #codec: ServerConnection;
  readonly #connection: Connection;
  readonly #downstream: DownstreamInfo;
  readonly #timer: WheelTimer;
  readonly #exchanges: Exchange[] = [];
  readonly #startMs: number;
  #requests = 0;
  #idleSinceMs: number;
  /** First byte of an incomplete request head, −1 when none waits. */
  #headSinceMs = -1;
  #closedByUs = false;
  /** An exchange ended with the connection: the codec tells its stream before it tells us. */
  #cutShort = false;
  #draining = false;
  /** A request came: only then may another one be on its way. */
  #served = false;
  /** When a connection that is to end is closed at the latest, −1 when it is not to end. */
  #drainDeadlineMs = -1;

  constructor(connection: Connection, options: ManagerOptions) {
    this.#options = options;
    this.#connection = connection;
    this.filters = options.filters;
    this.#downstream = {
      connectionId: connection.id,
      directRemote: connection.remote,
      local: connection.local,
      accepted: connection.accepted,
      tls: connection.tls,
    };
    this.#startMs = options.clock.now();
    this.#idleSinceMs = this.#startMs;
    this.#timer = new WheelTimer(this);
    const { stats } = options;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    options.connections.add(this);
    this.#codec = options.createCodec(connection, this);
    this.#arm(this.#nextDeadline());
  }

  // --- from the codec --------------------------------------------------------------------------------------

  onStream(stream: ServerStream): void {
    this.#begin(stream);
  }

  onBadRequest(stream: ServerStream, status: number, details: string): void {
    const { stats } = this.#options;
    const { events } = stream;
    const x = events instanceof Exchange && !events.finished ? events : this.#begin(stream);
    const slow = SLOW_HEADS.find((one) => one.details === details);
    if (slow === undefined && !this.#codec.http2) stats.cxProtocolError.inc();
    x.reply(slow ?? badRequest(status, details));
  }

  onPartialHead(): void {
    if (this.#headSinceMs >= 0) return;
    this.#headSinceMs = this.now();
    const timeoutMs = this.#headTimeoutMs;
    if (timeoutMs > 0) this.#arm(this.#headSinceMs + timeoutMs);
  }

  onIdle(): void {
    this.#idleSinceMs = this.now();
    const idleTimeoutMs = this.#idleTimeoutMs;
    if (idleTimeoutMs > 0) this.#arm(this.#idleSinceMs + idleTimeoutMs);
  }

  onClosed(reason: ResetReason | undefined): void {
    const { stats, wheel, connections } = this.#options;
    if (this.#codec.http2 && reason?.kind === 'protocol-error') stats.cxProtocolError.inc();
    wheel.cancel(this.#timer);
    connections.delete(this);
    stats.cxDestroy.inc();
    const local = this.#closedByUs || this.#codec.closing;
    if (local) stats.cxDestroyLocal.inc();
    else stats.cxDestroyRemote.inc();
    if (this.#cutShort) {
      stats.cxDestroyActiveRq.inc();
      if (this.#closedByUs) stats.cxDestroyLocalActiveRq.inc();
      else stats.cxDestroyRemoteActiveRq.inc();
    }
    stats.cxActive.dec();
    if (this.#served) (this.#codec.http2 ? stats.cxHttp2Active : stats.cxHttp1Active).dec();
    stats.cxRxBytesTotal.add(this.#connection.bytesRead);
    stats.cxTxBytesTotal.add(this.#connection.bytesWritten);
    stats.cxLengthMs.record(this.now() - this.#startMs);
  }

  /**
   * The process ends. HTTP/2 can say so at any time; on HTTP/1 only an answer can, and who is idle may be sending a
   * request this very moment.
   */
  drain(): void {
    if (this.#draining || this.#drainDeadlineMs >= 0) return;
    this.#options.stats.cxDrainClose.inc();
    if (this.#codec.http2 || this.#exchanges.length > 0) {
      this.#close();
      return;
    }
    const nowMs = this.now();
    this.#startDrain(nowMs);
    this.#arm(this.#nextDeadline());
  }

  /** No new requests; the current ones end in peace. Idempotent. */
  #close(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#closedByUs = true;
    this.#codec.drain();
  }

  /**
   * Idle or old: the client may be sending a request this very moment, so it is taken for a while yet, and its
   * answer closes the connection.
   */
  #startDrain(nowMs: number): void {
    this.#drainDeadlineMs = nowMs + this.#options.timeouts.drainMs;
    // GOAWAY says so without taking anything away.
    if (this.#codec.http2) this.#close();
  }

  destroy(): void {
    this.#closedByUs = true;
    this.#connection.destroy();
  }

  // --- from the exchanges ----------------------------------------------------------------------------------

  now(): number {
    return this.#options.clock.now();
  }

  prepare(x: Exchange): boolean {
    const options = this.#options;
    if (options.shedding.stopsRequest()) {
      options.stats.rqOverloadClose.inc();
      // As in Envoy, nothing is spent on filters.
      x.filters = [];
      x.reply(options.shedding.lagging() ? LOCAL_REPLY.lagging : LOCAL_REPLY.overloaded);
      return false;
    }
    const { path, method } = x.request;
    const { tls } = this.#connection;
    if (tls !== null) {
      x.request.scheme = 'https';
      x.request.tls = tls;
    }
    if (x.request.hostMissing) {
      x.reply(LOCAL_REPLY.missingHost);
      return false;
    }
    if (path !== '' && path.charCodeAt(0) !== SLASH) {
      options.stats.rqNonRelativePath.inc();
      x.reply(LOCAL_REPLY.absolutePathRejected);
      return false;
    }
    if (!options.normalize(x)) return false;
    if (method === 'QUERY' && !hasHeader(x.request.headers, 'content-type')) {
      x.reply(LOCAL_REPLY.queryWithoutType);
      return false;
    }
    if (x.request.expectContinue && !options.proxy100Continue) {
      x.request.expectContinue = false;
      removeHeader(x.request.headers, 'expect');
      x.sendInterim(new ResponseHead(100, []));
    }
    applyRequestHeaderRules(x, options.rules);
    return this.selectRoute(x);
  }

  selectRoute(x: Exchange): boolean {
    this.#options.selectRoute(x);
    // The route may have an idle timeout of its own, a shorter one perhaps.
    this.#arm(this.#exchangeDeadline(x));
    return x.request.upgrade === '' && x.request.method !== 'CONNECT' ? true : this.#admitUpgrade(x);
  }

  vhdsRoute(x: Exchange): string {
    return this.#options.vhdsRoute(x);
  }

  #admitUpgrade(x: Exchange): boolean {
    const { stats, allowUpgrade } = this.#options;
    // A CONNECT that no route takes is not found, like anything else.
    if (x.route === null && x.request.method === 'CONNECT' && x.request.upgrade === '') return true;
    if (!allowUpgrade(x)) {
      stats.rqWsOnNonWsRoute.inc();
      x.reply(LOCAL_REPLY.upgradeFailed);
      return false;
    }
    if (x.upgraded) return true;
    x.upgraded = true;
    stats.cxUpgradesTotal.inc();
    stats.cxUpgradesActive.inc();
    return true;
  }

  terminal(x: Exchange, end: boolean): void {
    this.#options.terminal(x, end);
  }

  routeResponse(x: Exchange, head: ResponseHead): void {
    this.#options.routeResponse(x, head);
  }

  finishResponseHead(x: Exchange, head: ResponseHead): void {
    const options = this.#options;
    if (!this.#draining) this.#decideDrain();
    const headers = head.headers;
    let date = false;
    let server = -1;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i];
      if (name === 'date') date = true;
      else if (name === 'server') server = i;
    }
    if (!date) headers.push('date', options.date.at(options.clock.wall()));
    if (options.serverHeader !== 'PASS_THROUGH') {
      if (server < 0) headers.push('server', options.serverName);
      else if (options.serverHeader === 'OVERWRITE') setHeader(headers, 'server', options.serverName);
    }
    if (options.rules.via !== '') appendVia(headers, options.rules.via);
    if (options.alwaysSetRequestIdInResponse && x.requestId !== '') {
      setHeader(headers, 'x-request-id', x.requestId);
    }
  }

  /** An answer goes out: the moment to tell the client, on HTTP/1 the only one. */
  #decideDrain(): void {
    if (this.#drainDeadlineMs >= 0) this.#close();
    else if (this.#options.drainDecision()) {
      this.#options.stats.cxDrainClose.inc();
      this.#close();
    } else if (this.#options.shedding.disablesKeepalive()) {
      this.#options.stats.cxOverloadDisableKeepalive.inc();
      this.#close();
    }
  }

  onFinished(x: Exchange): void {
    const { stats, listenerCodes, accessLogs } = this.#options;
    const index = this.#exchanges.indexOf(x);
    if (index >= 0) this.#exchanges.splice(index, 1);
    stats.rqActive.dec();
    if (x.upgraded) stats.cxUpgradesActive.dec();
    stats.rqTime.record(x.endMs - x.startMs);
    const status = x.response?.status ?? 0;
    // As in Envoy, health checks are no traffic.
    if (status > 0 && !x.healthCheck) {
      stats.codes.count(status);
      listenerCodes.count(status);
    }
    const gone = (x.responseFlags & FLAG.downstreamConnectionTermination) !== 0;
    const reset = (x.responseFlags & FLAG.downstreamRemoteReset) !== 0;
    // Envoy resets what the client has not sent to its end, whoever ended it.
    if (gone || reset || x.cutShort || x.requestEndMs < 0) stats.rqRxReset.inc();
    if (gone) this.#cutShort = true;
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]?.log(x);
  }

  onException(error: unknown): void {
    this.#options.onException(error);
  }

  // --- the connection's one timer --------------------------------------------------------------------------

  onTimer(): void {
    const { timeouts, stats } = this.#options;
    const nowMs = this.now();
    const idle = this.#exchanges.length === 0 && this.#headSinceMs < 0;
    const ending = this.#drainDeadlineMs >= 0;
    if (ending && nowMs >= this.#drainDeadlineMs) this.#close();
    if (!ending && idle && this.#idleTimeoutMs > 0 && nowMs - this.#idleSinceMs >= this.#idleTimeoutMs) {
      stats.cxIdleTimeout.inc();
      if (this.#served) this.#startDrain(nowMs);
      else this.#close();
    }
    const headSince = this.#headSinceMs;
    const headTimeoutMs = this.#headTimeoutMs;
    if (headTimeoutMs > 0 && headSince >= 0 && nowMs - headSince >= headTimeoutMs) {
      this.#headSinceMs = -1;
      const limited = timeouts.requestHeadersTimeoutMs > 0;
      const { status, details } = limited ? LOCAL_REPLY.requestHeaders : LOCAL_REPLY.streamIdleOpen;
      if (this.#codec.abortHead(status, details))
        (limited ? stats.rqHeaderTimeout : stats.rqIdleTimeout).inc();
    }
    for (let i = this.#exchanges.length - 1; i >= 0; i--) {
      const x = this.#exchanges[i];
      if (x !== undefined) this.#checkExchange(x, nowMs);
    }
    const oldMs = nowMs - this.#startMs;
    if (
      this.#drainDeadlineMs < 0 &&
      timeouts.maxConnectionDurationMs > 0 &&
      oldMs >= timeouts.maxConnectionDurationMs
    ) {
      stats.cxMaxDurationReached.inc();
      this.#startDrain(nowMs);
    }
    this.#arm(this.#nextDeadline());
  }

  #checkExchange(x: Exchange, nowMs: number): void {
    const { timeouts, stats } = this.#options;
    // Open: the client still owes us the request (408); else the upstream owes the answer (504).
    const open = x.requestEndMs < 0;
    if (timeouts.requestTimeoutMs > 0 && open && nowMs - x.startMs >= timeouts.requestTimeoutMs) {
      stats.rqTimeout.inc();
      x.reply(LOCAL_REPLY.requestOverall);
    } else if (x.maxDurationMs > 0 && nowMs - x.startMs >= x.maxDurationMs) {
      stats.rqMaxDurationReached.inc();
      x.reply(open ? LOCAL_REPLY.maxDurationOpen : LOCAL_REPLY.maxDuration);
    } else if (x.idleTimeoutMs > 0 && nowMs - x.activeMs >= this.#streamIdleMs(x)) {
      stats.rqIdleTimeout.inc();
      x.reply(open ? LOCAL_REPLY.streamIdleOpen : LOCAL_REPLY.streamIdle);
    }
  }

  /** Without a limit of their own, heads that do not go on are idle streams, as in Envoy. */
  get #headTimeoutMs(): number {
    const { requestHeadersTimeoutMs, streamIdleTimeoutMs } = this.#options.timeouts;
    if (requestHeadersTimeoutMs > 0) return requestHeadersTimeoutMs;
    return streamIdleTimeoutMs > 0 ? this.#options.shedding.streamIdleMs(streamIdleTimeoutMs) : 0;
  }

  /** Overload may have made them shorter. */
  get #idleTimeoutMs(): number {
    return this.#options.shedding.idleMs(this.#options.timeouts.idleTimeoutMs);
  }

  #streamIdleMs(x: Exchange): number {
    return this.#options.shedding.streamIdleMs(x.idleTimeoutMs);
  }

  onTimeoutsChanged(): void {
    this.#arm(this.#nextDeadline());
  }

  /** Monotonic time of the earliest thing that may time out now; Infinity for none. */
  #nextDeadline(): number {
    const { timeouts } = this.#options;
    let at = Infinity;
    const ending = this.#drainDeadlineMs >= 0;
    if (ending && !this.#draining) at = this.#drainDeadlineMs;
    if (!ending && timeouts.maxConnectionDurationMs > 0)
      at = this.#startMs + timeouts.maxConnectionDurationMs;
    if (!ending && this.#exchanges.length === 0 && this.#headSinceMs < 0 && timeouts.idleTimeoutMs > 0) {
      at = Math.min(at, this.#idleSinceMs + this.#idleTimeoutMs);
    }
    if (this.#headSinceMs >= 0 && this.#headTimeoutMs > 0) {
      at = Math.min(at, this.#headSinceMs + this.#headTimeoutMs);
    }
    for (const x of this.#exchanges) at = Math.min(at, this.#exchangeDeadline(x));
    return at;
  }

  #exchangeDeadline(x: Exchange): number {
    const { timeouts } = this.#options;
    let at = x.idleTimeoutMs > 0 ? x.activeMs + this.#streamIdleMs(x) : Infinity;
    if (timeouts.requestTimeoutMs > 0 && x.requestEndMs < 0)
      at = Math.min(at, x.startMs + timeouts.requestTimeoutMs);
    if (x.maxDurationMs > 0) at = Math.min(at, x.startMs + x.maxDurationMs);
    return at;
  }

  /**
   * Makes the timer fire at `atMs` at the latest. It is never put off: when it fires too early it looks what is
   * due next, so that a request on a busy connection costs a comparison and no list operation.
   */
  #arm(atMs: number): void {
    if (atMs === Infinity) return;
    if (this.#timer.slot !== null && this.#timer.deadlineMs <= atMs) return;
    const nowMs = this.now();
    this.#options.wheel.schedule(this.#timer, Math.max(0, atMs - nowMs), nowMs);
  }

  /** With the first request: before it nobody knows what the client speaks. */
  #countVersion(): void {
    const { stats } = this.#options;
    this.#served = true;
    if (this.#codec.http2) {
      stats.cxHttp2Total.inc();
      stats.cxHttp2Active.inc();
    } else {
      stats.cxHttp1Total.inc();
      stats.cxHttp1Active.inc();
    }
  }

  #begin(stream: ServerStream): Exchange {
    const options = this.#options;
    const { stats } = options;
    this.#headSinceMs = -1;
    if (!this.#served) this.#countVersion();
    const none = this.#codec.http2 ? NO_H2_REQUEST : NO_REQUEST;
    const x = new Exchange(this, this.#downstream, stream, none, options.clock.wall());
    x.idleTimeoutMs = options.timeouts.streamIdleTimeoutMs;
    x.maxDurationMs = options.timeouts.maxStreamDurationMs;
    stream.events = x;
    const { summary } = this.#downstream.accepted;
    if (summary !== null) summary.protocol = this.#codec.http2 ? 'HTTP/2' : 'HTTP/1.1';
    this.#exchanges.push(x);
    stats.rqTotal.inc();
    (this.#codec.http2 ? stats.rqHttp2Total : stats.rqHttp1Total).inc();
    stats.rqActive.inc();
    if (options.maxRequestsPerConnection > 0 && ++this.#requests >= options.maxRequestsPerConnection) {
      stats.cxMaxRequestsReached.inc();
      this.#close();
    }
    if (this.#drainDeadlineMs >= 0) this.#close();
    this.#arm(this.#exchangeDeadline(x));
    return x;
  }
}
