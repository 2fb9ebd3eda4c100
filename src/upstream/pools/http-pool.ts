import type { ResetReason } from '../../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../../core/timer-wheel.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../../http/stream.ts';
import type { Host } from '../host.ts';
import { HttpPoolConnection } from './http-pool-connection.ts';
import { ACTIVE_OVERFLOW, HOST_REMOVED, OVERFLOW, type PoolShared } from './pool-shared.ts';
import { RequestQueue } from './request-queue.ts';

/**
 * A request that wants a stream; the caller's own object, so that opening allocates nothing.
 * Exactly one of the two callbacks is called, perhaps within `open`, unless the request is cancelled before.
 */
export interface PoolRequest {
  /** Receives the response's events once `onPoolReady` was called. */
  readonly response: StreamEvents<ResponseHead>;
  onPoolReady(stream: ClientStream, upstream: HttpPoolConnection): void;
  onPoolFailure(reason: ResetReason): void;
}

/**
 * HTTP/1 connections of one worker to one host. Idle ones are reused last in, first out, so that surplus ones
 * grow old and are closed by `idle_timeout`. A request that finds none waits in order; a connection is opened
 * for it unless as many are on their way as requests wait, or the circuit breaker says no (but a pool without
 * any connection always opens one, as in Envoy).
 */
export class HttpPool implements TimerOwner {
  readonly host: Host;
  readonly shared: PoolShared;
  /** Oldest first. */
  readonly #idle: HttpPoolConnection[] = [];
  /** On their way: dialled, not connected. */
  readonly #connecting = new Set<HttpPoolConnection>();
  readonly #pending = new RequestQueue<PoolRequest>();
  #busy = 0;
  #draining = false;
  /** Made with the first idle connection: most hosts of a big cluster never see one. */
  #idleTimer: WheelTimer | null = null;

  constructor(host: Host, shared: PoolShared) {
    this.host = host;
    this.shared = shared;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  get connections(): number {
    return this.#idle.length + this.#connecting.size + this.#busy;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Asks for a stream to this host. */
  open(request: PoolRequest): void {
    this.host.inflight++;
    const connection = this.#idle.pop();
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

  /** Closes idle connections now and busy ones after their request; new requests may still come. Idempotent. */
  drain(): void {
    this.#draining = true;
    this.#closeUnneeded();
  }

  /** As `drain`, and fails the requests that wait; those that have a stream finish. */
  close(): void {
    this.#draining = true;
    this.#failPending(HOST_REMOVED, false);
    this.#closeUnneeded();
  }

  /** @internal A dial succeeded, or a request ended and its connection can take another. */
  onConnectionReady(connection: HttpPoolConnection): void {
    if (connection.busy) this.#endRequest(connection);
    else this.#connecting.delete(connection);
    if (connection.exhausted) {
      connection.close();
      return;
    }
    const request = this.#pending.shift();
    if (request !== undefined) {
      this.#leavePending();
      this.#attach(connection, request);
    } else if (this.#draining) {
      connection.close();
    } else {
      this.#rest(connection);
    }
  }

  /** @internal The dial failed: whoever waits is told, so that a retry can pick another host. */
  onConnectFailed(connection: HttpPoolConnection, reason: ResetReason): void {
    this.#connecting.delete(connection);
    this.host.stats.cxConnectFail++;
    this.shared.stats.cxConnectFail.inc();
    if (reason.kind === 'connection-timeout') this.shared.stats.cxConnectTimeout.inc();
    this.#failPending(reason, true);
  }

  /** @internal The connection is gone; its stream, if any, was told before. */
  onConnectionClosed(connection: HttpPoolConnection): void {
    if (connection.busy) {
      this.#endRequest(connection);
    } else {
      const at = this.#idle.lastIndexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#connecting.delete(connection);
    }
    if (this.#pending.size > 0) this.#connectForPending();
  }

  #attach(connection: HttpPoolConnection, request: PoolRequest): void {
    const { stats, breaker } = this.shared;
    if (!breaker.requests.available) {
      this.#rest(connection);
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
    this.#busy++;
    request.onPoolReady(connection.open(request.response), connection);
  }

  #endRequest(connection: HttpPoolConnection): void {
    connection.busy = false;
    this.#busy--;
    this.host.inflight--;
    this.host.stats.rqActive--;
    this.shared.stats.rqActive.dec();
    this.shared.breaker.requests.release();
  }

  #connectForPending(): void {
    while (this.#pending.size > this.#connecting.size) {
      const { stats, breaker } = this.shared;
      const allowed = breaker.connections.available;
      if (!allowed) stats.cxOverflow.inc();
      if (!allowed && this.connections > 0) return;
      const connection = new HttpPoolConnection(this);
      this.#connecting.add(connection);
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
    this.#idle.push(connection);
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
    let oldest = this.#idle[0];
    while (oldest !== undefined && oldest.idleSinceMs + idleTimeoutMs <= now) {
      this.#idle.shift();
      stats.cxIdleTimeout.inc();
      oldest.close();
      oldest = this.#idle[0];
    }
    if (oldest === undefined || this.#idleTimer === null) return;
    timers.schedule(this.#idleTimer, oldest.idleSinceMs + idleTimeoutMs - now, now);
  }

  #closeUnneeded(): void {
    if (this.#idleTimer !== null) this.shared.timers.cancel(this.#idleTimer);
    for (const connection of this.#idle.splice(0)) connection.close();
    if (this.#pending.size > 0) return;
    for (const connection of [...this.#connecting]) connection.close();
  }
}
