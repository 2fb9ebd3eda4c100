import type { Socket } from 'node:net';
import type { Fault, ResetReason } from '../core/errors.ts';
import { ipAddress, unixAddress } from './address.ts';
import type { Address, Connection, ConnectionEvents } from './connection.ts';
import { connectionTermination } from './node-errors.ts';

/** Between events: a connection that nobody listens to yet or any more. */
const NOBODY: ConnectionEvents = {
  onData: () => {},
  onEnd: () => {},
  onDrain: () => {},
  onClose: () => {},
};

/** Told about every connection of a listener; for statistics. */
export interface ConnectionObserver {
  onOpen(): void;
  /** `lengthMs`: how long it lived. */
  onClosed(lengthMs: number): void;
}

/** A Connection over one TCP or Unix socket. */
export class SocketConnection implements Connection {
  events: ConnectionEvents;
  readonly id: number;
  readonly remote: Address;
  readonly local: Address;
  readonly #socket: Socket;
  readonly #peer: Fault;
  readonly #observer: ConnectionObserver | null;
  readonly #openedMs: number;
  #paused: number;
  #blocked: boolean;
  #error: NodeJS.ErrnoException | null;
  #closeTimer: NodeJS.Timeout | null;

  /** `peer` says who is to blame when the socket dies. */
  constructor(
    id: number,
    socket: Socket,
    peer: Fault,
    unixPath: string,
    observer: ConnectionObserver | null = null,
  ) {
    this.events = NOBODY;
    this.id = id;
    this.#socket = socket;
    this.#peer = peer;
    this.#observer = observer;
    this.#openedMs = observer === null ? 0 : performance.now();
    this.#paused = 0;
    this.#blocked = false;
    this.#error = null;
    this.#closeTimer = null;
    this.remote =
      unixPath === ''
        ? ipAddress(plainIp(socket.remoteAddress), socket.remotePort ?? 0)
        : unixAddress(unixPath);
    this.local =
      unixPath === ''
        ? ipAddress(plainIp(socket.localAddress), socket.localPort ?? 0)
        : unixAddress(unixPath);
    observer?.onOpen();
    socket.on('data', (chunk: Buffer) => this.events.onData(chunk));
    socket.on('end', () => this.events.onEnd());
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => this.#onClose());
  }

  get buffered(): number {
    return this.#socket.writableLength;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  write(data: Uint8Array | string): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded) return true;
    if (this.#socket.write(data, 'latin1')) return true;
    this.#blocked = true;
    return false;
  }

  writeBorrowed(chunk: Uint8Array): boolean {
    return this.write(chunk);
  }

  end(): void {
    if (!this.#socket.writableEnded) this.#socket.end();
  }

  closeAfterFlush(delayMs: number): void {
    if (this.#socket.destroyed || this.#closeTimer !== null) return;
    this.end();
    this.#closeTimer = setTimeout(() => this.destroy(), delayMs);
    if (this.#paused > 0) this.#socket.resume();
    this.#paused = 0;
    // What still arrives is thrown away: a FIN after unread bytes would become an RST and could destroy our answer.
    this.#socket.once('end', () => this.destroy());
  }

  destroy(reset = false): void {
    if (this.#socket.destroyed) return;
    if (reset && this.remote.path === '') this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  pause(): void {
    if (this.#paused++ === 0) this.#socket.pause();
  }

  resume(): void {
    if (this.#paused === 0) return;
    if (--this.#paused === 0) this.#socket.resume();
  }

  #onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.events.onDrain();
  }

  #onClose(): void {
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    const orderly = this.#error === null && this.#socket.readableEnded && this.#socket.writableFinished;
    const reason: ResetReason | undefined = orderly
      ? undefined
      : connectionTermination(this.#peer, this.#error);
    const events = this.events;
    this.events = NOBODY;
    events.onClose(reason);
    this.#observer?.onClosed(performance.now() - this.#openedMs);
  }
}

/** IPv4-mapped IPv6 addresses (`::ffff:1.2.3.4`) are IPv4 to everybody who reads them. */
function plainIp(ip: string | undefined): string {
  if (ip === undefined) return '';
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip;
}
