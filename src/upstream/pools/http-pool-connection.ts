import type { ResetReason } from '../../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../../core/timer-wheel.ts';
import type { ClientConnection, ClientConnectionEvents } from '../../http/codec.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../../http/stream.ts';
import type { Connection } from '../../net/connection.ts';
import type { DialListener, PendingDial } from '../../net/dial.ts';
import type { Host } from '../host.ts';
import type { HttpPool } from './http-pool.ts';
import { countDestroy } from './pool-shared.ts';

/** One upstream connection of an HTTP pool, from its dial to its end; also what a request learns about it. */
export class HttpPoolConnection implements DialListener, ClientConnectionEvents, TimerOwner {
  readonly pool: HttpPool;
  /** Requests begun on it, the present ones included. */
  streams: number;
  /** Requests that the pool counts as running on it. Written by the pool. */
  active: number;
  /** It is among those that take requests. Written by the pool. */
  offered: boolean;
  /** Requests it is expected to take while it is dialled. */
  readonly expected: number;
  /** Written by the pool when it is put to rest. */
  idleSinceMs: number;
  #client: ClientConnection | null;
  #dial: PendingDial | null;
  #startedMs: number;
  #bytesRead: number;
  #bytesWritten: number;
  #closedByUs: boolean;
  #closed: boolean;
  #expired: boolean;
  #lifeTimer: WheelTimer | null;

  constructor(pool: HttpPool) {
    this.pool = pool;
    this.streams = 0;
    this.active = 0;
    this.offered = false;
    const { protocol, shared } = pool;
    const most = shared.maxRequestsPerConnection;
    this.expected = most === 0 ? protocol.expectedStreams : Math.min(most, protocol.expectedStreams);
    this.idleSinceMs = 0;
    this.#client = null;
    this.#dial = null;
    this.#startedMs = 0;
    this.#bytesRead = 0;
    this.#bytesWritten = 0;
    this.#closedByUs = false;
    this.#closed = false;
    this.#expired = false;
    this.#lifeTimer = null;
  }

  get host(): Host {
    return this.pool.host;
  }

  /** Null while it is being dialled. */
  get connection(): Connection | null {
    return this.#client === null ? null : this.#client.connection;
  }

  /** It speaks HTTP/2; false while it is being dialled. */
  get http2(): boolean {
    return this.#client?.http2 === true;
  }

  /** The dial is under way, or failed. */
  get neverConnected(): boolean {
    return this.#client === null;
  }

  /** Not the first request on this connection: if it dies before a byte of the response, a replay is in order. */
  get reused(): boolean {
    return this.streams > 1;
  }

  /** Requests of it that have not ended. */
  get running(): number {
    return this.#client === null ? 0 : this.#client.active;
  }

  /** Requests it takes now beside those that run. */
  get capacity(): number {
    const client = this.#client;
    if (client === null || this.#expired || this.#closedByUs) return 0;
    const max = this.pool.shared.maxRequestsPerConnection;
    return max === 0 ? client.capacity : Math.min(client.capacity, max - this.streams);
  }

  dial(): void {
    const { shared, host, protocol } = this.pool;
    shared.stats.cxTotal.inc();
    if (protocol.http2 !== null) this.#countProtocol(protocol.http2);
    shared.stats.cxActive.inc();
    shared.breaker.connections.take();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    this.#startedMs = shared.clock.now();
    const { hostname } = host;
    const options = hostname === '' ? protocol.dialOptions : { ...protocol.dialOptions, hostname };
    this.#dial = shared.dial(host.address, options, this);
  }

  /** Only with `capacity`. */
  open(response: StreamEvents<ResponseHead>): ClientStream {
    if (this.#client === null) throw new Error('upstream connection is not open');
    this.active++;
    this.streams++;
    if (this.streams === this.pool.shared.maxRequestsPerConnection)
      this.pool.shared.stats.cxMaxRequests.inc();
    return this.#client.open(response);
  }

  /** Ends it now, whatever runs on it. Idempotent. */
  close(): void {
    if (this.#closed || this.#closedByUs) return;
    this.#closedByUs = true;
    if (this.#client !== null) {
      this.#client.destroy();
      return;
    }
    this.#dial?.cancel();
    this.#finish(true, false);
    this.pool.onConnectionClosed(this);
  }

  onConnected(connection: Connection): void {
    const { shared, protocol } = this.pool;
    this.#dial = null;
    const now = shared.clock.now();
    shared.stats.cxConnectMs.record(now - this.#startedMs);
    this.#client = protocol.createClient(connection, this);
    if (protocol.http2 === null) this.#countProtocol(this.#client.http2);
    if (shared.maxConnectionMs > 0) {
      this.#lifeTimer = new WheelTimer(this);
      shared.timers.schedule(this.#lifeTimer, shared.maxConnectionMs, now);
    }
    this.pool.onConnectionReady(this);
  }

  onFailed(reason: ResetReason): void {
    this.#dial = null;
    this.#finish(reason.fault === 'local' || reason.kind === 'connection-timeout', false);
    this.pool.onConnectFailed(this, reason);
  }

  onChanged(): void {
    this.#countBytes();
    this.pool.onConnectionChanged(this);
  }

  onGoaway(): void {
    this.pool.shared.stats.cxCloseNotify.inc();
  }

  onClosed(reason: ResetReason | undefined): void {
    if (this.#closed) return;
    const { stats } = this.pool.shared;
    const busy = this.active > 0;
    if (reason?.kind === 'protocol-error') stats.cxProtocolError.inc();
    else if (reason === undefined && busy && this.#client?.endedHere === true && !this.#closedByUs) {
      stats.cxCloseNotify.inc();
    } else if (busy && this.http2) stats.rqPendingFailureEject.add(this.active);
    this.#countBytes();
    this.#finish(this.#closedByUs || this.#client?.endedHere === true, busy && reason !== undefined);
    this.pool.onConnectionClosed(this);
  }

  /** Releases what the connection holds, before the pool decides about a new one. */
  #finish(local: boolean, cutShort: boolean): void {
    this.#closed = true;
    const { shared, host } = this.pool;
    const { stats } = shared;
    countDestroy(stats, local, cutShort);
    stats.cxActive.dec();
    stats.cxLengthMs.record(shared.clock.now() - this.#startedMs);
    if (this.streams > 0) stats.rqPerCx.record(this.streams);
    shared.breaker.connections.release();
    host.stats.cxActive--;
    if (this.#lifeTimer !== null) shared.timers.cancel(this.#lifeTimer);
  }

  #countProtocol(http2: boolean): void {
    const { stats } = this.pool.shared;
    if (http2) stats.cxHttp2Total.inc();
    else stats.cxHttp1Total.inc();
  }

  #countBytes(): void {
    const connection = this.connection;
    if (connection === null) return;
    const { stats } = this.pool.shared;
    const read = connection.bytesRead;
    const written = connection.bytesWritten;
    stats.cxRxBytesTotal.add(read - this.#bytesRead);
    stats.cxTxBytesTotal.add(written - this.#bytesWritten);
    this.#bytesRead = read;
    this.#bytesWritten = written;
  }

  /** It takes no more requests and closes after those it has. */
  expire(): void {
    this.#expired = true;
    this.pool.onConnectionChanged(this);
  }

  /** @internal `max_connection_duration` is over. */
  onTimer(): void {
    this.pool.shared.stats.cxMaxDurationReached.inc();
    this.expire();
  }
}
