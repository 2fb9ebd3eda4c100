import type { HTTPFault } from '#plain/envoy.extensions.filters.http.fault.v3.ts';
import type { CompiledHttpFilter, HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import { type TimerOwner, WheelTimer } from '../../core/timer-wheel.ts';
import type { Exchange } from '../../http/exchange.ts';
import { FilterSlot, type HttpFilter, KEPT } from '../../http/filter.ts';
import { getHeader } from '../../http/headers.ts';
import { FLAG } from '../../http/response-flags.ts';
import { ResponseLimiter } from '../../http/response-limiter.ts';
import { pickOf } from '../../route/response-rules.ts';
import type { Counter, Gauge, StatScope } from '../../stats/scope.ts';
import { type AbortStatus, compileFaultSettings, type FaultSettings } from './fault-settings.ts';

const TYPE = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
/** Names in `x-envoy-downstream-service-cluster` that get counters of their own; anybody may send any name. */
const MAX_CLUSTERS = 100;

/** Delays, aborts and slows requests on purpose, so that policies can be rehearsed. */
export const faultFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.fault',
  type: TYPE,
  routeTypes: [TYPE],
  compile: compileFault,
};

/** `http.<stat_prefix>.fault.*` */
interface FaultStats {
  readonly delaysInjected: Counter;
  readonly abortsInjected: Counter;
  readonly responseRlInjected: Counter;
  readonly faultsOverflow: Counter;
  readonly activeFaults: Gauge;
}

/** What the filter and its variants for routes share. */
interface FaultShared {
  readonly ctx: HttpFilterContext;
  readonly scope: StatScope;
  readonly stats: FaultStats;
  readonly slot: FilterSlot<Fault>;
  readonly clusters: Set<string>;
  /** Requests of this worker that suffer a fault now. */
  active: number;
}

function compileFault(value: object, ctx: HttpFilterContext): CompiledHttpFilter {
  const scope = ctx.httpScope.scope('fault');
  const shared: FaultShared = {
    ctx,
    scope,
    stats: {
      delaysInjected: scope.counter('delays_injected'),
      abortsInjected: scope.counter('aborts_injected'),
      responseRlInjected: scope.counter('response_rl_injected'),
      faultsOverflow: scope.counter('faults_overflow'),
      activeFaults: scope.gauge('active_faults'),
    },
    slot: new FilterSlot(ctx.slot),
    clusters: new Set(),
    active: 0,
  };
  const create = (config: HTTPFault): HttpFilter => createFilter(compileFaultSettings(config, ctx), shared);
  return { ...create(value), forRoute: ([config]) => create(config ?? {}) };
}

function createFilter(settings: FaultSettings, shared: FaultShared): HttpFilter {
  const { slot } = shared;
  return {
    onRequest: (x) => {
      if (settings.upstreamCluster !== '' && pickOf(x)?.name !== settings.upstreamCluster) return undefined;
      if (!settings.matches(x.request)) return undefined;
      return new Fault(x, settings, shared).begin();
    },
    onResponseData: (x, chunk, end) => {
      const limiter = slot.get(x)?.limiter ?? null;
      if (limiter === null) return chunk;
      limiter.onData(chunk, end);
      return KEPT;
    },
    onResponseTrailers: (x, trailers) =>
      slot.get(x)?.limiter?.onTrailers(trailers) === true ? KEPT : undefined,
    onEnd: (x) => slot.get(x)?.close(),
  };
}

/** The faults of one request: first a delay, then an abort; its response may be slow as well. */
class Fault implements TimerOwner {
  limiter: ResponseLimiter | null = null;
  readonly #x: Exchange;
  readonly #settings: FaultSettings;
  readonly #shared: FaultShared;
  /** `x-envoy-downstream-service-cluster`, '' when it is not given. */
  readonly #cluster: string;
  /** Counted in `active_faults`, once whatever happens. */
  #active = false;
  #timer: WheelTimer | null = null;
  #release: (() => void) | null = null;

  constructor(x: Exchange, settings: FaultSettings, shared: FaultShared) {
    this.#x = x;
    this.#settings = settings;
    this.#shared = shared;
    this.#cluster = getHeader(x.request.headers, 'x-envoy-downstream-service-cluster') ?? '';
  }

  begin(): Promise<void> | undefined {
    const { request } = this.#x;
    const settings = this.#settings;
    const { ctx, stats } = this.#shared;
    const bytesPerSecond = settings.responseBytesPerSecond(request);
    if (bytesPerSecond > 0 && this.#activate()) {
      stats.responseRlInjected.inc();
      this.limiter = new ResponseLimiter(this.#x, ctx.slot, ctx.wheel, bytesPerSecond);
    }
    const delayMs = settings.delayMs(request, this.#cluster);
    if (delayMs > 0 && this.#activate()) return this.#delay(delayMs);
    this.#abort();
    return undefined;
  }

  onTimer(): void {
    // The answer goes out first: then nobody runs the rest of the chain.
    this.#abort();
    this.#release?.();
    this.#release = null;
  }

  close(): void {
    if (this.#timer !== null) this.#shared.ctx.wheel.cancel(this.#timer);
    this.limiter?.close();
    if (!this.#active) return;
    this.#active = false;
    this.#shared.active--;
    this.#shared.stats.activeFaults.dec();
  }

  #delay(ms: number): Promise<void> {
    const { stats, ctx } = this.#shared;
    stats.delaysInjected.inc();
    this.#count('delays_injected');
    this.#x.responseFlags |= FLAG.delayInjected;
    this.#timer = new WheelTimer(this);
    ctx.wheel.schedule(this.#timer, ms);
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  #abort(): void {
    const status = this.#settings.abort(this.#x.request, this.#cluster);
    if (status === null || !this.#activate()) return;
    this.#shared.stats.abortsInjected.inc();
    this.#count('aborts_injected');
    this.#x.reply(abortAnswer(status));
  }

  /** False: as many faults as may be are at work. */
  #activate(): boolean {
    if (this.#active) return true;
    const shared = this.#shared;
    if (shared.active >= this.#settings.maxActiveFaults) {
      shared.stats.faultsOverflow.inc();
      return false;
    }
    this.#active = true;
    shared.active++;
    shared.stats.activeFaults.inc();
    shared.slot.set(this.#x, this);
    return true;
  }

  #count(name: string): void {
    const { clusters, scope } = this.#shared;
    const cluster = this.#cluster;
    if (cluster === '' || !this.#settings.clusterStats) return;
    if (!clusters.has(cluster) && clusters.size >= MAX_CLUSTERS) return;
    clusters.add(cluster);
    scope.scope(cluster).counter(name).inc();
  }
}

function abortAnswer({ http, grpc }: AbortStatus) {
  const answer = {
    status: http,
    body: 'fault filter abort',
    details: 'fault_filter_abort',
    flags: FLAG.faultInjected,
  };
  return grpc === undefined ? answer : { ...answer, grpcStatus: grpc };
}
