/** HTTP/2 frames as texts of one byte per character, for the acts of a case. Header blocks use no compression. */

const TYPES = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export function frame(
  type: keyof typeof TYPES | number,
  flags: number,
  stream: number,
  payload = '',
): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = typeof type === 'number' ? type : TYPES[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return head.toString('latin1') + payload;
}

export function word(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString('latin1');
}

export type Fields = readonly (readonly [name: string, value: string])[];

/** A header block of literal fields, never indexed and without Huffman coding. */
export function block(fields: Fields): string {
  return fields.map(([name, value]) => `\x10${text(name)}${text(value)}`).join('');
}

function text(value: string): string {
  return integer(value.length) + value;
}

function integer(value: number): string {
  if (value < 127) return String.fromCharCode(value);
  let left = value - 127;
  let out = '\x7f';
  for (; left >= 128; left >>>= 7) out += String.fromCharCode((left & 127) | 128);
  return out + String.fromCharCode(left);
}

/** HEADERS with END_HEADERS; more than 16 KB go on in CONTINUATION frames. */
export function headers(stream: number, fields: Fields, end: boolean): string {
  const whole = block(fields);
  let out = '';
  for (let at = 0; at === 0 || at < whole.length; at += 16_384) {
    const part = whole.slice(at, at + 16_384);
    const last = at + 16_384 >= whole.length ? 4 : 0;
    out += frame(at === 0 ? 'headers' : 'continuation', last | (at === 0 && end ? 1 : 0), stream, part);
  }
  return out;
}

/** The head of a request to a.example; `more` comes after the pseudo headers. */
export function request(stream: number, method: string, path: string, more: Fields = [], end = true): string {
  return headers(stream, [...pseudo(method, path), ...more], end);
}

export function pseudo(method: string, path: string): Fields {
  return [
    [':method', method],
    [':scheme', 'http'],
    [':authority', 'a.example'],
    [':path', path],
  ];
}

export function data(stream: number, body: string, end: boolean): string {
  return frame('data', end ? 1 : 0, stream, body);
}

export function rst(stream: number, code: number): string {
  return frame('rst', 0, stream, word(code));
}

export function settings(...pairs: (readonly [number, number])[]): string {
  const payload = pairs.map(([id, value]) => String.fromCharCode(id >>> 8, id & 255) + word(value)).join('');
  return frame('settings', 0, 0, payload);
}
