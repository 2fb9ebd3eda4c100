// Over 400 lines: half of it is what an exchange remembers, and its way through the filters is one state machine.
import type { ResetReason } from '../core/errors.ts';
import type { Address } from '../net/connection.ts';
import type { HttpFilter } from './filter.ts';
import type { Headers } from './headers.ts';
import { createLocalMessage, LOCAL_REPLY } from './local-reply.ts';
import { FLAG } from './response-flags.ts';
import type { RequestHead, ResponseHead, ServerStream, StreamEvents } from './stream.ts';

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

/** Where an exchange's request goes after the filters: the terminal of the chain (an upstream attempt). */
export interface RequestSink {
  /** The chunk is borrowed. */
  onRequestData(chunk: Buffer, end: boolean): void;
  onRequestTrailers(trailers: Headers): void;
  /** The exchange is over, by the client's reset or because the response ended: let go of the upstream. Idempotent. */
  onFinished(): void;
  /** The client takes no more (true) or takes again (false). */
  onDownstreamBlocked(blocked: boolean): void;
}

/** Answers an exchange made by us. `body` is plain text. */
export interface LocalAnswer {
  readonly status: number;
  readonly body: string;
  readonly details: string;
  readonly flags: ResponseFlags;
  /** Extra headers, e.g. `location`; undefined for none. */
  readonly headers?: Headers;
}

/** What one HTTP connection manager gives all its exchanges. */
export interface ExchangeHost {
  readonly filters: readonly HttpFilter[];
  /** Runs on a fresh request: header rules, route choice. False: it has replied. */
  prepare(x: Exchange): boolean;
  /** End of the chain. */
  terminal(x: Exchange, end: boolean): void;
  /** The route's own rules for response headers; local replies obey them too. */
  routeResponse(x: Exchange, head: ResponseHead): void;
  /** Last touch on a response's headers before it goes to the client (server, date, via, …). */
  finishResponseHead(x: Exchange, head: ResponseHead): void;
  /** Once per exchange, after the last byte or the reset: stats and access log. */
  onFinished(x: Exchange): void;
  /** Something that runs for an exchange threw: a bug, to be counted and logged. May come after `onFinished`. */
  onException(error: unknown): void;
  now(): number;
}

const OVER: RequestSink = {
  onRequestData: () => {},
  onRequestTrailers: () => {},
  onFinished: () => {},
  onDownstreamBlocked: () => {},
};

/**
 * One request and its response: what filters, routes, stats and the access log see of it, and the hand that
 * leads it through the filter chain. Times are monotonic milliseconds (Clock.now); −1 means "did not happen".
 */
export class Exchange implements StreamEvents<RequestHead> {
  readonly downstream: DownstreamInfo;
  readonly startWallMs: number;
  readonly startMs: number;
  request: RequestHead;
  response: ResponseHead | null = null;
  responseTrailers: Headers | null = null;
  /** Client address after x-forwarded-for and trusted hops were taken into account. */
  remoteIp: string;
  remotePort: number;
  responseFlags: ResponseFlags = 0;
  /** Envoy's `%RESPONSE_CODE_DETAILS%`, '' when unset. */
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  /** Path before a rewrite, '' when it was not rewritten. */
  originalPath = '';
  requestId = '';
  routeName = '';
  virtualHost = '';
  /** What the route table found and the cluster drawn from it; opaque to this layer, `route/` knows. */
  route: unknown = null;
  clusterPick: unknown = null;
  upstreamCluster = '';
  upstreamHost: Address | null = null;
  upstreamLocal: Address | null = null;
  upstreamTransportFailure = '';
  upstreamAttempts = 0;
  /** The response had begun and could not be ended. */
  cutShort = false;
  /** Body bytes. */
  bytesReceived = 0;
  bytesSent = 0;
  /** Last byte of the request received. */
  requestEndMs = -1;
  /** First and last byte to and from the upstream. */
  upstreamFirstTxMs = -1;
  upstreamLastTxMs = -1;
  upstreamFirstRxMs = -1;
  upstreamLastRxMs = -1;
  /** First and last byte sent downstream; the last one is the end of the exchange. */
  firstTxMs = -1;
  endMs = -1;
  /** Monotonic time of the last byte in either direction, for the stream idle timeout. */
  activeMs: number;
  /** Stream idle timeout in force: the manager's, or the route's; 0 = off. */
  idleTimeoutMs = 0;

  readonly #host: ExchangeHost;
  readonly #stream: ServerStream;
  #sink: RequestSink = OVER;
  #finished = false;
  /** Set while a filter's promise is awaited. */
  #held: HeldRequest | null = null;

  constructor(
    host: ExchangeHost,
    downstream: DownstreamInfo,
    stream: ServerStream,
    request: RequestHead,
    wallMs: number,
  ) {
    const nowMs = host.now();
    this.downstream = downstream;
    this.startWallMs = wallMs;
    this.startMs = nowMs;
    this.activeMs = nowMs;
    this.request = request;
    this.remoteIp = downstream.directRemote.ip;
    this.remotePort = downstream.directRemote.port;
    this.#host = host;
    this.#stream = stream;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** The terminal says where the request's body goes. */
  set sink(sink: RequestSink) {
    this.#sink = sink;
  }

  /** Monotonic milliseconds of the exchange's clock. */
  now(): number {
    return this.#host.now();
  }

  // --- from the server codec -------------------------------------------------------------------------------

  onHead(head: RequestHead, end: boolean): void {
    this.request = head;
    if (end) this.requestEndMs = this.startMs;
    try {
      if (this.#host.prepare(this)) this.#runRequestFilters(0, end);
    } catch (error) {
      this.#fail(error);
    }
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.#finished) return;
    this.activeMs = this.#host.now();
    this.bytesReceived += chunk.length;
    if (end) this.requestEndMs = this.activeMs;
    if (this.#held !== null) {
      this.#held.chunks.push(Buffer.from(chunk));
      this.#held.end = end;
      return;
    }
    this.#passRequestData(chunk, end);
  }

  onTrailers(trailers: Headers): void {
    if (this.#finished) return;
    this.activeMs = this.#host.now();
    this.requestEndMs = this.activeMs;
    if (this.#held !== null) {
      this.#held.trailers = trailers;
      return;
    }
    this.#passRequestTrailers(trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.#finished) return;
    if (reason.kind === 'protocol-error') {
      this.responseFlags |= FLAG.downstreamProtocolError;
      if (this.responseCodeDetails === '') this.responseCodeDetails = reason.details;
    } else if (this.responseFlags === 0) {
      this.responseFlags |= FLAG.downstreamConnectionTermination;
      this.responseCodeDetails = 'downstream_remote_disconnect';
    }
    this.#finish();
  }

  onBlocked(blocked: boolean): void {
    this.#sink.onDownstreamBlocked(blocked);
  }

  // --- from the terminal and from filters ------------------------------------------------------------------

  pauseRequest(): void {
    this.#stream.pause();
  }

  resumeRequest(): void {
    this.#stream.resume();
  }

  /** An interim (1xx) head: passed on as it is, no hooks. */
  sendInterim(head: ResponseHead): void {
    if (this.#finished || this.response !== null) return;
    this.#stream.sendHead(head, false);
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.#finished) return;
    this.response = head;
    try {
      this.#host.routeResponse(this, head);
      const filters = this.#host.filters;
      for (let i = filters.length - 1; i >= 0; i--) filters[i]?.onResponse?.(this);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#writeHead(head, end);
  }

  #writeHead(head: ResponseHead, end: boolean): void {
    this.#host.finishResponseHead(this, head);
    const nowMs = this.#host.now();
    this.firstTxMs = nowMs;
    this.activeMs = nowMs;
    this.#stream.sendHead(head, end);
    if (end) this.#finish();
  }

  sendData(chunk: Buffer, end: boolean): void {
    if (this.#finished) return;
    const filters = this.#host.filters;
    let out: Buffer | undefined = chunk;
    for (let i = filters.length - 1; i >= 0 && out !== undefined; i--) {
      const filter = filters[i];
      if (filter?.onResponseData !== undefined) out = filter.onResponseData(this, out, end);
    }
    if (out === undefined) {
      if (!end) return;
      out = EMPTY;
    }
    this.bytesSent += out.length;
    this.activeMs = this.#host.now();
    this.#stream.sendData(out, end);
    if (end) this.#finish();
  }

  sendTrailers(trailers: Headers): void {
    if (this.#finished) return;
    this.responseTrailers = trailers;
    const filters = this.#host.filters;
    for (let i = filters.length - 1; i >= 0; i--) filters[i]?.onResponseTrailers?.(this, trailers);
    this.#stream.sendTrailers(trailers);
    this.#finish();
  }

  /**
   * Answers from here. When the response has begun already, the stream is reset instead, as Envoy does.
   * The body is left out for HEAD, the content-length is not.
   */
  reply(answer: LocalAnswer): void {
    if (this.#finished) return;
    this.responseFlags |= answer.flags;
    if (this.response !== null) {
      this.responseCodeDetails = answer.details;
      this.resetDownstream(LOCAL_RESET);
      return;
    }
    this.responseCodeDetails = answer.details;
    const { head, body } = createLocalMessage(answer, this.request);
    // A bad request leaves an HTTP/1 connection in doubt: Envoy closes it whoever sent the 400.
    if (answer.status === 400 && this.request.protocol !== 'HTTP/2') head.headers.push('connection', 'close');
    if (body.length === 0) {
      this.sendHead(head, true);
      return;
    }
    this.sendHead(head, false);
    this.sendData(body, true);
  }

  /** Ends the exchange by resetting the client's stream (H1: its connection). */
  resetDownstream(reason: ResetReason): void {
    if (this.#finished) return;
    this.cutShort = true;
    this.#stream.reset(reason);
    this.#finish();
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.endMs = this.#host.now();
    this.#sink.onFinished();
    this.#sink = OVER;
    const filters = this.#host.filters;
    for (let i = 0; i < filters.length; i++) {
      try {
        filters[i]?.onEnd?.(this);
      } catch (error) {
        this.#host.onException(error);
      }
    }
    this.#host.onFinished(this);
  }

  /**
   * A filter, a matcher or a formatter threw, or a filter's promise was rejected: 500, or a reset when the response
   * has begun. The response hooks are left out, for one of them may be what throws.
   */
  #fail(error: unknown): void {
    this.#host.onException(error);
    if (this.#finished) return;
    this.#held = null;
    this.responseCodeDetails = LOCAL_REPLY.internalError.details;
    if (this.firstTxMs >= 0) {
      this.resetDownstream(LOCAL_RESET);
      return;
    }
    const { head, body } = createLocalMessage(LOCAL_REPLY.internalError, this.request);
    this.response = head;
    this.#writeHead(head, body.length === 0);
    if (body.length === 0) return;
    this.bytesSent += body.length;
    this.#stream.sendData(body, true);
    this.#finish();
  }

  #runRequestFilters(from: number, end: boolean): void {
    const filters = this.#host.filters;
    for (let i = from; i < filters.length; i++) {
      const held = filters[i]?.onRequest?.(this);
      if (this.#finished || this.response !== null) return;
      if (held !== undefined) {
        this.#hold(held, i + 1, end);
        return;
      }
    }
    this.#host.terminal(this, end);
  }

  #hold(promise: Promise<void>, next: number, end: boolean): void {
    this.#held = { chunks: [], end, trailers: null };
    this.#stream.pause();
    promise.then(
      () => this.#release(next, end),
      (error) => this.#fail(error),
    );
  }

  #release(next: number, headEnd: boolean): void {
    const held = this.#held;
    this.#held = null;
    if (this.#finished || this.response !== null || held === null) return;
    try {
      this.#runRequestFilters(next, headEnd);
      // The next filter may hold it as well.
      if (this.#held === null) this.#passHeld(held);
      else this.#held = held;
    } catch (error) {
      this.#fail(error);
    }
    this.#stream.resume();
  }

  #passHeld(held: HeldRequest): void {
    for (let i = 0; i < held.chunks.length && !this.#finished; i++) {
      const last = i === held.chunks.length - 1;
      this.#passRequestData(held.chunks[i] ?? EMPTY, last && held.end && held.trailers === null);
    }
    if (held.trailers !== null && !this.#finished) this.#passRequestTrailers(held.trailers);
  }

  #passRequestData(chunk: Buffer, end: boolean): void {
    const filters = this.#host.filters;
    let out: Buffer | undefined = chunk;
    for (let i = 0; i < filters.length && out !== undefined; i++) {
      const filter = filters[i];
      if (filter?.onRequestData !== undefined) out = filter.onRequestData(this, out, end);
    }
    if (out !== undefined) this.#sink.onRequestData(out, end);
    else if (end) this.#sink.onRequestData(EMPTY, true);
  }

  #passRequestTrailers(trailers: Headers): void {
    const filters = this.#host.filters;
    for (let i = 0; i < filters.length; i++) filters[i]?.onRequestTrailers?.(this, trailers);
    this.#sink.onRequestTrailers(trailers);
  }
}

/** What arrived while a filter's promise was awaited; bounded because the stream is paused. */
interface HeldRequest {
  readonly chunks: Buffer[];
  end: boolean;
  trailers: Headers | null;
}

const EMPTY = Buffer.alloc(0);

const LOCAL_RESET: ResetReason = {
  kind: 'local-reset',
  fault: 'local',
  retrySafe: false,
  details: 'local_reset',
};
