import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Exchange } from './exchange.ts';
import type { Headers } from './headers.ts';

/** Envoy's: tokens come in portions. */
const FILL_MS = 50;
/** What is kept of a response at most, give or take what the upstream had sent already. */
const HIGH_WATERMARK_BYTES = 256 * 1024;

const EMPTY = Buffer.alloc(0);

/**
 * Sends the body of one response no faster than its rate, for the filter in `slot`, which hands over what its
 * response hooks get. A token bucket that holds one second's worth and begins with one portion. The upstream is
 * paused while too much is kept.
 */
export class ResponseLimiter implements TimerOwner {
  readonly #x: Exchange;
  readonly #slot: number;
  readonly #bytesPerMs: number;
  readonly #wheel: TimerWheel;
  readonly #timer: WheelTimer;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #tokens: number;
  #filledMs: number;
  #ended = false;
  #trailers: Headers | null = null;
  #paused = false;

  constructor(x: Exchange, slot: number, wheel: TimerWheel, bytesPerSecond: number) {
    this.#x = x;
    this.#slot = slot;
    this.#wheel = wheel;
    this.#timer = new WheelTimer(this);
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#tokens = this.#bytesPerMs * FILL_MS;
    this.#filledMs = x.now();
  }

  /** Copies the chunk. */
  onData(chunk: Buffer, end: boolean): void {
    if (chunk.length > 0) this.#chunks.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
    this.#ended = end;
    if (!this.#paused && this.#bytes > HIGH_WATERMARK_BYTES) {
      this.#paused = true;
      this.#x.pauseResponse();
    }
    if (this.#timer.slot === null) this.#wheel.schedule(this.#timer, 0);
  }

  /** False: nothing is kept any more, the trailers may go on at once. */
  onTrailers(trailers: Headers): boolean {
    if (this.#bytes === 0 && this.#timer.slot === null) return false;
    this.#trailers = trailers;
    return true;
  }

  /** The exchange is over. */
  close(): void {
    this.#wheel.cancel(this.#timer);
    this.#chunks = [];
  }

  onTimer(): void {
    const nowMs = this.#x.now();
    const second = this.#bytesPerMs * 1000;
    this.#tokens = Math.min(second, this.#tokens + (nowMs - this.#filledMs) * this.#bytesPerMs);
    this.#filledMs = nowMs;
    const out = this.#take(Math.floor(this.#tokens));
    this.#tokens -= out.length;
    const done = this.#bytes === 0;
    if (!done) this.#wheel.schedule(this.#timer, FILL_MS);
    if (out.length > 0 || (done && this.#ended))
      this.#x.passResponseData(this.#slot, out, done && this.#ended);
    if (done && this.#trailers !== null) this.#x.passResponseTrailers(this.#slot, this.#trailers);
    if (this.#paused && this.#bytes <= HIGH_WATERMARK_BYTES / 2 && !this.#x.finished) {
      this.#paused = false;
      this.#x.resumeResponse();
    }
  }

  /** Up to `limit` of the bytes that are kept. */
  #take(limit: number): Buffer {
    const first = this.#chunks[0];
    if (first === undefined || limit <= 0) return EMPTY;
    let all = first;
    if (this.#chunks.length > 1 && first.length < limit) all = Buffer.concat(this.#chunks);
    const rest = all === first ? this.#chunks.slice(1) : [];
    const out = all.subarray(0, limit);
    if (out.length < all.length) rest.unshift(all.subarray(limit));
    this.#chunks = rest;
    this.#bytes -= out.length;
    return out;
  }
}
