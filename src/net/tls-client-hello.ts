/**
 * The first message of a TLS client (RFC 8446 section 4.1.2), as far as a proxy needs it that does not end the TLS
 * itself: which server the client wants, and what it would like to speak. It may be spread over many records.
 */
export interface ClientHello {
  /** Bytes of the records that hold it. */
  readonly size: number;
  /** `legacy_version` */
  readonly version: number;
  /** As the client wrote it, '' for none. */
  readonly serverName: string;
  /** ALPN, most wanted first; empty for none. */
  readonly protocols: readonly string[];
  readonly ciphers: readonly number[];
  /** Types, in their order. */
  readonly extensions: readonly number[];
  readonly groups: readonly number[];
  readonly pointFormats: readonly number[];
}

const RECORD_HEADER = 5;
const HANDSHAKE = 0x16;
const CLIENT_HELLO = 1;
const MESSAGE_HEADER = 4;
/** RFC 8446 section 5.2; more cannot be a record. */
const MAX_RECORD = 16_384 + 256;
/** What TLS libraries take from a client that they do not know yet. */
const MAX_MESSAGE = 16_384;
/** Records without content that may stand in front, as BoringSSL allows. */
const MAX_EMPTY_RECORDS = 32;
const TLS_1_0 = 0x0301;
const SSL_MAJOR = 3;

const EXTENSION = { serverName: 0, groups: 10, pointFormats: 11, alpn: 16, supportedVersions: 43 } as const;

/** `more`: too few bytes to tell. `no`: whatever it is, no TLS library would take it for a ClientHello. */
export function readClientHello(bytes: Buffer): ClientHello | 'more' | 'no' {
  // Asked again for each packet of a slow client: nothing is allocated before all is there.
  let header = 0;
  let length = 0;
  let needed = MESSAGE_HEADER;
  let at = 0;
  let empty = 0;
  while (length < needed) {
    if (bytes.length < at + RECORD_HEADER) return 'more';
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== SSL_MAJOR) return 'no';
    const size = bytes.readUInt16BE(at + 3);
    if (size > MAX_RECORD || (size === 0 && ++empty > MAX_EMPTY_RECORDS)) return 'no';
    const start = at + RECORD_HEADER;
    if (bytes.length < start + size) return 'more';
    for (let i = 0; i < size && length + i < MESSAGE_HEADER; i++)
      header = header * 256 + (bytes[start + i] ?? 0);
    at = start + size;
    length += size;
    if (needed === MESSAGE_HEADER && length >= MESSAGE_HEADER) {
      const body = header % 0x100_0000;
      if (header - body !== CLIENT_HELLO * 0x100_0000 || body > MAX_MESSAGE) return 'no';
      needed += body;
    }
  }
  return readMessage(new Reader(joinRecords(bytes, at), MESSAGE_HEADER, needed), at) ?? 'no';
}

/** What the records up to `end` hold. */
function joinRecords(bytes: Buffer, end: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < end; ) {
    const next = at + RECORD_HEADER + bytes.readUInt16BE(at + 3);
    parts.push(bytes.subarray(at + RECORD_HEADER, next));
    at = next;
  }
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
}

/** JA3 of a ClientHello before it is hashed: version, ciphers, extensions, groups and point formats, without GREASE. */
export function ja3Text(hello: ClientHello): string {
  const { version, ciphers, extensions, groups, pointFormats } = hello;
  const known = (ids: readonly number[]): string => ids.filter((id) => !isGrease(id)).join('-');
  // Envoy leaves GREASE in the groups.
  return `${version},${known(ciphers)},${known(extensions)},${groups.join('-')},${pointFormats.join('-')}`;
}

/** RFC 8701: values that mean nothing, sent so that servers learn to ignore the unknown. */
function isGrease(id: number): boolean {
  return (id & 0x0f0f) === 0x0a0a && id >> 8 === (id & 0xff);
}

interface Found {
  serverName: string;
  protocols: readonly string[];
  groups: readonly number[];
  pointFormats: readonly number[];
  versions: readonly number[] | null;
}

function readMessage(reader: Reader, size: number): ClientHello | undefined {
  const version = reader.u16();
  reader.skip(32);
  if (reader.vector8().left > 32) return undefined;
  const suites = reader.vector16();
  const compressions = reader.vector8();
  if (reader.bad || suites.left < 2 || suites.left % 2 === 1 || compressions.left === 0) return undefined;
  const found: Found = { serverName: '', protocols: [], groups: [], pointFormats: [], versions: null };
  const extensions: number[] = [];
  if (reader.left > 0) {
    const all = reader.vector16();
    if (reader.bad || reader.left > 0) return undefined;
    while (all.left > 0) {
      const type = all.u16();
      const body = all.vector16();
      if (all.bad || extensions.includes(type) || !readExtension(type, body, found)) return undefined;
      extensions.push(type);
    }
  }
  const { versions, ...told } = found;
  const newest = versions === null ? version : Math.max(0, ...versions.filter((one) => !isGrease(one)));
  if (newest < TLS_1_0) return undefined;
  return { size, version, ciphers: suites.all16(), extensions, ...told };
}

/** False when the extension breaks its own rules in a way that ends a handshake. */
function readExtension(type: number, body: Reader, found: Found): boolean {
  switch (type) {
    case EXTENSION.serverName:
      return readServerName(body, found);
    case EXTENSION.alpn:
      found.protocols = readProtocols(body);
      return true;
    case EXTENSION.groups:
      found.groups = body.vector16().all16();
      return true;
    case EXTENSION.pointFormats:
      found.pointFormats = body.vector8().all8();
      return true;
    case EXTENSION.supportedVersions:
      found.versions = body.vector8().all16();
      return true;
    default:
      return true;
  }
}

function readServerName(body: Reader, found: Found): boolean {
  const list = body.vector16();
  const type = list.u8();
  const name = list.vector16();
  if (body.bad || body.left > 0 || list.bad || list.left > 0 || type !== 0) return false;
  const text = name.text();
  if (text === '' || text.length > 255 || text.includes('\0')) return false;
  found.serverName = text;
  return true;
}

/** A list that is broken counts as none: the real TLS stack says so better. */
function readProtocols(body: Reader): string[] {
  const list = body.vector16();
  if (body.bad || body.left > 0) return [];
  const protocols: string[] = [];
  while (list.left > 0) {
    const name = list.vector8();
    if (list.bad || name.left === 0) return [];
    protocols.push(name.text());
  }
  return protocols;
}

/** Reads big-endian values between two offsets. Over the end everything is 0, and `bad` is true. */
class Reader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  bad = false;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    return this.#take(1) ? (this.#bytes[this.#at - 1] ?? 0) : 0;
  }

  u16(): number {
    return this.#take(2) ? this.#bytes.readUInt16BE(this.#at - 2) : 0;
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  vector8(): Reader {
    return this.#vector(this.u8());
  }

  vector16(): Reader {
    return this.#vector(this.u16());
  }

  all8(): number[] {
    return [...this.#bytes.subarray(this.#at, this.#end)];
  }

  all16(): number[] {
    const values: number[] = [];
    for (let at = this.#at; at + 2 <= this.#end; at += 2) values.push(this.#bytes.readUInt16BE(at));
    return values;
  }

  text(): string {
    return this.#bytes.latin1Slice(this.#at, this.#end);
  }

  #vector(length: number): Reader {
    if (!this.#take(length)) return new Reader(this.#bytes, 0, 0);
    return new Reader(this.#bytes, this.#at - length, this.#at);
  }

  #take(bytes: number): boolean {
    if (this.left < bytes) {
      this.bad = true;
      this.#at = this.#end;
      return false;
    }
    this.#at += bytes;
    return true;
  }
}
