import type { ResetReason } from '../core/errors.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import type { Headers } from '../http/headers.ts';
import { type ClientStream, RequestHead, type ResponseHead, type StreamEvents } from '../http/stream.ts';
import {
  type AcceptInfo,
  type Address,
  type Connection,
  type ConnectionEvents,
  PLAIN_ACCEPT,
} from '../net/connection.ts';
import type { TlsInfo } from '../net/transport.ts';
import type { Host } from '../upstream/host.ts';
import type { PoolConnection, PoolRequest } from '../upstream/pools/http-pool.ts';

/** `tunneling_config`: TCP connections go through an HTTP proxy. */
export interface TunnelOptions {
  /** Authority of the request, for the connection that is tunnelled. */
  readonly hostname: (session: AccessLogInfo) => string;
  /** POST to this path instead of CONNECT; '' for CONNECT. */
  readonly postPath: string;
  /** Adds to the headers of the request. */
  readonly addHeaders: (headers: Headers, session: AccessLogInfo) => void;
}

/** Who wants a tunnel: as of a raw connection. */
export interface TunnelRequest {
  onTcpReady(connection: Connection, hold: TunnelHold): void;
  onTcpFailure(reason: ResetReason): void;
}

/** What is held of the upstream while the tunnel stands. */
export interface TunnelHold {
  /** Gives up while it is being made. */
  cancel(): void;
  /** The owner's report that its connection is closed. */
  onClosed(local: boolean): void;
}

const EMPTY = Buffer.alloc(0);
const NOBODY: ConnectionEvents = { onData: () => {}, onEnd: () => {}, onDrain: () => {}, onClose: () => {} };
const CANCELLED: ResetReason = {
  kind: 'cancelled',
  fault: 'downstream',
  retrySafe: false,
  details: 'downstream_gone',
};
const CLOSED: ResetReason = {
  kind: 'connection-termination',
  fault: 'upstream',
  retrySafe: false,
  details: 'tunnel reset',
};

/** Asks a host for a tunnel; it is a Connection once the host has answered with 2xx. */
export function openTunnel(
  host: Host,
  options: TunnelOptions,
  client: Connection,
  session: AccessLogInfo & TunnelRequest,
): TunnelHold {
  const tunnel = new Tunnel(host, options, client, session);
  tunnel.start();
  return tunnel;
}

class Tunnel implements Connection, PoolRequest, StreamEvents<ResponseHead>, TunnelHold {
  events: ConnectionEvents = NOBODY;
  accepted: AcceptInfo = PLAIN_ACCEPT;
  readonly id: number;
  readonly remote: Address;
  readonly response: StreamEvents<ResponseHead> = this;
  bytesRead = 0;
  bytesWritten = 0;
  readonly buffered = 0;
  local: Address;
  tls: TlsInfo | null = null;
  readonly #host: Host;
  readonly #head: RequestHead;
  readonly #request: TunnelRequest;
  readonly #closeListeners: (() => void)[] = [];
  #stream: ClientStream | null = null;
  #state: 'waiting' | 'asking' | 'open' | 'closed' = 'waiting';
  #blocked = false;
  #sentEnd = false;
  #gotEnd = false;

  constructor(
    host: Host,
    options: TunnelOptions,
    client: Connection,
    session: AccessLogInfo & TunnelRequest,
  ) {
    this.#host = host;
    this.#request = session;
    this.id = client.id;
    this.remote = host.address;
    this.local = client.local;
    const { postPath } = options;
    this.#head = new RequestHead(
      postPath === '' ? 'CONNECT' : 'POST',
      postPath,
      options.hostname(session),
      [],
    );
    this.#head.contentLength = -1;
    options.addHeaders(this.#head.headers, session);
  }

  start(): void {
    this.#host.httpForRequest(this.#head, 'DEFAULT').open(this);
  }

  get destroyed(): boolean {
    return this.#state === 'closed';
  }

  // --- from the pool ---------------------------------------------------------------------------------------

  onPoolReady(stream: ClientStream, upstream: PoolConnection): void {
    this.#state = 'asking';
    this.#stream = stream;
    this.local = upstream.connection?.local ?? this.local;
    this.tls = upstream.connection?.tls ?? null;
    stream.sendHead(this.#head, false);
  }

  onPoolFailure(reason: ResetReason): void {
    this.#state = 'closed';
    this.#request.onTcpFailure(reason);
  }

  // --- from the stream -------------------------------------------------------------------------------------

  onHead(head: ResponseHead, end: boolean): void {
    if (this.#state !== 'asking' || (head.status < 200 && head.status !== 101)) return;
    if (head.status < 200 || head.status > 299 || end) {
      this.#state = 'closed';
      this.#stream?.reset(CANCELLED);
      const details = `the tunnel was refused with ${head.status}`;
      this.#request.onTcpFailure({ kind: 'connection-failure', fault: 'upstream', retrySafe: true, details });
      return;
    }
    this.#state = 'open';
    this.#request.onTcpReady(this, this);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.#state !== 'open') return;
    this.bytesRead += chunk.length;
    if (chunk.length > 0) this.events.onData(chunk);
    if (!end) return;
    this.#gotEnd = true;
    this.events.onEnd();
    this.#closeIfDone();
  }

  onTrailers(): void {
    this.onData(EMPTY, true);
  }

  onReset(reason: ResetReason): void {
    const state = this.#state;
    if (state === 'closed') return;
    if (state === 'open') {
      this.#close(this.#gotEnd && this.#sentEnd ? undefined : reason);
      return;
    }
    this.#state = 'closed';
    this.#request.onTcpFailure({ ...reason, kind: 'connection-failure' });
  }

  onBlocked(blocked: boolean): void {
    this.#blocked = blocked;
    if (!blocked && this.#state === 'open') this.events.onDrain();
  }

  // --- as a connection -------------------------------------------------------------------------------------

  write(data: Uint8Array | string, done?: () => void): boolean {
    this.writeBorrowed(typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data));
    done?.();
    return !this.#blocked;
  }

  writeBorrowed(chunk: Buffer): boolean {
    if (this.#state !== 'open' || this.#sentEnd) return true;
    this.bytesWritten += chunk.length;
    this.#stream?.sendData(chunk, false);
    return !this.#blocked;
  }

  end(): void {
    if (this.#state !== 'open' || this.#sentEnd) return;
    this.#sentEnd = true;
    this.#stream?.sendData(EMPTY, true);
    this.#closeIfDone();
  }

  closeAfterFlush(): void {
    // The codec flushes what it was given; when the peer has ended too, there is nothing left to do.
    this.end();
    if (this.#state === 'open' && !this.#gotEnd) this.destroy();
  }

  destroy(): void {
    if (this.#state === 'closed') return;
    const open = this.#state === 'open';
    this.#stream?.reset(CANCELLED);
    if (open) this.#close(undefined);
    else this.#state = 'closed';
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  whenClosed(listener: () => void): void {
    this.#closeListeners.push(listener);
  }

  // --- as what is held -------------------------------------------------------------------------------------

  cancel(): void {
    if (this.#state === 'waiting') {
      this.#state = 'closed';
      this.#host.httpForRequest(this.#head, 'DEFAULT').cancel(this);
    } else this.destroy();
  }

  onClosed(): void {
    // The pool learns from the stream what it has to count.
  }

  #closeIfDone(): void {
    if (this.#sentEnd && this.#gotEnd) this.#close(undefined);
  }

  #close(reason: ResetReason | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    // As a socket's: behind the call that ends it.
    queueMicrotask(() => {
      this.events.onClose(reason === undefined ? undefined : { ...CLOSED, ...reason });
      for (const listener of this.#closeListeners) listener();
    });
  }
}
