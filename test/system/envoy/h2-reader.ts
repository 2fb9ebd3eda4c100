import { HpackDecoder } from '../../../src/http/h2/hpack-decoder.ts';

/** What one connection brought, in an order that does not depend on how streams take turns. */
export interface H2Seen {
  /** The first SETTINGS frame, `id=value` in the order sent. */
  settings: string[];
  /** The connection's receive window before any request, 65535 when it was not changed. */
  window: number;
  /** By stream: heads, bodies, trailers, resets. */
  readonly streams: Map<number, string[]>;
  readonly goaways: string[];
  pings: number;
}

const ERRORS: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
];

/** What the reader's connection must send by itself, as every client does. */
export interface H2Peer {
  acknowledge(frame: Buffer): void;
}

/** Reads the frames of a proxy; judges nothing. */
export class H2Reader {
  readonly seen: H2Seen = { settings: [], window: 65_535, streams: new Map(), goaways: [], pings: 0 };
  /** Streams that ended or were reset. */
  readonly ended = new Set<number>();
  readonly #peer: H2Peer;
  readonly #decoder = new HpackDecoder(65_536);
  #bytes: Buffer = Buffer.alloc(0);
  #block: Buffer[] = [];
  #first = true;

  constructor(peer: H2Peer) {
    this.#peer = peer;
  }

  push(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9) {
      const end = 9 + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < end) return;
      const id = this.#bytes.readUInt32BE(5) & 0x7fffffff;
      this.#onFrame(this.#bytes[3] ?? 0, this.#bytes[4] ?? 0, id, this.#bytes.subarray(9, end));
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  /** Bytes that are no whole frame. */
  get rest(): string {
    return this.#bytes.toString('latin1');
  }

  #onFrame(type: number, flags: number, id: number, body: Buffer): void {
    const end = (flags & 1) !== 0;
    switch (type) {
      case 0:
        this.#onData(id, body.toString('latin1'), end);
        break;
      case 1:
        this.#block = [body];
        if ((flags & 4) !== 0) this.#onBlock(id);
        if (end) this.#end(id, 'end');
        break;
      case 9:
        this.#block.push(body);
        if ((flags & 4) !== 0) this.#onBlock(id);
        break;
      case 3:
        this.#end(id, `RST ${nameOf(body.readUInt32BE(0))}`);
        break;
      case 4:
        if (!end) this.#onSettings(body);
        break;
      case 6:
        if (end) break;
        this.seen.pings += 1;
        this.#peer.acknowledge(frameOf(6, body));
        break;
      case 7:
        this.seen.goaways.push(`last ${body.readUInt32BE(0)} ${nameOf(body.readUInt32BE(4))}`);
        break;
      case 8:
        if (id === 0 && this.seen.streams.size === 0) this.seen.window += body.readUInt32BE(0);
        break;
      default:
        this.#line(id, `frame of type ${type}`);
    }
  }

  #onSettings(body: Buffer): void {
    if (this.#first) {
      for (let at = 0; at < body.length; at += 6) {
        this.seen.settings.push(`${body.readUInt16BE(at)}=${body.readUInt32BE(at + 2)}`);
      }
    }
    this.#first = false;
    this.#peer.acknowledge(frameOf(4, Buffer.alloc(0)));
  }

  #onBlock(id: number): void {
    const whole = Buffer.concat(this.#block);
    const fields: string[] = [];
    const good = this.#decoder.decode(whole, 0, whole.length, {
      onField: (name, value) => fields.push(`${name}: ${name === 'date' ? '<date>' : value}`),
    });
    if (!good) fields.push('<broken header block>');
    this.#line(id, fields.map((line) => line.replace(/(upstream-service-time:) .*/, '$1 <ms>')).join(' ⏎ '));
  }

  #onData(id: number, body: string, end: boolean): void {
    const lines = this.#lines(id);
    const last = lines.at(-1);
    if (body !== '' && last?.startsWith('data ') === true) lines[lines.length - 1] = last + body;
    else if (body !== '') lines.push(`data ${body}`);
    if (end) this.#end(id, 'end');
  }

  #end(id: number, line: string): void {
    this.#line(id, line);
    this.ended.add(id);
  }

  #line(id: number, line: string): void {
    this.#lines(id).push(line);
  }

  #lines(id: number): string[] {
    const known = this.seen.streams.get(id);
    if (known !== undefined) return known;
    const lines: string[] = [];
    this.seen.streams.set(id, lines);
    return lines;
  }
}

function nameOf(code: number): string {
  return ERRORS[code] ?? `error ${code}`;
}

function frameOf(type: number, body: Buffer): Buffer {
  const head = Buffer.from([0, 0, body.length, type, 1, 0, 0, 0, 0]);
  return Buffer.concat([head, body]);
}
