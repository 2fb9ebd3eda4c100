import { HeldBytes } from '../held-bytes.ts';
import { FLAG_PADDED, FRAME, FRAME_HEAD_BYTES, H2_ERROR, MAX_FRAME_BYTES, PREFACE } from './frame.ts';

/** Gets the frames of one connection. Returning an H2 error code ends reading; 0 goes on. */
export interface FrameSink {
  /** `length` is the payload's, padding included; called before any of it. */
  onDataFrame(stream: number, flags: number, length: number): number;
  /** A piece of the payload without padding, borrowed; `last` with the frame's end, perhaps empty. */
  onDataBytes(bytes: Buffer, from: number, to: number, last: boolean): number;
  /** Any other frame, complete. `bytes` from `from` to `to` are borrowed. */
  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): number;
}

/** Cuts the bytes of one connection into frames. DATA is passed on as it comes, the rest when complete. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #held: HeldBytes;
  #preface: number;
  /** A SETTINGS frame must be the first (RFC 9113 §3.4). */
  #first: boolean;
  /** Of the DATA frame under way: payload bytes and padding to come; −1 between frames. */
  #dataLeft: number;
  #padLeft: number;
  /** The pad length of this frame is still to come. */
  #padUnknown: boolean;
  #next: number;

  constructor(sink: FrameSink, expectPreface: boolean) {
    this.#sink = sink;
    this.#held = new HeldBytes();
    this.#preface = expectPreface ? 0 : PREFACE.length;
    this.#first = true;
    this.#dataLeft = -1;
    this.#padLeft = 0;
    this.#padUnknown = false;
    this.#next = 0;
  }

  /** Uses up `chunk`; returns 0 or the error code of the connection. */
  read(chunk: Buffer): number {
    let at = 0;
    while (this.#preface < PREFACE.length && at < chunk.length) {
      if (chunk[at++] !== PREFACE[this.#preface++]) return H2_ERROR.protocolError;
    }
    while (at < chunk.length) {
      let error: number;
      if (this.#dataLeft >= 0) {
        error = this.#readData(chunk, at);
        at = this.#next;
      } else if (this.#held.length > 0) {
        error = this.#readHeld(chunk, at);
        at = this.#next;
      } else {
        error = this.#readFrame(chunk, at);
        at = this.#next;
      }
      if (error !== 0) return error;
    }
    return 0;
  }

  #readFrame(chunk: Buffer, at: number): number {
    if (chunk.length - at < FRAME_HEAD_BYTES) return this.#hold(chunk, at);
    const length = lengthAt(chunk, at);
    if (length > MAX_FRAME_BYTES) return H2_ERROR.frameSizeError;
    const type = chunk[at + 3] ?? 0;
    if (type === FRAME.data) {
      this.#next = at + FRAME_HEAD_BYTES;
      return this.#beginData(chunk, at, length);
    }
    const end = at + FRAME_HEAD_BYTES + length;
    if (end > chunk.length) return this.#hold(chunk, at);
    this.#next = end;
    return this.#pass(chunk, at, end);
  }

  #hold(chunk: Buffer, at: number): number {
    this.#held.push(chunk, at, chunk.length);
    this.#next = chunk.length;
    return 0;
  }

  #readHeld(chunk: Buffer, at: number): number {
    const held = this.#held;
    const missingHead = FRAME_HEAD_BYTES - held.length;
    let from = at;
    if (missingHead > 0) {
      const to = Math.min(chunk.length, at + missingHead);
      held.push(chunk, at, to);
      from = to;
      this.#next = to;
      if (held.length < FRAME_HEAD_BYTES) return 0;
    }
    const length = (held.at(0) << 16) | (held.at(1) << 8) | held.at(2);
    if (length > MAX_FRAME_BYTES) return H2_ERROR.frameSizeError;
    if (held.at(3) === FRAME.data) {
      const head = held.view();
      held.clear();
      return this.#beginData(head, 0, length);
    }
    const to = Math.min(chunk.length, from + FRAME_HEAD_BYTES + length - held.length);
    held.push(chunk, from, to);
    this.#next = to;
    if (held.length < FRAME_HEAD_BYTES + length) return 0;
    const whole = held.view();
    held.clear();
    return this.#pass(whole, 0, whole.length);
  }

  #pass(bytes: Buffer, at: number, end: number): number {
    const type = bytes[at + 3] ?? 0;
    const flags = bytes[at + 4] ?? 0;
    const stream = streamAt(bytes, at);
    if (this.#first) {
      if (type !== FRAME.settings || (flags & 1) !== 0) return H2_ERROR.protocolError;
      this.#first = false;
    }
    return this.#sink.onFrame(type, flags, stream, bytes, at + FRAME_HEAD_BYTES, end);
  }

  #beginData(bytes: Buffer, at: number, length: number): number {
    if (this.#first) return H2_ERROR.protocolError;
    const flags = bytes[at + 4] ?? 0;
    this.#padUnknown = (flags & FLAG_PADDED) !== 0;
    this.#padLeft = 0;
    if (this.#padUnknown && length === 0) return H2_ERROR.frameSizeError;
    this.#dataLeft = length;
    const error = this.#sink.onDataFrame(streamAt(bytes, at), flags, length);
    if (error !== 0) return error;
    return length === 0 ? this.#endData() : 0;
  }

  #readData(chunk: Buffer, at: number): number {
    let from = at;
    if (this.#padUnknown) {
      this.#padUnknown = false;
      this.#padLeft = chunk[from++] ?? 0;
      this.#dataLeft--;
      if (this.#padLeft > this.#dataLeft) return H2_ERROR.protocolError;
    }
    const data = Math.min(this.#dataLeft - this.#padLeft, chunk.length - from);
    this.#dataLeft -= data;
    const to = from + data;
    if (this.#dataLeft > this.#padLeft) {
      this.#next = to;
      return data === 0 ? 0 : this.#sink.onDataBytes(chunk, from, to, false);
    }
    const pad = Math.min(this.#padLeft, chunk.length - to);
    this.#padLeft -= pad;
    this.#dataLeft -= pad;
    this.#next = to + pad;
    if (this.#dataLeft > 0) return data === 0 ? 0 : this.#sink.onDataBytes(chunk, from, to, false);
    this.#dataLeft = -1;
    return this.#sink.onDataBytes(chunk, from, to, true);
  }

  #endData(): number {
    this.#dataLeft = -1;
    return this.#sink.onDataBytes(NO_BYTES, 0, 0, true);
  }
}

const NO_BYTES = Buffer.alloc(0);

function lengthAt(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

function streamAt(bytes: Buffer, at: number): number {
  return (
    (((bytes[at + 5] ?? 0) & 0x7f) << 24) |
    ((bytes[at + 6] ?? 0) << 16) |
    ((bytes[at + 7] ?? 0) << 8) |
    (bytes[at + 8] ?? 0)
  );
}
