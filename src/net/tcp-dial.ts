import { connect, type Socket } from 'node:net';
import type { ResetReason } from '../core/errors.ts';
import { socketPath } from './address.ts';
import type { Address, Connection } from './connection.ts';
import type { Dial, DialListener, DialOptions, PendingDial } from './dial.ts';
import { connectFailure } from './node-errors.ts';
import type { ReadArena } from './read-arena.ts';
import { ArenaReader, SocketConnection } from './socket-connection.ts';
import type { PendingTransport, TransportListener } from './transport.ts';

const TIMED_OUT: ResetReason = {
  kind: 'connection-timeout',
  fault: 'upstream',
  retrySafe: true,
  details: 'connection timeout',
};

/** Dials TCP and Unix sockets. `nextId` numbers the connections of this thread, which read into `arena`. */
export function createTcpDial(nextId: () => number, arena: ReadArena): Dial {
  return (host, options, listener) => new TcpDial(host, options, listener, nextId, arena);
}

class TcpDial implements PendingDial, TransportListener {
  #listener: DialListener | null;
  #securing: PendingTransport | null = null;
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;

  constructor(
    host: Address,
    options: DialOptions,
    listener: DialListener,
    nextId: () => number,
    arena: ReadArena,
  ) {
    const reader = new ArenaReader(arena);
    const transport = options.transport ?? null;
    this.#listener = listener;
    const limit =
      options.bufferLimitBytes === undefined || options.bufferLimitBytes === 0
        ? undefined
        : options.bufferLimitBytes;
    const socket = connect({
      ...(host.path === '' ? { host: host.ip, port: host.port } : { path: socketPath(host.path) }),
      allowHalfOpen: true,
      onread: reader.onread,
      noDelay: true,
      keepAlive: options.tcpKeepalive !== undefined,
      keepAliveInitialDelay: options.tcpKeepalive?.idleMs,
      // An address is dialled, never a name, so there is nothing to race.
      autoSelectFamily: false,
      ...(limit === undefined ? {} : { writableHighWaterMark: limit }),
    });
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#fail(TIMED_OUT), options.connectTimeoutMs);
    const onError = (error: NodeJS.ErrnoException): void => this.#fail(connectFailure(error));
    socket.once('error', onError);
    socket.once('connect', () => {
      const facts = { id: nextId(), peer: 'upstream', unixPath: host.path, observer: null } as const;
      socket.off('error', onError);
      if (transport === null) {
        this.onReady(new SocketConnection({ socket, reader }, facts));
        return;
      }
      // What the host says first belongs to the transport socket.
      socket.pause();
      const pending = transport.connect({ socket, reader }, facts, host, options, this);
      if (this.#listener !== null) this.#securing = pending;
    });
  }

  onReady(connection: Connection): void {
    clearTimeout(this.#timer);
    const to = this.#listener;
    this.#listener = null;
    if (to === null) connection.destroy();
    else to.onConnected(connection);
  }

  onFailed(reason: ResetReason): void {
    this.#fail(reason);
  }

  cancel(): void {
    if (this.#listener === null) return;
    this.#listener = null;
    this.#dispose();
  }

  #fail(reason: ResetReason): void {
    const to = this.#listener;
    this.#listener = null;
    this.#dispose();
    to?.onFailed(reason);
  }

  #dispose(): void {
    clearTimeout(this.#timer);
    this.#securing?.cancel();
    this.#socket.on('error', () => {
      // The outcome was told already; a late error of the abandoned socket concerns nobody.
    });
    this.#socket.destroy();
  }
}
