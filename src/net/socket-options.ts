/** One `setsockopt`: an int or bytes. */
export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: number | Uint8Array;
}

// linux: asm-generic/socket.h, linux/in.h, linux/in6.h
export const SOL_SOCKET = 1;
export const SOL_IP = 0;
export const SOL_IPV6 = 41;
export const SO_MARK = 36;
export const SO_REUSEADDR = 2;
const IP_FREEBIND = 15;
const IPV6_FREEBIND = 78;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;

type SetSockOpt = (fd: number, level: number, option: number, value: Uint8Array, length: number) => number;

/** Filled by the first call, as opening the library costs about a millisecond. */
const libc: { setsockopt: SetSockOpt | undefined } = { setsockopt: undefined };

/** @throws when this Node has no `node:ffi`, and with what to do when the kernel refuses. */
export function setSocketOption(fd: number, { level, name, value }: SocketOption): void {
  const setsockopt = libc.setsockopt ?? openSetSockOpt();
  const bytes = typeof value === 'number' ? Buffer.from(new Int32Array([value]).buffer) : value;
  if (setsockopt(fd, level, name, bytes, bytes.length) === 0) return;
  throw new Error(`setsockopt(${level}, ${name}) was refused; it may need CAP_NET_ADMIN`);
}

export function transparentOption(ipv6: boolean): SocketOption {
  return ipv6
    ? { level: SOL_IPV6, name: IPV6_TRANSPARENT, value: 1 }
    : { level: SOL_IP, name: IP_TRANSPARENT, value: 1 };
}

export function freebindOption(ipv6: boolean): SocketOption {
  return ipv6
    ? { level: SOL_IPV6, name: IPV6_FREEBIND, value: 1 }
    : { level: SOL_IP, name: IP_FREEBIND, value: 1 };
}

/** The socket takes, and may be bound to, addresses that are not the machine's. */
export function setTransparent(fd: number, ipv6: boolean): void {
  try {
    setSocketOption(fd, transparentOption(ipv6));
    // A socket on `::` that takes IPv4 as well.
    if (ipv6) setSocketOption(fd, transparentOption(false));
  } catch (cause) {
    throw new Error('IP_TRANSPARENT was refused: a transparent listener needs CAP_NET_ADMIN', { cause });
  }
}

function openSetSockOpt(): SetSockOpt {
  const ffi = process.getBuiltinModule('node:ffi');
  if (ffi === undefined) throw new Error('socket options: this Node has no node:ffi; 26.9 or newer has');
  const { functions } = ffi.dlopen(null, {
    setsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' },
  });
  const { setsockopt } = functions;
  libc.setsockopt = (fd, level, option, value, length) => setsockopt(fd, level, option, value, length);
  return libc.setsockopt;
}
