import type { HealthCheck } from '#plain/envoy.extensions.filters.http.health_check.v3.ts';
import type { CompiledHttpFilter, HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import type { Cell } from '../../core/cell.ts';
import { ConfigError } from '../../core/errors.ts';
import { HEALTH, SIGNAL } from '../../core/signals.ts';
import type { Exchange, LocalAnswer } from '../../http/exchange.ts';
import { hasHeader, setHeader } from '../../http/headers.ts';
import { FLAG } from '../../http/response-flags.ts';
import type { RequestHead } from '../../http/stream.ts';
import { compileHeaderMatcher } from '../../route/header-matcher.ts';
import type { Cluster } from '../../upstream/cluster.ts';

/**
 * Answers health checks of this proxy, or passes them on and remembers the answers. Every other answer tells
 * upstream health checkers of Envoy's kind when this process is failing.
 */
export const healthCheckFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.health_check',
  type: 'envoy.extensions.filters.http.health_check.v3.HealthCheck',
  compile: compileHealthCheck,
};

type Condition = () => 'unknown' | 'empty' | 'unhealthy' | 'healthy';

/** What the application last answered, in pass-through mode with `cache_time`. */
interface Remembered {
  status: number;
  degraded: boolean;
  untilMs: number;
}

function compileHealthCheck(value: object, ctx: HttpFilterContext): CompiledHttpFilter {
  const config: HealthCheck = value;
  const passThrough = config.passThroughMode === true;
  const cacheMs = config.cacheTime ?? 0;
  if (!passThrough && cacheMs > 0)
    throw ConfigError.at('cache_time', 'may only be set when pass_through_mode is true');
  const conditions = compileConditions(config, ctx);
  const matches = compileMatch(config);
  const { signals, clock } = ctx;
  const cached: Remembered | null = cacheMs > 0 ? { status: 0, degraded: false, untilMs: -1 } : null;
  const failing = (): boolean => signals[SIGNAL.health] !== HEALTH.ok;
  return {
    onRequest: (x) => {
      if (!matches(x.request)) return undefined;
      x.healthCheck = true;
      if (failing()) x.reply(failed('health_check_failed'));
      else if (!passThrough) x.reply(judge(conditions));
      else if (cached !== null && clock.now() < cached.untilMs) x.reply(repeat(cached));
      return undefined;
    },
    onResponse: (x) => {
      const head = x.response;
      if (head === null) return undefined;
      if (x.healthCheck) {
        if (cached !== null) remember(x, cached, clock.now(), cacheMs);
        setHeader(head.headers, 'x-envoy-upstream-healthchecked-cluster', ctx.node.cluster);
      } else if (failing()) setHeader(head.headers, 'x-envoy-immediate-health-check-fail', 'true');
      return undefined;
    },
  };
}

function compileMatch(config: HealthCheck): (request: RequestHead) => boolean {
  const headers = (config.headers ?? []).map((header, i) => compileHeaderMatcher(header, `headers[${i}]`));
  return (request) => {
    for (const matches of headers) if (!matches(request)) return false;
    return true;
  };
}

function compileConditions(config: HealthCheck, ctx: HttpFilterContext): Condition[] {
  return Object.entries(config.clusterMinHealthyPercentages ?? {}).map(([name, { value: percent = 0 }]) => {
    if (percent < 0 || percent > 100)
      throw ConfigError.at(`cluster_min_healthy_percentages["${name}"]`, 'must be from 0 to 100');
    return compileCondition(ctx.cluster(name), percent);
  });
}

function compileCondition(cell: Cell<Cluster>, percent: number): Condition {
  return () => {
    const cluster = cell.value;
    if (cluster === undefined) return 'unknown';
    const hosts = cluster.hosts.value?.hosts ?? [];
    if (hosts.length === 0) return percent === 0 ? 'healthy' : 'empty';
    let usable = 0;
    for (const host of hosts) if (host.availability !== 'unhealthy') usable++;
    return usable < (hosts.length * percent) / 100 ? 'unhealthy' : 'healthy';
  };
}

function judge(conditions: readonly Condition[]): LocalAnswer {
  for (const condition of conditions) {
    const state = condition();
    if (state === 'unknown') return failed('health_check_failed_no_cluster_found');
    if (state === 'empty') return failed('health_check_failed_cluster_empty');
    if (state === 'unhealthy') return failed('health_check_failed_cluster_unhealthy');
  }
  return conditions.length > 0 ? passed('health_check_ok_cluster_healthy') : passed('health_check_ok');
}

function failed(details: string): LocalAnswer {
  return { status: 503, body: '', details, flags: FLAG.failedLocalHealthCheck };
}

function passed(details: string): LocalAnswer {
  return { status: 200, body: '', details, flags: 0 };
}

function repeat(cached: Remembered): LocalAnswer {
  return {
    status: cached.status,
    body: '',
    details: 'health_check_cached',
    flags: cached.status >= 200 && cached.status < 300 ? 0 : FLAG.failedLocalHealthCheck,
    ...(cached.degraded ? { headers: ['x-envoy-degraded', ''] } : {}),
  };
}

/** An answer of ours is none of the application's. */
function remember(x: Exchange, cached: Remembered, nowMs: number, cacheMs: number): void {
  if (x.response === null || nowMs < cached.untilMs) return;
  cached.status = x.response.status;
  cached.degraded = hasHeader(x.response.headers, 'x-envoy-degraded');
  cached.untilMs = nowMs + cacheMs;
}
