import { ResponseCodes } from '../stats/http-codes.ts';
import type { Counter, Gauge, Histogram, StatScope } from '../stats/scope.ts';
import { createUpdateStats } from './discovery/update-stats.ts';
import { type BalancingStats, createBalancingStats } from './lb/balancing-stats.ts';

/** Statistics of `cluster.<name>.` that belong to the cluster as a whole; `docs`: Envoy's cluster_stats. */
export interface ClusterStats extends BalancingStats {
  /** `upstream_rq_<code>`, `upstream_rq_<n>xx`, `upstream_rq_completed`. */
  readonly codes: ResponseCodes;
  /** `retry.upstream_rq_<code>`, …: answers that were not passed on because the request was retried. */
  readonly retryCodes: ResponseCodes;
  /** From the request's arrival to the end of its response. */
  readonly rqTime: Histogram;
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxHttp2Total: Counter;
  readonly cxConnectFail: Counter;
  readonly cxConnectTimeout: Counter;
  readonly cxConnectAttemptsExceeded: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxMaxDurationReached: Counter;
  readonly cxMaxRequests: Counter;
  readonly cxNoneHealthy: Counter;
  readonly cxOverflow: Counter;
  readonly cxPoolOverflow: Counter;
  readonly cxProtocolError: Counter;
  readonly cxCloseNotify: Counter;
  readonly cxDestroy: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxDestroyWithActiveRq: Counter;
  readonly cxDestroyLocalWithActiveRq: Counter;
  readonly cxDestroyRemoteWithActiveRq: Counter;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly cxConnectMs: Histogram;
  readonly cxLengthMs: Histogram;
  readonly rqPerCx: Histogram;
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqActiveOverflow: Counter;
  readonly rqPendingTotal: Counter;
  readonly rqPendingActive: Gauge;
  readonly rqPendingOverflow: Counter;
  readonly rqPendingFailureEject: Counter;
  readonly rqCancelled: Counter;
  readonly rqCompleted: Counter;
  readonly rqMaintenanceMode: Counter;
  readonly rqTimeout: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly rqPerTryTimeout: Counter;
  readonly rqPerTryIdleTimeout: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqRetry: Counter;
  readonly rqRetryBackoffExponential: Counter;
  readonly rqRetryBackoffRatelimited: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetrySuccess: Counter;
  /** Requests sent again at once because a connection from the pool had died; not Envoy's. */
  readonly rqReplayed: Counter;
  readonly flowControlPausedReading: Counter;
  readonly flowControlResumedReading: Counter;
  readonly flowControlBackedUp: Counter;
  readonly flowControlDrained: Counter;
  readonly membershipChange: Counter;
  readonly membershipTotal: Gauge;
  readonly membershipHealthy: Gauge;
  readonly membershipDegraded: Gauge;
  readonly membershipExcluded: Gauge;
  readonly maxHostWeight: Gauge;
  readonly retryOrShadowAbandoned: Counter;
}

/** Statistics that Envoy shows for every cluster and that inox has no event for yet. */
const SILENT_COUNTERS = [
  'bind_errors',
  'assignment_stale',
  'assignment_timeout_received',
  'assignment_use_cached',
  'upstream_cx_connect_with_0_rtt',
  'upstream_cx_http3_total',
  'upstream_cx_preconnect_skipped',
  'upstream_http3_broken',
  'upstream_internal_redirect_failed_total',
  'upstream_internal_redirect_succeeded_total',
  'upstream_rq_0rtt',
  'upstream_rq_rx_reset_no_error',
] as const;
const SILENT_GAUGES = [
  'version',
  'warming_state',
  'upstream_queue_overloaded',
  'upstream_cx_rx_bytes_buffered',
  'upstream_cx_tx_bytes_buffered',
] as const;

/** `scope` is `cluster.<name>.`. Membership is the same in every worker, hence merged by maximum. */
export function createClusterStats(scope: StatScope): ClusterStats {
  for (const name of SILENT_COUNTERS) scope.counter(name);
  for (const name of SILENT_GAUGES) scope.gauge(name);
  // Of ORIGINAL_DST clusters, but shown for every cluster.
  scope.counter('original_dst_host_invalid');
  // Bumped by discovery on the control thread, but shown for every cluster.
  createUpdateStats(scope);
  return {
    ...connectionStats(scope),
    ...requestStats(scope),
    ...createBalancingStats(scope),
    codes: new ResponseCodes(scope, 'upstream_rq', true),
    retryCodes: new ResponseCodes(scope.scope('retry'), 'upstream_rq', true),
    rqTime: scope.histogram('upstream_rq_time', 'milliseconds'),
    flowControlPausedReading: scope.counter('upstream_flow_control_paused_reading_total'),
    flowControlResumedReading: scope.counter('upstream_flow_control_resumed_reading_total'),
    flowControlBackedUp: scope.counter('upstream_flow_control_backed_up_total'),
    flowControlDrained: scope.counter('upstream_flow_control_drained_total'),
    membershipChange: scope.counter('membership_change'),
    membershipTotal: scope.gauge('membership_total', 'max'),
    membershipHealthy: scope.gauge('membership_healthy', 'max'),
    membershipDegraded: scope.gauge('membership_degraded', 'max'),
    membershipExcluded: scope.gauge('membership_excluded', 'max'),
    maxHostWeight: scope.gauge('max_host_weight', 'max'),
    retryOrShadowAbandoned: scope.counter('retry_or_shadow_abandoned'),
  };
}

function connectionStats(scope: StatScope) {
  return {
    cxTotal: scope.counter('upstream_cx_total'),
    cxActive: scope.gauge('upstream_cx_active'),
    cxHttp1Total: scope.counter('upstream_cx_http1_total'),
    cxHttp2Total: scope.counter('upstream_cx_http2_total'),
    cxConnectFail: scope.counter('upstream_cx_connect_fail'),
    cxConnectTimeout: scope.counter('upstream_cx_connect_timeout'),
    cxConnectAttemptsExceeded: scope.counter('upstream_cx_connect_attempts_exceeded'),
    cxIdleTimeout: scope.counter('upstream_cx_idle_timeout'),
    cxMaxDurationReached: scope.counter('upstream_cx_max_duration_reached'),
    cxMaxRequests: scope.counter('upstream_cx_max_requests'),
    cxNoneHealthy: scope.counter('upstream_cx_none_healthy'),
    cxOverflow: scope.counter('upstream_cx_overflow'),
    cxPoolOverflow: scope.counter('upstream_cx_pool_overflow'),
    cxProtocolError: scope.counter('upstream_cx_protocol_error'),
    cxCloseNotify: scope.counter('upstream_cx_close_notify'),
    cxDestroy: scope.counter('upstream_cx_destroy'),
    cxDestroyLocal: scope.counter('upstream_cx_destroy_local'),
    cxDestroyRemote: scope.counter('upstream_cx_destroy_remote'),
    cxDestroyWithActiveRq: scope.counter('upstream_cx_destroy_with_active_rq'),
    cxDestroyLocalWithActiveRq: scope.counter('upstream_cx_destroy_local_with_active_rq'),
    cxDestroyRemoteWithActiveRq: scope.counter('upstream_cx_destroy_remote_with_active_rq'),
    cxRxBytesTotal: scope.counter('upstream_cx_rx_bytes_total'),
    cxTxBytesTotal: scope.counter('upstream_cx_tx_bytes_total'),
    cxConnectMs: scope.histogram('upstream_cx_connect_ms', 'milliseconds'),
    cxLengthMs: scope.histogram('upstream_cx_length_ms', 'milliseconds'),
    rqPerCx: scope.histogram('upstream_rq_per_cx', 'none'),
  };
}

function requestStats(scope: StatScope) {
  return {
    rqTotal: scope.counter('upstream_rq_total'),
    rqActive: scope.gauge('upstream_rq_active'),
    rqActiveOverflow: scope.counter('upstream_rq_active_overflow'),
    rqPendingTotal: scope.counter('upstream_rq_pending_total'),
    rqPendingActive: scope.gauge('upstream_rq_pending_active'),
    rqPendingOverflow: scope.counter('upstream_rq_pending_overflow'),
    rqPendingFailureEject: scope.counter('upstream_rq_pending_failure_eject'),
    rqCancelled: scope.counter('upstream_rq_cancelled'),
    rqCompleted: scope.counter('upstream_rq_completed'),
    rqMaintenanceMode: scope.counter('upstream_rq_maintenance_mode'),
    rqTimeout: scope.counter('upstream_rq_timeout'),
    rqMaxDurationReached: scope.counter('upstream_rq_max_duration_reached'),
    rqPerTryTimeout: scope.counter('upstream_rq_per_try_timeout'),
    rqPerTryIdleTimeout: scope.counter('upstream_rq_per_try_idle_timeout'),
    rqRxReset: scope.counter('upstream_rq_rx_reset'),
    rqTxReset: scope.counter('upstream_rq_tx_reset'),
    rqRetry: scope.counter('upstream_rq_retry'),
    rqRetryBackoffExponential: scope.counter('upstream_rq_retry_backoff_exponential'),
    rqRetryBackoffRatelimited: scope.counter('upstream_rq_retry_backoff_ratelimited'),
    rqRetryLimitExceeded: scope.counter('upstream_rq_retry_limit_exceeded'),
    rqRetryOverflow: scope.counter('upstream_rq_retry_overflow'),
    rqRetrySuccess: scope.counter('upstream_rq_retry_success'),
    rqReplayed: scope.counter('upstream_rq_replayed'),
  };
}
