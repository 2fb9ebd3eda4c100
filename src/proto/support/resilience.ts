import { inert, noted, type SupportTable } from './table.ts';

export const resilienceSupport: SupportTable = {
  'envoy.extensions.filters.http.fault.v3.HTTPFault': {
    delay: 'implemented',
    abort: 'implemented',
    upstream_cluster: 'implemented',
    headers: 'implemented',
    downstream_nodes: 'implemented',
    max_active_faults: noted('counted by each worker'),
    response_rate_limit: 'implemented',
    delay_percent_runtime: 'implemented',
    abort_percent_runtime: 'implemented',
    delay_duration_runtime: 'implemented',
    abort_http_status_runtime: 'implemented',
    max_active_faults_runtime: 'implemented',
    response_rate_limit_percent_runtime: 'implemented',
    abort_grpc_status_runtime: 'implemented',
    disable_downstream_cluster_stats: 'implemented',
    filter_metadata: inert('nothing reads dynamic metadata yet'),
  },
  'envoy.extensions.filters.http.fault.v3.FaultAbort': {
    http_status: 'implemented',
    grpc_status: 'implemented',
    header_abort: 'implemented',
    percentage: 'implemented',
  },
  'envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort': {},
  'envoy.extensions.filters.common.fault.v3.FaultDelay': {
    fixed_delay: 'implemented',
    header_delay: 'implemented',
    percentage: 'implemented',
  },
  'envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay': {},
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit': {
    fixed_limit: 'implemented',
    header_limit: 'implemented',
    percentage: 'implemented',
  },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit': { limit_kbps: 'implemented' },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit': {},
};
