import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../core/timer-wheel.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import type { DownstreamInfo } from '../http/exchange.ts';
import type { Headers } from '../http/headers.ts';
import { transportFailure } from '../http/local-reply.ts';
import { FLAG } from '../http/response-flags.ts';
import type { RequestHead, ResponseHead } from '../http/stream.ts';
import type { Address, Connection, ConnectionEvents } from '../net/connection.ts';
import type { TlsInfo } from '../net/transport.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { TcpRequest } from '../upstream/pools/tcp-pool.ts';
import { EarlyTcpUpstream } from './early-upstream.ts';
import { pickHost, type TcpPlan } from './tcp-plan.ts';
import { openTunnel, type TunnelHold } from './tunnel.ts';

/** Joins a downstream connection to a host of a cluster: bytes, half-closes and backpressure both ways. */
export function forwardTcp(connection: Connection, plan: TcpPlan): void {
  new TcpSession(connection, plan).start();
}

/** One proxied connection; also what its access log entry is made of. */
export class TcpSession implements ConnectionEvents, TcpRequest, TimerOwner, AccessLogInfo {
  readonly downstream: DownstreamInfo;
  readonly client: Connection;
  readonly startWallMs: number;
  readonly startMs: number;
  readonly request: RequestHead | null = null;
  readonly response: ResponseHead | null = null;
  readonly responseTrailers: Headers | null = null;
  readonly remoteIp: string;
  readonly remotePort: number;
  responseFlags = 0;
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  readonly requestId = '';
  readonly routeName = '';
  upstreamCluster = '';
  upstreamHost: Address | null = null;
  upstreamLocal: Address | null = null;
  upstreamTls: TlsInfo | null = null;
  upstreamTransportFailure = '';
  upstreamAttempts = 0;
  bytesReceived = 0;
  bytesSent = 0;
  requestEndMs = -1;
  upstreamFirstTxMs = -1;
  upstreamLastTxMs = -1;
  upstreamFirstRxMs = -1;
  upstreamLastRxMs = -1;
  firstTxMs = -1;
  endMs = -1;

  readonly #plan: TcpPlan;
  readonly #down: Connection;
  #up: Connection | null = null;
  #upstream: TunnelHold | null = null;
  #downEnded = false;
  #upEnded = false;
  #over = false;
  #closing: 'downstream' | 'upstream' | 'local' | null = null;
  #activeMs: number;
  #timer: WheelTimer | null = null;
  #cluster: Cluster | null = null;

  constructor(connection: Connection, plan: TcpPlan) {
    this.#plan = plan;
    this.#down = connection;
    this.client = connection;
    this.downstream = {
      connectionId: connection.id,
      directRemote: connection.remote,
      local: connection.local,
      accepted: connection.accepted,
      tls: connection.tls,
    };
    this.remoteIp = connection.remote.ip;
    this.remotePort = connection.remote.port;
    this.startMs = plan.clock.now();
    this.startWallMs = plan.clock.wall();
    this.#activeMs = this.startMs;
  }

  start(): void {
    const { stats, sessions, idleTimeoutMs, maxDurationMs } = this.#plan;
    stats.cxTotal.inc();
    sessions.add(this);
    this.#down.events = this;
    // Nothing is read before there is somewhere to put it.
    this.#down.pause();
    if (idleTimeoutMs > 0 || maxDurationMs > 0) {
      this.#timer = new WheelTimer(this);
      this.#arm();
    }
    const { early } = this.#down.accepted;
    if (early instanceof EarlyTcpUpstream && early.plan === this.#plan && early.usable) this.#adopt(early);
    else this.#connect();
  }

  /** A TCP session has no end that we could ask for: it lives until the peers or the deadline end it. */
  drain(): void {
    // Nothing to do, on purpose.
  }

  /** Ends both sides at once (drain deadline, shutdown). */
  destroy(): void {
    this.#closing ??= 'local';
    this.#closeBoth(false);
  }

  // --- downstream ------------------------------------------------------------------------------------------

  onData(chunk: Buffer): void {
    // Refused: what still comes belongs to nobody.
    if (this.#up === null) return;
    this.#activeMs = this.#plan.clock.now();
    this.bytesReceived += chunk.length;
    this.#plan.stats.cxRxBytesTotal.add(chunk.length);
    if (this.upstreamFirstTxMs < 0) this.upstreamFirstTxMs = this.#activeMs;
    if (!this.#up.writeBorrowed(chunk)) {
      this.#plan.stats.flowControlPaused.inc();
      this.#down.pause();
    }
  }

  onEnd(): void {
    this.#downEnded = true;
    this.requestEndMs = this.#plan.clock.now();
    this.#up?.end();
    this.#endWhenBothEnded('downstream');
  }

  onDrain(): void {
    this.#up?.resume();
  }

  onClose(reason: ResetReason | undefined): void {
    this.#closing ??= 'downstream';
    const left = this.#closing === 'downstream';
    if (left && reason !== undefined && this.#up === null && this.responseFlags === 0) {
      this.responseFlags |= FLAG.downstreamConnectionTermination;
    }
    this.#summarise();
    this.#upstream?.cancel();
    if (this.#up === null) this.#finish();
    // What a client sent before its FIN arrives even when it is gone; a reset is passed on.
    else if (reason === undefined || (this.#downEnded && this.#up.buffered > 0))
      this.#up.closeAfterFlush(FLUSH_MS);
    else this.#up.destroy(true);
  }

  // --- upstream --------------------------------------------------------------------------------------------

  onTcpReady(connection: Connection, upstream: TunnelHold): void {
    this.#up = connection;
    this.#upstream = upstream;
    this.upstreamLocal = connection.local;
    this.upstreamTls = connection.tls;
    connection.events = {
      onData: (chunk) => this.#onUpstreamData(chunk),
      onEnd: () => this.#onUpstreamEnd(),
      onDrain: () => {
        this.#plan.stats.flowControlResumed.inc();
        this.#down.resume();
      },
      onClose: (reason) => this.#onUpstreamClose(reason),
    };
    this.#down.resume();
  }

  onTcpFailure(reason: ResetReason): void {
    this.#upstream = null;
    this.upstreamTransportFailure = transportFailure(reason);
    if (reason.kind === 'overflow') {
      // The breaker's no comes before a host is taken.
      this.upstreamHost = null;
      this.responseFlags |= FLAG.upstreamOverflow;
      this.#fail();
      return;
    }
    this.responseFlags |= FLAG.upstreamConnectionFailure;
    if (this.upstreamAttempts < this.#plan.maxConnectAttempts) {
      this.#connect();
      return;
    }
    const cluster = this.#cluster;
    if (cluster !== null) cluster.stats.cxConnectAttemptsExceeded.inc();
    this.responseFlags |= FLAG.upstreamRetryLimitExceeded;
    this.#fail();
  }

  onTimer(): void {
    const { stats, idleTimeoutMs, maxDurationMs, clock } = this.#plan;
    const nowMs = clock.now();
    if (maxDurationMs > 0 && nowMs - this.startMs >= maxDurationMs) {
      stats.maxDownstreamConnectionDuration.inc();
      this.responseFlags |= FLAG.durationTimeout;
      this.destroy();
    } else if (idleTimeoutMs > 0 && nowMs - this.#activeMs >= idleTimeoutMs) {
      stats.idleTimeout.inc();
      this.destroy();
    } else this.#arm();
  }

  // --- inside ----------------------------------------------------------------------------------------------

  #connect(): void {
    const target = this.#plan.pickTarget(this.#down);
    const cluster = target.cell.value;
    this.upstreamCluster = cluster === undefined ? '' : target.name;
    this.#cluster = cluster ?? null;
    if (cluster === undefined) {
      this.#plan.stats.cxNoRoute.inc();
      this.responseFlags |= FLAG.noClusterFound;
      this.#fail();
      return;
    }
    const host = pickHost(cluster, this.#down);
    if (host === undefined) {
      this.responseFlags |= FLAG.noHealthyUpstream;
      this.#fail();
      return;
    }
    this.upstreamAttempts++;
    this.upstreamHost = host.address;
    const { tunnel } = this.#plan;
    this.#upstream = tunnel === null ? host.tcp.dial(this) : openTunnel(host, tunnel, this.#down, this);
  }

  /** The upstream was connected, or asked for, while nobody knew what the client speaks. */
  #adopt(early: EarlyTcpUpstream): void {
    this.#cluster = early.cluster;
    this.upstreamCluster = early.target?.name ?? '';
    this.upstreamHost = early.host?.address ?? null;
    this.upstreamAttempts++;
    this.#upstream = early.take(this);
  }

  /** @internal What the server said before there was a client to hear it. */
  onEarlyData(chunk: Buffer): void {
    this.#onUpstreamData(chunk);
  }

  /** No upstream: the client's connection is closed as Envoy does, with a FIN. */
  #fail(): void {
    this.#closing ??= 'local';
    // What the client sent is read and dropped: unread bytes would turn the FIN into an RST.
    this.#down.closeAfterFlush(REFUSED_CLOSE_MS);
  }

  #onUpstreamData(chunk: Buffer): void {
    this.#activeMs = this.#plan.clock.now();
    this.bytesSent += chunk.length;
    this.#plan.stats.cxTxBytesTotal.add(chunk.length);
    if (this.upstreamFirstRxMs < 0) this.upstreamFirstRxMs = this.#activeMs;
    if (this.firstTxMs < 0) this.firstTxMs = this.#activeMs;
    if (!this.#down.writeBorrowed(chunk)) this.#up?.pause();
  }

  #onUpstreamEnd(): void {
    this.#upEnded = true;
    this.#down.end();
    this.#endWhenBothEnded('upstream');
  }

  #onUpstreamClose(reason: ResetReason | undefined): void {
    this.#closing ??= 'upstream';
    const remote = this.#closing === 'upstream';
    this.#upstream?.onClosed(!remote);
    this.#up = null;
    if (this.#down.destroyed) this.#finish();
    else if (remote && reason !== undefined) {
      this.responseFlags |= FLAG.upstreamRemoteReset;
      this.#down.destroy(true);
    } else this.#down.closeAfterFlush(FLUSH_MS);
  }

  /** Both FINs were passed on: the connections close once flushed, by whoever sent the second (as Envoy counts). */
  #endWhenBothEnded(last: 'downstream' | 'upstream'): void {
    if (!this.#downEnded || !this.#upEnded) return;
    this.#closing ??= last;
    this.#up?.closeAfterFlush(FLUSH_MS);
    this.#down.closeAfterFlush(FLUSH_MS);
  }

  /** For the access log of the listener. */
  #summarise(): void {
    const { summary } = this.#down.accepted;
    if (summary === null) return;
    summary.responseFlags = this.responseFlags;
    summary.upstreamCluster = this.upstreamCluster;
    summary.upstreamHost = this.upstreamHost;
    summary.upstreamLocal = this.upstreamLocal;
    summary.upstreamTransportFailure = this.upstreamTransportFailure;
  }

  #closeBoth(reset: boolean): void {
    this.#upstream?.cancel();
    this.#up?.destroy(reset);
    this.#down.destroy(reset);
  }

  #arm(): void {
    const { idleTimeoutMs, maxDurationMs, wheel, clock } = this.#plan;
    let atMs = idleTimeoutMs > 0 ? this.#activeMs + idleTimeoutMs : Infinity;
    if (maxDurationMs > 0) atMs = Math.min(atMs, this.startMs + maxDurationMs);
    const nowMs = clock.now();
    if (this.#timer !== null) wheel.schedule(this.#timer, Math.max(0, atMs - nowMs), nowMs);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.endMs = this.#plan.clock.now();
    this.upstreamLastTxMs = this.endMs;
    this.upstreamLastRxMs = this.endMs;
    if (this.#timer !== null) this.#plan.wheel.cancel(this.#timer);
    this.#plan.sessions.delete(this);
    for (const log of this.#plan.accessLogs) log.log(this);
  }
}

/** How long a peer may take to read the last bytes after the other side is gone. */
const FLUSH_MS = 10_000;
/** How long a client that got no upstream may take to close its side. */
const REFUSED_CLOSE_MS = 1000;
