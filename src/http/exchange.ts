// Over 400 lines: half of it is what an exchange remembers, and its way through the filters is one state machine.
import type { ResetReason } from '../core/errors.ts';
import type { AcceptInfo, Address } from '../net/connection.ts';
import type { TlsInfo } from '../net/transport.ts';
import { type HttpFilter, KEPT, type Kept } from './filter.ts';
import type { Headers } from './headers.ts';
import { appendCopy } from './held-bytes.ts';
import { createLocalMessage, LOCAL_REPLY } from './local-reply.ts';
import { FLAG } from './response-flags.ts';
import type { RequestHead, ResponseHead, ServerStream, StreamEvents } from './stream.ts';

/** Envoy's response flags as bits; `response-flags.ts` has their short and long names. */
export type ResponseFlags = number;

/** What is known of the connection that a request came on. One per connection. */
export interface DownstreamInfo {
  readonly connectionId: number;
  /** Peer of the connection, before headers say otherwise. */
  readonly directRemote: Address;
  readonly local: Address;
  readonly accepted: AcceptInfo;
  /** Null or absent: no TLS. */
  readonly tls?: TlsInfo | null;
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
  /** For a gRPC request; the one that belongs to `status` when left out. */
  readonly grpcStatus?: number;
}

/** What one HTTP connection manager gives all its exchanges. */
export interface ExchangeHost {
  readonly filters: readonly HttpFilter[];
  /** Chooses the route of a request that was prepared, e.g. because there are more of them now. False: it has replied. */
  selectRoute(x: Exchange): boolean;
  /** The route configuration of a request without a route, when its virtual hosts may be asked for; else ''. */
  vhdsRoute(x: Exchange): string;
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
  /** The health check filter knows it for a health check. */
  healthCheck = false;
  routeName = '';
  virtualHost = '';
  /** What the route table found and the cluster drawn from it; opaque to this layer, `route/` knows. */
  route: unknown = null;
  clusterPick: unknown = null;
  upstreamCluster = '';
  upstreamHost: Address | null = null;
  upstreamLocal: Address | null = null;
  upstreamHttp2 = false;
  upstreamTls: TlsInfo | null = null;
  upstreamTransportFailure = '';
  upstreamAttempts = 0;
  /** What we answer a gRPC request is plain text: a filter makes of it what the client understands. */
  plainReplies = false;
  /** It asked for an upgrade (or CONNECT) and was allowed to. */
  upgraded = false;
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
  /** From the start of the request to the end of the exchange: the manager's limit, or the route's; 0 = off. */
  maxDurationMs = 0;

  /** The chain: the manager's, or the route's once that is known. */
  filters: readonly HttpFilter[];
  readonly #host: ExchangeHost;
  readonly #stream: ServerStream;
  #sink: RequestSink = OVER;
  #finished = false;
  /** Set while a filter's promise is awaited. */
  #held: HeldRequest | null = null;
  /** What filters remember of this exchange, by their slot; see FilterSlot. */
  #slots: unknown[] | null = null;
  /** A filter keeps the response's head: nothing of it has been sent. */
  #headKept = false;
  #responsePauses = 0;

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
    this.filters = host.filters;
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

  /** Asks again which route the request has; the filters behind go by that one. */
  selectRoute(): boolean {
    return this.#host.selectRoute(this);
  }

  /** The route configuration whose virtual hosts may be asked for one by one, '' for none. */
  get vhdsRoute(): string {
    return this.#host.vhdsRoute(this);
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
      appendCopy(this.#held.chunks, chunk, 0, chunk.length);
      this.#held.end = end;
      return;
    }
    this.passRequestData(-1, chunk, end);
  }

  onTrailers(trailers: Headers): void {
    if (this.#finished) return;
    this.activeMs = this.#host.now();
    this.requestEndMs = this.activeMs;
    if (this.#held !== null) {
      this.#held.trailers = trailers;
      return;
    }
    this.passRequestTrailers(-1, trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.#finished) return;
    if (reason.kind === 'protocol-error') {
      this.responseFlags |= FLAG.downstreamProtocolError;
      if (this.responseCodeDetails === '') this.responseCodeDetails = reason.details;
    } else if (reason.kind === 'remote-reset') {
      this.responseFlags |= FLAG.downstreamRemoteReset;
      if (this.responseCodeDetails === '') this.responseCodeDetails = reason.details;
    } else if ((this.responseFlags & ~FLAG.delayInjected) === 0) {
      this.responseFlags |= FLAG.downstreamConnectionTermination;
      this.responseCodeDetails = 'downstream_remote_disconnect';
    }
    this.#finish();
  }

  onBlocked(blocked: boolean): void {
    if (blocked) this.pauseResponse();
    else this.resumeResponse();
  }

  // --- from the terminal and from filters ------------------------------------------------------------------

  pauseRequest(): void {
    this.#stream.pause();
  }

  resumeRequest(): void {
    this.#stream.resume();
  }

  /** Counted: the upstream is to send no more, because the client or a filter cannot take it. */
  pauseResponse(): void {
    if (this.#responsePauses++ === 0) this.#sink.onDownstreamBlocked(true);
  }

  resumeResponse(): void {
    if (--this.#responsePauses === 0) this.#sink.onDownstreamBlocked(false);
  }

  /** What the filter in `slot` remembers of this exchange; see FilterSlot. */
  slot(slot: number): unknown {
    return this.#slots?.[slot];
  }

  setSlot(slot: number, value: unknown): void {
    this.#slots ??= [];
    this.#slots[slot] = value;
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
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.passResponseHead(this.filters.length, end);
  }

  /** Goes on with a response head that the filter in `slot` kept. */
  passResponseHead(slot: number, end: boolean): void {
    const head = this.response;
    if (this.#finished || head === null) return;
    this.#headKept = false;
    try {
      const { filters } = this;
      for (let i = slot - 1; i >= 0; i--) {
        if (filters[i]?.onResponse?.(this, end) !== KEPT) continue;
        this.#headKept = true;
        return;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    // A hook may have answered in its own way.
    if (!this.#finished && this.response === head) this.#writeHead(head, end);
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
    this.passResponseData(this.filters.length, chunk, end);
  }

  /** Goes on with response data behind the filter in `slot`, which kept or made it. The chunk is borrowed. */
  passResponseData(slot: number, chunk: Buffer, end: boolean): void {
    if (this.#finished) return;
    let out: Buffer | undefined = chunk;
    try {
      const { filters } = this;
      for (let i = slot - 1; i >= 0 && out !== undefined; i--) {
        const filter = filters[i];
        if (filter?.onResponseData === undefined) continue;
        const passed: Buffer | undefined | Kept = filter.onResponseData(this, out, end);
        if (passed === KEPT) return;
        out = passed;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#finished || (out === undefined && !end)) return;
    out ??= EMPTY;
    this.bytesSent += out.length;
    this.activeMs = this.#host.now();
    this.#stream.sendData(out, end);
    if (end) this.#finish();
  }

  sendTrailers(trailers: Headers): void {
    if (this.#finished) return;
    this.responseTrailers = trailers;
    this.passResponseTrailers(this.filters.length, trailers);
  }

  /** Goes on with response trailers that the filter in `slot` kept. */
  passResponseTrailers(slot: number, trailers: Headers): void {
    if (this.#finished) return;
    try {
      const { filters } = this;
      for (let i = slot - 1; i >= 0; i--) {
        if (filters[i]?.onResponseTrailers?.(this, trailers) === KEPT) return;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#finished) return;
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
    this.responseCodeDetails = answer.details;
    if (this.response !== null) {
      // A head that a filter keeps is nothing the client has seen, but the hooks had their turn.
      if (this.#headKept) this.#answerDirectly(answer);
      else this.resetDownstream(LOCAL_RESET);
      return;
    }
    const { head, body } = createLocalMessage(answer, this.request, this.plainReplies);
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
    const { filters } = this;
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
    this.#answerDirectly(LOCAL_REPLY.internalError);
  }

  /** Without the response hooks. */
  #answerDirectly(answer: LocalAnswer): void {
    this.#headKept = false;
    const { head, body } = createLocalMessage(answer, this.request, this.plainReplies);
    this.response = head;
    this.#writeHead(head, body.length === 0);
    if (body.length === 0) return;
    this.bytesSent += body.length;
    this.#stream.sendData(body, true);
    this.#finish();
  }

  #runRequestFilters(from: number, end: boolean): void {
    const { filters } = this;
    for (let i = from; i < filters.length; i++) {
      const held = filters[i]?.onRequest?.(this, end);
      if (this.#finished || this.response !== null) return;
      if (held !== undefined) {
        this.#hold(held, i + 1, end);
        return;
      }
    }
    this.#host.terminal(this, end);
  }

  #hold(promise: Promise<void>, next: number, end: boolean): void {
    // Whose request is complete is still heard: leaving must end the wait.
    const paused = this.requestEndMs < 0;
    this.#held = { chunks: [], end, trailers: null, paused };
    if (paused) this.#stream.pause();
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
      else this.#held = { ...held, paused: this.requestEndMs < 0 };
    } catch (error) {
      this.#fail(error);
    }
    if (held.paused) this.#stream.resume();
  }

  #passHeld(held: HeldRequest): void {
    for (let i = 0; i < held.chunks.length && !this.#finished; i++) {
      const last = i === held.chunks.length - 1;
      this.passRequestData(-1, held.chunks[i] ?? EMPTY, last && held.end && held.trailers === null);
    }
    if (held.trailers !== null && !this.#finished) this.passRequestTrailers(-1, held.trailers);
  }

  /** Goes on with request data behind the filter in `slot`, which kept or made it. The chunk is borrowed. */
  passRequestData(slot: number, chunk: Buffer, end: boolean): void {
    if (this.#finished) return;
    let out: Buffer | undefined = chunk;
    try {
      const { filters } = this;
      for (let i = slot + 1; i < filters.length && out !== undefined; i++) {
        const filter = filters[i];
        if (filter?.onRequestData === undefined) continue;
        const passed: Buffer | undefined | Kept = filter.onRequestData(this, out, end);
        if (passed === KEPT) return;
        out = passed;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (out !== undefined) this.#sink.onRequestData(out, end);
    else if (end) this.#sink.onRequestData(EMPTY, true);
  }

  /** Goes on with request trailers that the filter in `slot` kept. */
  passRequestTrailers(slot: number, trailers: Headers): void {
    if (this.#finished) return;
    try {
      const { filters } = this;
      for (let i = slot + 1; i < filters.length; i++) {
        if (filters[i]?.onRequestTrailers?.(this, trailers) === KEPT) return;
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#sink.onRequestTrailers(trailers);
  }
}

/** What arrived while a filter's promise was awaited; bounded because the stream is paused. */
interface HeldRequest {
  readonly chunks: Buffer[];
  end: boolean;
  trailers: Headers | null;
  readonly paused: boolean;
}

const EMPTY = Buffer.alloc(0);

const LOCAL_RESET: ResetReason = {
  kind: 'local-reset',
  fault: 'local',
  retrySafe: false,
  details: 'local_reset',
};
