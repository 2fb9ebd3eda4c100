/** A ClientHello as a TLS client sends it, made by hand so that tests may have any. */
export interface HelloParts {
  readonly serverName?: string;
  readonly protocols?: readonly string[];
  /** Further extensions: type and body. */
  readonly extensions?: readonly (readonly [type: number, body: Buffer])[];
  /** Bytes of a padding extension. */
  readonly padding?: number;
  /** Largest content of a record; default: all in one. */
  readonly recordBytes?: number;
}

const u16 = (n: number): Buffer => Buffer.of(n >> 8, n & 0xff);
const vector8 = (body: Buffer): Buffer => Buffer.concat([Buffer.of(body.length), body]);
const vector16 = (body: Buffer): Buffer => Buffer.concat([u16(body.length), body]);
const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), vector16(body)]);

export function clientHello(parts: HelloParts = {}): Buffer {
  const extensions = [
    ...(parts.serverName === undefined ? [] : [serverNameExtension(parts.serverName)]),
    ...(parts.protocols === undefined ? [] : [alpnExtension(parts.protocols)]),
    // x25519, secp256r1
    extension(10, vector16(Buffer.from('001d0017', 'hex'))),
    extension(11, vector8(Buffer.of(0))),
    // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
    extension(13, vector16(Buffer.from('04030804', 'hex'))),
    // TLS 1.3, 1.2
    extension(43, vector8(Buffer.from('03040303', 'hex'))),
    extension(51, vector16(Buffer.concat([u16(0x1d), vector16(Buffer.alloc(32, 9))]))),
    ...(parts.extensions ?? []).map(([type, body]) => extension(type, body)),
    ...(parts.padding === undefined ? [] : [extension(21, Buffer.alloc(parts.padding))]),
  ];
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    vector8(Buffer.alloc(0)),
    vector16(Buffer.from('130113021303c02bc02f', 'hex')),
    vector8(Buffer.of(0)),
    vector16(Buffer.concat(extensions)),
  ]);
  const message = Buffer.concat([Buffer.of(1, body.length >> 16), u16(body.length & 0xffff), body]);
  return records(message, parts.recordBytes ?? message.length);
}

export function serverNameExtension(name: string): Buffer {
  return extension(0, vector16(Buffer.concat([Buffer.of(0), vector16(Buffer.from(name, 'latin1'))])));
}

function alpnExtension(protocols: readonly string[]): Buffer {
  return extension(
    16,
    vector16(Buffer.concat(protocols.map((name) => vector8(Buffer.from(name, 'latin1'))))),
  );
}

function records(message: Buffer, recordBytes: number): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    out.push(Buffer.from('160301', 'hex'), vector16(message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(out);
}
