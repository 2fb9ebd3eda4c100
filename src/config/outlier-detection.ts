import type { Cluster as ClusterConfig, OutlierDetection } from '#plain/envoy.config.cluster.v3.ts';
import type { FailureAccrual } from '#plain/inox.outlier_detection_monitors.failure_accrual.v1.ts';
import { ConfigError } from '../core/errors.ts';
import {
  ACCRUAL_DEFAULTS,
  type AccrualSettings,
  OUTLIER_DEFAULTS,
  type OutlierSettings,
} from '../upstream/outlier-settings.ts';

export type Runtime = (key: string) => unknown;

const ACCRUAL = 'inox.outlier_detection_monitors.failure_accrual.v1.FailureAccrual';

/** `outlier_detection` of a cluster with Envoy's runtime keys applied; null without. */
export function compileOutlierDetection(cluster: ClusterConfig, runtime: Runtime): OutlierSettings | null {
  const config = cluster.outlierDetection;
  if (config === undefined) return null;
  const baseEjectionMs = config.baseEjectionTime ?? OUTLIER_DEFAULTS.baseEjectionMs;
  const maxEjectionMs = config.maxEjectionTime ?? Math.max(OUTLIER_DEFAULTS.maxEjectionMs, baseEjectionMs);
  if (maxEjectionMs < baseEjectionMs) {
    throw ConfigError.at('outlier_detection.max_ejection_time', 'cannot be smaller than base_ejection_time');
  }
  const number = overridden(runtime);
  return {
    ...limits(config, number),
    intervalMs: number('interval_ms', config.interval, OUTLIER_DEFAULTS.intervalMs),
    baseEjectionMs: number('base_ejection_time_ms', baseEjectionMs, 0),
    maxEjectionMs: number('max_ejection_time_ms', maxEjectionMs, 0),
    maxEjectionJitterMs: number('max_ejection_time_jitter_ms', config.maxEjectionTimeJitter, 0),
    alwaysEjectOneHost: config.alwaysEjectOneHost ?? OUTLIER_DEFAULTS.alwaysEjectOneHost,
    splitLocalOrigin: config.splitExternalLocalOriginErrors ?? OUTLIER_DEFAULTS.splitLocalOrigin,
    healthCheckUnejects:
      config.successfulActiveHealthCheckUnejectHost ?? OUTLIER_DEFAULTS.healthCheckUnejects,
    enforcing: enforcing(config, number),
    accrual: compileMonitors(config),
  };
}

/** Envoy reads `outlier_detection.<field>`, whatever the cluster. */
type Overridden = (key: string, configured: number | undefined, fallback: number) => number;

function overridden(runtime: Runtime): Overridden {
  return (key, configured, fallback) => {
    const value = runtime(`outlier_detection.${key}`);
    return typeof value === 'number' && value >= 0 ? Math.trunc(value) : (configured ?? fallback);
  };
}

function limits(config: OutlierDetection, number: Overridden) {
  const d = OUTLIER_DEFAULTS;
  return {
    maxEjectionPercent: number('max_ejection_percent', config.maxEjectionPercent, d.maxEjectionPercent),
    consecutive5xx: number('consecutive_5xx', config.consecutive5xx, d.consecutive5xx),
    consecutiveGatewayFailure: number(
      'consecutive_gateway_failure',
      config.consecutiveGatewayFailure,
      d.consecutiveGatewayFailure,
    ),
    consecutiveLocalOriginFailure: number(
      'consecutive_local_origin_failure',
      config.consecutiveLocalOriginFailure,
      d.consecutiveLocalOriginFailure,
    ),
    successRateMinimumHosts: number(
      'success_rate_minimum_hosts',
      config.successRateMinimumHosts,
      d.successRateMinimumHosts,
    ),
    successRateRequestVolume: number(
      'success_rate_request_volume',
      config.successRateRequestVolume,
      d.successRateRequestVolume,
    ),
    successRateStdevFactor: number(
      'success_rate_stdev_factor',
      config.successRateStdevFactor,
      d.successRateStdevFactor,
    ),
    failurePercentageThreshold: number(
      'failure_percentage_threshold',
      config.failurePercentageThreshold,
      d.failurePercentageThreshold,
    ),
    failurePercentageMinimumHosts: number(
      'failure_percentage_minimum_hosts',
      config.failurePercentageMinimumHosts,
      d.failurePercentageMinimumHosts,
    ),
    failurePercentageRequestVolume: number(
      'failure_percentage_request_volume',
      config.failurePercentageRequestVolume,
      d.failurePercentageRequestVolume,
    ),
  };
}

function enforcing(config: OutlierDetection, number: Overridden): OutlierSettings['enforcing'] {
  const d = OUTLIER_DEFAULTS.enforcing;
  return {
    CONSECUTIVE_5XX: number('enforcing_consecutive_5xx', config.enforcingConsecutive5xx, d.CONSECUTIVE_5XX),
    CONSECUTIVE_GATEWAY_FAILURE: number(
      'enforcing_consecutive_gateway_failure',
      config.enforcingConsecutiveGatewayFailure,
      d.CONSECUTIVE_GATEWAY_FAILURE,
    ),
    SUCCESS_RATE: number('enforcing_success_rate', config.enforcingSuccessRate, d.SUCCESS_RATE),
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE: number(
      'enforcing_consecutive_local_origin_failure',
      config.enforcingConsecutiveLocalOriginFailure,
      d.CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    ),
    SUCCESS_RATE_LOCAL_ORIGIN: number(
      'enforcing_local_origin_success_rate',
      config.enforcingLocalOriginSuccessRate,
      d.SUCCESS_RATE_LOCAL_ORIGIN,
    ),
    FAILURE_PERCENTAGE: number(
      'enforcing_failure_percentage',
      config.enforcingFailurePercentage,
      d.FAILURE_PERCENTAGE,
    ),
    FAILURE_PERCENTAGE_LOCAL_ORIGIN: number(
      'enforcing_failure_percentage_local_origin',
      config.enforcingFailurePercentageLocalOrigin,
      d.FAILURE_PERCENTAGE_LOCAL_ORIGIN,
    ),
    EXTENSION: d.EXTENSION,
  };
}

/** Envoy's seam for detectors of one's own; inox has one. */
function compileMonitors(config: OutlierDetection): AccrualSettings | null {
  let accrual: AccrualSettings | null = null;
  for (const [i, { typedConfig }] of (config.monitors ?? []).entries()) {
    const path = `outlier_detection.monitors[${i}]`;
    if (typedConfig?.type !== ACCRUAL) {
      throw ConfigError.at(`${path}.typed_config`, `${typedConfig?.type ?? 'nothing'} is not supported`);
    }
    if (accrual !== null) throw ConfigError.at(path, 'failure accrual is configured twice');
    const own = typedConfig.value as FailureAccrual;
    const minPenaltyMs = own.minPenalty ?? ACCRUAL_DEFAULTS.minPenaltyMs;
    const maxPenaltyMs = own.maxPenalty ?? Math.max(ACCRUAL_DEFAULTS.maxPenaltyMs, minPenaltyMs);
    if (maxPenaltyMs < minPenaltyMs) {
      throw ConfigError.at(`${path}.typed_config.max_penalty`, 'cannot be smaller than min_penalty');
    }
    accrual = {
      maxFailures: own.maxFailures ?? ACCRUAL_DEFAULTS.maxFailures,
      minPenaltyMs,
      maxPenaltyMs,
      jitterRatio: own.jitterRatio ?? ACCRUAL_DEFAULTS.jitterRatio,
    };
  }
  return accrual;
}
