import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { ClientConnection, ClientConnectionEvents } from '../codec.ts';
import type { ClientStream, RequestHead, ResponseHead, StreamEvents } from '../stream.ts';
import { isConnectionHeader } from './connection-header.ts';
import { H2_ERROR } from './frame.ts';
import type { H2Stream } from './h2-stream.ts';
import { Keepalive } from './keepalive.ts';
import type { H2ClientOptions } from './options.ts';
import { type PeerReasons, UPSTREAM } from './reset-reasons.ts';
import { Session, type Side } from './session.ts';

type Stream = H2Stream<RequestHead, ResponseHead>;

/** Speaks HTTP/2 to the server at the other end of `connection`, whose events it takes over. */
export function createH2Client(
  connection: Connection,
  options: H2ClientOptions,
  events: ClientConnectionEvents,
): ClientConnection {
  return new H2Client(connection, options, events);
}

/** Ids end before they would need 32 bits. */
const LAST_ID = 0x7ffffff0;

const OVERFLOWN: ResetReason = {
  kind: 'local-reset',
  fault: 'upstream',
  retrySafe: false,
  details: 'http2.too_many_headers',
};

class H2Client implements ClientConnection, Side<RequestHead, ResponseHead> {
  readonly connection: Connection;
  readonly isServer = false;
  readonly http2 = true;
  readonly reasons: PeerReasons = UPSTREAM;
  readonly #options: H2ClientOptions;
  readonly #events: ClientConnectionEvents;
  readonly #session: Session<RequestHead, ResponseHead>;
  readonly #keepalive: Keepalive;
  #nextId = 1;
  /** Key of the last stream that was opened and has no id yet. */
  #unnumbered = 0;
  endedHere = false;
  /** No further requests. */
  #closing = false;
  #orderly = false;

  constructor(connection: Connection, options: H2ClientOptions, events: ClientConnectionEvents) {
    this.connection = connection;
    this.#options = options;
    this.#events = events;
    this.#session = new Session(connection, options, this, 'ALLOW');
    this.#keepalive = new Keepalive(options.keepalive, this.#session, options.stats.keepaliveTimeout);
  }

  get active(): number {
    return this.#session.streams.size;
  }

  get opened(): number {
    return this.#session.opened;
  }

  get available(): boolean {
    return this.capacity > 0;
  }

  get capacity(): number {
    const session = this.#session;
    if (this.#closing || session.closed || session.failed || this.connection.destroyed) return 0;
    if (this.#nextId >= LAST_ID) return 0;
    const most = Math.min(session.peerMaxStreams, this.#options.maxConcurrentStreams);
    return Math.max(0, most - session.streams.size);
  }

  open(events: StreamEvents<ResponseHead>): ClientStream {
    this.#keepalive.onRequest();
    const stream = this.#session.newStream(--this.#unnumbered);
    stream.events = events;
    return stream;
  }

  drain(): void {
    this.#closing = true;
    if (this.active === 0) this.destroy();
  }

  destroy(): void {
    this.#closing = true;
    this.endedHere = true;
    if (this.active === 0 && !this.#session.failed) {
      this.#orderly = true;
      this.#session.output.flush();
    }
    this.connection.destroy();
  }

  // Requests.

  writeHead(stream: Stream, head: RequestHead, end: boolean): boolean {
    if (stream.headSent) return false;
    stream.headSent = true;
    this.#session.renumber(stream, this.#nextId);
    this.#nextId += 2;
    const upgrade = head.upgrade !== '';
    stream.upgrade = head.upgrade;
    stream.method = upgrade ? 'CONNECT' : head.method;
    const output = this.#session.output;
    let start = output.field(':method', stream.method, output.headers(stream.id, end));
    if (upgrade) start = output.field(':protocol', head.upgrade, start);
    if (upgrade || head.method !== 'CONNECT') {
      start = output.field(':scheme', head.scheme, start);
      start = output.field(':path', head.path, start);
    }
    start = output.field(':authority', head.authority, start);
    const headers = head.headers;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? '';
      if (isConnectionHeader(name) || name === 'host') continue;
      const value = headers[i + 1] ?? '';
      if (name === 'content-length' && !end && !upgrade) stream.sendLeft = +value;
      start = output.field(name, value, start);
    }
    output.endHeaders(start, stream.id);
    return true;
  }

  // Responses.

  idle(id: number): boolean {
    return id % 2 === 0 || id >= this.#nextId;
  }

  discards(_id: number, stream: Stream | undefined): boolean {
    return stream === undefined;
  }

  onPartialBlock(): void {
    // A response head has no timer of its own: the exchange's timeouts serve.
  }

  onBlock(id: number, stream: Stream | undefined, end: boolean): number {
    if (stream === undefined) {
      return this.#session.wasReset(id) || !this.idle(id) ? 0 : H2_ERROR.protocolError;
    }
    const session = this.#session;
    if (stream.headReceived) {
      session.receiveTrailers(stream, end);
      return 0;
    }
    const head = session.heads.response();
    if (head === null) {
      if (session.heads.tooMany || session.heads.tooLarge) this.#tooMuch(stream);
      else session.malformed(stream);
    } else if (head.status < 200) this.#interim(stream, head, end);
    else this.#response(stream, head, end);
    return 0;
  }

  /** As Envoy: a head over our limits is no breach of the protocol, its stream is given up. */
  #tooMuch(stream: Stream): void {
    if (this.#session.heads.tooMany) this.#options.stats.headerOverflow.inc();
    stream.reset(OVERFLOWN);
    stream.events.onReset(this.reasons.reset);
  }

  #interim(stream: Stream, head: ResponseHead, end: boolean): void {
    if (end || ++stream.interim > this.#options.maxInterim) this.#session.malformed(stream);
    else stream.events.onHead(head, false);
  }

  #response(stream: Stream, head: ResponseHead, end: boolean): void {
    const bodiless = stream.method === 'HEAD' || head.status === 304 || head.status === 204;
    if (end && head.contentLength > 0 && !bodiless) {
      this.#session.malformed(stream);
      return;
    }
    if (!end && stream.method !== 'CONNECT') stream.receiveLeft = bodiless ? 0 : head.contentLength;
    if (stream.upgrade !== '' && head.status === 200) {
      head.status = 101;
      head.upgrade = stream.upgrade;
      head.headers.push('upgrade', stream.upgrade);
    }
    this.#session.receiveHead(stream, head, end);
  }

  // Ends.

  onStreamGone(_stream: Stream, _cutShort: boolean): void {
    this.#events.onChanged();
    if (this.#closing && this.active === 0) this.destroy();
  }

  onStrayFault(): void {
    // A server that resets much harms itself; the pool sees each reset.
  }

  onGoaway(lastStream: number, _code: number): void {
    if (!this.#closing) this.#events.onGoaway();
    this.#closing = true;
    const session = this.#session;
    for (const stream of [...session.streams.values()]) {
      if (stream.id > 0 && stream.id <= lastStream) continue;
      session.forget(stream);
      stream.events.onReset(this.reasons.refused);
    }
    this.#events.onChanged();
    if (this.active === 0) this.destroy();
  }

  onPingAck(high: number, low: number): void {
    this.#keepalive.onAck(high, low);
  }

  onSettings(): void {
    this.#events.onChanged();
  }

  onFailed(): void {
    this.endedHere = true;
    // A peer that is gone leaves its streams to `onClosed`, which follows at once: they count as cut short.
    if (this.#session.reason?.kind === 'protocol-error') this.#events.onChanged();
  }

  onClosed(reason: ResetReason | undefined): void {
    this.#closing = true;
    this.#keepalive.stop();
    this.#events.onClosed(this.#orderly ? undefined : reason);
  }
}
