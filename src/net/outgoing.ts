import type { Socket } from 'node:net';
import { formatAddress, ipAddress, plainIp } from './address.ts';
import type { Address } from './connection.ts';

/**
 * The connections to hosts that this thread has made, by both ends. One that comes in again, because the rules redirect
 * what the proxy itself sends, shows the same ends: without a look here it would be forwarded to itself until there are
 * no descriptors left. Where several workers accept, another one may get it, which forwards it once more: it ends with
 * the first that comes back to its own thread.
 */
export class OutgoingConnections {
  readonly #open = new Set<string>();
  #watched = false;

  /** Somebody takes redirected connections and looks here. */
  get watched(): boolean {
    return this.#watched;
  }

  watch(): void {
    this.#watched = true;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A connection from `remote`, redirected on its way to `local`, was made here. */
  has(remote: Address, local: Address): boolean {
    return this.#open.size > 0 && this.#open.has(keyOf(remote, local));
  }

  /** A socket that begins to connect to `host`; the kernel has given it its own end. '' when that cannot be told. */
  add(socket: Socket, host: Address): string {
    const own = ownEnd(socket);
    if (own === null) return '';
    const key = keyOf(own, host);
    this.#open.add(key);
    return key;
  }

  delete(key: string): void {
    this.#open.delete(key);
  }
}

function keyOf(from: Address, to: Address): string {
  return `${formatAddress(from)}>${formatAddress(to)}`;
}

/** `socket.address()` says nothing before a socket is connected, when its redirected twin may have come in already. */
function ownEnd(socket: Socket): Address | null {
  const { _handle: handle } = socket as Socket & {
    _handle?: { getsockname?(out: { address?: string; port?: number }): number } | null;
  };
  const out: { address?: string; port?: number } = {};
  if (handle?.getsockname === undefined || handle.getsockname(out) !== 0) return null;
  return ipAddress(plainIp(out.address), out.port ?? 0);
}
