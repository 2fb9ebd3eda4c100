// Over 400 lines: each frame type has a method, and all of them change the same stream states and windows.
import type { ResetReason } from '../../core/errors.ts';
import type { Connection, ConnectionEvents } from '../../net/connection.ts';
import type { Headers } from '../headers.ts';
import { appendCopy, HeldBytes } from '../held-bytes.ts';
import { FloodGuard } from './flood-guard.ts';
import {
  DEFAULT_WINDOW,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FRAME,
  H2_ERROR,
  MAX_FRAME_BYTES,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from './frame.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { H2Stream, type StreamOwner } from './h2-stream.ts';
import { HeadBuilder } from './head-builder.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { H2Options, UnderscoreAction } from './options.ts';
import { Output, type OutputOwner } from './output.ts';
import { errorCodeOf, LOCAL_FRAMING_ERROR, type PeerReasons, WRONG_STREAM } from './reset-reasons.ts';
import { Sender, type SenderOwner } from './sender.ts';

/** What a server and a client do differently. */
export interface Side<Out, In> {
  readonly isServer: boolean;
  readonly reasons: PeerReasons;
  /** A HEADERS block for `stream` (undefined: not open) is decoded into `heads`; returns a connection error or 0. */
  onBlock(id: number, stream: H2Stream<Out, In> | undefined, end: boolean): number;
  /** Whether a block for this id is decoded for the sake of the table alone. */
  discards(id: number, stream: H2Stream<Out, In> | undefined): boolean;
  /** Encodes the head; false when nothing may be sent. Sets the stream's `sendLeft`. */
  writeHead(stream: H2Stream<Out, In>, head: Out, end: boolean): boolean;
  /** The id was never used. */
  idle(id: number): boolean;
  onPartialBlock(): void;
  /** A stream is gone; `cutShort` when it was reset from either end. */
  onStreamGone(stream: H2Stream<Out, In>, cutShort: boolean): void;
  /** The peer broke a rule on a stream that is not open. */
  onStrayFault(): void;
  onGoaway(lastStream: number, code: number): void;
  onPingAck(high: number, low: number): void;
  onSettings(): void;
  /** We end the connection with a GOAWAY; every stream was told. `onClosed` follows. */
  onFailed(): void;
  onClosed(reason: ResetReason | undefined): void;
}

const RECENT_RESETS = 2048;
/** CONTINUATION frames of one block; 60 KiB need four. */
const MAX_CONTINUATIONS = 32;

/** Frames, windows and stream states of one connection. */
export class Session<Out, In>
  implements ConnectionEvents, FrameSink, OutputOwner, StreamOwner<Out, In>, SenderOwner<Out, In>
{
  readonly connection: Connection;
  readonly output: Output;
  readonly heads: HeadBuilder;
  readonly streams: Map<number, H2Stream<Out, In>> = new Map();
  readonly #options: H2Options;
  readonly #side: Side<Out, In>;
  readonly #reader: FrameReader;
  readonly #sender: Sender<Out, In>;
  readonly #guard: FloodGuard;
  readonly #decoder: HpackDecoder;
  closed = false;
  /** We ended the connection. */
  failed = false;
  reason: ResetReason | undefined = undefined;
  peerMaxStreams = MAX_WINDOW;
  peerConnectProtocol = false;
  opened = 0;
  lastActivityMs: number;
  /** Reads of the connection so far. */
  reads = 0;

  #receiveWindow: number;
  #receiveLimit: number;
  #credit = 0;
  /** Received bytes that wait in paused streams. */
  #heldBytes = 0;

  // The block under way.
  readonly #block = new HeldBytes();
  /** 0: none. */
  blockStream = 0;
  #blockFlags = 0;
  #continuations = 0;

  // The DATA frame under way.
  #dataStream: H2Stream<Out, In> | null = null;
  #dataEnd = false;
  #dataLeft = 0;

  #reading = false;
  /** Streams that were answered, in the read under way, before their request had ended. */
  readonly #answeredEarly: H2Stream<Out, In>[] = [];

  /** Streams that we reset of late: frames that were under way for them are no fault. */
  readonly #recentResets = new Set<number>();

  constructor(
    connection: Connection,
    options: H2Options,
    side: Side<Out, In>,
    underscores: UnderscoreAction,
  ) {
    this.connection = connection;
    this.#options = options;
    this.#side = side;
    this.output = new Output(connection, encoderOf(options), this, options.stats);
    this.#sender = new Sender(options, this.output, this);
    this.#guard = new FloodGuard(options, this.output);
    this.heads = new HeadBuilder(options.maxHeaderBytes, options.maxHeaderCount, underscores);
    this.#decoder = new HpackDecoder(Math.max(options.hpackTableSize, 0));
    this.#reader = new FrameReader(this, side.isServer);
    this.#receiveLimit = Math.max(DEFAULT_WINDOW, options.initialConnectionWindowSize);
    this.#receiveWindow = this.#receiveLimit;
    this.lastActivityMs = performance.now();
    connection.events = this;
    this.#greet();
  }

  #greet(): void {
    const o = this.#options;
    const isServer = this.#side.isServer;
    if (!isServer) this.output.raw(PREFACE);
    const settings = [...o.customSettings, SETTING.headerTableSize, o.hpackTableSize];
    if (isServer) {
      settings.push(SETTING.enableConnectProtocol, o.allowConnect ? 1 : 0);
      settings.push(SETTING.maxConcurrentStreams, o.maxConcurrentStreams);
    } else settings.push(SETTING.enablePush, 0);
    settings.push(SETTING.initialWindowSize, o.initialStreamWindowSize);
    this.output.settings(settings);
    if (this.#receiveLimit > DEFAULT_WINDOW) this.output.windowUpdate(0, this.#receiveLimit - DEFAULT_WINDOW);
  }

  newStream(id: number): H2Stream<Out, In> {
    const stream = new H2Stream<Out, In>(
      id,
      this,
      this.#sender.initialWindow,
      this.#options.initialStreamWindowSize,
      performance.now(),
    );
    this.streams.set(id, stream);
    this.opened++;
    this.#options.stats.streamsActive.inc();
    return stream;
  }

  renumber(stream: H2Stream<Out, In>, id: number): void {
    this.streams.delete(stream.id);
    stream.id = id;
    this.streams.set(id, stream);
  }

  // Connection events.

  onData(chunk: Buffer): void {
    if (this.closed || this.failed) return;
    this.reads++;
    this.lastActivityMs = performance.now();
    this.#reading = true;
    const error = this.#reader.read(chunk);
    this.#reading = false;
    if (this.#answeredEarly.length > 0) this.#endAnswered();
    if (error !== 0) this.fail(error);
  }

  #endAnswered(): void {
    for (const stream of this.#answeredEarly.splice(0)) this.#closeIfDone(stream);
  }

  onEnd(): void {
    if (this.closed) return;
    // As Envoy: a peer that stops sending is gone; what is being flushed still may reach it.
    if (!this.failed) this.connection.destroy();
  }

  onDrain(): void {
    this.output.full = false;
    this.output.drained();
    this.#sender.sendWaiting();
    for (const stream of this.streams.values()) this.#sender.unblock(stream);
  }

  onClose(reason: ResetReason | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.output.drained();
    this.#sender.stop();
    const cutShort = this.streams.size > 0;
    const why = this.reason ?? reason ?? (cutShort ? this.#side.reasons.terminated : undefined);
    this.#resetAll(why ?? this.#side.reasons.terminated);
    this.#side.onClosed(why);
  }

  onOutputFull(): void {
    if (this.#guard.queued()) this.fail(H2_ERROR.enhanceYourCalm);
  }

  /** The connection cannot go on: GOAWAY, then the end. */
  fail(code: number, details = this.#guard.details): void {
    if (this.closed || this.failed) return;
    this.failed = true;
    const { protocolError, terminated } = this.#side.reasons;
    this.reason =
      code === H2_ERROR.noError ? terminated : { ...protocolError, details: details || detailsOf(code) };
    this.output.goaway(this.lastProcessed, code);
    this.output.flush();
    this.#resetAll(this.reason);
    this.#block.clear();
    this.#side.onFailed();
    this.connection.closeAfterFlush(this.#options.delayedCloseMs);
  }

  /** The peer is gone without a word. */
  lose(details: string): void {
    if (this.closed || this.failed) return;
    this.failed = true;
    this.reason = { ...this.#side.reasons.terminated, details };
    this.#resetAll(this.reason);
    this.#side.onFailed();
    this.connection.destroy();
  }

  /** Highest id that the peer opened and we took. */
  lastProcessed = 0;

  #resetAll(reason: ResetReason): void {
    for (const stream of [...this.streams.values()]) {
      this.forget(stream);
      stream.events.onReset(reason);
    }
  }

  // Frames from the peer.

  onDataFrame(id: number, flags: number, length: number): number {
    if (this.failed || this.closed) return H2_ERROR.internalError;
    if (this.blockStream !== 0 || id === 0) return H2_ERROR.protocolError;
    const end = (flags & FLAG_END_STREAM) !== 0;
    if (length === 0 && !end) {
      if (this.#guard.empty()) return H2_ERROR.enhanceYourCalm;
    } else this.#guard.full();
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0) return H2_ERROR.flowControlError;
    this.#dataLeft = length;
    this.#dataEnd = end;
    const stream = this.streams.get(id);
    this.#dataStream = null;
    if (stream === undefined) {
      if (this.#side.idle(id)) return H2_ERROR.protocolError;
      if (!this.#recentResets.has(id)) this.#stray(id, H2_ERROR.streamClosed);
      return this.failed ? H2_ERROR.enhanceYourCalm : 0;
    }
    if (!stream.headReceived) this.streamError(stream, H2_ERROR.protocolError);
    else if (stream.remoteEnded) this.streamError(stream, H2_ERROR.streamClosed);
    else if (length > stream.receiveWindow) this.streamError(stream, H2_ERROR.flowControlError);
    else {
      stream.receiveWindow -= length;
      this.#dataStream = stream;
    }
    return this.failed ? H2_ERROR.enhanceYourCalm : 0;
  }

  onDataBytes(bytes: Buffer, from: number, to: number, last: boolean): number {
    const length = to - from;
    const stream = this.#dataStream;
    this.#dataLeft -= length;
    // Padding was paid for and is used up.
    const padding = last ? this.#dataLeft : 0;
    if (stream === null || stream.owner === null) {
      this.#creditConnection(length + padding);
      return this.failed ? H2_ERROR.noError : 0;
    }
    if (padding > 0) this.#creditStream(stream, padding);
    const end = last && this.#dataEnd;
    if (stream.receiveLeft >= 0) {
      stream.receiveLeft -= length;
      if (stream.receiveLeft < 0 || (end && stream.receiveLeft > 0)) {
        this.#creditConnection(length);
        this.streamError(stream, H2_ERROR.protocolError);
        return 0;
      }
    }
    if (end) stream.remoteEnded = true;
    if (stream.pauses > 0 || stream.holding || stream.delivering) {
      if (length > 0) {
        appendCopy(stream.inbox, bytes, from, to);
        this.#heldBytes += length;
      }
      stream.inboxEnd ||= end;
      return 0;
    }
    if (length === 0 && !end) return 0;
    this.#creditStream(stream, length);
    stream.events.onData(bytes.subarray(from, to), end);
    if (end) this.#closeIfDone(stream);
    return 0;
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): number {
    // A frame before this one, of the same read, was the end.
    if (this.failed || this.closed) return H2_ERROR.internalError;
    if (this.blockStream !== 0 && (type !== FRAME.continuation || id !== this.blockStream)) {
      return H2_ERROR.protocolError;
    }
    switch (type) {
      case FRAME.headers:
        return this.#onHeaders(flags, id, bytes, from, to);
      case FRAME.continuation:
        return this.#onContinuation(flags, id, bytes, from, to);
      case FRAME.windowUpdate:
        return this.#onWindowUpdate(id, bytes, from, to);
      case FRAME.rstStream:
        return this.#onRstStream(id, bytes, from, to);
      case FRAME.settings:
        return this.#onSettings(flags, id, bytes, from, to);
      case FRAME.ping:
        return this.#onPing(flags, id, bytes, from, to);
      case FRAME.priority:
        return this.#onPriority(id, bytes, from, to);
      case FRAME.goaway:
        if (id !== 0) return H2_ERROR.protocolError;
        if (to - from < 8) return H2_ERROR.frameSizeError;
        this.#side.onGoaway(bytes.readUInt32BE(from) & MAX_WINDOW, bytes.readUInt32BE(from + 4));
        return 0;
      case FRAME.pushPromise:
        return H2_ERROR.protocolError;
      default:
        return this.#guard.control(this.lastActivityMs) ? H2_ERROR.enhanceYourCalm : 0;
    }
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, from: number, to: number): number {
    if (id === 0) return H2_ERROR.protocolError;
    let start = from;
    let end = to;
    if ((flags & FLAG_PADDED) !== 0) {
      if (start >= end) return H2_ERROR.frameSizeError;
      end -= bytes[start++] ?? 0;
    }
    let selfDependent = false;
    if ((flags & FLAG_PRIORITY) !== 0) {
      if (end - start < 5) return end < start ? H2_ERROR.protocolError : H2_ERROR.frameSizeError;
      selfDependent = (bytes.readUInt32BE(start) & MAX_WINDOW) === id;
      start += 5;
    }
    if (end < start) return H2_ERROR.protocolError;
    if (start === end && (flags & FLAG_END_STREAM) === 0) {
      if (this.#guard.empty()) return H2_ERROR.enhanceYourCalm;
    } else this.#guard.full();
    this.#blockFlags = selfDependent ? flags | SELF_DEPENDENT : flags;
    if ((flags & FLAG_END_HEADERS) !== 0) return this.#endBlock(id, bytes, start, end);
    this.blockStream = id;
    this.#continuations = 0;
    this.#block.push(bytes, start, end);
    this.#side.onPartialBlock();
    return 0;
  }

  #onContinuation(flags: number, id: number, bytes: Buffer, from: number, to: number): number {
    if (this.blockStream === 0) return H2_ERROR.protocolError;
    const last = (flags & FLAG_END_HEADERS) !== 0;
    if (from === to && !last && this.#guard.empty()) return H2_ERROR.enhanceYourCalm;
    const room = 2 * this.#options.maxHeaderBytes + MAX_FRAME_BYTES;
    if (++this.#continuations > MAX_CONTINUATIONS || this.#block.length + to - from > room) {
      return H2_ERROR.enhanceYourCalm;
    }
    this.#block.push(bytes, from, to);
    if (!last) return 0;
    const whole = this.#block.view();
    this.#block.clear();
    this.blockStream = 0;
    return this.#endBlock(id, whole, 0, whole.length);
  }

  #endBlock(id: number, bytes: Buffer, from: number, to: number): number {
    const stream = this.streams.get(id);
    const heads = this.heads;
    heads.begin(this.#side.discards(id, stream));
    if (!this.#decoder.decode(bytes, from, to, heads)) return H2_ERROR.compressionError;
    if ((this.#blockFlags & SELF_DEPENDENT) !== 0) heads.malformed = true;
    const error = this.#side.onBlock(id, stream, (this.#blockFlags & FLAG_END_STREAM) !== 0);
    heads.release();
    return error;
  }

  /** Trailers of an open stream, either side. */
  receiveTrailers(stream: H2Stream<Out, In>, end: boolean): void {
    const trailers = this.heads.trailers();
    if (stream.remoteEnded) this.streamError(stream, H2_ERROR.streamClosed);
    else if (!end || trailers === null) this.malformed(stream);
    else if (stream.receiveLeft > 0) this.streamError(stream, H2_ERROR.protocolError);
    else {
      // As Envoy: those of requests.
      if (this.#side.isServer) this.#options.stats.trailers.inc();
      stream.remoteEnded = true;
      if (stream.pauses > 0 || stream.holding || stream.delivering) {
        stream.inboxTrailers = trailers;
        stream.inboxEnd = true;
        return;
      }
      stream.events.onTrailers(trailers);
      this.#closeIfDone(stream);
    }
  }

  /** A head for `stream` was received: it goes to the events. */
  receiveHead(stream: H2Stream<Out, In>, head: In, end: boolean): void {
    this.takeHead(stream, end);
    this.deliverHead(stream, head, end);
  }

  /** What follows the head belongs to it from now on, also while the head itself has to wait. */
  takeHead(stream: H2Stream<Out, In>, end: boolean): void {
    stream.headReceived = true;
    if (end) stream.remoteEnded = true;
  }

  deliverHead(stream: H2Stream<Out, In>, head: In, end: boolean): void {
    stream.events.onHead(head, end);
    if (end) this.#closeIfDone(stream);
  }

  #onWindowUpdate(id: number, bytes: Buffer, from: number, to: number): number {
    if (to - from !== 4) return H2_ERROR.frameSizeError;
    if (this.#guard.windowUpdate(this.opened)) return H2_ERROR.enhanceYourCalm;
    const increment = bytes.readUInt32BE(from) & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) return H2_ERROR.protocolError;
      if (!this.#sender.addWindow(increment)) return H2_ERROR.flowControlError;
    } else {
      const stream = this.streams.get(id);
      if (stream === undefined) return this.#side.idle(id) ? H2_ERROR.protocolError : 0;
      if (increment === 0) {
        this.streamError(stream, H2_ERROR.protocolError);
        return 0;
      }
      stream.sendWindow += increment;
      if (stream.sendWindow > MAX_WINDOW) {
        this.streamError(stream, H2_ERROR.flowControlError);
        return 0;
      }
    }
    this.#sender.sendWaiting();
    return 0;
  }

  #onRstStream(id: number, bytes: Buffer, from: number, to: number): number {
    if (to - from !== 4) return H2_ERROR.frameSizeError;
    if (id === 0 || this.#side.idle(id)) return H2_ERROR.protocolError;
    const stream = this.streams.get(id);
    this.#options.stats.rxReset.inc();
    if (stream === undefined) return 0;
    const code = bytes.readUInt32BE(from);
    const { refused, reset } = this.#side.reasons;
    const complete = stream.remoteEnded && !stream.holding;
    this.forget(stream);
    // A server that has answered need not be sent the rest (RFC 9113 §8.1).
    if (!(complete && !this.#side.isServer && code === H2_ERROR.noError)) {
      stream.events.onReset(code === H2_ERROR.refusedStream ? refused : reset);
    }
    this.#side.onStreamGone(stream, true);
    return 0;
  }

  #onSettings(flags: number, id: number, bytes: Buffer, from: number, to: number): number {
    if (id !== 0) return H2_ERROR.protocolError;
    const length = to - from;
    if ((flags & FLAG_ACK) !== 0) return length === 0 ? 0 : H2_ERROR.frameSizeError;
    if (length % 6 !== 0) return H2_ERROR.frameSizeError;
    for (let at = from; at < to; at += 6) {
      const error = this.#applySetting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
      if (error !== 0) return error;
    }
    this.output.settingsAck();
    if (this.#guard.control(this.lastActivityMs)) return H2_ERROR.enhanceYourCalm;
    this.#sender.sendWaiting();
    this.#side.onSettings();
    return 0;
  }

  #applySetting(id: number, value: number): number {
    switch (id) {
      case SETTING.headerTableSize:
        this.output.encoder.setPeerTableSize(value);
        return 0;
      case SETTING.enablePush:
        return value > 1 || (value === 1 && !this.#side.isServer) ? H2_ERROR.protocolError : 0;
      case SETTING.maxConcurrentStreams:
        this.peerMaxStreams = value;
        return 0;
      case SETTING.initialWindowSize:
        return this.#sender.setInitialWindow(value, this.streams.values()) ? 0 : H2_ERROR.flowControlError;
      case SETTING.maxFrameSize:
        // Ours are never longer than the least that everybody takes.
        return value < MAX_FRAME_BYTES || value > 0xffffff ? H2_ERROR.protocolError : 0;
      case SETTING.enableConnectProtocol:
        if (value > 1) return H2_ERROR.protocolError;
        this.peerConnectProtocol = value === 1;
        return 0;
      default:
        return 0;
    }
  }

  #onPing(flags: number, id: number, bytes: Buffer, from: number, to: number): number {
    if (id !== 0) return H2_ERROR.protocolError;
    if (to - from !== 8) return H2_ERROR.frameSizeError;
    const high = bytes.readUInt32BE(from);
    const low = bytes.readUInt32BE(from + 4);
    if ((flags & FLAG_ACK) !== 0) this.#side.onPingAck(high, low);
    else this.output.ping(true, high, low);
    return this.#guard.control(this.lastActivityMs) ? H2_ERROR.enhanceYourCalm : 0;
  }

  #onPriority(id: number, bytes: Buffer, from: number, to: number): number {
    if (id === 0) return H2_ERROR.protocolError;
    if (this.#guard.priority(this.opened)) return H2_ERROR.enhanceYourCalm;
    const stream = this.streams.get(id);
    const wrongSize = to - from !== 5;
    if (!wrongSize && (bytes.readUInt32BE(from) & MAX_WINDOW) !== id) return 0;
    const code = wrongSize ? H2_ERROR.frameSizeError : H2_ERROR.protocolError;
    if (stream !== undefined) this.streamError(stream, code);
    else this.#stray(id, code);
    return 0;
  }

  /** A fault on a stream that is not open. */
  #stray(id: number, code: number): void {
    this.output.rstStream(id, code);
    this.#remember(id);
    this.#side.onStrayFault();
    if (this.#guard.control(this.lastActivityMs)) this.fail(H2_ERROR.enhanceYourCalm);
  }

  // Ends of streams.

  /** The peer broke a rule within a stream: that stream alone dies. */
  streamError(stream: H2Stream<Out, In>, code: number, reason?: ResetReason): void {
    if (stream.owner === null) return;
    this.#cut(stream, code);
    stream.events.onReset(reason ?? (this.#side.isServer ? WRONG_STREAM.downstream : WRONG_STREAM.upstream));
    this.#side.onStreamGone(stream, true);
  }

  /** A header block that is no valid message ends its stream, or the connection when the options want that. */
  malformed(stream: H2Stream<Out, In>): void {
    const { stats, overrideStreamErrorOnInvalidHttpMessage } = this.#options;
    stats.rxMessagingError.inc();
    const details = this.heads.details;
    if (overrideStreamErrorOnInvalidHttpMessage) {
      this.streamError(stream, H2_ERROR.protocolError, { ...this.#side.reasons.protocolError, details });
    } else this.fail(H2_ERROR.protocolError, details);
  }

  /** RST_STREAM for an id that never became a stream. */
  refuse(id: number): void {
    this.output.rstStream(id, H2_ERROR.refusedStream);
    this.#options.stats.txReset.inc();
    this.#remember(id);
    if (this.#guard.queuedControl()) this.fail(H2_ERROR.enhanceYourCalm);
  }

  resetStream(stream: H2Stream<Out, In>, reason: ResetReason): void {
    if (stream.owner === null) return;
    if (this.#side.isServer || stream.headSent) this.#cut(stream, errorCodeOf(reason, this.#side.isServer));
    else this.forget(stream);
    this.#side.onStreamGone(stream, false);
  }

  #cut(stream: H2Stream<Out, In>, code: number): void {
    this.output.rstStream(stream.id, code);
    this.#options.stats.txReset.inc();
    this.#remember(stream.id);
    this.forget(stream);
  }

  /** Frames under way for it are not a fault. */
  #remember(id: number): void {
    const recent = this.#recentResets;
    recent.add(id);
    if (recent.size <= RECENT_RESETS) return;
    for (const oldest of recent) {
      recent.delete(oldest);
      break;
    }
  }

  wasReset(id: number): boolean {
    return this.#recentResets.has(id);
  }

  forget(stream: H2Stream<Out, In>): void {
    if (stream.owner === null) return;
    stream.owner = null;
    this.streams.delete(stream.id);
    this.#options.stats.streamsActive.dec();
    this.#sender.drop(stream);
    let held = 0;
    for (const chunk of stream.inbox) held += chunk.length;
    this.#heldBytes -= held;
    stream.dropAll();
    if (held > 0 && !this.closed && !this.failed) this.#creditConnection(held);
  }

  #closeIfDone(stream: H2Stream<Out, In>): void {
    if (stream.owner === null || !stream.localClosed) return;
    if (!stream.remoteEnded) {
      // Answered before the request was complete: the rest is not wanted (RFC 9113 §8.1).
      if (!this.#side.isServer) return;
      // It may well be in what was read together with its head.
      if (this.#reading) {
        this.#answeredEarly.push(stream);
        return;
      }
      this.#cut(stream, H2_ERROR.noError);
    } else if (stream.holding) return;
    else this.forget(stream);
    this.#side.onStreamGone(stream, false);
  }

  // Receive windows.

  #creditStream(stream: H2Stream<Out, In>, length: number): void {
    this.#creditConnection(length);
    stream.credit += length;
    if (stream.remoteEnded || stream.credit * 2 < stream.receiveLimit) return;
    let grow = 0;
    // Read as fast as it comes: the window may be what holds the sender up.
    if (!stream.slow && stream.receiveLimit < this.#options.maxStreamWindowSize) {
      grow = Math.min(stream.receiveLimit, this.#options.maxStreamWindowSize - stream.receiveLimit);
      stream.receiveLimit += grow;
    }
    stream.slow = stream.pauses > 0;
    this.output.windowUpdate(stream.id, stream.credit + grow);
    stream.receiveWindow += stream.credit + grow;
    stream.credit = 0;
  }

  #creditConnection(length: number): void {
    this.#credit += length;
    if (this.#credit * 2 < this.#receiveLimit) return;
    let grow = 0;
    const max = this.#options.maxConnectionWindowSize;
    if (this.#heldBytes === 0 && this.#receiveLimit < max) {
      grow = Math.min(this.#receiveLimit, max - this.#receiveLimit);
      this.#receiveLimit += grow;
    }
    this.output.windowUpdate(0, this.#credit + grow);
    this.#receiveWindow += this.#credit + grow;
    this.#credit = 0;
  }

  resumeStream(stream: H2Stream<Out, In>): void {
    if (stream.delivering) return;
    stream.delivering = true;
    while (stream.inbox.length > 0 && stream.pauses === 0 && stream.owner !== null) {
      const chunk = stream.takeInbox();
      this.#heldBytes -= chunk.length;
      this.#creditStream(stream, chunk.length);
      const end = stream.inbox.length === 0 && stream.inboxEnd && stream.inboxTrailers === null;
      if (end) stream.inboxEnd = false;
      stream.events.onData(chunk, end);
    }
    stream.delivering = false;
    if (stream.owner === null || stream.pauses > 0 || stream.inbox.length > 0) return;
    if (stream.inboxEnd) {
      const trailers = stream.inboxTrailers;
      stream.inboxEnd = false;
      stream.inboxTrailers = null;
      if (trailers !== null) stream.events.onTrailers(trailers);
      else stream.events.onData(NO_BYTES, true);
    }
    if (stream.remoteEnded) this.#closeIfDone(stream);
  }

  // Sending.

  sendHead(stream: H2Stream<Out, In>, head: Out, end: boolean): void {
    if (stream.localEnded || this.failed) return;
    if (!this.#side.writeHead(stream, head, end) || !end) return;
    stream.localEnded = true;
    this.onSent(stream);
  }

  sendData(stream: H2Stream<Out, In>, chunk: Buffer, end: boolean): void {
    if (stream.localEnded || !stream.headSent || this.failed) return;
    this.#sender.data(stream, chunk, end);
  }

  sendTrailers(stream: H2Stream<Out, In>, trailers: Headers): void {
    if (stream.localEnded || !stream.headSent || this.failed) return;
    this.#sender.trailers(stream, trailers);
  }

  onWrongLength(stream: H2Stream<Out, In>): void {
    this.#cut(stream, H2_ERROR.internalError);
    stream.events.onReset(LOCAL_FRAMING_ERROR);
    this.#side.onStreamGone(stream, false);
  }

  onFlushTimeout(stream: H2Stream<Out, In>): void {
    this.#options.stats.txFlushTimeout.inc();
    this.#cut(stream, H2_ERROR.internalError);
    stream.events.onReset(this.#side.reasons.terminated);
    this.#side.onStreamGone(stream, false);
  }

  onSent(stream: H2Stream<Out, In>): void {
    stream.localClosed = true;
    this.#closeIfDone(stream);
  }
}

/** Beside the flags of HEADERS: its priority names the stream itself (RFC 7540 §5.3.1). */
const SELF_DEPENDENT = 0x100;
const NO_BYTES = Buffer.alloc(0);

function encoderOf(options: H2Options): HpackEncoder {
  return options.huffman
    ? new HpackEncoder(options.hpackTableSize)
    : new HpackEncoder(options.hpackTableSize, { huffman: 'never', indexing: 'repeated' });
}

/** For access logs: which rule the peer broke. */
function detailsOf(code: number): string {
  return `codec_error:${Object.entries(H2_ERROR).find(([, value]) => value === code)?.[0] ?? code}`;
}
