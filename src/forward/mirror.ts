import type { Cell } from '../core/cell.ts';
import type { Clock } from '../core/clock.ts';
import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Exchange } from '../http/exchange.ts';
import { getAllHeaders, type Headers, setHeader } from '../http/headers.ts';
import { upstreamReset } from '../http/local-reply.ts';
import { portStart } from '../http/normalize.ts';
import { type ClientStream, RequestHead, type ResponseHead, type StreamEvents } from '../http/stream.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import type { PoolRequest } from '../upstream/pools/http-pool.ts';
import type { HttpPoolConnection } from '../upstream/pools/http-pool-connection.ts';
import type { Forwarder } from './forward-policy.ts';
import { RequestBody } from './request-body.ts';
import type { RequestTimeouts } from './request-timeouts.ts';

/** `envoy.config.route.v3.RouteAction.RequestMirrorPolicy`, compiled. */
export interface MirrorPolicy<C = Cluster> {
  /** Undefined: the header that names the cluster is missing or empty. */
  readonly cluster: (request: RequestHead) => Cell<C> | undefined;
  /** `runtime_fraction`, drawn for each request; null: all of them. */
  readonly draws: ((request: RequestHead) => boolean) | null;
  /** `-shadow` is appended to the host. */
  readonly renamesHost: boolean;
}

/** Whose request is mirrored. */
export interface MirrorSource {
  readonly x: Exchange;
  readonly forwarder: Forwarder;
  readonly headEnds: boolean;
}

/** The copies of one request that are sent elsewhere, and whose answers nobody sees. */
export class Mirrors {
  readonly #mirrors: readonly Mirror[];

  /** Null when none is to be made. */
  static start(
    policies: readonly MirrorPolicy[],
    timeouts: RequestTimeouts,
    limitBytes: number,
    source: MirrorSource,
  ): Mirrors | null {
    const mirrors: Mirror[] = [];
    for (const policy of policies) {
      if (policy.draws !== null && !policy.draws(source.x.request)) continue;
      const cluster = policy.cluster(source.x.request)?.value;
      if (cluster !== undefined) mirrors.push(new Mirror(policy, cluster, timeouts, limitBytes, source));
    }
    for (const mirror of mirrors) mirror.start();
    return mirrors.length === 0 ? null : new Mirrors(mirrors);
  }

  private constructor(mirrors: readonly Mirror[]) {
    this.#mirrors = mirrors;
  }

  sendData(chunk: Buffer, end: boolean): void {
    for (const mirror of this.#mirrors) mirror.sendData(chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    for (const mirror of this.#mirrors) mirror.sendTrailers(trailers);
  }

  onRequestEnd(): void {
    for (const mirror of this.#mirrors) mirror.onRequestEnd();
  }

  /** The client left before its request was complete. */
  abort(): void {
    for (const mirror of this.#mirrors) mirror.abort();
  }
}

const CANCELLED: ResetReason = { kind: 'cancelled', fault: 'local', retrySafe: false, details: 'mirror' };

/**
 * One copy. It never slows the request down: when its host takes the body too slowly and more than the limit would
 * have to be kept, it is given up.
 */
class Mirror implements PoolRequest, StreamEvents<ResponseHead>, TimerOwner {
  readonly response: StreamEvents<ResponseHead> = this;
  readonly #cluster: Cluster;
  readonly #head: RequestHead;
  readonly #headEnds: boolean;
  readonly #wheel: TimerWheel;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #timeoutMs: number;
  readonly #limitBytes: number;
  readonly #timer: WheelTimer;
  #host: Host | null = null;
  #stream: ClientStream | null = null;
  #body: RequestBody | null = null;
  #requestEnded: boolean;
  #blocked = false;
  #http2 = false;
  #over = false;
  #answered = false;
  #startMs = 0;

  constructor(
    policy: MirrorPolicy,
    cluster: Cluster,
    timeouts: RequestTimeouts,
    limitBytes: number,
    source: MirrorSource,
  ) {
    const { x, forwarder, headEnds } = source;
    this.#cluster = cluster;
    this.#head = copyOf(x.request, policy.renamesHost, forwarder.localIp);
    this.#headEnds = headEnds;
    this.#requestEnded = headEnds;
    this.#wheel = forwarder.wheel;
    this.#clock = x;
    this.#timeoutMs = timeouts.globalMs;
    this.#limitBytes = limitBytes;
    this.#timer = new WheelTimer(this);
  }

  start(): void {
    const host = this.#cluster.pick();
    if (host === undefined) {
      this.#over = true;
      this.#cluster.stats.codes.count(503);
      return;
    }
    this.#host = host;
    this.#startMs = this.#clock.now();
    host.httpForRequest(this.#head, 'DEFAULT').open(this);
  }

  sendData(chunk: Buffer, end: boolean): void {
    if (this.#over) return;
    const stream = this.#stream;
    if (stream !== null && this.#body === null && !this.#blocked) {
      stream.sendData(chunk, end);
      return;
    }
    this.#body ??= new RequestBody();
    if (this.#body.bytes + chunk.length > this.#limitBytes) {
      this.#cluster.stats.retryOrShadowAbandoned.inc();
      this.abort();
      return;
    }
    this.#body.add(chunk);
  }

  sendTrailers(trailers: Headers): void {
    if (this.#over) return;
    if (this.#stream !== null && this.#body === null) {
      this.#stream.sendTrailers(trailers);
      return;
    }
    this.#body ??= new RequestBody();
    this.#body.trailers = trailers;
  }

  onRequestEnd(): void {
    this.#requestEnded = true;
    if (this.#over || this.#timeoutMs === 0) return;
    this.#wheel.schedule(this.#timer, this.#timeoutMs, this.#clock.now());
  }

  abort(): void {
    if (this.#over) return;
    const stream = this.#stream;
    this.#finish();
    if (stream === null) {
      this.#host?.httpForRequest(this.#head, 'DEFAULT').cancel(this);
      return;
    }
    if (this.#http2) this.#cluster.stats.rqTxReset.inc();
    stream.reset(CANCELLED);
  }

  onPoolReady(stream: ClientStream, upstream: HttpPoolConnection): void {
    this.#stream = stream;
    this.#http2 = upstream.http2;
    stream.sendHead(this.#head, this.#headEnds);
    if (!this.#headEnds) this.#flush();
  }

  onPoolFailure(reason: ResetReason): void {
    this.#finish();
    if (reason.kind !== 'overflow') this.#host?.onFailure(this.#clock.now() - this.#startMs);
    this.#cluster.stats.codes.count(upstreamReset(reason, false).status);
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) return;
    this.#answered = true;
    this.#host?.onResponse(head.status, this.#clock.now() - this.#startMs);
    this.#cluster.stats.codes.count(head.status);
    if (end) this.#onEnd();
  }

  onData(_chunk: Buffer, end: boolean): void {
    if (end) this.#onEnd();
  }

  onTrailers(): void {
    this.#onEnd();
  }

  onReset(reason: ResetReason): void {
    if (this.#over) return;
    this.#finish();
    const { stats } = this.#cluster;
    if (reason.kind === 'remote-reset') stats.rqRxReset.inc();
    if (this.#answered) return;
    this.#host?.onFailure(this.#clock.now() - this.#startMs);
    stats.codes.count(upstreamReset(reason, false).status);
  }

  onBlocked(blocked: boolean): void {
    this.#blocked = blocked;
    if (!blocked && !this.#over) this.#flush();
  }

  onTimer(): void {
    if (this.#over) return;
    const { stats } = this.#cluster;
    stats.rqTimeout.inc();
    if (!this.#answered) {
      this.#host?.onTimeout(this.#clock.now() - this.#startMs);
      stats.codes.count(504);
    }
    this.abort();
  }

  #flush(): void {
    const body = this.#body;
    const stream = this.#stream;
    if (body === null || stream === null) return;
    this.#body = null;
    body.sendTo(stream, this.#requestEnded);
  }

  #onEnd(): void {
    if (this.#over) return;
    this.#cluster.stats.rqTime.record(this.#clock.now() - this.#startMs);
    // An answer before the end of the request: the rest is of no use to anybody.
    if (this.#requestEnded) this.#finish();
    else this.abort();
  }

  #finish(): void {
    this.#over = true;
    this.#stream = null;
    this.#body = null;
    this.#wheel.cancel(this.#timer);
  }
}

/** It is the proxy's own request, and says so as Envoy does. */
function copyOf(request: RequestHead, renamesHost: boolean, localIp: string): RequestHead {
  const host = renamesHost ? shadowHost(request.authority) : request.authority;
  const headers = request.headers.slice();
  setHeader(headers, 'x-envoy-internal', 'true');
  const through = getAllHeaders(headers, 'x-forwarded-for');
  setHeader(headers, 'x-forwarded-for', through === undefined ? localIp : `${through},${localIp}`);
  const copy = new RequestHead(request.method, request.path, host, headers);
  copy.scheme = request.scheme;
  copy.protocol = request.protocol;
  copy.contentLength = request.contentLength;
  return copy;
}

/** `-shadow` behind the host's name and before its port. */
export function shadowHost(authority: string): string {
  const colon = portStart(authority);
  if (colon < 0) return `${authority}-shadow`;
  return `${authority.slice(0, colon)}-shadow${authority.slice(colon)}`;
}
