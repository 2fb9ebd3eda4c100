import type { Server, Socket } from 'node:net';
import type { Address } from './connection.ts';

/** What `socket.remoteFamily` and `socket.localFamily` say. */
export type IpFamily = 'IPv4' | 'IPv6';

// linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h: both options have the number 80.
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const SIZEOF_SOCKADDR_IN6 = 28;

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Int32Array) => number;

/** Filled by the first call: only captured traffic needs it, and opening the library costs about a millisecond. */
const libc: { getsockopt: GetSockOpt | undefined } = { getsockopt: undefined };
const value = Buffer.alloc(SIZEOF_SOCKADDR_IN6);
const length = new Int32Array(1);

/**
 * Where the client wanted to go before iptables REDIRECT sent it here: `getsockopt(SO_ORIGINAL_DST)` on an
 * accepted socket. Works in worker threads.
 *
 * `family` is that of the addresses on the wire: a client over IPv4 is IPv4, also when the listening socket is
 * `::` and the kernel shows `::ffff:…`. Undefined when the kernel knows no connection of that kind; for a
 * connection that nobody redirected it is either undefined or the local address, depending on whether
 * conntrack is active, so callers compare with the local address.
 * @throws when this Node has no `node:ffi` (before 26.9, or switched off).
 */
export function originalDestination(fd: number, family: IpFamily): Address | undefined {
  const getsockopt = libc.getsockopt ?? openGetSockOpt();
  length[0] = SIZEOF_SOCKADDR_IN6;
  if (getsockopt(fd, family === 'IPv6' ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, value, length) !== 0)
    return undefined;
  const port = value.readUInt16BE(2);
  return { ip: family === 'IPv6' ? formatIpv6(value, 8) : formatIpv4(value, 4), port, path: '' };
}

/**
 * The descriptor of a TCP socket, accepted or listening, −1 when it is closed. Node keeps it on the undocumented handle;
 * this function is the only place that relies on it.
 */
export function descriptorOf(socket: Socket | Server): number {
  const { _handle: handle } = socket as (Socket | Server) & { _handle?: { fd?: number } | null };
  return handle?.fd ?? -1;
}

function openGetSockOpt(): GetSockOpt {
  const ffi = process.getBuiltinModule('node:ffi');
  if (ffi === undefined)
    throw new Error('original destination: this Node has no node:ffi; 26.9 or newer has');
  const { functions } = ffi.dlopen(null, {
    getsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' },
  });
  const { getsockopt } = functions;
  libc.getsockopt = (fd, level, option, to, size) => getsockopt(fd, level, option, to, size);
  return libc.getsockopt;
}

function formatIpv4(bytes: Buffer, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups becomes `::`. */
export function formatIpv6(bytes: Buffer, at: number): string {
  let bestStart = -1;
  let bestLength = 1;
  let start = 0;
  for (let i = 0; i <= 8; i++) {
    if (i < 8 && bytes.readUInt16BE(at + 2 * i) === 0) continue;
    if (i - start > bestLength) {
      bestStart = start;
      bestLength = i - start;
    }
    start = i + 1;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === bestStart) {
      text += '::';
      i += bestLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += bytes.readUInt16BE(at + 2 * i).toString(16);
  }
  return text;
}
