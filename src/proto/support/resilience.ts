import { inert, noted, only, type SupportTable } from './table.ts';

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
  'envoy.extensions.filters.http.health_check.v3.HealthCheck': {
    pass_through_mode: 'implemented',
    cache_time: noted('each worker remembers for itself'),
    cluster_min_healthy_percentages: 'implemented',
    headers: 'implemented',
  },
  'envoy.config.overload.v3.OverloadManager': {
    refresh_interval: 'implemented',
    resource_monitors: noted(
      'fixed_heap, cgroup_memory, cpu_utilization, injected_resource and global_downstream_max_connections',
    ),
    actions: 'implemented',
    loadshed_points: 'implemented',
    buffer_factory_config: inert('buffers are not accounted to streams'),
  },
  'envoy.config.overload.v3.ResourceMonitor': { name: 'implemented', typed_config: 'implemented' },
  'envoy.config.overload.v3.OverloadAction': {
    name: noted(
      'stop_accepting_requests, disable_http_keepalive, reject_incoming_connections, stop_accepting_connections (which rejects them as well), reduce_timeouts and shrink_heap',
    ),
    triggers: 'implemented',
    typed_config: 'implemented',
  },
  'envoy.config.overload.v3.ScaleTimersOverloadActionConfig': { timer_scale_factors: 'implemented' },
  'envoy.config.overload.v3.ScaleTimersOverloadActionConfig.ScaleTimer': {
    timer: only('HTTP_DOWNSTREAM_CONNECTION_IDLE', 'HTTP_DOWNSTREAM_STREAM_IDLE'),
    min_timeout: 'implemented',
    min_scale: 'implemented',
  },
  'envoy.config.overload.v3.LoadShedPoint': {
    name: noted('tcp_listener_accept and http_connection_manager_decode_headers'),
    triggers: 'implemented',
  },
  'envoy.config.overload.v3.Trigger': {
    name: 'implemented',
    threshold: 'implemented',
    scaled: 'implemented',
  },
  'envoy.config.overload.v3.ThresholdTrigger': { value: 'implemented' },
  'envoy.config.overload.v3.ScaledTrigger': {
    scaling_threshold: 'implemented',
    saturation_threshold: 'implemented',
  },
  'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig': {
    max_heap_size_bytes: noted('compared with the resident memory of the process: heaps, buffers and code'),
  },
  'envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig': {
    max_memory_bytes: 'implemented',
  },
  'envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig': { mode: 'implemented' },
  'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig': {
    filename: 'implemented',
  },
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig': {
    max_active_downstream_connections: 'implemented',
  },
};
