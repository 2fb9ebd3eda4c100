import { type Server, Socket } from 'node:net';
import type { Fault, ResetReason } from '../core/errors.ts';
import { localEnd, remoteEnd } from './address.ts';
import {
  type AcceptInfo,
  type Address,
  type Connection,
  type ConnectionEvents,
  PLAIN_ACCEPT,
} from './connection.ts';
import { connectionTermination } from './node-errors.ts';
import { READ_BYTES, type ReadArena, type ReadBuffer } from './read-arena.ts';
import type { ClientHello } from './tls-client-hello.ts';
import type { TlsInfo } from './transport.ts';

/** Between events: a connection that nobody listens to yet or any more. */
const NOBODY: ConnectionEvents = {
  onData: () => {},
  onEnd: () => {},
  onDrain: () => {},
  onClose: () => {},
};

/** Borrowed chunks up to this size are copied as a latin1 string, the cheapest small copy there is. */
const STRING_COPY_BYTES = 16 * 1024;
/** So many small reads in a row send a connection back to the shared buffer. */
const SMALL_READS = 32;

/** Told about every connection of a listener; for statistics. */
export interface ConnectionObserver {
  onOpen(): void;
  /** `lengthMs`: how long it lived; `id`: the connection's. */
  onClosed(lengthMs: number, id: number): void;
}

/** What a connection is told about itself when it is made. */
export interface ConnectionFacts {
  readonly id: number;
  /** Who is to blame when the socket dies. */
  readonly peer: Fault;
  /** Path of a Unix socket, '' for TCP. */
  readonly unixPath: string;
  readonly observer: ConnectionObserver | null;
  /** Addresses that a listener filter restored; the socket's own when absent. */
  readonly remote?: Address;
  readonly local?: Address;
  /** After a TLS handshake. */
  readonly tls?: TlsInfo;
  /** What a client of TLS asks for; for the transport socket. Null when it does not speak TLS. */
  readonly hello?: ClientHello | null;
  readonly accepted?: AcceptInfo;
  /** Bytes that were read before there was a connection; they come first. */
  readonly first?: Buffer;
}

/** Node's socket handle, as far as it is used here; not documented, hence only in this file. */
interface Handle {
  setNoDelay?(on: boolean): void;
}

/** What Node calls for each accepted connection, on the handle of a listening server. */
interface ServerHandle {
  onconnection?: (status: number, accepted: Handle | undefined) => void;
}

/**
 * Makes `server`, which listens, give accepted connections to `onAccepted` as sockets that read into the arena.
 * The server would make a socket of its own first, which costs a new connection some 4 % of its CPU time. False when
 * this Node does it in another way; `rewrap` is the way then. A failed accept (EMFILE) is no event: the kernel keeps
 * the connection for the next try.
 */
export function takeAccepted(
  server: Server,
  arena: ReadArena,
  bufferLimitBytes: number,
  onAccepted: (accepted: ReadingSocket) => void,
): boolean {
  const handle = (server as unknown as { _handle?: ServerHandle | null })._handle;
  if (typeof handle?.onconnection !== 'function') return false;
  handle.onconnection = (status, accepted) => {
    if (status !== 0 || accepted === undefined) return;
    accepted.setNoDelay?.(true);
    onAccepted(adopt(accepted, arena, bufferLimitBytes));
  };
  return true;
}

/**
 * Takes the handle of an accepted socket over into a socket that reads into the arena: the server makes its
 * sockets itself and cannot be told to. Returns null when the peer is gone already.
 */
export function rewrap(accepted: Socket, arena: ReadArena, bufferLimitBytes: number): ReadingSocket | null {
  const shell = accepted as unknown as { _handle: Handle | null };
  const handle = shell._handle;
  if (handle === null) return null;
  shell._handle = null;
  // Empties the server's books; the handle lives on.
  accepted.destroy();
  return adopt(handle, arena, bufferLimitBytes);
}

function adopt(handle: Handle, arena: ReadArena, bufferLimitBytes: number): ReadingSocket {
  const reader = new ArenaReader(arena);
  const options = {
    handle,
    allowHalfOpen: true,
    onread: reader.onread,
    ...(bufferLimitBytes > 0 ? { writableHighWaterMark: bufferLimitBytes } : {}),
  };
  // `handle` is as undocumented as `_handle`.
  return { socket: new Socket(options as object), reader };
}

/** A socket and what its reads go to; null: it gives out buffers of its own, as TLS sockets do. */
export interface ReadingSocket {
  readonly socket: Socket;
  readonly reader: ArenaReader | null;
  /** The TCP socket under a TLS socket, which cannot send an RST itself. */
  readonly under?: Socket;
}

/** Takes the bytes of a socket: so many lie at the start of the arena's shared buffer, or of the connection's own. */
export interface ReadTarget {
  read(bytes: number): void;
}

/** The `onread` of one socket: hands what was read to its connection. */
export class ArenaReader {
  readonly arena: ReadArena;
  readonly onread: { readonly buffer: () => Buffer; readonly callback: (bytes: number) => boolean };
  /** Who gets the bytes, set before anything is read: the connection, or first whoever looks before there is one. */
  target: ReadTarget | null = null;
  /** Where the next read goes when it is another place than before. */
  next: Buffer | undefined = undefined;

  constructor(arena: ReadArena) {
    this.arena = arena;
    this.onread = {
      // Asked for the first buffer, and after each read; undefined, for "the same again", saves handing it over.
      // (`useUserBuffer` of the handle would keep some 50 bytes for each change until the socket is closed.)
      buffer: () => (this.target === null ? arena.shared.bytes : this.#takeNext()) as Buffer,
      callback: (bytes) => {
        this.target?.read(bytes);
        return true;
      },
    };
  }

  #takeNext(): Buffer | undefined {
    const next = this.next;
    this.next = undefined;
    return next;
  }
}

/** A Connection over one TCP or Unix socket. */
export class SocketConnection implements Connection, ReadTarget {
  events: ConnectionEvents;
  accepted: AcceptInfo;
  readonly id: number;
  readonly remote: Address;
  readonly local: Address;
  readonly tls: TlsInfo | null;
  readonly #socket: Socket;
  readonly #under: Socket;
  readonly #arena: ReadArena | null;
  readonly #reader: ArenaReader | null;
  readonly #peer: Fault;
  readonly #observer: ConnectionObserver | null;
  readonly #openedMs: number;
  #readBuffer: ReadBuffer | null;
  #smallReads: number;
  #paused: number;
  #blocked: boolean;
  #error: NodeJS.ErrnoException | null;
  #closeTimer: NodeJS.Timeout | null;
  #closeListeners: (() => void)[] | null;

  constructor({ socket, reader, under = socket }: ReadingSocket, facts: ConnectionFacts) {
    const { unixPath, observer } = facts;
    this.events = NOBODY;
    this.accepted = facts.accepted ?? PLAIN_ACCEPT;
    this.id = facts.id;
    this.#socket = socket;
    this.#under = under;
    this.#arena = reader?.arena ?? null;
    this.#reader = reader;
    this.#readBuffer = reader?.arena.shared ?? null;
    this.#smallReads = 0;
    this.#peer = facts.peer;
    this.#observer = observer;
    this.#openedMs = observer === null ? 0 : performance.now();
    this.#paused = 0;
    this.#blocked = false;
    this.#error = null;
    this.#closeTimer = null;
    this.#closeListeners = null;
    this.tls = facts.tls ?? null;
    this.remote = facts.remote ?? remoteEnd(socket, unixPath);
    this.local = facts.local ?? localEnd(socket, unixPath);
    observer?.onOpen();
    if (reader !== null) reader.target = this;
    const first = facts.first !== undefined && facts.first.length > 0 ? facts.first : null;
    // What was put back comes as an event, in the next turn and as pauses allow; the rest goes to the reader.
    if (first !== null) socket.unshift(first);
    if (reader === null || first !== null) socket.on('data', (chunk: Buffer) => this.events.onData(chunk));
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

  /** @internal From the reader: so many bytes lie at the start of the read buffer. */
  read(bytes: number): void {
    const buffer = this.#readBuffer;
    const arena = this.#arena;
    if (buffer === null || arena === null) return;
    arena.current = buffer;
    arena.clock.enter();
    this.events.onData(buffer.bytes.subarray(0, bytes));
    arena.clock.leave();
    if (buffer !== arena.shared) this.#afterOwnRead(arena, buffer, bytes);
    else if (bytes === READ_BYTES && !this.#socket.destroyed) this.#readInto(arena, arena.take());
  }

  write(data: Uint8Array | string, done?: () => void): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    if (typeof data === 'string' ? socket.write(data, 'latin1') : socket.write(data, done)) return true;
    this.#blocked = true;
    return false;
  }

  writeBorrowed(chunk: Buffer): boolean {
    const length = chunk.length;
    if (length <= STRING_COPY_BYTES) return this.write(chunk.latin1Slice(0, length));
    const arena = this.#arena;
    const source = arena?.current;
    const ours = source !== undefined && source !== arena?.shared && source.bytes.buffer === chunk.buffer;
    if (arena === null || !ours) return this.write(Buffer.from(chunk));
    return this.#writeInPlace(arena, chunk, source);
  }

  end(): void {
    if (!this.#socket.writableEnded) this.#socket.end();
  }

  closeAfterFlush(delayMs: number): void {
    if (this.#socket.destroyed || this.#closeTimer !== null) return;
    this.end();
    this.#closeTimer = setTimeout(() => this.destroy(), delayMs);
    if (this.#socket.readableEnded) {
      this.#socket.destroySoon();
      return;
    }
    // What still arrives is thrown away: a FIN after unread bytes would become an RST and could destroy our answer.
    if (this.#paused > 0) this.#socket.resume();
    this.#paused = 0;
    this.#socket.once('end', () => this.#socket.destroySoon());
  }

  destroy(reset = false): void {
    if (this.#socket.destroyed) return;
    // Bytes that were put back and that nobody read: the kernel would send an RST, had it kept them.
    const unread = this.#reader !== null && this.#socket.readableLength > 0;
    if ((reset || unread) && this.remote.path === '') this.#under.resetAndDestroy();
    this.#socket.destroy();
  }

  pause(): void {
    if (this.#paused++ === 0) this.#socket.pause();
  }

  resume(): void {
    if (this.#paused === 0) return;
    if (--this.#paused === 0) this.#socket.resume();
  }

  whenClosed(listener: () => void): void {
    this.#closeListeners ??= [];
    this.#closeListeners.push(listener);
  }

  #writeInPlace(arena: ReadArena, chunk: Buffer, source: ReadBuffer): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    source.inFlight++;
    const accepted = socket.write(chunk, () => arena.landed(source));
    if (accepted) return true;
    this.#blocked = true;
    return false;
  }

  #afterOwnRead(arena: ReadArena, buffer: ReadBuffer, bytes: number): void {
    // Closed within onData: the buffer was, or will be, released by the close.
    if (this.#socket.destroyed) return;
    this.#smallReads = bytes < READ_BYTES / 4 ? this.#smallReads + 1 : 0;
    if (this.#smallReads >= SMALL_READS) this.#readInto(arena, arena.shared);
    else if (buffer.inFlight > 0) this.#readInto(arena, arena.take());
  }

  /** Within a read: the next one goes to `buffer`. */
  #readInto(arena: ReadArena, buffer: ReadBuffer): void {
    const before = this.#readBuffer;
    this.#readBuffer = buffer;
    this.#smallReads = 0;
    if (this.#reader !== null) this.#reader.next = buffer.bytes;
    if (before !== null) arena.release(before);
  }

  #onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.events.onDrain();
  }

  #onClose(): void {
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    if (this.#readBuffer !== null) this.#arena?.release(this.#readBuffer);
    this.#readBuffer = null;
    const orderly = this.#error === null && this.#socket.readableEnded && this.#socket.writableFinished;
    const reason: ResetReason | undefined = orderly
      ? undefined
      : connectionTermination(this.#peer, this.#error);
    const events = this.events;
    this.events = NOBODY;
    events.onClose(reason);
    for (const listener of this.#closeListeners ?? []) listener();
    this.#observer?.onClosed(performance.now() - this.#openedMs, this.id);
  }
}
