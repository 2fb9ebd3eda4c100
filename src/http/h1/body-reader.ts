import type { Headers } from '../headers.ts';
import { HeldBytes } from '../held-bytes.ts';
import { FAULT, type HeadFault, parseTrailers } from './head-fields.ts';
import type { H1Options } from './options.ts';

/** Takes what a BodyReader decodes. Exactly one call has the end: `onBody(…, true)` or `onTrailers`. */
export interface BodySink {
  onBody(chunk: Buffer, end: boolean): void;
  onBodyTrailers(trailers: Headers): void;
}

const IDLE = 0;
const LENGTH = 1;
const UNTIL_CLOSE = 2;
const SIZE = 3;
const EXTENSION = 4;
const SIZE_LF = 5;
const DATA = 6;
const DATA_CR = 7;
const DATA_LF = 8;
const TRAILERS = 9;

const CR = 13;
const LF = 10;
const SEMICOLON = 59;
const TAB = 9;
const SPACE = 32;
const DEL = 127;
/** Sixteen hex digits are 2^64; Envoy takes any number of leading zeros. */
const MAX_SIZE_DIGITS = 16;

export const EMPTY = Buffer.alloc(0);

/** Decodes the bodies of one connection's messages, one after the other (RFC 9112 §6 and §7). */
export class BodyReader {
  /** Set when `read` returned −1. */
  fault: HeadFault;
  #sink: BodySink;
  #options: H1Options;
  #mode: number;
  /** Bytes left of the body or of the chunk. */
  #remaining: number;
  #digits: number;
  #extBytes: number;
  #trailers: HeldBytes | null;

  constructor(sink: BodySink, options: H1Options) {
    this.fault = FAULT.codec;
    this.#sink = sink;
    this.#options = options;
    this.#mode = IDLE;
    this.#remaining = 0;
    this.#digits = 0;
    this.#extBytes = 0;
    this.#trailers = null;
  }

  startLength(bytes: number): void {
    this.#mode = LENGTH;
    this.#remaining = bytes;
  }

  startChunked(): void {
    this.#mode = SIZE;
    this.#remaining = 0;
    this.#digits = 0;
    this.#extBytes = 0;
  }

  startUntilClose(): void {
    this.#mode = UNTIL_CLOSE;
  }

  /** Forgets the current body; nothing is delivered any more. */
  stop(): void {
    this.#mode = IDLE;
    this.#trailers = null;
  }

  /** Whether FIN is a proper end of the current body. */
  get endsAtClose(): boolean {
    return this.#mode === UNTIL_CLOSE;
  }

  /**
   * Decodes from `at`; returns where the body ended in `chunk`, its length when more must come, −1 on a fault.
   * The sink may call `stop`.
   */
  read(chunk: Buffer, at: number): number {
    if (this.#mode === LENGTH) return this.#readLength(chunk, at);
    if (this.#mode === IDLE) return chunk.length;
    if (this.#mode === UNTIL_CLOSE) {
      this.#sink.onBody(at === 0 ? chunk : chunk.subarray(at), false);
      return chunk.length;
    }
    return this.#readChunked(chunk, at);
  }

  #readLength(chunk: Buffer, at: number): number {
    const size = Math.min(this.#remaining, chunk.length - at);
    this.#remaining -= size;
    const end = this.#remaining === 0;
    if (end) this.#mode = IDLE;
    this.#sink.onBody(size === chunk.length ? chunk : chunk.subarray(at, at + size), end);
    return at + size;
  }

  #readChunked(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      switch (this.#mode) {
        case DATA:
          at = this.#readData(chunk, at);
          break;
        case TRAILERS:
          at = this.#readTrailers(chunk, at);
          break;
        case IDLE:
          return at;
        default:
          if (!this.#readByte(chunk[at] ?? 0)) return -1;
          at++;
      }
      if (at < 0) return -1;
    }
    return at;
  }

  /** Chunk size lines and the line ends around data: short, so byte by byte; false on a fault. */
  #readByte(byte: number): boolean {
    switch (this.#mode) {
      case SIZE:
        return this.#readSize(byte);
      case EXTENSION:
        if (byte === CR) this.#mode = SIZE_LF;
        else if ((byte < SPACE && byte !== TAB) || byte === DEL) return false;
        else if (++this.#extBytes > this.#options.maxChunkExtBytes) return false;
        return true;
      case SIZE_LF:
        this.#mode = this.#remaining === 0 ? TRAILERS : DATA;
        return byte === LF;
      case DATA_CR:
        this.#mode = DATA_LF;
        return byte === CR;
      default:
        this.#mode = SIZE;
        this.#digits = 0;
        return byte === LF;
    }
  }

  #readSize(byte: number): boolean {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#remaining = this.#remaining * 16 + digit;
      return ++this.#digits <= MAX_SIZE_DIGITS && this.#remaining <= Number.MAX_SAFE_INTEGER;
    }
    if (this.#digits === 0) return false;
    this.#mode = byte === CR ? SIZE_LF : EXTENSION;
    return byte === CR || byte === SEMICOLON;
  }

  #readData(chunk: Buffer, at: number): number {
    const size = Math.min(this.#remaining, chunk.length - at);
    const stop = at + size;
    this.#remaining -= size;
    if (this.#remaining > 0) {
      this.#sink.onBody(chunk.subarray(at, stop), false);
      return stop;
    }
    if (endsHere(chunk, stop)) {
      this.#mode = IDLE;
      this.#sink.onBody(chunk.subarray(at, stop), true);
      return stop + 7;
    }
    this.#mode = DATA_CR;
    this.#sink.onBody(chunk.subarray(at, stop), false);
    return stop;
  }

  #readTrailers(chunk: Buffer, at: number): number {
    if (this.#trailers === null) {
      if (chunk[at] === CR && chunk[at + 1] === LF) {
        this.#mode = IDLE;
        this.#sink.onBody(EMPTY, true);
        return at + 2;
      }
      this.#trailers = new HeldBytes();
    }
    const held = this.#trailers;
    const before = held.length;
    const limit = this.#options.maxHeaderBytes;
    held.push(chunk, at, Math.min(chunk.length, at + limit + 4 - before));
    let end = 2;
    if (held.at(0) !== CR || (held.length > 1 && held.at(1) !== LF)) {
      const found = held.indexOf('\r\n\r\n', Math.max(0, before - 3));
      end = found < 0 ? -1 : found + 4;
    } else if (held.length < 2) return chunk.length;
    if (end > limit || (end < 0 && held.length > limit)) {
      this.fault = FAULT.headersTooLarge;
      return -1;
    }
    if (end < 0) return chunk.length;
    return this.#endWithTrailers(held.text(0, end)) ? at + end - before : -1;
  }

  #endWithTrailers(text: string): boolean {
    this.#trailers = null;
    const trailers = parseTrailers(text, this.#options.maxHeaderCount);
    if (!Array.isArray(trailers)) {
      this.fault = trailers;
      return false;
    }
    this.#mode = IDLE;
    if (trailers.length > 0 && this.#options.enableTrailers) this.#sink.onBodyTrailers(trailers);
    else this.#sink.onBody(EMPTY, true);
    return true;
  }
}

/** Whether the last chunk without trailers follows at once, so that the data before it can carry the end. */
function endsHere(chunk: Buffer, at: number): boolean {
  return (
    at + 7 <= chunk.length &&
    chunk[at] === CR &&
    chunk[at + 1] === LF &&
    chunk[at + 2] === 48 &&
    chunk[at + 3] === CR &&
    chunk[at + 4] === LF &&
    chunk[at + 5] === CR &&
    chunk[at + 6] === LF
  );
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
