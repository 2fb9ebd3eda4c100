// Over 400 lines: what becomes of a request with several attempts is one state machine.
import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, WheelTimer } from '../core/timer-wheel.ts';
import type { Exchange, LocalAnswer, RequestSink } from '../http/exchange.ts';
import { type Headers, removeHeader, setHeader } from '../http/headers.ts';
import { LOCAL_REPLY, upstreamReset } from '../http/local-reply.ts';
import { FLAG } from '../http/response-flags.ts';
import type { ResponseHead } from '../http/stream.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import type { PickContext } from '../upstream/lb/load-balancer.ts';
import { type AttemptOwner, HttpAttempt } from './attempt.ts';
import type { AttemptTimeout } from './attempt-timers.ts';
import type { Forwarder, ForwardPolicy } from './forward-policy.ts';
import { Mirrors } from './mirror.ts';
import { isReplayable } from './replay.ts';
import { RequestBody } from './request-body.ts';
import { hasEnvoyHeaders, type RequestTimeouts, writeTimeoutHeaders } from './request-timeouts.ts';
import { pickRetryHost } from './retry-host.ts';
import { type RetryOwner, RetryState, type RetryVerdict, retryParts } from './retry-state.ts';

/** Sends an exchange's request to a host of a cluster, or to several one after the other, and an answer back. */
export function forwardHttp(
  x: Exchange,
  cluster: Cluster,
  context: PickContext | null,
  policy: ForwardPolicy,
  timeouts: RequestTimeouts,
  forwarder: Forwarder,
  end: boolean,
): void {
  new ForwardedRequest(x, cluster, context, policy, timeouts, forwarder, end).start();
}

/** A request on its way: the attempts made for it, what they may need of it, and who of them answers. */
export class ForwardedRequest implements RequestSink, AttemptOwner, RetryOwner, TimerOwner {
  readonly x: Exchange;
  readonly forwarder: Forwarder;
  readonly headEnds: boolean;
  readonly priority: 'DEFAULT' | 'HIGH';
  readonly connects: boolean;
  readonly #cluster: Cluster;
  readonly #context: PickContext | null;
  readonly #policy: ForwardPolicy;
  readonly #timeouts: RequestTimeouts;
  readonly #timer: WheelTimer;
  #requestEnded: boolean;
  #startMs: number;
  /** The latest, which takes the body; null while a retry waits. */
  #attempt: HttpAttempt | null;
  /** Those that a hedge overtook, as long as they run; null for none. */
  #overtaken: HttpAttempt[] | null;
  #retry: RetryState | null;
  /** Hosts of the attempts that failed, for the retry's choice; null when nobody asks. */
  #tried: Host[] | null;
  /** What came of the body while it could not be sent, or all of it when it is kept. */
  #body: RequestBody | null;
  #keepsBody: boolean;
  #mirrors: Mirrors | null;
  #responseStarted: boolean;
  #isRetry: boolean;
  #replayed: boolean;
  #paused: boolean;

  constructor(
    x: Exchange,
    cluster: Cluster,
    context: PickContext | null,
    policy: ForwardPolicy,
    timeouts: RequestTimeouts,
    forwarder: Forwarder,
    end: boolean,
  ) {
    this.x = x;
    this.forwarder = forwarder;
    this.headEnds = end;
    this.priority = policy.priority;
    this.connects = policy.connect && x.request.method === 'CONNECT' && x.request.upgrade === '';
    this.#cluster = cluster;
    this.#context = context;
    this.#policy = policy;
    this.#timeouts = timeouts;
    this.#timer = new WheelTimer(this);
    this.#requestEnded = end;
    this.#startMs = x.activeMs;
    this.#attempt = null;
    this.#overtaken = null;
    this.#retry = null;
    this.#tried = null;
    this.#body = null;
    this.#keepsBody = false;
    this.#mirrors = null;
    this.#responseStarted = false;
    this.#isRetry = false;
    this.#replayed = false;
    this.#paused = false;
  }

  start(): void {
    const { x } = this;
    const policy = this.#policy;
    const cluster = this.#cluster;
    const host = cluster.pick(this.#context);
    if (host === undefined) {
      // Counted, as Envoy does, although nothing was asked.
      x.upstreamAttempts = 1;
      this.#noHost();
      return;
    }
    this.#prepareRetries();
    x.sink = this;
    if (policy.mirrors !== null) {
      this.#mirrors = Mirrors.start(policy.mirrors, this.#timeouts, policy.bufferLimitBytes, this);
    }
    this.#begin(host);
    if (this.#requestEnded && !x.finished) this.#onRequestEnd();
  }

  // --- the request, from the exchange ----------------------------------------------------------------------

  onRequestData(chunk: Buffer, end: boolean): void {
    if (this.#keepsBody && !this.#keep(chunk)) return;
    this.#mirrors?.sendData(chunk, end);
    const attempt = this.#attempt;
    if (attempt?.open === true) attempt.sendData(chunk, end);
    else if (!this.#keepsBody && (attempt === null || attempt.waiting)) this.#hold().add(chunk);
    if (end) this.#onRequestEnd();
  }

  onRequestTrailers(trailers: Headers): void {
    this.#mirrors?.sendTrailers(trailers);
    const attempt = this.#attempt;
    const open = attempt?.open === true;
    if (this.#keepsBody || !open) this.#hold().trailers = trailers;
    if (open) attempt.sendTrailers(trailers);
    this.#onRequestEnd();
  }

  onDownstreamBlocked(blocked: boolean): void {
    this.#attempt?.block(blocked);
  }

  onFinished(): void {
    this.forwarder.wheel.cancel(this.#timer);
    this.#retry?.release();
    this.#retry = null;
    if (!this.#requestEnded) this.#mirrors?.abort();
    this.#attempt?.abandon();
    for (const attempt of this.#overtaken ?? []) attempt.abandon();
  }

  // --- from the attempts -----------------------------------------------------------------------------------

  onAttemptOpen(attempt: HttpAttempt): void {
    const { maxStreamMs, perTryMs, perTryIdleMs } = this.#timeouts;
    const durationMs = maxStreamMs >= 0 ? maxStreamMs : this.#cluster.settings.maxStreamDurationMs;
    if (durationMs > 0) attempt.startDuration(durationMs);
    if (this.#requestEnded) attempt.startPerTry(perTryMs, perTryIdleMs);
    if (!this.headEnds) {
      const body = this.#body;
      if (!this.#keepsBody) this.#body = null;
      if (body !== null) attempt.sendBody(body, this.#requestEnded);
      else if (this.#requestEnded) attempt.sendData(EMPTY, true);
    }
    this.#resume();
  }

  onAttemptHead(attempt: HttpAttempt, head: ResponseHead, end: boolean): void {
    const refused = this.#refuses(attempt, head);
    if (refused) {
      attempt.dismiss(this.#requestEnded);
      return;
    }
    const { x } = this;
    this.#win(attempt);
    const nowMs = x.upstreamFirstRxMs;
    this.#cluster.stats.codes.count(head.status);
    if (x.responseCodeDetails === '') x.responseCodeDetails = 'via_upstream';
    if (!this.forwarder.suppressEnvoyHeaders) {
      removeHeader(head.headers, 'x-envoy-upstream-service-time');
      // Envoy counts from the end of the request: an answer that comes before it has no such time.
      if (x.requestEndMs >= 0) {
        head.headers.push('x-envoy-upstream-service-time', String(Math.trunc(nowMs - x.requestEndMs)));
      }
    }
    if (this.#policy.attemptCountInResponse) {
      setHeader(head.headers, 'x-envoy-attempt-count', String(x.upstreamAttempts));
    }
    if (end) this.onAttemptEnd(attempt);
    x.sendHead(head, end);
  }

  onAttemptEnd(attempt: HttpAttempt): void {
    const { x } = this;
    const nowMs = x.now();
    x.upstreamLastRxMs = nowMs;
    this.#cluster.stats.rqTime.record(nowMs - this.#startMs);
    if (!this.#requestEnded) return;
    attempt.complete();
    this.forwarder.wheel.cancel(this.#timer);
  }

  onAttemptFailure(attempt: HttpAttempt, reason: ResetReason): void {
    if (!this.#responseStarted) {
      if (this.#replays(attempt, reason)) return;
      attempt.failed();
      if (this.#retries(attempt, reason, false)) return;
    }
    const answer = upstreamReset(reason, this.#responseStarted, this.#isRetry);
    if (!this.#responseStarted) this.#cluster.stats.codes.count(answer.status);
    this.#drop(attempt);
    if (!this.#responseStarted && this.#expectsMore()) return;
    if (reason.kind === 'overflow') this.#cluster.dropped++;
    const overloaded = answer.headers !== undefined;
    this.#reply(
      overloaded && this.forwarder.suppressEnvoyHeaders ? { ...answer, headers: undefined } : answer,
    );
  }

  onAttemptTimeout(attempt: HttpAttempt, what: AttemptTimeout): void {
    const { stats } = this.#cluster;
    if (what === 'max-duration') {
      stats.rqMaxDurationReached.inc();
      attempt.abandon();
      if (this.#retries(attempt, LOCAL_RESET, false)) return;
      const ended = this.#requestEnded;
      this.#fail(
        attempt,
        ended ? LOCAL_REPLY.upstreamMaxStreamDuration : LOCAL_REPLY.upstreamMaxStreamDurationOpen,
      );
      return;
    }
    if (what === 'per-try' && this.#responseStarted) return;
    if (this.#timeouts.hedge) {
      this.#hedge(attempt);
      return;
    }
    const idle = what === 'per-try-idle';
    (idle ? stats.rqPerTryIdleTimeout : stats.rqPerTryTimeout).inc();
    if (!attempt.answered) attempt.timedOut();
    attempt.abort();
    if (this.#retries(attempt, LOCAL_RESET, true)) return;
    if (!this.#responseStarted) stats.codes.count(this.#timeouts.status);
    this.#fail(
      attempt,
      this.#timeoutAnswer(idle ? LOCAL_REPLY.perTryIdleTimeout : LOCAL_REPLY.perTryTimeout),
    );
  }

  // --- time ------------------------------------------------------------------------------------------------

  /** The route's timeout. */
  onTimer(): void {
    if (this.x.finished) return;
    this.#retry?.release();
    this.#retry = null;
    for (const attempt of this.#overtaken ?? []) this.#timeOut(attempt);
    this.#overtaken = null;
    if (this.#attempt !== null) this.#timeOut(this.#attempt);
    this.#attempt = null;
    this.#reply(this.#timeoutAnswer(LOCAL_REPLY.requestTimeout));
  }

  onRetryDue(afterTimeout: boolean): void {
    const { x } = this;
    const { headers } = x.request;
    this.#isRetry = true;
    const host = this.#pickAgain();
    if (this.#attempt !== null) {
      this.#overtaken ??= [];
      this.#overtaken.push(this.#attempt);
      this.#attempt = null;
    }
    if (host === undefined) {
      x.upstreamAttempts++;
      this.#noHost();
      return;
    }
    const policy = this.#policy;
    if (policy.attemptCountInRequest) {
      setHeader(headers, 'x-envoy-attempt-count', String(x.upstreamAttempts + 1));
    }
    if (policy.isTimeoutRetryHeader) setHeader(headers, 'x-envoy-is-timeout-retry', String(afterTimeout));
    const elapsedMs = this.#requestEnded ? Math.trunc(x.now() - x.requestEndMs) : 0;
    writeTimeoutHeaders(policy, this.#timeouts, x.request, elapsedMs, this.forwarder.suppressEnvoyHeaders);
    this.#begin(host);
  }

  // --- attempts --------------------------------------------------------------------------------------------

  #begin(host: Host): void {
    const { x } = this;
    const attempt = new HttpAttempt(this, host, this.#cluster.stats);
    this.#attempt = attempt;
    x.upstreamTransportFailure = '';
    attempt.start();
    if (this.#attempt !== attempt || !attempt.waiting || this.#requestEnded || this.#paused) return;
    this.#paused = true;
    x.pauseRequest();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.x.resumeRequest();
  }

  #win(attempt: HttpAttempt): void {
    this.#responseStarted = true;
    this.#retry?.release();
    this.#retry = null;
    if (this.#attempt === attempt && this.#overtaken === null) return;
    const others = this.#overtaken ?? [];
    this.#overtaken = null;
    if (this.#attempt !== null && this.#attempt !== attempt) this.#attempt.abandon();
    for (const other of others) if (other !== attempt) other.abandon();
    this.#attempt = attempt;
    this.x.upstreamHost = attempt.address;
  }

  /** Forgets an attempt that is over. */
  #drop(attempt: HttpAttempt): void {
    if (this.#attempt === attempt) {
      this.#attempt = null;
      return;
    }
    const rest = (this.#overtaken ?? []).filter((other) => other !== attempt);
    this.#overtaken = rest.length === 0 ? null : rest;
  }

  /** Another attempt may still bring an answer. */
  #expectsMore(): boolean {
    return (
      this.#attempt?.awaited === true ||
      this.#overtaken?.some((attempt) => attempt.awaited) === true ||
      this.#retry?.waiting === true
    );
  }

  #timeOut(attempt: HttpAttempt): void {
    const { stats } = this.#cluster;
    stats.rqTimeout.inc();
    if (attempt.awaited) {
      attempt.timedOut();
      stats.codes.count(this.#timeouts.status);
    }
    attempt.abort();
  }

  // --- retries ---------------------------------------------------------------------------------------------

  #prepareRetries(): void {
    const policy = this.#policy;
    const { request } = this.x;
    const asks = hasEnvoyHeaders(request.headers);
    if (policy.retry === null && !asks) return;
    const { wheel, wall } = this.forwarder;
    const parts = retryParts(this.#cluster, policy.priority, wheel, wall);
    this.#retry = RetryState.of(policy.retry, request, asks, parts, this);
    if (this.#retry === null) return;
    this.#keepsBody = this.#retry.enabled && !this.headEnds;
    const { hostPredicates, priorityFrequency } = this.#retry.policy;
    if (hostPredicates.length > 0 || priorityFrequency > 0) this.#tried = [];
  }

  /** The answer is not for the client: there will be another attempt, or there is one. */
  #refuses(attempt: HttpAttempt, head: ResponseHead): boolean {
    const retry = this.#retry;
    if (retry === null) return false;
    let unwanted: boolean;
    if (attempt.hedged) unwanted = retry.wouldRetryHead(head);
    else {
      const verdict = retry.onHead(head);
      if (verdict === 'retry') {
        this.#cluster.stats.retryCodes.count(head.status);
        this.#giveUp(attempt);
        return true;
      }
      unwanted = this.#flag(verdict);
    }
    if (!unwanted) return false;
    this.#drop(attempt);
    if (this.#expectsMore()) return true;
    this.#attempt = attempt;
    return false;
  }

  /** An attempt was reset or gave up; true when another one is on its way. */
  #retries(attempt: HttpAttempt, reason: ResetReason, afterTimeout: boolean): boolean {
    const retry = this.#retry;
    if (retry === null || this.#responseStarted || attempt.hedged) return false;
    if (this.#flag(retry.onReset(reason, attempt.sent, afterTimeout)) || !retry.waiting) return false;
    this.#giveUp(attempt);
    return true;
  }

  #giveUp(attempt: HttpAttempt): void {
    this.#drop(attempt);
    this.#tried?.push(attempt.host);
    if (this.#requestEnded || this.#paused) return;
    // Nothing is read that could not be sent: what is kept stays within its bound.
    this.#paused = true;
    this.x.pauseRequest();
  }

  /** True when the attempt would have been retried, had it been allowed. */
  #flag(verdict: RetryVerdict): boolean {
    if (verdict === 'overflow') this.x.responseFlags |= FLAG.upstreamOverflow;
    else if (verdict === 'limit') this.x.responseFlags |= FLAG.upstreamRetryLimitExceeded;
    else return false;
    return true;
  }

  /** Lets the attempt run on and makes another one beside it. */
  #hedge(attempt: HttpAttempt): void {
    attempt.timedOut();
    const retry = this.#retry;
    if (retry === null || this.#responseStarted || attempt.hedged) return;
    if (this.#flag(retry.onHedge()) || !retry.waiting) return;
    attempt.hedged = true;
    this.#tried?.push(attempt.host);
  }

  #pickAgain(): Host | undefined {
    const policy = this.#retry?.policy;
    return policy === undefined
      ? this.#cluster.pick(this.#context)
      : pickRetryHost(this.#cluster, this.#context, policy, this.#tried ?? NO_HOSTS);
  }

  /** See `isReplayable`: another attempt at once, which is none of the retry policy's. */
  #replays(attempt: HttpAttempt, reason: ResetReason): boolean {
    if (this.#replayed || this.forwarder.envoyStrict || attempt.hedged) return false;
    if (!this.headEnds && !this.#keepsBody) return false;
    if (!isReplayable(attempt, reason, this.x.request.method)) return false;
    const host = this.#cluster.pick(this.#context);
    if (host === undefined) return false;
    this.#replayed = true;
    this.#cluster.stats.rqReplayed.inc();
    this.#begin(host);
    return true;
  }

  // --- the request's body ----------------------------------------------------------------------------------

  #hold(): RequestBody {
    this.#body ??= new RequestBody();
    return this.#body;
  }

  /** False when the body is more than is kept and no attempt is there to take it: the request was answered. */
  #keep(chunk: Buffer): boolean {
    const body = this.#hold();
    if (body.bytes + chunk.length <= this.#policy.bufferLimitBytes) {
      body.add(chunk);
      return true;
    }
    this.#cluster.stats.retryOrShadowAbandoned.inc();
    this.#retry?.release();
    this.#retry = null;
    this.#keepsBody = false;
    const attempt = this.#attempt;
    if (attempt === null) {
      this.#reply(LOCAL_REPLY.retryBufferExceeded);
      return false;
    }
    if (attempt.open) this.#body = null;
    return true;
  }

  #onRequestEnd(): void {
    this.#requestEnded = true;
    this.#mirrors?.onRequestEnd();
    const attempt = this.#attempt;
    // As Envoy: nothing is timed when the first attempt has failed before the request ended.
    if (attempt === null || this.x.finished) return;
    const { globalMs, perTryMs, perTryIdleMs } = this.#timeouts;
    const { wheel } = this.forwarder;
    if (globalMs > 0 && this.#timer.slot === null) wheel.schedule(this.#timer, globalMs, this.x.activeMs);
    if (!this.headEnds && attempt.open) attempt.startPerTry(perTryMs, perTryIdleMs);
  }

  // --- answers of our own ----------------------------------------------------------------------------------

  #noHost(): void {
    this.#cluster.stats.codes.count(503);
    this.#reply(LOCAL_REPLY.noHealthyUpstream);
  }

  #fail(attempt: HttpAttempt, answer: LocalAnswer): void {
    this.#drop(attempt);
    this.#reply(answer);
  }

  #timeoutAnswer(answer: LocalAnswer): LocalAnswer {
    const { status } = this.#timeouts;
    return status === answer.status ? answer : { ...answer, status, body: '' };
  }

  #reply(answer: LocalAnswer): void {
    const { x } = this;
    if (this.#policy.attemptCountInResponse && !this.#responseStarted) {
      const headers = [
        ...(answer.headers ?? []),
        'x-envoy-attempt-count',
        String(Math.max(1, x.upstreamAttempts)),
      ];
      x.reply({ ...answer, headers });
      return;
    }
    x.reply(answer);
  }
}

const EMPTY = Buffer.alloc(0);
const NO_HOSTS: readonly Host[] = [];

/** How a timeout looks to the retry policy. */
const LOCAL_RESET: ResetReason = {
  kind: 'local-reset',
  fault: 'local',
  retrySafe: false,
  details: '',
};
