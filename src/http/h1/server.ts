// Over 400 lines: reading requests and writing responses are one state machine, and two files would share every field.
import type { ResetReason } from '../../core/errors.ts';
import type { Connection, ConnectionEvents } from '../../net/connection.ts';
import type { ServerConnection, ServerConnectionEvents } from '../codec.ts';
import type { Headers } from '../headers.ts';
import type { RequestHead, ResponseHead } from '../stream.ts';
import { BodyReader, type BodySink, EMPTY } from './body-reader.ts';
import { type HeadFault, HeadFields } from './head-fields.ts';
import { HeadReader } from './head-reader.ts';
import { keepNames } from './header-case.ts';
import type { H1ServerOptions } from './options.ts';
import { Output, type OutputOwner } from './output.ts';
import { PendingBytes } from './pending-bytes.ts';
import { headFault, matchRequestHead, parseRequestHead } from './request-head.ts';
import { DOWNSTREAM_PROTOCOL_ERROR, DOWNSTREAM_TERMINATION, LOCAL_FRAMING_ERROR } from './reset-reasons.ts';
import { ResponseWriter } from './response-writer.ts';
import { H1Stream, type ResponseSender, SILENT } from './stream.ts';

/** What the next bytes from the client are. */
type Phase =
  | 'head'
  | 'body'
  /** The request is complete, its response is not: the next one waits. */
  | 'wait'
  /** CONNECT or an upgrade that is not granted yet: bytes wait. */
  | 'tunnel-wait'
  | 'tunnel'
  /** An answer that ends the connection is under way; what still comes is dropped. */
  | 'discard'
  | 'closed';

/** Serves HTTP/1 on `connection`, whose events it takes over. */
export function createH1Server(
  connection: Connection,
  options: H1ServerOptions,
  events: ServerConnectionEvents,
): ServerConnection {
  return new H1Server(connection, options, events);
}

/** One state machine over both directions of a connection. */
class H1Server implements ServerConnection, ConnectionEvents, ResponseSender, BodySink, OutputOwner {
  readonly connection: Connection;
  readonly #options: H1ServerOptions;
  readonly #events: ServerConnectionEvents;
  readonly #output: Output;
  readonly #writer: ResponseWriter;
  readonly #heads: HeadReader;
  readonly #fields: HeadFields;
  readonly #body: BodyReader;
  #phase: Phase;
  #stream: H1Stream<ResponseHead, RequestHead> | null;
  #requestDone: boolean;
  /** The connection ends with the current response. */
  #closing: boolean;
  /** We ended it, with or without a last answer. */
  #closedHere: boolean;
  /** `#process` is on the stack and goes on by itself. */
  #processing: boolean;
  #tunnel: boolean;
  /** An exchange ran since the last `onIdle`. */
  #served: boolean;
  readonly #pending: PendingBytes;
  /** Why we ended the connection ourselves. */
  #reason: ResetReason | undefined;

  constructor(connection: Connection, options: H1ServerOptions, events: ServerConnectionEvents) {
    this.connection = connection;
    this.#options = options;
    this.#events = events;
    this.#output = new Output(connection, this);
    this.#writer = new ResponseWriter(this.#output, options);
    this.#heads = new HeadReader(matchRequestHead, options.maxHeaderBytes, true);
    this.#fields = new HeadFields();
    this.#body = new BodyReader(this, options);
    this.#phase = 'head';
    this.#stream = null;
    this.#requestDone = true;
    this.#closing = false;
    this.#closedHere = false;
    this.#processing = false;
    this.#tunnel = false;
    this.#served = false;
    this.#pending = new PendingBytes(connection);
    this.#reason = undefined;
    connection.events = this;
  }

  get active(): number {
    return this.#stream === null ? 0 : 1;
  }

  get http2(): boolean {
    return false;
  }

  get closing(): boolean {
    return this.#closedHere;
  }

  drain(): void {
    this.#closing = true;
    if (this.#stream === null && this.#phase === 'head' && !this.#heads.partial) this.#close();
  }

  abortHead(status: number, details: string): boolean {
    if (this.#phase !== 'head' || !this.#heads.partial) return false;
    this.#refuse({ status, details });
    return true;
  }

  // Connection events.

  onData(chunk: Buffer): void {
    // A connection may deliver at once when it is resumed, which happens while other bytes are being used.
    if (this.#processing || !this.#pending.empty) this.#pending.hold(chunk, 0, false);
    else this.#process(chunk, false);
  }

  onEnd(): void {
    if (this.#phase === 'discard' || this.#phase === 'closed') return;
    // Envoy: FIN while a response is pending, or within a tunnel, is a disconnect; a request cut short is never complete.
    this.#abort(DOWNSTREAM_TERMINATION, false);
  }

  onDrain(): void {
    this.#output.full = false;
    const stream = this.#stream;
    if (stream?.blocked) {
      stream.blocked = false;
      stream.events.onBlocked(false);
    }
    if (this.#phase === 'head' && !this.#processing) this.#resumePending();
  }

  onClose(reason: ResetReason | undefined): void {
    this.#phase = 'closed';
    this.#detach()?.events.onReset(reason ?? DOWNSTREAM_TERMINATION);
    this.#events.onClosed(this.#reason ?? reason);
  }

  onOutputFull(): void {
    const stream = this.#stream;
    if (stream === null || stream.blocked) return;
    stream.blocked = true;
    stream.events.onBlocked(true);
  }

  // Request side.

  #process(chunk: Buffer, owned: boolean): void {
    let at = 0;
    this.#processing = true;
    while (at < chunk.length) {
      switch (this.#phase) {
        case 'head':
          // A response that the client does not read keeps the next request waiting: memory stays bounded.
          if (this.#output.full) at = this.#hold(chunk, at, owned);
          else at = this.#readHead(chunk, at);
          break;
        case 'body':
          at = this.#readBody(chunk, at);
          break;
        case 'wait':
        case 'tunnel-wait':
          at = this.#hold(chunk, at, owned);
          break;
        case 'tunnel':
          this.#stream?.events.onData(at === 0 ? chunk : chunk.subarray(at), false);
          at = chunk.length;
          break;
        case 'discard':
        case 'closed':
          at = chunk.length;
          break;
        default:
          this.#phase satisfies never;
      }
    }
    this.#processing = false;
    if (!this.#pending.empty && this.#wantsBytes) this.#resumePending();
    if (this.#stream === null) this.#tellIdle();
  }

  get #wantsBytes(): boolean {
    return this.#phase === 'head'
      ? !this.#output.full
      : this.#phase !== 'wait' && this.#phase !== 'tunnel-wait';
  }

  #readHead(chunk: Buffer, at: number): number {
    const heads = this.#heads;
    const result = heads.read(chunk, at);
    if (result === 'complete') {
      const next = heads.next;
      const text = heads.text;
      heads.text = '';
      this.#begin(text, heads.end);
      return next;
    }
    const fault = headFault(result, heads.text);
    heads.text = '';
    if (fault !== null) this.#refuse(fault);
    else if (heads.partial) this.#events.onPartialHead();
    return chunk.length;
  }

  #begin(text: string, end: number): void {
    const fields = this.#fields;
    const head = parseRequestHead(text, end, fields, this.#options);
    keepNames(head, text, end, this.#options.headerCase);
    fields.release();
    if (fields.fault !== null) {
      this.#refuse(fields.fault);
      return;
    }
    const http10 = head.protocol === 'HTTP/1.0';
    const keepAlive = !fields.close && (!http10 || fields.keepAlive);
    this.#writer.start(head, http10, keepAlive);
    this.#tunnel = head.upgrade !== '' || head.method === 'CONNECT';
    const stream = new H1Stream<ResponseHead, RequestHead>(this, SILENT);
    this.#stream = stream;
    this.#served = true;
    if (this.#tunnel) this.#phase = 'tunnel-wait';
    else if (head.contentLength === 0) this.#phase = 'wait';
    else {
      this.#phase = 'body';
      if (head.contentLength > 0) this.#body.startLength(head.contentLength);
      else this.#body.startChunked();
    }
    this.#requestDone = this.#phase === 'wait';
    this.#events.onStream(stream);
    stream.events.onHead(head, this.#requestDone);
  }

  #readBody(chunk: Buffer, at: number): number {
    const next = this.#body.read(chunk, at);
    if (next >= 0) return next;
    if (this.#stream === null || this.#writer.begun) this.#abort(DOWNSTREAM_PROTOCOL_ERROR, false);
    else this.#refuse(this.#body.fault);
    return chunk.length;
  }

  onBody(chunk: Buffer, end: boolean): void {
    if (end) this.#endRequest();
    this.#stream?.events.onData(chunk, end);
    if (end && this.#writer.done) this.#finish();
  }

  onBodyTrailers(trailers: Headers): void {
    this.#endRequest();
    this.#stream?.events.onTrailers(trailers);
    if (this.#writer.done) this.#finish();
  }

  #endRequest(): void {
    this.#requestDone = true;
    this.#phase = 'wait';
  }

  /** Answers what broke the rules; the connection ends with the answer. */
  #refuse(fault: HeadFault): void {
    this.#heads.clear();
    this.#body.stop();
    this.#phase = 'discard';
    this.#requestDone = true;
    this.#closing = true;
    let stream = this.#stream;
    if (stream === null) {
      this.#writer.startRefusal();
      this.#tunnel = false;
      stream = new H1Stream<ResponseHead, RequestHead>(this, SILENT);
      this.#stream = stream;
      this.#events.onStream(stream);
    }
    this.#events.onBadRequest(stream, fault.status, fault.details);
  }

  // Waiting bytes.

  #hold(chunk: Buffer, at: number, owned: boolean): number {
    this.#pending.hold(chunk, at, owned);
    return chunk.length;
  }

  /** The turn of the waiting bytes has come; reading goes on when all were used. */
  #resumePending(): void {
    const bytes = this.#pending.take();
    if (bytes === null) return;
    this.#process(bytes, true);
    this.#pending.settle();
  }

  // Response side.

  sendHead(head: ResponseHead, end: boolean): void {
    const writer = this.#writer;
    if (writer.begun) return;
    if (head.status < 200 && head.status !== 101) {
      writer.interim(head);
      return;
    }
    if (this.#tunnel && writer.opensTunnel(head)) {
      writer.tunnelHead(head);
      process.nextTick(openTunnel, this);
      if (end) this.sendData(EMPTY, true);
      return;
    }
    // As Envoy: who is answered before the request is complete may never complete it. A refused tunnel leaves
    // bytes behind whose meaning is open (RFC 9110 §9.3.6).
    writer.head(head, end, this.#closing || !this.#requestDone);
    if (end) this.#endResponse();
  }

  sendData(chunk: Buffer, end: boolean): void {
    if (this.#writer.done || !this.#writer.begun) return;
    if (!this.#writer.data(chunk, end)) {
      this.#abort(LOCAL_FRAMING_ERROR, true);
      return;
    }
    if (end) this.#endResponse();
  }

  sendTrailers(trailers: Headers): void {
    if (this.#writer.done || !this.#writer.begun) return;
    if (this.#writer.trailers(trailers)) this.#endResponse();
    else this.#abort(LOCAL_FRAMING_ERROR, true);
  }

  resetStream(_reason: ResetReason): void {
    this.#phase = 'discard';
    this.#detach();
    this.#pending.drop();
    this.#output.flush();
    // Where the end of the body is the end of the connection, only RST tells the client that it is cut short.
    if (this.#writer.endsAtClose || this.#tunnel) this.connection.destroy(true);
    else this.connection.closeAfterFlush(this.#options.delayedCloseMs);
  }

  /** Called one turn after the tunnel was granted: the granting call is not re-entered with data. */
  openTunnel(): void {
    if (this.#phase !== 'tunnel-wait') return;
    this.#phase = 'tunnel';
    this.#resumePending();
  }

  #endResponse(): void {
    this.#output.flush();
    const halfOpen = this.#writer.tunnelled && !this.#requestDone;
    if (halfOpen) this.connection.end();
    else this.#finish();
  }

  /** Both directions ended, or the response ended first, which ends the connection as in Envoy. */
  #finish(): void {
    if (this.#stream === null) return;
    const closes = this.#closing || this.#writer.closes || !this.#requestDone;
    this.#phase = closes ? 'discard' : 'head';
    this.#detach();
    if (closes) {
      this.#close();
      return;
    }
    if (this.#processing) return;
    // Not within the event that ended the response: its upstream connection is not free for the next request yet.
    if (!this.#pending.empty) process.nextTick(nextRequest, this);
    else this.#tellIdle();
  }

  /** The turn of a pipelined request. */
  nextRequest(): void {
    if (this.#phase !== 'head' || this.#processing || !this.#wantsBytes) return;
    this.#resumePending();
    if (this.#stream === null) this.#tellIdle();
  }

  /** Once after the last exchange, not between pipelined ones. */
  #tellIdle(): void {
    if (!this.#served || this.#phase !== 'head' || !this.#pending.empty) return;
    this.#served = false;
    this.#events.onIdle();
  }

  /** Ends the relation to the current stream and takes back its pauses. */
  #detach(): H1Stream<ResponseHead, RequestHead> | null {
    const stream = this.#stream;
    if (stream === null) return null;
    this.#stream = null;
    this.#body.stop();
    stream.owner = null;
    for (; stream.pauses > 0; stream.pauses--) this.connection.resume();
    return stream;
  }

  #close(): void {
    this.#closedHere = true;
    this.#phase = 'discard';
    this.#pending.drop();
    this.#output.flush();
    this.connection.closeAfterFlush(this.#options.delayedCloseMs);
  }

  /** The exchange cannot go on: its stream is told, the connection ends at once. */
  #abort(reason: ResetReason, reset: boolean): void {
    this.#phase = 'closed';
    this.#reason = reason;
    this.#heads.clear();
    this.#output.flush();
    this.connection.destroy(reset);
    this.#detach()?.events.onReset(reason);
  }
}

function openTunnel(server: H1Server): void {
  server.openTunnel();
}

function nextRequest(server: H1Server): void {
  server.nextRequest();
}
