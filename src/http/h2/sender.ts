import type { Headers } from '../headers.ts';
import { DEFAULT_WINDOW, MAX_FRAME_BYTES, MAX_WINDOW } from './frame.ts';
import type { H2Stream } from './h2-stream.ts';
import type { H2Options } from './options.ts';
import type { Output } from './output.ts';

/** Told how sending ended. */
export interface SenderOwner<Out, In> {
  /** Our side of the stream is complete and written. */
  onSent(stream: H2Stream<Out, In>): void;
  /** More or less was to be sent than the content-length that was announced. */
  onWrongLength(stream: H2Stream<Out, In>): void;
  /** The peer takes nothing of a message that is complete. */
  onFlushTimeout(stream: H2Stream<Out, In>): void;
}

/** Bodies and trailers of all streams of one connection, as the peer's windows and the kernel let them go. */
export class Sender<Out, In> {
  readonly #options: H2Options;
  readonly #output: Output;
  readonly #owner: SenderOwner<Out, In>;
  readonly #waiting: H2Stream<Out, In>[] = [];
  #window = DEFAULT_WINDOW;
  #flushTimer: NodeJS.Timeout | null = null;
  /** Of new streams. */
  initialWindow = DEFAULT_WINDOW;

  constructor(options: H2Options, output: Output, owner: SenderOwner<Out, In>) {
    this.#options = options;
    this.#output = output;
    this.#owner = owner;
  }

  /** The connection's window grows; false: beyond what there is. */
  addWindow(increment: number): boolean {
    this.#window += increment;
    return this.#window <= MAX_WINDOW;
  }

  /** The peer's SETTINGS_INITIAL_WINDOW_SIZE, for open streams too (RFC 9113 §6.9.2). */
  setInitialWindow(value: number, streams: Iterable<H2Stream<Out, In>>): boolean {
    if (value > MAX_WINDOW) return false;
    const change = value - this.initialWindow;
    this.initialWindow = value;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) return false;
    }
    return true;
  }

  data(stream: H2Stream<Out, In>, chunk: Buffer, end: boolean): void {
    const length = chunk.length;
    if (stream.sendLeft >= 0) {
      stream.sendLeft -= length;
      if (stream.sendLeft < 0 || (end && stream.sendLeft > 0)) {
        this.#owner.onWrongLength(stream);
        return;
      }
    }
    if (end) stream.localEnded = true;
    let at = 0;
    if (stream.outboxBytes === 0 && !this.#output.full) {
      at = this.#write(stream, chunk, 0, end);
      if (stream.localClosed) {
        this.#owner.onSent(stream);
        return;
      }
    }
    if (at < length) {
      stream.keep(chunk, at, length);
      this.#options.stats.pendingSendBytes.add(length - at);
    }
    if (at < length || end) this.#wait(stream);
    if (!stream.blocked && (this.#output.full || stream.outboxBytes > this.#options.sendBufferBytes)) {
      stream.blocked = true;
      stream.events.onBlocked(true);
    }
  }

  trailers(stream: H2Stream<Out, In>, trailers: Headers): void {
    if (stream.sendLeft > 0) {
      this.#owner.onWrongLength(stream);
      return;
    }
    stream.localEnded = true;
    stream.trailers = trailers;
    if (stream.outboxBytes > 0) return;
    this.#writeTrailers(stream, trailers);
    this.#owner.onSent(stream);
  }

  /** The connection is over. */
  stop(): void {
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
  }

  /** Forgets what a stream kept back. */
  drop(stream: H2Stream<Out, In>): void {
    if (stream.outboxBytes > 0) this.#options.stats.pendingSendBytes.add(-stream.outboxBytes);
  }

  /** Streams take turns, a kept chunk each, as long as the windows and the connection let them. */
  sendWaiting(): void {
    const waiting = this.#waiting;
    let stuck = 0;
    while (waiting.length > stuck && !this.#output.full) {
      const stream = waiting.shift();
      if (stream === undefined) break;
      stream.waiting = false;
      if (stream.owner === null) continue;
      const before = stream.outboxBytes;
      this.#sendKept(stream);
      if (stream.outboxBytes > 0 || (stream.localEnded && !stream.localClosed && stream.owner !== null)) {
        this.#wait(stream);
        stuck = stream.outboxBytes === before ? stuck + 1 : 0;
        if (this.#window <= 0) break;
      } else stuck = 0;
      this.unblock(stream);
    }
  }

  /** Tells who was to stop that there is room again. */
  unblock(stream: H2Stream<Out, In>): void {
    if (!stream.blocked || stream.owner === null || this.#output.full) return;
    if (stream.outboxBytes * 2 > this.#options.sendBufferBytes) return;
    stream.blocked = false;
    stream.events.onBlocked(false);
  }

  #writeTrailers(stream: H2Stream<Out, In>, trailers: Headers): void {
    stream.trailers = null;
    stream.localClosed = true;
    if (trailers.length === 0) {
      this.#output.data(stream.id, NO_BYTES, 0, 0, true);
      return;
    }
    const start = this.#output.fields(trailers, this.#output.headers(stream.id, true));
    this.#output.endHeaders(start, stream.id);
  }

  /** Writes what the windows let through; returns where it stopped. Sets `localClosed` with END_STREAM. */
  #write(stream: H2Stream<Out, In>, chunk: Buffer, from: number, end: boolean): number {
    const output = this.#output;
    let at = from;
    const length = chunk.length;
    if (length === from) {
      if (end) {
        output.data(stream.id, chunk, at, at, true);
        stream.localClosed = true;
      }
      return at;
    }
    while (at < length && !output.full) {
      const size = Math.min(length - at, MAX_FRAME_BYTES, this.#window, stream.sendWindow);
      if (size <= 0) break;
      const last = end && at + size === length;
      output.data(stream.id, chunk, at, at + size, last);
      this.#window -= size;
      stream.sendWindow -= size;
      at += size;
      if (last) stream.localClosed = true;
    }
    return at;
  }

  #wait(stream: H2Stream<Out, In>): void {
    if (stream.localEnded && stream.flushSinceMs < 0) this.#watch(stream);
    if (stream.waiting) return;
    stream.waiting = true;
    this.#waiting.push(stream);
  }

  /** One timer for all streams: it never goes back, but looks again. */
  #watch(stream: H2Stream<Out, In>): void {
    stream.flushSinceMs = performance.now();
    if (this.#flushTimer === null) this.#watchIn(this.#options.flushTimeoutMs);
  }

  #watchIn(ms: number): void {
    if (ms <= 0) return;
    this.#flushTimer = setTimeout(() => this.#onFlushTimer(), ms);
    this.#flushTimer.unref();
  }

  #onFlushTimer(): void {
    this.#flushTimer = null;
    const dueMs = performance.now() - this.#options.flushTimeoutMs;
    let nextMs = Infinity;
    for (const stream of [...this.#waiting]) {
      if (stream.owner === null || stream.flushSinceMs < 0) continue;
      if (stream.flushSinceMs <= dueMs) this.#owner.onFlushTimeout(stream);
      else nextMs = Math.min(nextMs, stream.flushSinceMs - dueMs);
    }
    if (nextMs < Infinity) this.#watchIn(Math.ceil(nextMs));
  }

  #sendKept(stream: H2Stream<Out, In>): void {
    const chunk = stream.outbox[0];
    if (chunk !== undefined) {
      const end = stream.localEnded && stream.trailers === null && stream.outbox.length === 1;
      const at = this.#write(stream, chunk, stream.outboxAt, end);
      this.#options.stats.pendingSendBytes.add(stream.outboxAt - at);
      if (at > stream.outboxAt && stream.flushSinceMs >= 0) stream.flushSinceMs = performance.now();
      stream.outboxBytes -= at - stream.outboxAt;
      stream.outboxAt = at;
      if (at < chunk.length) return;
      stream.outbox.shift();
      stream.outboxAt = 0;
    }
    if (stream.outbox.length > 0 || !stream.localEnded) return;
    if (stream.trailers !== null) this.#writeTrailers(stream, stream.trailers);
    else if (!stream.localClosed) this.#write(stream, NO_BYTES, 0, true);
    this.#owner.onSent(stream);
  }
}

const NO_BYTES = Buffer.alloc(0);
