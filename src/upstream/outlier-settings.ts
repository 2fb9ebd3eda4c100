/** Why a host is ejected: `envoy.data.cluster.v3.OutlierEjectionType`. */
export const EJECTION_TYPES = [
  'CONSECUTIVE_5XX',
  'CONSECUTIVE_GATEWAY_FAILURE',
  'SUCCESS_RATE',
  'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
  'SUCCESS_RATE_LOCAL_ORIGIN',
  'FAILURE_PERCENTAGE',
  'FAILURE_PERCENTAGE_LOCAL_ORIGIN',
  'EXTENSION',
] as const;
export type EjectionType = (typeof EJECTION_TYPES)[number];

/** `envoy.config.cluster.v3.OutlierDetection` with its defaults and the runtime's overrides filled in. */
export interface OutlierSettings {
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionJitterMs: number;
  readonly maxEjectionPercent: number;
  readonly alwaysEjectOneHost: boolean;
  readonly consecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly consecutiveLocalOriginFailure: number;
  /** `split_external_local_origin_errors`. */
  readonly splitLocalOrigin: boolean;
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  /** In thousandths. */
  readonly successRateStdevFactor: number;
  readonly failurePercentageThreshold: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageRequestVolume: number;
  /** Percent of the ejections that are carried out. */
  readonly enforcing: Readonly<Record<EjectionType, number>>;
  /** `successful_active_health_check_uneject_host`. */
  readonly healthCheckUnejects: boolean;
  /** inox's own monitor, null when it is not configured. */
  readonly accrual: AccrualSettings | null;
}

/** Linkerd's failure accrual: a run of failures shuts a host until one probe succeeds. */
export interface AccrualSettings {
  /** 7 */
  readonly maxFailures: number;
  /** First back-off, 1 s; it doubles with every failed probe. */
  readonly minPenaltyMs: number;
  /** 60 s */
  readonly maxPenaltyMs: number;
  /** Share of the back-off that is added at random, 0.5. */
  readonly jitterRatio: number;
}

export const OUTLIER_DEFAULTS: OutlierSettings = {
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionMs: 300_000,
  maxEjectionJitterMs: 0,
  maxEjectionPercent: 10,
  alwaysEjectOneHost: false,
  consecutive5xx: 5,
  consecutiveGatewayFailure: 5,
  consecutiveLocalOriginFailure: 5,
  splitLocalOrigin: false,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
  failurePercentageThreshold: 85,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  enforcing: {
    CONSECUTIVE_5XX: 100,
    CONSECUTIVE_GATEWAY_FAILURE: 0,
    SUCCESS_RATE: 100,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE: 100,
    SUCCESS_RATE_LOCAL_ORIGIN: 100,
    FAILURE_PERCENTAGE: 0,
    FAILURE_PERCENTAGE_LOCAL_ORIGIN: 0,
    EXTENSION: 100,
  },
  healthCheckUnejects: true,
  accrual: null,
};

export const ACCRUAL_DEFAULTS: AccrualSettings = {
  maxFailures: 7,
  minPenaltyMs: 1000,
  maxPenaltyMs: 60_000,
  jitterRatio: 0.5,
};
