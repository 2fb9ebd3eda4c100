import type { ResetReason } from '../../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../../core/timer-wheel.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../../http/stream.ts';
import type { Connection } from '../../net/connection.ts';
import type { Host } from '../host.ts';
import { HttpPoolConnection } from './http-pool-connection.ts';
import {
  ACTIVE_OVERFLOW,
  HOST_REMOVED,
  mayConnect,
  OVERFLOW,
  type PoolProtocol,
  type PoolShared,
} from './pool-shared.ts';
import { RequestQueue } from './request-queue.ts';

/** What a request learns of the connection that it got. */
export interface PoolConnection {
  readonly connection: Connection | null;
  /** Others were on it before. */
  readonly reused: boolean;
  readonly http2: boolean;
}

/**
 * A request that wants a stream; the caller's own object, so that opening allocates nothing.
 * Exactly one of the two callbacks is called, perhaps within `open`, unless the request is cancelled before.
 */
export interface PoolRequest {
  /** Receives the response's events once `onPoolReady` was called. */
  readonly response: StreamEvents<ResponseHead>;
  onPoolReady(stream: ClientStream, upstream: PoolConnection): void;
  onPoolFailure(reason: ResetReason): void;
}

/**
 * HTTP connections of one worker to one host, of either version: what differs is how many requests a connection
 * takes at once. The connection that took part last is used first, so that surplus ones grow old and are closed by
 * `idle_timeout`. A request that finds none waits in order; a connection is opened for it unless those on their way
 * will take all that wait, or the circuit breaker says no (but a pool without any connection always opens one, as in
 * Envoy).
 */
export class HttpPool implements TimerOwner {
  readonly host: Host;
  readonly shared: PoolShared;
  readonly protocol: PoolProtocol;
  /** Every connection that is dialled or open. */
  readonly #all = new Set<HttpPoolConnection>();
  /** Those that take requests; the last is used first. An HTTP/1 connection among them is idle. */
  readonly #ready: HttpPoolConnection[] = [];
  readonly #pending = new RequestQueue<PoolRequest>();
  /** Requests that the connections on their way are expected to take. */
  #expected = 0;
  #draining = false;
  /** Made with the first idle connection: most hosts of a big cluster never see one. */
  #idleTimer: WheelTimer | null = null;

  constructor(host: Host, shared: PoolShared, protocol: PoolProtocol) {
    this.host = host;
    this.shared = shared;
    this.protocol = protocol;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get idleConnections(): number {
    return this.#ready.filter((connection) => connection.active === 0).length;
  }

  get connections(): number {
    return this.#all.size;
  }

  /** Nothing is held or waited for. */
  get empty(): boolean {
    return this.#all.size === 0 && this.#pending.size === 0;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Asks for a stream to this host. */
  open(request: PoolRequest): void {
    this.host.inflight++;
    const connection = this.#mostRecent();
    if (connection !== undefined) {
      this.#attach(connection, request);
      return;
    }
    const { stats, breaker } = this.shared;
    if (!breaker.pendingRequests.available) {
      this.host.inflight--;
      stats.rqPendingOverflow.inc();
      request.onPoolFailure(OVERFLOW);
      return;
    }
    breaker.pendingRequests.take();
    stats.rqPendingTotal.inc();
    stats.rqPendingActive.inc();
    this.host.stats.rqPendingActive++;
    this.#pending.push(request);
    this.#connectForPending();
  }

  /** Gives up a request that still waits; harmless when it got its stream (reset that) or failed. */
  cancel(request: PoolRequest): void {
    if (!this.#pending.remove(request)) return;
    this.#leavePending();
    this.host.inflight--;
    this.shared.stats.rqCancelled.inc();
    if (this.#draining) this.#closeUnneeded();
  }

  /** Closes idle connections now and busy ones after their requests; new requests may still come. Idempotent. */
  drain(): void {
    this.#draining = true;
    this.#closeUnneeded();
  }

  /** Uses none of the present connections again; unlike `drain`, later ones stay open. */
  renew(): void {
    for (const connection of [...this.#all]) if (!connection.neverConnected) connection.expire();
  }

  /** As `drain`, and fails the requests that wait; those that have a stream finish. */
  close(): void {
    this.#draining = true;
    this.#failPending(HOST_REMOVED, false);
    this.#closeUnneeded();
  }

  /** @internal A dial succeeded. */
  onConnectionReady(connection: HttpPoolConnection): void {
    this.#expected -= connection.expected;
    this.#offer(connection);
    this.#servePending();
    this.#review(connection);
  }

  /** @internal Requests ended, or what the connection takes has changed. */
  onConnectionChanged(connection: HttpPoolConnection): void {
    const ended = connection.active - connection.running;
    if (ended > 0) this.#endRequests(connection, ended);
    this.#offer(connection);
    this.#servePending();
    this.#review(connection);
  }

  /** @internal The dial failed: whoever waits is told, so that a retry can pick another host. */
  onConnectFailed(connection: HttpPoolConnection, reason: ResetReason): void {
    this.#forget(connection);
    this.host.stats.cxConnectFail++;
    this.shared.stats.cxConnectFail.inc();
    if (reason.kind === 'connection-timeout') this.shared.stats.cxConnectTimeout.inc();
    this.#failPending(reason, true);
  }

  /** @internal The connection is gone; its streams, if any, were told before. */
  onConnectionClosed(connection: HttpPoolConnection): void {
    if (connection.active > 0) this.#endRequests(connection, connection.active);
    this.#forget(connection);
    if (this.#pending.size > 0) this.#connectForPending();
  }

  /** The connection to use next. One that has died, or is full, leaves on the way. */
  #mostRecent(): HttpPoolConnection | undefined {
    const ready = this.#ready;
    for (;;) {
      const connection = ready[ready.length - 1];
      if (connection === undefined || connection.capacity > 0) return connection;
      connection.offered = false;
      ready.pop();
    }
  }

  #attach(connection: HttpPoolConnection, request: PoolRequest): void {
    const { stats, breaker } = this.shared;
    if (!breaker.requests.available) {
      this.host.inflight--;
      stats.rqActiveOverflow.inc();
      request.onPoolFailure(ACTIVE_OVERFLOW);
      return;
    }
    breaker.requests.take();
    stats.rqTotal.inc();
    stats.rqActive.inc();
    this.host.stats.rqTotal++;
    this.host.stats.rqActive++;
    this.host.monitor?.onConnected();
    const stream = connection.open(request.response);
    if (connection.capacity === 0) this.#withdraw(connection);
    request.onPoolReady(stream, connection);
  }

  #endRequests(connection: HttpPoolConnection, count: number): void {
    connection.active -= count;
    this.host.inflight -= count;
    this.host.stats.rqActive -= count;
    for (let i = 0; i < count; i++) {
      this.shared.stats.rqActive.dec();
      this.shared.breaker.requests.release();
    }
  }

  #offer(connection: HttpPoolConnection): void {
    if (connection.capacity === 0) {
      this.#withdraw(connection);
    } else if (!connection.offered) {
      connection.offered = true;
      this.#ready.push(connection);
    }
  }

  #withdraw(connection: HttpPoolConnection): void {
    if (!connection.offered) return;
    connection.offered = false;
    const at = this.#ready.lastIndexOf(connection);
    if (at === this.#ready.length - 1) this.#ready.pop();
    else this.#ready.splice(at, 1);
  }

  #forget(connection: HttpPoolConnection): void {
    this.#withdraw(connection);
    if (!this.#all.delete(connection)) return;
    if (this.#all.size === 0) this.shared.breaker.pools.release();
    if (connection.neverConnected) this.#expected -= connection.expected;
  }

  #servePending(): void {
    while (this.#pending.size > 0) {
      const connection = this.#mostRecent();
      if (connection === undefined) {
        this.#connectForPending();
        return;
      }
      const request = this.#pending.shift();
      if (request === undefined) return;
      this.#leavePending();
      this.#attach(connection, request);
    }
  }

  /** What becomes of a connection on which nothing may run any more. */
  #review(connection: HttpPoolConnection): void {
    if (connection.active > 0) return;
    if (!connection.offered || this.#draining) connection.close();
    else this.#rest(connection);
  }

  #connectForPending(): void {
    while (this.#pending.size > this.#expected) {
      const { stats, breaker } = this.shared;
      const allowed = mayConnect(this.host, breaker);
      if (!allowed) stats.cxOverflow.inc();
      if (!allowed && this.#all.size > 0) return;
      const connection = new HttpPoolConnection(this);
      if (this.#all.size === 0) breaker.pools.take();
      this.#all.add(connection);
      this.#expected += connection.expected;
      connection.dial();
      if (!allowed) return;
    }
  }

  #failPending(reason: ResetReason, count: boolean): void {
    // Only those that wait now: a retry that comes back to this host meanwhile is not failed with them.
    for (let left = this.#pending.size; left > 0; left--) {
      const request = this.#pending.shift();
      if (request === undefined) return;
      this.#leavePending();
      this.host.inflight--;
      if (count) this.shared.stats.rqPendingFailureEject.inc();
      request.onPoolFailure(reason);
    }
  }

  #leavePending(): void {
    this.host.stats.rqPendingActive--;
    this.shared.stats.rqPendingActive.dec();
    this.shared.breaker.pendingRequests.release();
  }

  #rest(connection: HttpPoolConnection): void {
    const { idleTimeoutMs, clock, timers } = this.shared;
    if (idleTimeoutMs === 0) return;
    connection.idleSinceMs = clock.now();
    this.#idleTimer ??= new WheelTimer(this);
    if (this.#idleTimer.slot === null)
      timers.schedule(this.#idleTimer, idleTimeoutMs, connection.idleSinceMs);
  }

  /** @internal Closes what was idle for too long. */
  onTimer(): void {
    const { idleTimeoutMs, clock, timers, stats } = this.shared;
    const now = clock.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const connection of this.#ready.slice()) {
      if (connection.active > 0) continue;
      const dueMs = connection.idleSinceMs + idleTimeoutMs;
      if (dueMs <= now) {
        stats.cxIdleTimeout.inc();
        this.#withdraw(connection);
        connection.close();
      } else if (dueMs < nextMs) nextMs = dueMs;
    }
    if (this.#idleTimer === null || nextMs === Number.POSITIVE_INFINITY) return;
    timers.schedule(this.#idleTimer, nextMs - now, now);
  }

  #closeUnneeded(): void {
    if (this.#idleTimer !== null) this.shared.timers.cancel(this.#idleTimer);
    const waiting = this.#pending.size > 0;
    for (const connection of [...this.#all]) {
      if (connection.active > 0 || (waiting && connection.neverConnected)) continue;
      this.#withdraw(connection);
      connection.close();
    }
  }
}
