import type {
  HedgePolicy,
  RouteAction,
  RouteAction_RequestMirrorPolicy,
  Route as RouteConfig,
} from '#plain/envoy.config.route.v3.ts';
import type { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { ForwardPolicy } from '../forward/forward-policy.ts';
import type { MirrorPolicy } from '../forward/mirror.ts';
import { expectedHeader } from '../forward/request-timeouts.ts';
import type { RetryPolicy } from '../forward/retry-policy.ts';
import { getHeader } from '../http/headers.ts';
import type { RouteStreamDuration } from '../route/action.ts';
import { compileFraction, type RuntimeFractions } from '../route/match.ts';
import { compileRetryPolicy, type RetryExtensions } from './retry-policy.ts';
import type { RouteLevel } from './route-action.ts';
import { compileConnect } from './upgrades.ts';

/** What compiling routes needs from outside. */
export interface ForwardContext<C> {
  /** The cell of a cluster, empty until there is one. Also called while serving, for `cluster_header`. */
  cluster(name: string): Cell<C>;
  /** Given: a cluster that is not known is an error unless `validate_clusters` is false. */
  readonly clusterExists?: (name: string) => boolean;
  readonly runtimeFractions?: RuntimeFractions;
  /** Given: retries may choose hosts by extensions. */
  readonly retryExtensions?: RetryExtensions;
  /** For mirrors of a part of the requests. */
  readonly random?: Random;
}

const DEFAULT_TIMEOUT_MS = 15_000;
/** Envoy's default `per_connection_buffer_limit_bytes`, which limits what it keeps of a request. */
const DEFAULT_BUFFER_LIMIT = 1024 * 1024;

/** Timeouts, retries, hedging and mirrors of a route, from whichever level says the most specific word. */
export function compileForwardPolicy<C>(
  config: RouteAction,
  route: RouteConfig,
  level: RouteLevel,
  ctx: ForwardContext<C>,
): ForwardPolicy<C> {
  const host = level.virtualHostConfig;
  const path = `${level.path}.route`;
  if (config.retryPolicyTypedConfig !== undefined || host.retryPolicyTypedConfig !== undefined) {
    throw ConfigError.at(`${path}.retry_policy_typed_config`, 'retry policy extensions are not supported');
  }
  const retryConfig = config.retryPolicy ?? host.retryPolicy;
  const hedge = compileHedge(config.hedgePolicy ?? host.hedgePolicy);
  // With the new timeouts the whole stream is limited, by the connection manager; the answer alone is not.
  const globalMs = config.maxStreamDuration === undefined ? (config.timeout ?? DEFAULT_TIMEOUT_MS) : 0;
  const perTryMs = retryConfig?.perTryTimeout ?? 0;
  const timeouts = {
    globalMs,
    perTryMs: globalMs !== 0 && perTryMs >= globalMs ? 0 : perTryMs,
    perTryIdleMs: retryConfig?.perTryIdleTimeout ?? 0,
    maxStreamMs: -1,
    hedge,
    status: 504,
  };
  return {
    timeouts: { ...timeouts, expected: expectedHeader(timeouts) },
    grpcTimeouts: compileGrpcTimeouts(config),
    priority: config.priority ?? 'DEFAULT',
    connect: compileConnect(config.upgradeConfigs, `${path}.upgrade_configs`),
    retry: retryOf(retryConfig, `${path}.retry_policy`, ctx),
    mirrors: compileMirrors(config, level, ctx),
    bufferLimitBytes: bufferLimit(route) ?? bufferLimit(host) ?? DEFAULT_BUFFER_LIMIT,
    attemptCountInRequest: host.includeRequestAttemptCount === true,
    attemptCountInResponse: host.includeAttemptCountInResponse === true,
    isTimeoutRetryHeader: host.includeIsTimeoutRetryHeader === true,
  };
}

/** `max_stream_duration` of a route, which the connection manager measures. */
export function compileStreamDuration(config: RouteAction): RouteStreamDuration | undefined {
  const duration = config.maxStreamDuration;
  if (duration === undefined) return undefined;
  return {
    maxMs: duration.maxStreamDuration,
    grpcMaxMs: duration.grpcTimeoutHeaderMax,
    grpcOffsetMs: duration.grpcTimeoutHeaderOffset ?? 0,
  };
}

function retryOf<C>(
  config: RouteAction['retryPolicy'],
  path: string,
  ctx: ForwardContext<C>,
): RetryPolicy | null {
  return config === undefined ? null : compileRetryPolicy(config, path, ctx.retryExtensions);
}

/** `initial_requests` and `additional_request_chance` do nothing in Envoy either. */
function compileHedge(config: HedgePolicy | undefined): boolean {
  return config?.hedgeOnPerTryTimeout === true;
}

function compileGrpcTimeouts(config: RouteAction): ForwardPolicy['grpcTimeouts'] {
  if (config.maxGrpcTimeout === undefined || config.maxStreamDuration !== undefined) return null;
  return { maxMs: config.maxGrpcTimeout, offsetMs: config.grpcTimeoutOffset ?? 0 };
}

function bufferLimit(
  config: Pick<RouteConfig, 'perRequestBufferLimitBytes' | 'requestBodyBufferLimit'>,
): number | undefined {
  return config.requestBodyBufferLimit ?? config.perRequestBufferLimitBytes;
}

function compileMirrors<C>(
  config: RouteAction,
  level: RouteLevel,
  ctx: ForwardContext<C>,
): readonly MirrorPolicy<C>[] | null {
  return (
    compileMirrorList(config, `${level.path}.route`, level, ctx) ??
    compileMirrorList(level.virtualHostConfig, 'virtual host', level, ctx) ??
    compileMirrorList(level.tableConfig, '', level, ctx)
  );
}

function compileMirrorList<C>(
  { requestMirrorPolicies: mirrors = [] }: Pick<RouteAction, 'requestMirrorPolicies'>,
  path: string,
  level: RouteLevel,
  ctx: ForwardContext<C>,
): readonly MirrorPolicy<C>[] | null {
  if (mirrors.length === 0) return null;
  return mirrors.map((one, i) => compileMirror(one, `${path}.request_mirror_policies[${i}]`, level, ctx));
}

function compileMirror<C>(
  config: RouteAction_RequestMirrorPolicy,
  path: string,
  level: RouteLevel,
  ctx: ForwardContext<C>,
): MirrorPolicy<C> {
  const { runtimeFraction } = config;
  const name = config.cluster ?? '';
  const header = (config.clusterHeader ?? '').toLowerCase();
  if (name === '' && header === '')
    throw ConfigError.at(path, 'one of cluster and cluster_header is required');
  if (name !== '' && header !== '')
    throw ConfigError.at(path, 'cluster and cluster_header exclude each other');
  const cell = name === '' ? undefined : ctx.cluster(knownCluster(name, `${path}.cluster`, level, ctx));
  const { random } = ctx;
  const drawn =
    runtimeFraction === undefined || random === undefined
      ? undefined
      : compileFraction(runtimeFraction, ctx.runtimeFractions);
  return {
    cluster:
      cell !== undefined
        ? () => cell
        : (request) => {
            const named = getHeader(request.headers, header);
            return named === undefined || named === '' ? undefined : ctx.cluster(named);
          },
    draws: drawn === undefined || random === undefined ? null : (request) => drawn(request, random.uint32()),
    renamesHost: config.disableShadowHostSuffixAppend !== true,
  };
}

/** `name`; a cluster that nobody knows is an error where clusters are validated. */
export function knownCluster<C>(
  name: string,
  path: string,
  level: RouteLevel,
  ctx: ForwardContext<C>,
): string {
  if (ctx.clusterExists === undefined || level.tableConfig.validateClusters === false) return name;
  if (!ctx.clusterExists(name)) throw ConfigError.at(path, `unknown cluster '${name}'`);
  return name;
}
