import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { DialListener, DialOptions, PendingDial } from '../../net/dial.ts';
import type { Host } from '../host.ts';
import { countDestroy, HOST_REMOVED, mayConnect, OVERFLOW, type PoolShared } from './pool-shared.ts';

/** Who wants a raw upstream connection. Exactly one callback is called, unless it is cancelled before. */
export interface TcpRequest {
  /** Whom the connection is for. */
  readonly client?: DialOptions['client'];
  /** Set `connection.events` before returning, and call `upstream.onClosed` from their `onClose`. */
  onTcpReady(connection: Connection, upstream: TcpUpstream): void;
  onTcpFailure(reason: ResetReason): void;
}

/** Raw connections of one worker to one host: never reused, but counted and limited like the HTTP pool's. */
export class TcpPool {
  readonly host: Host;
  #shared: PoolShared;
  /** Dials that were not decided yet. */
  readonly #connecting = new Set<TcpUpstream>();
  /** Kept only where a failed health check must close them. */
  readonly #open: Set<TcpUpstream> | null;

  constructor(host: Host, shared: PoolShared) {
    this.host = host;
    this.#shared = shared;
    this.#open = shared.closeOnHealthFailure === true ? new Set() : null;
  }

  get shared(): PoolShared {
    return this.#shared;
  }

  /** Connections from now on have another transport socket; limits and statistics stay those of the cluster. */
  shareWith(shared: PoolShared): void {
    this.#shared = shared;
  }

  /** Dials; when a limit is hit, `onTcpFailure` is called at once and null is returned. */
  dial(request: TcpRequest): TcpUpstream | null {
    const { stats, breaker } = this.shared;
    if (!mayConnect(this.host, breaker)) {
      stats.cxOverflow.inc();
      request.onTcpFailure(OVERFLOW);
      return null;
    }
    if (!breaker.pendingRequests.available) {
      stats.rqPendingOverflow.inc();
      request.onTcpFailure(OVERFLOW);
      return null;
    }
    const upstream = new TcpUpstream(this, request);
    this.#connecting.add(upstream);
    upstream.start();
    return upstream;
  }

  /** Fails the dials that are under way; established connections stay with their owners. */
  close(): void {
    for (const upstream of [...this.#connecting]) upstream.abort(HOST_REMOVED);
  }

  /** Ends the established connections too. */
  closeAll(): void {
    for (const upstream of [...(this.#open ?? [])]) upstream.destroy();
  }

  /** @internal */
  opened(upstream: TcpUpstream): void {
    this.#open?.add(upstream);
  }

  /** @internal */
  ended(upstream: TcpUpstream): void {
    this.#open?.delete(upstream);
  }

  /** @internal */
  settled(upstream: TcpUpstream): void {
    this.#connecting.delete(upstream);
  }
}

/** A transport socket may tell the host about the client, and the connection may come from where the client is. */
function optionsFor(options: DialOptions, { client }: TcpRequest): DialOptions {
  const source = client?.accepted.source ?? null;
  const bound = source === null ? options : { ...options, bind: source };
  return options.transport?.perClient === true && client !== undefined ? { ...bound, client } : bound;
}

/** One raw upstream connection and its accounts. */
export class TcpUpstream implements DialListener {
  readonly pool: TcpPool;
  readonly #request: TcpRequest;
  #dial: PendingDial | null;
  #connection: Connection | null;
  #startedMs: number;
  #state: 'connecting' | 'open' | 'closed';

  constructor(pool: TcpPool, request: TcpRequest) {
    this.pool = pool;
    this.#request = request;
    this.#dial = null;
    this.#connection = null;
    this.#startedMs = 0;
    this.#state = 'connecting';
  }

  get host(): Host {
    return this.pool.host;
  }

  /** @internal */
  start(): void {
    const { shared, host } = this.pool;
    const { stats, breaker } = shared;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    stats.rqPendingTotal.inc();
    stats.rqPendingActive.inc();
    breaker.connections.take();
    breaker.pendingRequests.take();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    host.stats.rqPendingActive++;
    host.inflight++;
    this.#startedMs = shared.clock.now();
    this.#dial = shared.dial(host.address, optionsFor(shared.dialOptions, this.#request), this);
  }

  /** Gives up a dial; no callback follows. Harmless afterwards. */
  cancel(): void {
    if (this.#state !== 'connecting') return;
    this.#dial?.cancel();
    this.pool.shared.stats.rqCancelled.inc();
    this.#leavePending();
    this.#finish(true, false);
  }

  /** @internal Gives up a dial and tells whoever asked for it. */
  abort(reason: ResetReason): void {
    if (this.#state !== 'connecting') return;
    this.cancel();
    this.#request.onTcpFailure(reason);
  }

  /** The owner's report that its connection is closed; `local` when our side closed it. Idempotent. */
  onClosed(local: boolean): void {
    if (this.#state !== 'open') return;
    this.pool.ended(this);
    const { shared, host } = this.pool;
    const { stats } = shared;
    stats.rqActive.dec();
    shared.breaker.requests.release();
    host.stats.rqActive--;
    stats.cxRxBytesTotal.add(this.#connection?.bytesRead ?? 0);
    stats.cxTxBytesTotal.add(this.#connection?.bytesWritten ?? 0);
    this.#finish(local, true);
  }

  /** @internal Closes the established connection; its owner learns it from its events. */
  destroy(): void {
    this.#connection?.destroy();
  }

  onConnected(connection: Connection): void {
    const { shared, host } = this.pool;
    const { stats } = shared;
    this.#dial = null;
    this.#connection = connection;
    this.#state = 'open';
    this.#leavePending();
    const connectMs = shared.clock.now() - this.#startedMs;
    stats.cxConnectMs.record(connectMs);
    stats.rqTotal.inc();
    stats.rqActive.inc();
    shared.breaker.requests.take();
    host.stats.rqTotal++;
    host.stats.rqActive++;
    // A TCP exchange has no response head: the connect time is the only latency there is to learn from.
    host.estimator?.observe(connectMs);
    host.monitor?.onTcpConnected();
    this.pool.opened(this);
    this.#request.onTcpReady(connection, this);
  }

  onFailed(reason: ResetReason): void {
    const { shared, host } = this.pool;
    this.#dial = null;
    this.#leavePending();
    shared.stats.cxConnectFail.inc();
    shared.stats.rqPendingFailureEject.inc();
    if (reason.kind === 'connection-timeout') shared.stats.cxConnectTimeout.inc();
    host.stats.cxConnectFail++;
    host.estimator?.observeFailure(shared.clock.now() - this.#startedMs);
    host.monitor?.onLocalFailure(reason.kind === 'connection-timeout' ? 504 : 503);
    this.#finish(reason.fault === 'local' || reason.kind === 'connection-timeout', false);
    this.#request.onTcpFailure(reason);
  }

  #leavePending(): void {
    const { shared, host } = this.pool;
    this.pool.settled(this);
    shared.stats.rqPendingActive.dec();
    shared.breaker.pendingRequests.release();
    host.stats.rqPendingActive--;
  }

  #finish(local: boolean, active: boolean): void {
    this.#state = 'closed';
    const { shared, host } = this.pool;
    countDestroy(shared.stats, local, active);
    shared.stats.cxActive.dec();
    shared.stats.cxLengthMs.record(shared.clock.now() - this.#startedMs);
    if (active) shared.stats.rqPerCx.record(1);
    shared.breaker.connections.release();
    host.stats.cxActive--;
    host.inflight--;
  }
}
