// Over 400 lines: request and response of one connection end each other in a dozen ways, which decide with the same state.
import type { ResetReason } from '../../core/errors.ts';
import type { Connection, ConnectionEvents } from '../../net/connection.ts';
import type { ClientConnection, ClientConnectionEvents } from '../codec.ts';
import type { Headers } from '../headers.ts';
import type { ClientStream, RequestHead, ResponseHead, StreamEvents } from '../stream.ts';
import { BodyReader, type BodySink, EMPTY } from './body-reader.ts';
import { HeadFields } from './head-fields.ts';
import { HeadReader } from './head-reader.ts';
import { keepNames } from './header-case.ts';
import type { H1ClientOptions } from './options.ts';
import { Output, type OutputOwner } from './output.ts';
import { RequestWriter } from './request-writer.ts';
import {
  LOCAL_FRAMING_ERROR,
  UPSTREAM_CUT_SHORT,
  UPSTREAM_PROTOCOL_ERROR,
  UPSTREAM_TERMINATION,
  UPSTREAM_TERMINATION_UNSENT,
} from './reset-reasons.ts';
import { matchResponseHead, parseResponseHead, refusesPartialResponse } from './response-head.ts';
import { H1Stream, type RequestSender } from './stream.ts';

/** What the next bytes from the server are. */
type Phase =
  /** Nothing was asked: every byte is a fault. */
  | 'idle'
  | 'head'
  | 'body'
  | 'tunnel'
  /** The response ended before the request; what still comes is dropped and the connection ends. */
  | 'discard'
  | 'closed';

/** Speaks HTTP/1.1 to the server at the other end of `connection`, whose events it takes over. */
export function createH1Client(
  connection: Connection,
  options: H1ClientOptions,
  events: ClientConnectionEvents,
): ClientConnection {
  return new H1Client(connection, options, events);
}

class H1Client implements ClientConnection, ConnectionEvents, RequestSender, BodySink, OutputOwner {
  readonly connection: Connection;
  readonly http2 = false;
  opened: number;
  endedHere = false;
  readonly #options: H1ClientOptions;
  readonly #events: ClientConnectionEvents;
  readonly #output: Output;
  readonly #writer: RequestWriter;
  readonly #heads: HeadReader;
  readonly #fields: HeadFields;
  readonly #body: BodyReader;
  #phase: Phase;
  #stream: H1Stream<RequestHead, ResponseHead> | null;
  #responseDone: boolean;
  /** Not to be used for another request. */
  #closing: boolean;
  #method: string;
  #upgrade: string;
  #interim: number;
  /** A byte of the current request may have left. */
  #sent: boolean;
  /** `onData` is on the stack: whether more bytes follow is not known yet. */
  #processing: boolean;
  /** Why we ended the connection ourselves. */
  #reason: ResetReason | undefined;
  /** We ended it between requests: no reason to speak of. */
  #orderly: boolean;

  constructor(connection: Connection, options: H1ClientOptions, events: ClientConnectionEvents) {
    this.connection = connection;
    this.opened = 0;
    this.#options = options;
    this.#events = events;
    this.#output = new Output(connection, this);
    this.#writer = new RequestWriter(this.#output, options);
    this.#heads = new HeadReader(matchResponseHead, options.maxHeaderBytes, false);
    this.#fields = new HeadFields();
    this.#body = new BodyReader(this, options);
    this.#phase = 'idle';
    this.#stream = null;
    this.#responseDone = true;
    this.#closing = false;
    this.#method = '';
    this.#upgrade = '';
    this.#interim = 0;
    this.#sent = false;
    this.#processing = false;
    this.#reason = undefined;
    this.#orderly = false;
    connection.events = this;
  }

  get active(): number {
    return this.#stream === null ? 0 : 1;
  }

  get available(): boolean {
    return this.#phase === 'idle' && !this.#closing && !this.#processing && !this.connection.destroyed;
  }

  get capacity(): number {
    return this.available ? 1 : 0;
  }

  open(events: StreamEvents<ResponseHead>): ClientStream {
    const stream = new H1Stream<RequestHead, ResponseHead>(this, events);
    this.opened++;
    this.#stream = stream;
    this.#phase = 'head';
    this.#responseDone = false;
    this.#interim = 0;
    this.#sent = false;
    this.#writer.start();
    return stream;
  }

  drain(): void {
    this.#closing = true;
    if (this.#stream === null) this.destroy();
  }

  destroy(): void {
    this.#closing = true;
    if (this.#stream === null) this.#orderly = true;
    this.connection.destroy();
  }

  // Connection events.

  onData(chunk: Buffer): void {
    let at = 0;
    this.#processing = true;
    while (at < chunk.length) {
      switch (this.#phase) {
        case 'head':
          at = this.#readHead(chunk, at);
          break;
        case 'body':
          at = this.#body.read(chunk, at);
          if (at < 0) at = this.#fail(chunk);
          break;
        case 'tunnel':
          this.#stream?.events.onData(at === 0 ? chunk : chunk.subarray(at), false);
          at = chunk.length;
          break;
        case 'idle':
          // Bytes that nobody asked for: whatever they are, the next response could not be told from them.
          this.#abort(UPSTREAM_PROTOCOL_ERROR);
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
    if (this.#phase === 'idle' && this.#stream === null) this.#settle();
  }

  onEnd(): void {
    const stream = this.#stream;
    this.#closing = true;
    if (stream === null) {
      this.destroy();
      return;
    }
    if (this.#phase === 'tunnel' || (this.#phase === 'body' && this.#body.endsAtClose)) {
      this.#endResponse();
      stream.events.onData(EMPTY, true);
      this.#settle();
      this.endedHere = false;
      return;
    }
    if (this.#responseDone) return;
    this.#abort(this.#cutShort());
  }

  /** What a close means now: within a response it breaks the protocol, as Envoy sees it; before one it is just an end. */
  #cutShort(): ResetReason {
    if (this.#phase === 'body' || (this.#phase === 'head' && this.#heads.partial)) return UPSTREAM_CUT_SHORT;
    return this.#sent ? UPSTREAM_TERMINATION : UPSTREAM_TERMINATION_UNSENT;
  }

  onDrain(): void {
    this.#output.full = false;
    const stream = this.#stream;
    if (!stream?.blocked) return;
    stream.blocked = false;
    stream.events.onBlocked(false);
  }

  onClose(reason: ResetReason | undefined): void {
    const cut = this.#cutShort();
    this.#phase = 'closed';
    this.#closing = true;
    const stream = this.#detach();
    if (stream !== null) {
      this.#reason = cut === UPSTREAM_CUT_SHORT ? cut : (reason ?? cut);
      stream.events.onReset(this.#reason);
    }
    const why = this.#orderly ? undefined : (this.#reason ?? reason);
    // A peer that closes within a response broke the protocol, but it was the peer that closed.
    if (why !== undefined && why !== UPSTREAM_CUT_SHORT) {
      this.endedHere ||= why.fault !== 'upstream' || why.kind === 'protocol-error';
    }
    this.#events.onClosed(why);
  }

  onOutputFull(): void {
    const stream = this.#stream;
    if (stream === null || stream.blocked) return;
    stream.blocked = true;
    stream.events.onBlocked(true);
  }

  // Response side.

  #readHead(chunk: Buffer, at: number): number {
    const heads = this.#heads;
    const result = heads.read(chunk, at);
    const text = heads.text;
    heads.text = '';
    if (result === 'complete') {
      const next = heads.next;
      const head = parseResponseHead(text, heads.end, this.#fields, this.#options);
      this.#fields.release();
      if (head !== null) keepNames(head, text, heads.end, this.#options.headerCase);
      return head !== null && this.#begin(head) ? next : this.#fail(chunk);
    }
    if (result !== 'incomplete' || (text !== '' && refusesPartialResponse(text))) return this.#fail(chunk);
    return chunk.length;
  }

  /** False when the head is not an answer to what was asked. */
  #begin(head: ResponseHead): boolean {
    const stream = this.#stream;
    if (stream === null) return false;
    const status = head.status;
    if (status < 200 && status !== 101) {
      if (++this.#interim > this.#options.maxInterim) return false;
      stream.events.onHead(head, false);
      return true;
    }
    if (this.#options.envoyStrict && status === 204 && this.#fields.contentLength > 0) return false;
    if (status === 101 && (this.#upgrade === '' || head.upgrade === '')) return false;
    if (this.#fields.close) this.#closing = true;
    if (status === 101 || (this.#method === 'CONNECT' && status < 300)) {
      this.#closing = true;
      this.#phase = 'tunnel';
      this.#writer.openTunnel();
      head.contentLength = -1;
      stream.events.onHead(head, false);
      this.#release();
      return true;
    }
    if (this.#upgrade !== '' || this.#method === 'CONNECT') {
      // Refused: nothing more will be sent, and whether bytes were taken as a request is not known.
      this.#closing = true;
      this.#writer.done = true;
      this.#release();
      if (this.#stream !== stream) return true;
    }
    const end = this.#startBody(head);
    if (end) this.#endResponse();
    stream.events.onHead(head, end);
    if (end) this.#settle();
    return true;
  }

  /** Prepares for the body (RFC 9112 §6.3); true when there is none. */
  #startBody(head: ResponseHead): boolean {
    const fields = this.#fields;
    if (this.#method === 'HEAD' || head.status === 304) return true;
    if (head.status === 204) {
      // A body that must not be would be taken for the next response.
      if (fields.contentLength > 0) this.#closing = true;
      return true;
    }
    if (fields.contentLength === 0) return true;
    this.#phase = 'body';
    if (fields.contentLength > 0) this.#body.startLength(fields.contentLength);
    else if (fields.chunked) this.#body.startChunked();
    else {
      this.#closing = true;
      this.#body.startUntilClose();
    }
    return false;
  }

  onBody(chunk: Buffer, end: boolean): void {
    const stream = this.#stream;
    if (end) this.#endResponse();
    stream?.events.onData(chunk, end);
    if (end) this.#settle();
  }

  onBodyTrailers(trailers: Headers): void {
    const stream = this.#stream;
    this.#endResponse();
    stream?.events.onTrailers(trailers);
    this.#settle();
  }

  #endResponse(): void {
    this.#responseDone = true;
    this.#phase = this.#writer.done ? 'idle' : 'discard';
    if (this.#writer.done) this.#detach();
  }

  /** After the end of a response was delivered: what becomes of the connection. */
  #settle(): void {
    if (this.#stream !== null || !this.#responseDone) {
      // Answered early: the request may still be sent to its end, but nothing else on this connection.
      this.#closing = true;
      return;
    }
    if (this.#phase === 'closed') return;
    if (this.#closing) {
      this.#phase = 'closed';
      this.#orderly = true;
      this.endedHere = true;
      this.connection.destroy();
    } else if (!this.#processing) this.#events.onChanged();
  }

  // Request side.

  sendHead(head: RequestHead, end: boolean): void {
    this.#method = head.method;
    this.#upgrade = head.upgrade;
    this.#writer.head(head, end);
    this.#sent = true;
    if (this.#writer.cutShort) this.#abort(LOCAL_FRAMING_ERROR);
    else if (end) this.#endRequest();
  }

  sendData(chunk: Buffer, end: boolean): void {
    if (this.#writer.done) return;
    if (this.#writer.holds) {
      this.#writer.hold(chunk, end);
      this.onOutputFull();
      return;
    }
    if (!this.#writer.data(chunk, end)) {
      this.#abort(LOCAL_FRAMING_ERROR);
      return;
    }
    if (end) this.#endRequest();
  }

  /** What was held for a tunnel goes out if it is granted, and is forgotten otherwise. */
  #release(): void {
    const { bytes, end } = this.#writer.release();
    if (bytes.length > 0 || end) this.sendData(bytes, end);
    if (!this.#output.full) this.onDrain();
  }

  sendTrailers(trailers: Headers): void {
    if (this.#writer.done) return;
    if (this.#writer.holds) {
      this.#writer.hold(EMPTY, true);
      return;
    }
    if (this.#writer.trailers(trailers)) this.#endRequest();
    else this.#abort(LOCAL_FRAMING_ERROR);
  }

  #endRequest(): void {
    this.#output.flush();
    if (this.#phase === 'tunnel') this.connection.end();
    if (!this.#responseDone) return;
    this.#detach();
    this.#closing = true;
    this.#settle();
  }

  resetStream(_reason: ResetReason): void {
    this.#closing = true;
    this.endedHere = true;
    this.#phase = 'closed';
    this.#detach();
    this.#output.discard();
    this.connection.destroy();
  }

  // Ends.

  #fail(chunk: Buffer): number {
    this.#abort(UPSTREAM_PROTOCOL_ERROR);
    return chunk.length;
  }

  #abort(reason: ResetReason): void {
    this.#reason = reason;
    this.#closing = true;
    this.#phase = 'closed';
    this.#output.discard();
    const stream = this.#detach();
    this.connection.destroy();
    stream?.events.onReset(reason);
  }

  #detach(): H1Stream<RequestHead, ResponseHead> | null {
    const stream = this.#stream;
    if (stream === null) return null;
    this.#stream = null;
    this.#body.stop();
    stream.owner = null;
    for (; stream.pauses > 0; stream.pauses--) this.connection.resume();
    return stream;
  }
}
