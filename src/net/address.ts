import type { Socket } from 'node:net';
import type { Address } from './connection.ts';

export function ipAddress(ip: string, port: number): Address {
  return { ip, port, path: '' };
}

export function unixAddress(path: string): Address {
  return { ip: '', port: 0, path };
}

/** What the system is told: `@name` is Envoy's way to write a name of the abstract namespace. */
export function socketPath(path: string): string {
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}

/** `1.2.3.4:80`, `[::1]:80` or the path of a Unix socket, as Envoy prints addresses. */
export function formatAddress(address: Address): string {
  if (address.path !== '') return address.path;
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** IPv4-mapped IPv6 addresses (`::ffff:1.2.3.4`) are IPv4 to everybody who reads them. */
export function plainIp(ip: string | undefined): string {
  if (ip === undefined) return '';
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip;
}

/** The peer of a socket; `path` is that of a Unix socket, '' for IP. */
export function remoteEnd(socket: Socket, path: string): Address {
  return path === '' ? ipAddress(plainIp(socket.remoteAddress), socket.remotePort ?? 0) : unixAddress(path);
}

/** The same of this side. */
export function localEnd(socket: Socket, path: string): Address {
  return path === '' ? ipAddress(plainIp(socket.localAddress), socket.localPort ?? 0) : unixAddress(path);
}
