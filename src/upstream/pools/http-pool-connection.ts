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
  /** Requests begun on it, the present one included. */
  streams: number;
  /** A request is on it. Written by the pool. */
  busy: boolean;
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
    this.busy = false;
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

  /** Not the first request on this connection: if it dies before a byte of the response, a replay is in order. */
  get reused(): boolean {
    return this.streams > 1;
  }

  /** It must not take another request. */
  get exhausted(): boolean {
    const max = this.pool.shared.maxRequestsPerConnection;
    return this.#expired || (max !== 0 && this.streams >= max) || this.#client?.available !== true;
  }

  dial(): void {
    const { shared, host } = this.pool;
    shared.stats.cxTotal.inc();
    shared.stats.cxHttp1Total.inc();
    shared.stats.cxActive.inc();
    shared.breaker.connections.take();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    this.#startedMs = shared.clock.now();
    this.#dial = shared.dial(host.address, shared.dialOptions, this);
  }

  /** Only when idle. */
  open(response: StreamEvents<ResponseHead>): ClientStream {
    if (this.#client === null) throw new Error('upstream connection is not open');
    this.busy = true;
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
    const { shared } = this.pool;
    this.#dial = null;
    const now = shared.clock.now();
    shared.stats.cxConnectMs.record(now - this.#startedMs);
    this.#client = shared.createClient(connection, this);
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

  onAvailable(): void {
    this.#countBytes();
    this.pool.onConnectionReady(this);
  }

  onClosed(reason: ResetReason | undefined): void {
    if (this.#closed) return;
    const { stats } = this.pool.shared;
    if (reason?.kind === 'protocol-error') stats.cxProtocolError.inc();
    else if (reason === undefined && this.busy && !this.#closedByUs) stats.cxCloseNotify.inc();
    this.#countBytes();
    this.#finish(this.#closedByUs || closedLocally(reason, this.busy), this.busy && reason !== undefined);
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

  /** @internal `max_connection_duration` is over. */
  onTimer(): void {
    this.#expired = true;
    this.pool.shared.stats.cxMaxDurationReached.inc();
    if (!this.busy) this.close();
  }
}

/**
 * Whether our side ended a connection that the pool did not close. Without a reason an idle one was closed by
 * the upstream, and a busy one by us, after a response that said `connection: close`.
 */
function closedLocally(reason: ResetReason | undefined, busy: boolean): boolean {
  if (reason === undefined) return busy;
  // A peer that closes within a response broke the protocol, but it was the peer that closed.
  if (reason.details === 'http1.cut_short') return false;
  return reason.fault !== 'upstream' || reason.kind === 'protocol-error';
}
