import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { StatScope } from '../stats/scope.ts';
import type { ClusterContext } from '../upstream/context.ts';
import type { OriginalDstSettings } from '../upstream/original-dst.ts';

const DEFAULT_HEADER = 'x-envoy-original-dst-host';
const DEFAULT_CLEANUP_MS = 5000;

export function isOriginalDst(config: ClusterConfig): boolean {
  return config.type === 'ORIGINAL_DST';
}

/** `type: ORIGINAL_DST` with `original_dst_lb_config` and `cleanup_interval`. */
export function compileOriginalDst(
  config: ClusterConfig,
  scope: StatScope,
  context: ClusterContext,
): OriginalDstSettings {
  const { originalDstLbConfig: lb = {}, cleanupInterval } = config;
  if (config.lbPolicy !== 'CLUSTER_PROVIDED') {
    throw ConfigError.at(
      'lb_policy',
      `${config.lbPolicy ?? 'ROUND_ROBIN'} is not valid for a cluster of type ORIGINAL_DST, only CLUSTER_PROVIDED is`,
    );
  }
  if (config.loadAssignment !== undefined) {
    throw ConfigError.at('load_assignment', 'a cluster of type ORIGINAL_DST must have none');
  }
  const useHeader = lb.useHttpHeader ?? false;
  if (!useHeader && (lb.httpHeaderName ?? '') !== '') {
    throw ConfigError.at(
      'original_dst_lb_config.http_header_name',
      'has no effect without use_http_header, which must be true',
    );
  }
  return {
    headerName: useHeader ? (lb.httpHeaderName || DEFAULT_HEADER).toLowerCase() : '',
    metadataKey: compileMetadataKey(lb.metadataKey),
    port: lb.upstreamPortOverride ?? 0,
    cleanupMs: cleanupInterval ?? DEFAULT_CLEANUP_MS,
    invalid: scope.counter('original_dst_host_invalid'),
    clock: context.clock,
    timers: context.timers,
    isOwn: context.isOwnAddress ?? (() => false),
  };
}

/** Listener filters note strings by namespace and name, so a path has one step. */
function compileMetadataKey(
  config: NonNullable<ClusterConfig['originalDstLbConfig']>['metadataKey'],
): OriginalDstSettings['metadataKey'] {
  if (config === undefined) return null;
  const [step, ...deeper] = config.path ?? [];
  if (step === undefined || deeper.length > 0) {
    throw ConfigError.at('original_dst_lb_config.metadata_key.path', 'must have one segment');
  }
  return { namespace: config.key ?? '', name: step.key ?? '' };
}
