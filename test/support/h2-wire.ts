import { HpackDecoder } from '../../src/http/h2/hpack-decoder.ts';
import { HpackEncoder } from '../../src/http/h2/hpack-encoder.ts';
import type { Headers } from '../../src/http/headers.ts';

/** What a peer sent, one line a frame: `HEADERS 1 es :status=200`, `RST 1 8`, `GOAWAY 0 11`. */
export class H2Wire {
  readonly #decoder = new HpackDecoder(4096);
  readonly #encoder = new HpackEncoder();

  frames(written: string): string[] {
    const bytes = Buffer.from(written, 'latin1');
    const lines: string[] = [];
    let at = written.startsWith('PRI ') ? 24 : 0;
    while (at < bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      lines.push(
        this.#line(
          bytes[at + 3] ?? 0,
          bytes[at + 4] ?? 0,
          bytes.readUInt32BE(at + 5),
          bytes.subarray(at + 9, at + 9 + length),
        ),
      );
      at += 9 + length;
    }
    return lines;
  }

  #line(type: number, flags: number, id: number, body: Buffer): string {
    const es = (flags & 1) !== 0 ? ' es' : '';
    switch (type) {
      case 0:
        return `DATA ${id}${es} ${body.length}`;
      case 1: {
        const fields: string[] = [];
        this.#decoder.decode(body, 0, body.length, {
          onField: (name, value) => fields.push(`${name}=${value}`),
        });
        return `HEADERS ${id}${es} ${fields.join(' ')}`;
      }
      case 3:
        return `RST ${id} ${body.readUInt32BE(0)}`;
      case 4:
        return `SETTINGS${flags === 1 ? ' ack' : ''}`;
      case 6:
        return `PING${flags === 1 ? ' ack' : ''}`;
      case 7:
        return `GOAWAY ${body.readUInt32BE(0)} ${body.readUInt32BE(4)}`;
      case 8:
        return `WINDOW ${id} ${body.readUInt32BE(0)}`;
      default:
        return `TYPE${type} ${id}`;
    }
  }

  headers(id: number, fields: Headers, end: boolean): Buffer {
    return frame(1, 4 | (end ? 1 : 0), id, this.block(fields));
  }

  block(fields: Headers): Buffer {
    const out = Buffer.alloc(128 * 1024);
    let at = this.#encoder.begin(out, 0);
    for (let i = 0; i < fields.length; i += 2)
      at = this.#encoder.field(fields[i] ?? '', fields[i + 1] ?? '', out, at);
    return out.subarray(0, at);
  }
}

export function frame(type: number, flags: number, id: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
