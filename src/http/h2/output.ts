import type { Connection } from '../../net/connection.ts';
import type { Headers } from '../headers.ts';
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME,
  FRAME_HEAD_BYTES,
  MAX_FRAME_BYTES,
} from './frame.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { H2Stats } from './stats.ts';

const MIN_BYTES = 1024;
const MAX_BYTES = 64 * 1024;
/** Up to here the kernel gets a copy and the buffer is used again. */
const COPY_BYTES = 16 * 1024;

/** Buffers of MAX_BYTES that no connection of this thread is writing from. */
const spare: Buffer[] = [];
const SPARE_BUFFERS = 32;

/** Told when the connection takes no more for now; `onDrain` of the connection follows. */
export interface OutputOwner {
  onOutputFull(): void;
}

/** Gathers the frames that one connection sends in a turn; one write at its end. */
export class Output {
  readonly connection: Connection;
  readonly encoder: HpackEncoder;
  readonly #owner: OutputOwner;
  readonly #stats: H2Stats;
  #bytes: Buffer;
  #at: number;
  #scheduled: boolean;
  full: boolean;
  /** Frames that the kernel has not taken yet, as far as known; Envoy's outbound flood limits count these. */
  queuedFrames: number;
  queuedControlFrames: number;
  dataFrames: number;
  /** What the gauges know of the two. */
  #toldFrames: number;
  #toldControlFrames: number;

  constructor(connection: Connection, encoder: HpackEncoder, owner: OutputOwner, stats: H2Stats) {
    this.connection = connection;
    this.encoder = encoder;
    this.#owner = owner;
    this.#stats = stats;
    this.#bytes = EMPTY;
    this.#at = 0;
    this.#scheduled = false;
    this.full = false;
    this.queuedFrames = 0;
    this.queuedControlFrames = 0;
    this.dataFrames = 0;
    this.#toldFrames = 0;
    this.#toldControlFrames = 0;
  }

  raw(bytes: Buffer): void {
    this.#room(bytes.length);
    bytes.copy(this.#bytes, this.#at);
    this.#at += bytes.length;
  }

  /** At most MAX_FRAME_BYTES from `bytes`. */
  data(stream: number, bytes: Buffer, from: number, to: number, end: boolean): void {
    const length = to - from;
    this.#frame(FRAME.data, end ? FLAG_END_STREAM : 0, stream, length);
    if (length > 0) bytes.copy(this.#bytes, this.#at, from, to);
    this.#at += length;
    this.dataFrames++;
  }

  /** Starts a header block; `field` calls and `endHeaders` follow without anything in between. */
  headers(stream: number, end: boolean): number {
    this.#frame(FRAME.headers, FLAG_END_HEADERS | (end ? FLAG_END_STREAM : 0), stream, 256);
    const start = this.#at;
    this.#at = this.encoder.begin(this.#bytes, this.#at);
    return start;
  }

  /** Adds a field to the block; `start` is where the block starts, which may have moved: the new place is returned. */
  field(name: string, value: string, start: number): number {
    const room = HpackEncoder.room(name, value);
    let from = start;
    if (this.#at + room > this.#bytes.length) from = this.#growBlock(start, room);
    this.#at = this.encoder.field(name, value, this.#bytes, this.#at);
    return from;
  }

  fields(headers: Headers, start: number): number {
    let from = start;
    for (let i = 0; i < headers.length; i += 2)
      from = this.field(headers[i] ?? '', headers[i + 1] ?? '', from);
    return from;
  }

  /** Completes the block that starts at `start`; what does not fit one frame goes to CONTINUATION frames. */
  endHeaders(start: number, stream: number): void {
    const bytes = this.#bytes;
    const length = this.#at - start;
    if (length <= MAX_FRAME_BYTES) {
      setLength(bytes, start - FRAME_HEAD_BYTES, length);
      return;
    }
    const block = Buffer.from(bytes.subarray(start, this.#at));
    setLength(bytes, start - FRAME_HEAD_BYTES, MAX_FRAME_BYTES);
    bytes[start - FRAME_HEAD_BYTES + 4] = (bytes[start - FRAME_HEAD_BYTES + 4] ?? 0) & ~FLAG_END_HEADERS;
    this.#at = start + MAX_FRAME_BYTES;
    for (let from = MAX_FRAME_BYTES; from < length; from += MAX_FRAME_BYTES) {
      const to = Math.min(length, from + MAX_FRAME_BYTES);
      this.#frame(FRAME.continuation, to === length ? FLAG_END_HEADERS : 0, stream, to - from);
      block.copy(this.#bytes, this.#at, from, to);
      this.#at += to - from;
    }
  }

  settings(pairs: readonly number[]): void {
    this.#control(FRAME.settings, 0, 0, pairs.length * 3);
    for (let i = 0; i < pairs.length; i += 2) {
      const id = pairs[i] ?? 0;
      this.#bytes[this.#at++] = id >>> 8;
      this.#bytes[this.#at++] = id;
      this.#word(pairs[i + 1] ?? 0);
    }
  }

  settingsAck(): void {
    this.#control(FRAME.settings, FLAG_ACK, 0, 0);
  }

  ping(ack: boolean, high: number, low: number): void {
    this.#control(FRAME.ping, ack ? FLAG_ACK : 0, 0, 8);
    this.#word(high);
    this.#word(low);
  }

  rstStream(stream: number, code: number): void {
    this.#control(FRAME.rstStream, 0, stream, 4);
    this.#word(code);
  }

  goaway(lastStream: number, code: number): void {
    this.#stats.goawaySent.inc();
    this.#control(FRAME.goaway, 0, 0, 8);
    this.#word(lastStream);
    this.#word(code);
  }

  windowUpdate(stream: number, increment: number): void {
    this.#frame(FRAME.windowUpdate, 0, stream, 4);
    this.#word(increment);
  }

  flush(): void {
    const length = this.#at;
    if (length === 0) return;
    const bytes = this.#bytes;
    this.#at = 0;
    let accepted: boolean;
    if (length <= COPY_BYTES) {
      accepted = this.connection.writeBorrowed(bytes.subarray(0, length));
      // An idle connection keeps little.
      if (bytes.length > COPY_BYTES) {
        this.#bytes = EMPTY;
        giveBack(bytes);
      }
    } else {
      this.#bytes = EMPTY;
      accepted = this.connection.write(bytes.subarray(0, length), () => giveBack(bytes));
    }
    if (this.connection.buffered === 0) this.drained();
    else this.#tell();
    if (accepted || this.full) return;
    this.full = true;
    this.#owner.onOutputFull();
  }

  /** The kernel has taken everything. */
  drained(): void {
    this.queuedFrames = 0;
    this.queuedControlFrames = 0;
    if (this.#toldFrames > 0) this.#tell();
  }

  #tell(): void {
    this.#stats.outboundFramesActive.add(this.queuedFrames - this.#toldFrames);
    this.#stats.outboundControlFramesActive.add(this.queuedControlFrames - this.#toldControlFrames);
    this.#toldFrames = this.queuedFrames;
    this.#toldControlFrames = this.queuedControlFrames;
  }

  flushTick(): void {
    this.#scheduled = false;
    this.flush();
  }

  #control(type: number, flags: number, stream: number, length: number): void {
    this.#frame(type, flags, stream, length);
    this.queuedControlFrames++;
  }

  #frame(type: number, flags: number, stream: number, length: number): void {
    this.#room(FRAME_HEAD_BYTES + length);
    const bytes = this.#bytes;
    const at = this.#at;
    setLength(bytes, at, length);
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes[at + 5] = stream >>> 24;
    bytes[at + 6] = stream >>> 16;
    bytes[at + 7] = stream >>> 8;
    bytes[at + 8] = stream;
    this.#at = at + FRAME_HEAD_BYTES;
    this.queuedFrames++;
  }

  #word(value: number): void {
    const bytes = this.#bytes;
    bytes[this.#at++] = value >>> 24;
    bytes[this.#at++] = value >>> 16;
    bytes[this.#at++] = value >>> 8;
    bytes[this.#at++] = value;
  }

  /** Makes room for `length` bytes and sees to it that they are sent. */
  #room(length: number): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(flushScheduled, this);
    }
    if (this.#at + length <= this.#bytes.length) return;
    if (this.#at + length > MAX_BYTES) this.flush();
    if (this.#at + length > this.#bytes.length) this.#grow(this.#at + length);
  }

  #grow(needed: number): void {
    const before = this.#bytes;
    const grown = bufferFor(needed, before.length);
    before.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
    giveBack(before);
  }

  /** A block is contiguous: what is before it leaves when it would get too large. */
  #growBlock(start: number, room: number): number {
    const head = start - FRAME_HEAD_BYTES;
    if (head === 0 || this.#at + room <= MAX_BYTES) {
      this.#grow(this.#at + room);
      return start;
    }
    const block = Buffer.from(this.#bytes.subarray(head, this.#at));
    this.#at = head;
    this.flush();
    if (block.length + room > this.#bytes.length) this.#grow(block.length + room);
    block.copy(this.#bytes, 0);
    this.#at = block.length;
    return FRAME_HEAD_BYTES;
  }
}

const EMPTY = Buffer.alloc(0);

function bufferFor(needed: number, before: number): Buffer {
  if (needed > COPY_BYTES && needed <= MAX_BYTES) return spare.pop() ?? Buffer.allocUnsafeSlow(MAX_BYTES);
  let size = Math.max(MIN_BYTES, before);
  while (size < needed) size *= 2;
  return Buffer.allocUnsafeSlow(size);
}

function giveBack(bytes: Buffer): void {
  if (bytes.length === MAX_BYTES && spare.length < SPARE_BUFFERS) spare.push(bytes);
}

function flushScheduled(output: Output): void {
  output.flushTick();
}

function setLength(bytes: Buffer, at: number, length: number): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
}
