import { isIPv4, isIPv6 } from 'node:net';
import { ipAddress } from './address.ts';
import { ipv4Number, ipv6Number } from './cidr.ts';
import type { Address } from './connection.ts';
import { formatIpv6 } from './original-dst.ts';

/** One TLV of a version 2 header. */
export interface Tlv {
  readonly type: number;
  readonly value: Buffer;
}

/** A PROXY header (haproxy's proxy-protocol.txt). Without addresses those of the socket hold (LOCAL, UNKNOWN). */
export interface ProxyHeader {
  readonly version: 'V1' | 'V2';
  readonly source: Address | null;
  readonly destination: Address | null;
  readonly tlvs: readonly Tlv[];
  /** Bytes of the header. */
  readonly size: number;
}

/** What the first bytes are; `version` says which header was recognised before it turned out to be bad. */
export type ProxyParse =
  | { readonly kind: 'header'; readonly header: ProxyHeader }
  | { readonly kind: 'more' }
  | { readonly kind: 'bad'; readonly version: 'V1' | 'V2' | null };

const V1_SIGNATURE = Buffer.from('PROXY');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V1_MAX = 108;
const V2_HEADER = 16;
const LOCAL = 0;
const PROXY = 1;
const ADDRESS_BYTES = { inet: 12, inet6: 36 } as const;

const MORE: ProxyParse = { kind: 'more' };

/** Whether the bytes can still become a header of that version. */
export function mayBecome(version: 'V1' | 'V2', bytes: Buffer): boolean {
  const signature = version === 'V1' ? V1_SIGNATURE : V2_SIGNATURE;
  const length = Math.min(signature.length, bytes.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
}

export function readProxyHeader(bytes: Buffer): ProxyParse {
  if (bytes.length >= V2_HEADER) {
    if (mayBecome('V2', bytes)) return readV2(bytes);
    if (!mayBecome('V1', bytes)) return { kind: 'bad', version: null };
  }
  return readV1(bytes);
}

function readV1(bytes: Buffer): ProxyParse {
  let end = bytes.indexOf('\r\n');
  // A version 2 header begins with a line break.
  if (end === 0) end = -1;
  const length = end < 0 ? bytes.length : end + 2;
  if (length > V1_MAX) return { kind: 'bad', version: null };
  if (end < 0) return MORE;
  const parts = bytes.latin1Slice(0, end).trimEnd().split(' ');
  const [proxy, family, from = '', to = '', fromPort = '', toPort = ''] = parts;
  const bad: ProxyParse = { kind: 'bad', version: mayBecome('V1', bytes) ? 'V1' : null };
  if (parts.length < 2 || proxy !== 'PROXY') return bad;
  const base = { version: 'V1', tlvs: [], size: length } as const;
  if (family === 'UNKNOWN') return { kind: 'header', header: { ...base, source: null, destination: null } };
  if (parts.length !== 6 || (family !== 'TCP4' && family !== 'TCP6')) return bad;
  const right = family === 'TCP4' ? isIPv4 : isIPv6;
  if (!right(from) || !right(to) || !isPort(fromPort) || !isPort(toPort)) return bad;
  if (!isUnicast(from) || !isUnicast(to)) return bad;
  const source = ipAddress(canonical(from), Number(fromPort));
  return {
    kind: 'header',
    header: { ...base, source, destination: ipAddress(canonical(to), Number(toPort)) },
  };
}

function readV2(bytes: Buffer): ProxyParse {
  const bad: ProxyParse = { kind: 'bad', version: 'V2' };
  const versionCommand = bytes[12] ?? 0;
  const family = (bytes[13] ?? 0) >> 4;
  const transport = (bytes[13] ?? 0) & 0xf;
  const length = bytes.readUInt16BE(14);
  const command = versionCommand & 0xf;
  if (versionCommand >> 4 !== 2) return bad;
  const size = V2_HEADER + length;
  if (command === LOCAL) {
    if (bytes.length < size) return MORE;
    return { kind: 'header', header: { version: 'V2', source: null, destination: null, tlvs: [], size } };
  }
  const addressBytes = family === 1 ? ADDRESS_BYTES.inet : family === 2 ? ADDRESS_BYTES.inet6 : -1;
  if (addressBytes < 0 || length < addressBytes) return bad;
  if (bytes.length < V2_HEADER + addressBytes) return MORE;
  if (command !== PROXY || transport < 1 || transport > 2) return bad;
  if (bytes.length < size) return MORE;
  const tlvs = readTlvs(bytes.subarray(V2_HEADER + addressBytes, size));
  if (tlvs === undefined) return bad;
  const ends = family === 1 ? readInet(bytes) : readInet6(bytes);
  if (!isUnicast(ends.source.ip) || !isUnicast(ends.destination.ip)) return bad;
  return { kind: 'header', header: { version: 'V2', ...ends, tlvs, size } };
}

interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

function readInet(bytes: Buffer): Ends {
  const ip = (at: number): string => [...bytes.subarray(at, at + 4)].join('.');
  return {
    source: ipAddress(ip(V2_HEADER), bytes.readUInt16BE(V2_HEADER + 8)),
    destination: ipAddress(ip(V2_HEADER + 4), bytes.readUInt16BE(V2_HEADER + 10)),
  };
}

function readInet6(bytes: Buffer): Ends {
  return {
    source: ipAddress(formatIpv6(bytes, V2_HEADER), bytes.readUInt16BE(V2_HEADER + 32)),
    destination: ipAddress(formatIpv6(bytes, V2_HEADER + 16), bytes.readUInt16BE(V2_HEADER + 34)),
  };
}

/** Values are copies. Undefined when they do not fill the bytes exactly. */
function readTlvs(bytes: Buffer): Tlv[] | undefined {
  const tlvs: Tlv[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return undefined;
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) return undefined;
    tlvs.push({ type: bytes[at] ?? 0, value: Buffer.from(bytes.subarray(at + 3, end)) });
    at = end;
  }
  return tlvs;
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function isUnicast(ip: string): boolean {
  if (isIPv4(ip)) return ip !== '0.0.0.0' && ip !== '255.255.255.255' && ipv4Number(ip) >>> 28 !== 0xe;
  const value = ipv6Number(ip);
  return value !== 0n && value >> 120n !== 0xffn;
}

/** As sockets write it. */
function canonical(ip: string): string {
  if (isIPv4(ip)) return ip;
  const bytes = Buffer.alloc(16);
  const value = ipv6Number(ip);
  bytes.writeBigUInt64BE(value >> 64n, 0);
  bytes.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8);
  return formatIpv6(bytes, 0);
}

/** The header that tells an upstream who is connected. Addresses of two families, or of Unix sockets: UNKNOWN, LOCAL. */
export function writeProxyHeader(
  version: 'V1' | 'V2',
  source: Address,
  destination: Address,
  tlvs: readonly Tlv[] = [],
): Buffer {
  const family = familyOf(source, destination);
  if (version === 'V1') {
    if (family === 0) return Buffer.from('PROXY UNKNOWN\r\n');
    const ips = `${source.ip} ${destination.ip}`;
    return Buffer.from(`PROXY TCP${family} ${ips} ${source.port} ${destination.port}\r\n`);
  }
  const extra = tlvs.flatMap(({ type, value }) => [
    Buffer.of(type, value.length >> 8, value.length & 0xff),
    value,
  ]);
  const ends =
    family === 0 ? [] : [packIp(source.ip), packIp(destination.ip), packPorts(source, destination)];
  const body = Buffer.concat([...ends, ...extra]);
  const head = family === 0 ? [0x20, 0] : [0x21, family === 4 ? 0x11 : 0x21];
  return Buffer.concat([V2_SIGNATURE, Buffer.of(...head, body.length >> 8, body.length & 0xff), body]);
}

function familyOf(a: Address, b: Address): 0 | 4 | 6 {
  if (isIPv4(a.ip) && isIPv4(b.ip)) return 4;
  return isIPv6(a.ip) && isIPv6(b.ip) ? 6 : 0;
}

function packIp(ip: string): Buffer {
  const v4 = isIPv4(ip);
  const bytes = Buffer.alloc(v4 ? 4 : 16);
  if (v4) bytes.writeUInt32BE(ipv4Number(ip));
  else {
    const value = ipv6Number(ip);
    bytes.writeBigUInt64BE(value >> 64n, 0);
    bytes.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8);
  }
  return bytes;
}

function packPorts(source: Address, destination: Address): Buffer {
  return Buffer.of(source.port >> 8, source.port & 0xff, destination.port >> 8, destination.port & 0xff);
}
