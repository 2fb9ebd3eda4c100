import { connect, isIPv6, type NetConnectOpts, Socket } from 'node:net';
import type { ResetReason } from '../core/errors.ts';
import { socketPath } from './address.ts';
import { isPlainBind, type LocalBind, openBoundSocket } from './bound-socket.ts';
import type { Address, Connection } from './connection.ts';
import type { Dial, DialListener, DialOptions, PendingDial } from './dial.ts';
import { connectFailure } from './node-errors.ts';
import type { OutgoingConnections } from './outgoing.ts';
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

function localEnd(bind: LocalBind, host: Address): { localAddress?: string; localPort?: number } {
  if (!isPlainBind(bind)) return {};
  const ip = isIPv6(host.ip) ? bind.ipv6 : bind.ipv4;
  return {
    ...(ip === '' ? {} : { localAddress: ip }),
    ...(bind.port === 0 ? {} : { localPort: bind.port }),
  };
}

/** A socket that connects; with options that Node does not know, one that was made before. */
function open(bind: LocalBind | null, host: Address, options: NetConnectOpts): Socket {
  if (bind === null || isPlainBind(bind)) return connect(options);
  let fd: number;
  try {
    fd = openBoundSocket(host.ip, bind);
  } catch (error) {
    const socket = new Socket();
    // As other failures: once whoever dials is listening.
    process.nextTick(() =>
      socket.destroy(Object.assign(error as Error, { code: 'EADDRNOTAVAIL', syscall: 'bind' })),
    );
    return socket;
  }
  // Nothing is read before it is connected.
  const socket = new Socket({ ...options, fd, manualStart: true } as object);
  return socket.connect(options);
}

class TcpDial implements PendingDial, TransportListener {
  #listener: DialListener | null;
  #securing: PendingTransport | null = null;
  readonly #socket: Socket;
  readonly #outgoing: OutgoingConnections | null;
  /** In `#outgoing`, '' for none. */
  #noted = '';
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
    const bind = host.path === '' ? (options.bind ?? null) : null;
    this.#socket = open(bind, host, {
      ...(host.path === '' ? { host: host.ip, port: host.port } : { path: socketPath(host.path) }),
      ...(bind === null ? {} : localEnd(bind, host)),
      allowHalfOpen: true,
      onread: reader.onread,
      noDelay: true,
      keepAlive: options.tcpKeepalive !== undefined,
      keepAliveInitialDelay: options.tcpKeepalive?.idleMs,
      // An address is dialled, never a name, so there is nothing to race.
      autoSelectFamily: false,
      ...(limit === undefined ? {} : { writableHighWaterMark: limit }),
    });
    const socket = this.#socket;
    this.#outgoing = options.outgoing?.watched === true ? options.outgoing : null;
    if (this.#outgoing !== null) this.#note(host);
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
    const noted = this.#noted;
    if (noted !== '') connection.whenClosed(() => this.#outgoing?.delete(noted));
    this.#noted = '';
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

  #note(host: Address): void {
    const socket = this.#socket;
    // The system call follows in the same turn; it is then that the socket gets its own end.
    socket.once('connectionAttempt', () => {
      process.nextTick(() => {
        if (this.#listener !== null) this.#noted = this.#outgoing?.add(socket, host) ?? '';
      });
    });
  }

  #dispose(): void {
    clearTimeout(this.#timer);
    if (this.#noted !== '') this.#outgoing?.delete(this.#noted);
    this.#noted = '';
    this.#securing?.cancel();
    this.#socket.on('error', () => {
      // The outcome was told already; a late error of the abandoned socket concerns nobody.
    });
    this.#socket.destroy();
  }
}
