import { inert, noted, type SupportTable } from './table.ts';

export const accessLogSupport: SupportTable = {
  'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig': {
    common_config: 'implemented',
    additional_request_headers_to_log: 'implemented',
    additional_response_headers_to_log: 'implemented',
    additional_response_trailers_to_log: 'implemented',
  },
  'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig': { common_config: 'implemented' },
  'envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig': {
    log_name: 'implemented',
    grpc_service: 'implemented',
    transport_api_version: inert('everything is v3'),
    buffer_flush_interval: 'implemented',
    buffer_size_bytes: noted('entries count as 400 bytes each'),
  },
  'envoy.config.accesslog.v3.AccessLog': {
    name: noted('a label, the type of typed_config decides'),
    filter: 'implemented',
    typed_config: 'implemented',
  },
  'envoy.config.accesslog.v3.AccessLogFilter': {
    status_code_filter: 'implemented',
    duration_filter: 'implemented',
    not_health_check_filter: 'implemented',
    runtime_filter: 'implemented',
    and_filter: 'implemented',
    or_filter: 'implemented',
    header_filter: 'implemented',
    response_flag_filter: 'implemented',
  },
  'envoy.config.accesslog.v3.StatusCodeFilter': {
    comparison: 'implemented',
  },
  'envoy.config.accesslog.v3.DurationFilter': {
    comparison: 'implemented',
  },
  'envoy.config.accesslog.v3.ComparisonFilter': {
    op: 'implemented',
    value: 'implemented',
  },
  'envoy.config.accesslog.v3.NotHealthCheckFilter': {},
  'envoy.config.accesslog.v3.RuntimeFilter': {
    runtime_key: 'implemented',
    percent_sampled: 'implemented',
    use_independent_randomness: 'implemented',
  },
  'envoy.config.accesslog.v3.AndFilter': {
    filters: 'implemented',
  },
  'envoy.config.accesslog.v3.OrFilter': {
    filters: 'implemented',
  },
  'envoy.config.accesslog.v3.HeaderFilter': {
    header: 'implemented',
  },
  'envoy.config.accesslog.v3.ResponseFlagFilter': {
    flags: 'implemented',
  },
  'envoy.extensions.access_loggers.file.v3.FileAccessLog': {
    path: 'implemented',
    log_format: 'implemented',
    format: 'implemented',
    json_format: 'implemented',
    typed_json_format: 'implemented',
  },
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': {
    log_format: 'implemented',
  },
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': {
    log_format: 'implemented',
  },
  'envoy.config.core.v3.SubstitutionFormatString': {
    text_format: 'implemented',
    text_format_source: 'implemented',
    json_format: 'implemented',
    omit_empty_values: 'implemented',
    content_type: inert('only read by local replies'),
  },
};
