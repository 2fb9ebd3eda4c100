import type { FaultDelay, FaultRateLimit } from '#plain/envoy.extensions.filters.common.fault.v3.ts';
import type { FaultAbort, HTTPFault } from '#plain/envoy.extensions.filters.http.fault.v3.ts';
import type { FractionalPercent } from '#plain/envoy.type.v3.ts';
import type { CompileContext } from '../../config/context.ts';
import { runtimeFractions } from '../../config/runtime.ts';
import type { Cell } from '../../core/cell.ts';
import { getHeader } from '../../http/headers.ts';
import type { RequestHead } from '../../http/stream.ts';
import { compileHeaderMatcher, type RequestPredicate } from '../../route/header-matcher.ts';

/** What may go wrong with a request, asked one by one; each draws anew. Values come from headers where configured. */
export interface FaultSettings {
  /** Whether faults are meant for the request at all, besides its cluster. */
  readonly matches: RequestPredicate;
  /** '' for all clusters. */
  readonly upstreamCluster: string;
  /** Milliseconds, 0 for none. */
  readonly delayMs: (request: RequestHead, cluster: string) => number;
  readonly abort: (request: RequestHead, cluster: string) => AbortStatus | null;
  /** Bytes a second, 0 for no limit. */
  readonly responseBytesPerSecond: (request: RequestHead) => number;
  readonly maxActiveFaults: number;
  readonly clusterStats: boolean;
}

export interface AbortStatus {
  readonly http: number;
  /** Undefined: the one that belongs to the HTTP status. */
  readonly grpc: number | undefined;
}

type Ctx = Pick<CompileContext, 'runtime' | 'random'>;
type Share = (request: RequestHead, clusterKey: string) => boolean;

/** `x-envoy-downstream-service-cluster` of the request is part of further runtime keys: `fault.http.<name>.…`. */
export function compileFaultSettings(config: HTTPFault, ctx: Ctx): FaultSettings {
  return {
    matches: compileMatch(config),
    upstreamCluster: config.upstreamCluster ?? '',
    delayMs: compileDelay(config.delay, config, ctx),
    abort: compileAbort(config.abort, config, ctx),
    responseBytesPerSecond: compileRate(config.responseRateLimit, config, ctx),
    maxActiveFaults: integer(
      ctx,
      config.maxActiveFaultsRuntime || 'fault.http.max_active_faults',
      config.maxActiveFaults ?? Infinity,
    ),
    clusterStats: config.disableDownstreamClusterStats !== true,
  };
}

function compileMatch(config: HTTPFault): RequestPredicate {
  const headers = (config.headers ?? []).map((header, i) => compileHeaderMatcher(header, `headers[${i}]`));
  const nodes = new Set(config.downstreamNodes);
  return (request) => {
    if (nodes.size > 0) {
      const node = getHeader(request.headers, 'x-envoy-downstream-service-node');
      if (node === undefined || !nodes.has(node)) return false;
    }
    for (const matches of headers) if (!matches(request)) return false;
    return true;
  };
}

function compileDelay(delay: FaultDelay | undefined, config: HTTPFault, ctx: Ctx): FaultSettings['delayMs'] {
  if (delay === undefined) return () => 0;
  const key = config.delayPercentRuntime || 'fault.http.delay.fixed_delay_percent';
  const share = compileShare(delay.percentage, key, 'x-envoy-fault-delay-request-percentage', ctx);
  const fixed = delay.headerDelay === undefined ? delay.fixedDelay : undefined;
  const durationKey = config.delayDurationRuntime || 'fault.http.delay.fixed_duration_ms';
  return (request, cluster) => {
    if (!share(request, clusterKey(cluster, 'delay.fixed_delay_percent'))) return 0;
    const wanted = fixed ?? headerNumber(request, 'x-envoy-fault-delay-request');
    if (wanted === undefined) return 0;
    const ms = integer(ctx, durationKey, wanted);
    return cluster === '' ? ms : integer(ctx, clusterKey(cluster, 'delay.fixed_duration_ms'), ms);
  };
}

function compileAbort(abort: FaultAbort | undefined, config: HTTPFault, ctx: Ctx): FaultSettings['abort'] {
  if (abort === undefined) return () => null;
  const key = config.abortPercentRuntime || 'fault.http.abort.abort_percent';
  const share = compileShare(abort.percentage, key, 'x-envoy-fault-abort-request-percentage', ctx);
  const { httpStatus, grpcStatus, headerAbort } = abort;
  const byHeader = headerAbort !== undefined;
  const httpKey = config.abortHttpStatusRuntime || 'fault.http.abort.http_status';
  const grpcKey = config.abortGrpcStatusRuntime || 'fault.http.abort.grpc_status';
  return (request, cluster) => {
    if (!share(request, clusterKey(cluster, 'abort.abort_percent'))) return null;
    const http = byHeader ? headerStatus(request) : httpStatus;
    if (http !== undefined) {
      const status = integer(ctx, httpKey, http);
      const own = cluster === '' ? status : integer(ctx, clusterKey(cluster, 'abort.http_status'), status);
      return { http: own, grpc: undefined };
    }
    const grpc = byHeader ? headerNumber(request, 'x-envoy-fault-abort-grpc-request') : grpcStatus;
    return grpc === undefined ? null : { http: 200, grpc: integer(ctx, grpcKey, grpc) };
  };
}

function compileRate(
  limit: FaultRateLimit | undefined,
  config: HTTPFault,
  ctx: Ctx,
): FaultSettings['responseBytesPerSecond'] {
  if (limit === undefined) return () => 0;
  const key = config.responseRateLimitPercentRuntime || 'fault.http.rate_limit.response_percent';
  const share = compileShare(limit.percentage, key, 'x-envoy-fault-throughput-response-percentage', ctx);
  const fixed = limit.headerLimit === undefined ? limit.fixedLimit?.limitKbps : undefined;
  return (request) => {
    const kbps = fixed ?? headerNumber(request, 'x-envoy-fault-throughput-response') ?? 0;
    return kbps > 0 && share(request, '') ? kbps * 1024 : 0;
  };
}

/** A percentage that runtime replaces and that a header of the request may make smaller. */
function compileShare(
  percentage: FractionalPercent | undefined,
  key: string,
  header: string,
  ctx: Ctx,
): Share {
  const numerator = percentage?.numerator ?? 0;
  const denominator = DENOMINATORS[percentage?.denominator ?? 'HUNDRED'];
  const fractions = runtimeFractions(ctx);
  const override = fractions(key);
  const draw = (cell: Cell<FractionalPercent>, share: number): boolean => {
    const given = cell.value;
    const of = given === undefined ? denominator : DENOMINATORS[given.denominator ?? 'HUNDRED'];
    return ctx.random.uint32() % of < (given === undefined ? share : (given.numerator ?? 0));
  };
  return (request, clusterKeyName) => {
    const asked = headerNumber(request, header);
    const share = asked === undefined ? numerator : Math.min(asked, numerator);
    return draw(override, share) || (clusterKeyName !== '' && draw(fractions(clusterKeyName), share));
  };
}

const DENOMINATORS: Readonly<Record<NonNullable<FractionalPercent['denominator']>, number>> = {
  HUNDRED: 100,
  TEN_THOUSAND: 10_000,
  MILLION: 1_000_000,
};

function clusterKey(cluster: string, rest: string): string {
  return cluster === '' ? '' : `fault.http.${cluster}.${rest}`;
}

function integer(ctx: Ctx, key: string, fallback: number): number {
  const value = ctx.runtime(key);
  return typeof value === 'number' && value >= 0 ? value : fallback;
}

/** The first value of a header that anybody may have sent, when it is a whole number. */
function headerNumber(request: RequestHead, name: string): number | undefined {
  const value = getHeader(request.headers, name);
  return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}

function headerStatus(request: RequestHead): number | undefined {
  const status = headerNumber(request, 'x-envoy-fault-abort-request');
  return status !== undefined && status >= 200 && status < 600 ? status : undefined;
}
