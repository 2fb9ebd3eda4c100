import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { ServerConnection, ServerConnectionEvents } from '../codec.ts';
import type { RequestHead, ResponseHead } from '../stream.ts';
import { isConnectionHeader } from './connection-header.ts';
import { H2_ERROR, MAX_WINDOW } from './frame.ts';
import type { H2Stream } from './h2-stream.ts';
import { Keepalive } from './keepalive.ts';
import type { H2ServerOptions } from './options.ts';
import { DOWNSTREAM, type PeerReasons, UNDERSCORE } from './reset-reasons.ts';
import { Session, type Side } from './session.ts';

type Stream = H2Stream<ResponseHead, RequestHead>;

/** Serves HTTP/2 on `connection`, whose events it takes over. The preface is among the bytes to come. */
export function createH2Server(
  connection: Connection,
  options: H2ServerOptions,
  events: ServerConnectionEvents,
): ServerConnection {
  return new H2Server(connection, options, events);
}

interface DeferredRequest {
  readonly stream: Stream;
  readonly head: RequestHead;
  readonly end: boolean;
}

/** The PING behind the first GOAWAY of a drain. */
const DRAIN_PING = 0x64726169;

class H2Server implements ServerConnection, Side<ResponseHead, RequestHead> {
  readonly connection: Connection;
  readonly isServer = true;
  readonly reasons: PeerReasons = DOWNSTREAM;
  readonly #options: H2ServerOptions;
  readonly #events: ServerConnectionEvents;
  readonly #session: Session<ResponseHead, RequestHead>;
  readonly #keepalive: Keepalive;
  #lastId = 0;
  #draining = false;
  /** The final GOAWAY was sent: later streams are ignored. */
  #goneAway = false;
  #drainTimer: NodeJS.Timeout | null = null;
  #partial = false;
  /** Requests that wait for a later turn. */
  readonly #deferred: DeferredRequest[] = [];
  #cycle = 0;
  #begun = 0;
  #ended = 0;
  #premature = 0;

  constructor(connection: Connection, options: H2ServerOptions, events: ServerConnectionEvents) {
    this.connection = connection;
    this.#options = options;
    this.#events = events;
    this.#session = new Session(connection, options, this, options.headersWithUnderscoresAction);
    this.#keepalive = new Keepalive(options.keepalive, this.#session, options.stats.keepaliveTimeout);
  }

  get active(): number {
    return this.#session.streams.size;
  }

  get http2(): boolean {
    return true;
  }

  get closing(): boolean {
    return this.#session.failed || this.#goneAway;
  }

  drain(): void {
    if (this.#draining || this.#session.closed || this.#session.failed) return;
    this.#draining = true;
    // RFC 9113 §6.8: what the client sent before it heard of it is still served.
    this.#session.output.goaway(MAX_WINDOW, H2_ERROR.noError);
    this.#session.output.ping(false, DRAIN_PING, 0);
    this.#drainTimer = setTimeout(() => this.#goAway(), this.#options.drainNoticeMs);
  }

  abortHead(status: number, details: string): boolean {
    const id = this.#session.blockStream;
    if (!this.#partial) return false;
    this.#partial = false;
    this.#lastId = id;
    this.#session.lastProcessed = id;
    // What is still to come of the head finds its stream gone.
    const stream = this.#session.newStream(id);
    this.#session.takeHead(stream, false);
    this.#events.onStream(stream);
    this.#events.onBadRequest(stream, status, details);
    return true;
  }

  #goAway(): void {
    this.#stopTimer();
    if (this.#goneAway || this.#session.closed || this.#session.failed) return;
    this.#goneAway = true;
    this.#session.output.goaway(this.#lastId, H2_ERROR.noError);
    this.#closeIfDrained();
  }

  #closeIfDrained(): void {
    if (!this.#goneAway || this.active > 0 || this.#session.failed) return;
    this.#session.output.flush();
    this.connection.closeAfterFlush(this.#options.delayedCloseMs);
  }

  #stopTimer(): void {
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#drainTimer = null;
  }

  // Requests.

  idle(id: number): boolean {
    return id % 2 === 0 || id > this.#lastId;
  }

  discards(id: number, stream: Stream | undefined): boolean {
    if (stream !== undefined) return false;
    return id <= this.#lastId || this.#goneAway || this.active >= this.#options.maxConcurrentStreams;
  }

  onPartialBlock(): void {
    const id = this.#session.blockStream;
    // Trailers belong to a request that has its own time.
    if (id <= this.#lastId || id % 2 === 0) return;
    this.#partial = true;
    this.#events.onPartialHead();
  }

  onBlock(id: number, stream: Stream | undefined, end: boolean): number {
    this.#partial = false;
    const session = this.#session;
    if (stream !== undefined) {
      session.receiveTrailers(stream, end);
      return 0;
    }
    if (id % 2 === 0) return H2_ERROR.protocolError;
    if (id <= this.#lastId) return session.wasReset(id) ? 0 : H2_ERROR.streamClosed;
    this.#lastId = id;
    if (this.#goneAway) return 0;
    session.lastProcessed = id;
    if (this.active >= this.#options.maxConcurrentStreams) {
      this.#options.stats.streamRefusedErrors.inc();
      session.refuse(id);
      return 0;
    }
    if (session.heads.tooLarge || session.heads.tooMany) this.#tooLarge(id, end);
    else this.#request(id, end);
    return 0;
  }

  #request(id: number, end: boolean): void {
    const session = this.#session;
    const { heads } = session;
    const { stats } = this.#options;
    const head = heads.request(end, this.#options.allowConnect);
    const stream = session.newStream(id);
    this.#events.onStream(stream);
    if (head === null || heads.underscore) {
      session.takeHead(stream, end);
      if (head === null) session.malformed(stream);
      else {
        stats.requestsRejectedWithUnderscoresInHeaders.inc();
        session.streamError(stream, H2_ERROR.internalError, UNDERSCORE);
      }
      return;
    }
    if (heads.dropped > 0) stats.droppedHeadersWithUnderscores.add(heads.dropped);
    // What the client calls it is checked and no more: `x-forwarded-proto` must not be its invention.
    head.scheme = this.connection.tls === null ? 'http' : 'https';
    stream.method = head.method;
    stream.upgrade = head.upgrade;
    stream.receiveLeft = end ? -1 : head.contentLength;
    if (this.#mustWait()) this.#defer(stream, head, end);
    else session.receiveHead(stream, head, end);
  }

  /** `http.max_requests_per_io_cycle`: so many with one read, lest one client keeps all others waiting. */
  #mustWait(): boolean {
    if (this.#options.maxRequestsPerIoCycle === Infinity) return false;
    if (this.#cycle !== this.#session.reads) {
      this.#cycle = this.#session.reads;
      this.#begun = 0;
    }
    return this.#deferred.length > 0 || ++this.#begun > this.#options.maxRequestsPerIoCycle;
  }

  #defer(stream: Stream, head: RequestHead, end: boolean): void {
    this.#session.takeHead(stream, end);
    stream.pause();
    if (this.#deferred.push({ stream, head, end }) === 1) setImmediate(() => this.#serveDeferred());
  }

  #serveDeferred(): void {
    let served = 0;
    while (this.#deferred.length > 0 && served < this.#options.maxRequestsPerIoCycle) {
      const next = this.#deferred.shift();
      // It may have been reset meanwhile, which costs nothing.
      if (next === undefined || next.stream.owner === null) continue;
      served++;
      this.#session.deliverHead(next.stream, next.head, next.end);
      next.stream.resume();
    }
    if (this.#deferred.length > 0) setImmediate(() => this.#serveDeferred());
  }

  #tooLarge(id: number, end: boolean): void {
    const stream = this.#session.newStream(id);
    this.#session.takeHead(stream, end);
    this.#options.stats.headerOverflow.inc();
    const { tooMany } = this.#session.heads;
    this.#events.onStream(stream);
    this.#events.onBadRequest(
      stream,
      431,
      tooMany ? 'http2.too_many_headers' : 'http2.header_list_size_too_large',
    );
  }

  // Responses.

  writeHead(stream: Stream, head: ResponseHead, end: boolean): boolean {
    if (stream.headSent) return false;
    const output = this.#session.output;
    // The 101 of an upgrade is a 200 here (RFC 8441 §5).
    const switched = head.status === 101 && stream.upgrade !== '';
    const status = switched ? 200 : head.status;
    if (status >= 200) stream.headSent = true;
    else if (end) return false;
    if (status === 101) return false;
    const headers = head.headers;
    let start = output.field(':status', statusText(status), output.headers(stream.id, end));
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? '';
      if (isConnectionHeader(name)) continue;
      const value = headers[i + 1] ?? '';
      if (name === 'content-length' && !end && stream.method !== 'HEAD' && status >= 200) {
        stream.sendLeft = +value;
      }
      start = output.field(name, value, start);
    }
    output.endHeaders(start, stream.id);
    return true;
  }

  // Ends.

  onStreamGone(stream: Stream, cutShort: boolean): void {
    this.#ended++;
    if (cutShort && !stream.headSent) {
      const ageMs = performance.now() - stream.openedMs;
      if (ageMs < this.#options.prematureResetMinStreamLifetimeMs) this.#countPremature();
    }
    if (this.active > 0) return;
    this.#closeIfDrained();
    if (!this.#session.closed && !this.#session.failed) this.#events.onIdle();
  }

  onStrayFault(): void {
    this.#ended++;
    this.#countPremature();
  }

  /** As Envoy: the connection ends when more than half of its streams must have been cut short. */
  #countPremature(): void {
    this.#premature++;
    const limit = this.#options.prematureResetTotalStreamCount;
    if (this.#session.failed || this.#premature * 2 < Math.max(limit, this.#ended)) return;
    this.#options.tooManyPrematureResets.inc();
    this.#session.fail(H2_ERROR.enhanceYourCalm, 'too_many_premature_resets');
  }

  onGoaway(): void {
    // It speaks of streams that we would open. Who means to leave closes the connection; until then, as Envoy, what
    // still comes is served.
  }

  onPingAck(high: number, low: number): void {
    if (high === DRAIN_PING) this.#goAway();
    else this.#keepalive.onAck(high, low);
  }

  onSettings(): void {
    // Nothing of a client's settings concerns the server beyond what the session keeps.
  }

  onFailed(): void {
    // The manager is told when the connection is gone.
  }

  onClosed(reason: ResetReason | undefined): void {
    this.#stopTimer();
    this.#keepalive.stop();
    this.#events.onClosed(reason);
  }
}

function statusText(status: number): string {
  return status === 200 ? '200' : String(status);
}
