import type { ResetReason } from '../../core/errors.ts';
import type { Headers } from '../headers.ts';
import { appendCopy } from '../held-bytes.ts';
import type { HttpStream, StreamEvents } from '../stream.ts';

/** What a stream asks of its connection. */
export interface StreamOwner<Out, In> {
  sendHead(stream: H2Stream<Out, In>, head: Out, end: boolean): void;
  sendData(stream: H2Stream<Out, In>, chunk: Buffer, end: boolean): void;
  sendTrailers(stream: H2Stream<Out, In>, trailers: Headers): void;
  resetStream(stream: H2Stream<Out, In>, reason: ResetReason): void;
  resumeStream(stream: H2Stream<Out, In>): void;
}

const nothing = (): void => {};
/** Stands in before the owner set its events. */
const SILENT: StreamEvents<unknown> = {
  onHead: nothing,
  onData: nothing,
  onTrailers: nothing,
  onReset: nothing,
  onBlocked: nothing,
};
const NO_BYTES = Buffer.alloc(0);

/** One stream of one connection, either side. */
export class H2Stream<Out, In> implements HttpStream<Out, In> {
  /** Negative on a client until the head is sent: ids must be used in order (RFC 9113 §5.1.1). */
  id: number;
  events: StreamEvents<In>;
  /** The connection while the stream is open. */
  owner: StreamOwner<Out, In> | null;
  readonly openedMs: number;
  method = '';
  upgrade = '';
  interim = 0;

  // Sending.
  sendWindow: number;
  headSent = false;
  /** Our side has ended, perhaps with bytes that still wait. */
  localEnded = false;
  localClosed = false;
  blocked = false;
  /** Announced content-length still to be sent, −1: not announced. */
  sendLeft = -1;
  /** Bytes that wait for a window or for the connection, oldest first. */
  readonly outbox: Buffer[] = [];
  outboxBytes = 0;
  outboxAt = 0;
  trailers: Headers | null = null;
  /** Since when nothing of a complete message got away, −1: it is not waiting. */
  flushSinceMs = -1;
  /** In the connection's list of waiting streams. */
  waiting = false;

  // Receiving.
  receiveWindow: number;
  receiveLimit: number;
  /** Used bytes that were not given back yet. */
  credit = 0;
  headReceived = false;
  remoteEnded = false;
  /** Declared content-length still to come, −1: not declared. */
  receiveLeft = -1;
  pauses = 0;
  /** It was paused since its last WINDOW_UPDATE. */
  slow = false;
  readonly inbox: Buffer[] = [];
  inboxEnd = false;
  inboxTrailers: Headers | null = null;
  delivering = false;

  constructor(
    id: number,
    owner: StreamOwner<Out, In>,
    sendWindow: number,
    receiveWindow: number,
    nowMs: number,
  ) {
    this.id = id;
    this.events = SILENT;
    this.owner = owner;
    this.openedMs = nowMs;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.receiveLimit = receiveWindow;
  }

  /** Received bytes wait for `resume`. */
  get holding(): boolean {
    return this.inbox.length > 0 || this.inboxEnd;
  }

  sendHead(head: Out, end: boolean): void {
    this.owner?.sendHead(this, head, end);
  }

  sendData(chunk: Buffer, end: boolean): void {
    this.owner?.sendData(this, chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    this.owner?.sendTrailers(this, trailers);
  }

  reset(reason: ResetReason): void {
    this.owner?.resetStream(this, reason);
  }

  pause(): void {
    this.pauses++;
    this.slow = true;
  }

  resume(): void {
    if (this.pauses === 0 || --this.pauses > 0) return;
    this.owner?.resumeStream(this);
  }

  keep(chunk: Buffer, from: number, to: number): void {
    appendCopy(this.outbox, chunk, from, to);
    this.outboxBytes += to - from;
  }

  /** Takes what was received and waits; the stream is not paused. */
  takeInbox(): Buffer {
    return this.inbox.shift() ?? NO_BYTES;
  }

  dropAll(): void {
    this.outbox.length = 0;
    this.outboxBytes = 0;
    this.trailers = null;
    this.inbox.length = 0;
    this.inboxEnd = false;
    this.inboxTrailers = null;
  }
}
