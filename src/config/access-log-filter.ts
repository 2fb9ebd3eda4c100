import type {
  AccessLogFilter as AccessLogFilterConfig,
  ComparisonFilter,
  RuntimeFilter,
} from '#plain/envoy.config.accesslog.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import { getHeader } from '../http/headers.ts';
import { flagOf } from '../http/response-flags.ts';
import { compileHeaderMatcher } from '../route/header-matcher.ts';
import { inFraction } from '../route/match.ts';

/** True: the line is written. */
export type AccessLogFilter = (info: AccessLogInfo) => boolean;

export interface AccessLogFilterContext {
  readonly random: Random;
  /** The value of a runtime key, or undefined. */
  runtime(key: string): unknown;
}

/** `envoy.config.accesslog.v3.AccessLogFilter`. */
export function compileAccessLogFilter(
  config: AccessLogFilterConfig,
  ctx: AccessLogFilterContext,
  path: string,
): AccessLogFilter {
  if (config.statusCodeFilter !== undefined) {
    const at = `${path}.status_code_filter.comparison`;
    const test = compileComparison(config.statusCodeFilter.comparison, ctx, at);
    return (x) => test(x.response?.status ?? 0);
  }
  if (config.durationFilter !== undefined) {
    const at = `${path}.duration_filter.comparison`;
    const test = compileComparison(config.durationFilter.comparison, ctx, at);
    // Envoy logs nothing while the end of the request is unknown.
    return (x) => x.endMs >= 0 && test(Math.floor(x.endMs - x.startMs));
  }
  if (config.notHealthCheckFilter !== undefined) return (x) => x.healthCheck !== true;
  if (config.runtimeFilter !== undefined) return compileRuntime(config.runtimeFilter, ctx);
  if (config.andFilter !== undefined) {
    const all = compileAll(config.andFilter.filters, ctx, `${path}.and_filter`);
    return (x) => {
      for (const test of all) if (!test(x)) return false;
      return true;
    };
  }
  if (config.orFilter !== undefined) {
    const any = compileAll(config.orFilter.filters, ctx, `${path}.or_filter`);
    return (x) => {
      for (const test of any) if (test(x)) return true;
      return false;
    };
  }
  if (config.headerFilter !== undefined) {
    const test = compileHeaderMatcher(config.headerFilter.header ?? {}, `${path}.header_filter.header`);
    return (x) => x.request !== null && test(x.request);
  }
  if (config.responseFlagFilter !== undefined) {
    return compileFlags(config.responseFlagFilter.flags ?? [], `${path}.response_flag_filter`);
  }
  throw ConfigError.at(path, 'this kind of filter is not supported');
}

function compileAll(
  configs: readonly AccessLogFilterConfig[] | undefined,
  ctx: AccessLogFilterContext,
  path: string,
): AccessLogFilter[] {
  return (configs ?? []).map((config, i) => compileAccessLogFilter(config, ctx, `${path}.filters[${i}]`));
}

/** Runtime may override the value; a key that is not a number counts as not set. */
function compileComparison(
  config: ComparisonFilter | undefined,
  ctx: AccessLogFilterContext,
  path: string,
): (n: number) => boolean {
  if (config?.value === undefined) throw ConfigError.at(`${path}.value`, 'is required');
  const { defaultValue = 0, runtimeKey } = config.value;
  const override = runtimeKey === undefined ? undefined : ctx.runtime(runtimeKey);
  const value = typeof override === 'number' ? override : defaultValue;
  switch (config.op) {
    case 'GE':
      return (n) => n >= value;
    case 'LE':
      return (n) => n <= value;
    default:
      return (n) => n === value;
  }
}

function compileRuntime(config: RuntimeFilter, ctx: AccessLogFilterContext): AccessLogFilter {
  const override = config.runtimeKey === undefined ? undefined : ctx.runtime(config.runtimeKey);
  const fraction =
    typeof override === 'number' ? { numerator: override } : (config.percentSampled ?? { numerator: 0 });
  const { random } = ctx;
  const independent = config.useIndependentRandomness === true;
  return (x) => inFraction(fraction, independent ? random.uint32() : requestRandom(x, random));
}

/** The number hidden in the request id keeps all proxies of one request together; without an id, any. */
function requestRandom(x: AccessLogInfo, random: Random): number {
  const id = x.request === null ? undefined : getHeader(x.request.headers, 'x-request-id');
  const n = id === undefined ? Number.NaN : Number.parseInt(id.slice(0, 8), 16);
  return Number.isNaN(n) ? random.uint32() : n;
}

function compileFlags(flags: readonly string[], path: string): AccessLogFilter {
  let mask = 0;
  for (const [i, flag] of flags.entries()) {
    const bit = flagOf(flag);
    if (bit === undefined) throw ConfigError.at(`${path}.flags[${i}]`, `unknown response flag '${flag}'`);
    mask |= bit;
  }
  // Without flags any flag counts.
  return mask === 0 ? (x) => x.responseFlags !== 0 : (x) => (x.responseFlags & mask) !== 0;
}
