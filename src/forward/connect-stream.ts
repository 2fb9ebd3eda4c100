import type { ResetReason } from '../core/errors.ts';
import type { Headers } from '../http/headers.ts';
import { type ClientStream, type RequestHead, ResponseHead, type StreamEvents } from '../http/stream.ts';
import type { Connection, ConnectionEvents } from '../net/connection.ts';
import type { Host } from '../upstream/host.ts';
import type { PoolRequest } from '../upstream/pools/http-pool.ts';
import type { TcpRequest, TcpUpstream } from '../upstream/pools/tcp-pool.ts';

/** Where an attempt gets its stream from; a pool of HTTP connections is one. */
export interface StreamSource {
  open(request: PoolRequest): void;
  cancel(request: PoolRequest): void;
}

const EMPTY = Buffer.alloc(0);
const FLUSH_MS = 5000;

/** Ends a CONNECT at a host: a raw connection is made, and looks like an HTTP stream that is answered with 200. */
export class ConnectSource implements StreamSource, TcpRequest {
  readonly #host: Host;
  #request: PoolRequest | null = null;
  #dial: TcpUpstream | null = null;

  constructor(host: Host) {
    this.#host = host;
  }

  open(request: PoolRequest): void {
    this.#request = request;
    this.#dial = this.#host.tcp.dial(this);
  }

  cancel(): void {
    this.#request = null;
    this.#dial?.cancel();
  }

  onTcpReady(connection: Connection, upstream: TcpUpstream): void {
    const request = this.#request;
    if (request === null) {
      connection.destroy();
      return;
    }
    const stream = new ConnectStream(connection, upstream, request.response);
    request.onPoolReady(stream, { connection, reused: false, http2: false });
  }

  onTcpFailure(reason: ResetReason): void {
    this.#request?.onPoolFailure(reason);
  }
}

class ConnectStream implements ClientStream, ConnectionEvents {
  events: StreamEvents<ResponseHead>;
  readonly #connection: Connection;
  readonly #upstream: TcpUpstream;
  #sentEnd = false;
  #gotEnd = false;
  #over = false;

  constructor(connection: Connection, upstream: TcpUpstream, events: StreamEvents<ResponseHead>) {
    this.events = events;
    this.#connection = connection;
    this.#upstream = upstream;
    connection.events = this;
    // The host may speak first; its bytes come behind our head.
    connection.pause();
  }

  sendHead(_head: RequestHead, end: boolean): void {
    const answer = new ResponseHead(200, []);
    this.events.onHead(answer, false);
    if (end) this.sendData(EMPTY, true);
    this.#connection.resume();
  }

  sendData(chunk: Buffer, end: boolean): void {
    if (this.#over) return;
    if (chunk.length > 0 && !this.#connection.writeBorrowed(chunk)) this.events.onBlocked(true);
    if (!end) return;
    this.#sentEnd = true;
    this.#connection.end();
    this.#closeIfDone();
  }

  sendTrailers(_trailers: Headers): void {
    this.sendData(EMPTY, true);
  }

  reset(): void {
    if (this.#over) return;
    this.#over = true;
    // A client on HTTP/1 cannot end its side alone: when it leaves it has said all, and the host is to get it.
    this.#connection.closeAfterFlush(FLUSH_MS);
    // The request is over, as far as limits and counters go.
    this.#upstream.onClosed(true);
  }

  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  onData(chunk: Buffer): void {
    if (!this.#over) this.events.onData(chunk, false);
  }

  onEnd(): void {
    if (this.#over || this.#gotEnd) return;
    this.#gotEnd = true;
    this.events.onData(EMPTY, true);
    this.#closeIfDone();
  }

  onDrain(): void {
    if (!this.#over) this.events.onBlocked(false);
  }

  onClose(reason: ResetReason | undefined): void {
    this.#upstream.onClosed(this.#over);
    if (this.#over) return;
    this.#over = true;
    if (this.#gotEnd && this.#sentEnd) return;
    this.events.onReset(reason ?? TERMINATED);
  }

  #closeIfDone(): void {
    if (this.#sentEnd && this.#gotEnd) this.#connection.closeAfterFlush(FLUSH_MS);
  }
}

const TERMINATED: ResetReason = {
  kind: 'connection-termination',
  fault: 'upstream',
  retrySafe: false,
  details: 'connection closed',
};
