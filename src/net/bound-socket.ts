import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import {
  freebindOption,
  SO_REUSEADDR,
  SOL_SOCKET,
  type SocketOption,
  setSocketOption,
  transparentOption,
} from './socket-options.ts';

/** Where connections come from, as `upstream_bind_config` says; made once per cluster. */
export interface LocalBind {
  /** For hosts with IPv4 and IPv6 addresses; '' leaves the choice to the kernel. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** 0: any. */
  readonly port: number;
  /** The addresses may be ones that the machine does not have. */
  readonly freebind: boolean;
  /** As `freebind`, and answers to them come back here (TPROXY). Needs CAP_NET_ADMIN. */
  readonly transparent: boolean;
  /** Set before the socket is bound. */
  readonly options: readonly SocketOption[];
}

// linux: bits/socket.h
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SIZEOF_SOCKADDR_IN = 16;
const SIZEOF_SOCKADDR_IN6 = 28;

interface Calls {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  close(fd: number): number;
}

/** Filled by the first call, as opening the library costs about a millisecond. */
const libc: { calls: Calls | undefined } = { calls: undefined };

/** Node can bind a socket to an address itself; only what goes beyond that needs `openBoundSocket`. */
export function isPlainBind(bind: LocalBind): boolean {
  return !bind.freebind && !bind.transparent && bind.options.length === 0;
}

/**
 * A TCP socket for connections to `host`, an IP address, with its options set and bound as `bind` says: Node makes
 * sockets as it connects, too late for either. The caller owns the descriptor.
 * @throws when the kernel refuses, and when this Node has no `node:ffi`.
 */
export function openBoundSocket(host: string, bind: LocalBind): number {
  const calls = libc.calls ?? openLibrary();
  const ipv6 = isIPv6(host);
  const fd = calls.socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error('socket() failed');
  try {
    if (bind.freebind) setSocketOption(fd, freebindOption(ipv6));
    if (bind.transparent) setSocketOption(fd, transparentOption(ipv6));
    for (const option of bind.options) setSocketOption(fd, option);
    // A port may be in use towards another peer: that of the client itself, when it is on this machine.
    if (bind.port !== 0) setSocketOption(fd, { level: SOL_SOCKET, name: SO_REUSEADDR, value: 1 });
    const ip = ipv6 ? bind.ipv6 : bind.ipv4;
    const address = socketAddress(ip === '' ? (ipv6 ? '::' : '0.0.0.0') : ip, bind.port);
    if ((ip !== '' || bind.port !== 0) && calls.bind(fd, address, address.length) !== 0) {
      throw new Error(`bind to ${ip === '' ? 'port' : ip} ${bind.port} failed`);
    }
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/** `sockaddr_in` or `sockaddr_in6`. */
function socketAddress(ip: string, port: number): Buffer {
  const ipv6 = isIPv6(ip);
  const bytes = Buffer.alloc(ipv6 ? SIZEOF_SOCKADDR_IN6 : SIZEOF_SOCKADDR_IN);
  // The family is in the machine's order; all that inox runs on is little-endian.
  bytes.writeUInt16LE(ipv6 ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipaddr.parse(ip).toByteArray(), ipv6 ? 8 : 4);
  return bytes;
}

function openLibrary(): Calls {
  const ffi = process.getBuiltinModule('node:ffi');
  if (ffi === undefined) throw new Error('bound sockets: this Node has no node:ffi; 26.9 or newer has');
  const { functions } = ffi.dlopen(null, {
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    bind: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
    close: { arguments: ['i32'], return: 'i32' },
  });
  const { socket, bind, close } = functions;
  libc.calls = {
    socket: (family, type, protocol) => socket(family, type, protocol),
    bind: (fd, address, length) => bind(fd, address, length),
    close: (fd) => close(fd),
  };
  return libc.calls;
}
