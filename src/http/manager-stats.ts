import { ResponseCodes } from '../stats/http-codes.ts';
import type { Counter, Gauge, Histogram, StatScope } from '../stats/scope.ts';

/** `http.<stat_prefix>.downstream_*` of an HTTP connection manager. */
export interface ManagerStats {
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxHttp1Active: Gauge;
  readonly cxHttp2Total: Counter;
  readonly cxHttp2Active: Gauge;
  readonly cxDestroy: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxDestroyActiveRq: Counter;
  readonly cxDestroyLocalActiveRq: Counter;
  readonly cxDestroyRemoteActiveRq: Counter;
  readonly cxLengthMs: Histogram;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly cxProtocolError: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxMaxDurationReached: Counter;
  readonly cxMaxRequestsReached: Counter;
  readonly cxDrainClose: Counter;
  readonly cxOverloadDisableKeepalive: Counter;
  readonly cxUpgradesTotal: Counter;
  readonly cxUpgradesActive: Gauge;
  readonly rqTotal: Counter;
  readonly rqHttp1Total: Counter;
  readonly rqHttp2Total: Counter;
  readonly rqActive: Gauge;
  readonly rqTime: Histogram;
  readonly rqTimeout: Counter;
  readonly rqHeaderTimeout: Counter;
  readonly rqIdleTimeout: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqNonRelativePath: Counter;
  readonly rqTooLarge: Counter;
  readonly rqOverloadClose: Counter;
  readonly rqWsOnNonWsRoute: Counter;
  readonly rqRedirectedWithNormalizedPath: Counter;
  readonly codes: ResponseCodes;
}

/** `scope` is `http.<stat_prefix>.`. */
export function createManagerStats(scope: StatScope): ManagerStats {
  return {
    cxTotal: scope.counter('downstream_cx_total'),
    cxActive: scope.gauge('downstream_cx_active'),
    cxHttp1Total: scope.counter('downstream_cx_http1_total'),
    cxHttp1Active: scope.gauge('downstream_cx_http1_active'),
    cxHttp2Total: scope.counter('downstream_cx_http2_total'),
    cxHttp2Active: scope.gauge('downstream_cx_http2_active'),
    cxDestroy: scope.counter('downstream_cx_destroy'),
    cxDestroyLocal: scope.counter('downstream_cx_destroy_local'),
    cxDestroyRemote: scope.counter('downstream_cx_destroy_remote'),
    cxDestroyActiveRq: scope.counter('downstream_cx_destroy_active_rq'),
    cxDestroyLocalActiveRq: scope.counter('downstream_cx_destroy_local_active_rq'),
    cxDestroyRemoteActiveRq: scope.counter('downstream_cx_destroy_remote_active_rq'),
    cxLengthMs: scope.histogram('downstream_cx_length_ms', 'milliseconds'),
    cxRxBytesTotal: scope.counter('downstream_cx_rx_bytes_total'),
    cxTxBytesTotal: scope.counter('downstream_cx_tx_bytes_total'),
    cxProtocolError: scope.counter('downstream_cx_protocol_error'),
    cxIdleTimeout: scope.counter('downstream_cx_idle_timeout'),
    cxMaxDurationReached: scope.counter('downstream_cx_max_duration_reached'),
    cxMaxRequestsReached: scope.counter('downstream_cx_max_requests_reached'),
    cxDrainClose: scope.counter('downstream_cx_drain_close'),
    cxOverloadDisableKeepalive: scope.counter('downstream_cx_overload_disable_keepalive'),
    cxUpgradesTotal: scope.counter('downstream_cx_upgrades_total'),
    cxUpgradesActive: scope.gauge('downstream_cx_upgrades_active'),
    rqTotal: scope.counter('downstream_rq_total'),
    rqHttp1Total: scope.counter('downstream_rq_http1_total'),
    rqHttp2Total: scope.counter('downstream_rq_http2_total'),
    rqActive: scope.gauge('downstream_rq_active'),
    rqTime: scope.histogram('downstream_rq_time', 'milliseconds'),
    rqTimeout: scope.counter('downstream_rq_timeout'),
    rqHeaderTimeout: scope.counter('downstream_rq_header_timeout'),
    rqIdleTimeout: scope.counter('downstream_rq_idle_timeout'),
    rqMaxDurationReached: scope.counter('downstream_rq_max_duration_reached'),
    rqRxReset: scope.counter('downstream_rq_rx_reset'),
    rqTxReset: scope.counter('downstream_rq_tx_reset'),
    rqNonRelativePath: scope.counter('downstream_rq_non_relative_path'),
    rqOverloadClose: scope.counter('downstream_rq_overload_close'),
    rqTooLarge: scope.counter('downstream_rq_too_large'),
    rqWsOnNonWsRoute: scope.counter('downstream_rq_ws_on_non_ws_route'),
    rqRedirectedWithNormalizedPath: scope.counter('downstream_rq_redirected_with_normalized_path'),
    codes: new ResponseCodes(scope, 'downstream_rq', false),
  };
}
