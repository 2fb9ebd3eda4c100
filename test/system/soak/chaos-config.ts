/** Ports of the hosts; the last of each kind is never killed. */
export interface ChaosPorts {
  readonly h1: readonly number[];
  readonly h2: readonly number[];
}

const TYPE = 'type.googleapis.com/envoy';
const HTTP2_OPTIONS = `
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": ${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions
        common_http_protocol_options: {idle_timeout: 2s}
        explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 20}}`;
const HTTP1_OPTIONS = `
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": ${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions
        common_http_protocol_options: {idle_timeout: 2s}
        explicit_http_config: {http_protocol_options: {}}`;
const RETRY = `retry_on: "5xx,reset,connect-failure,refused-stream", num_retries: 2, per_try_timeout: 1s,
                retry_back_off: {base_interval: 0.01s, max_interval: 0.1s},
                retry_host_predicate: [{name: previous_hosts, typed_config: {"@type": ${TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}],
                host_selection_retry_max_attempts: 3`;

function cluster(name: string, ports: readonly number[], http2: boolean, more: string): string {
  const hosts = ports.map(
    (port) => `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}`,
  );
  return `
  - name: ${name}
    connect_timeout: 0.5s
    per_connection_buffer_limit_bytes: 65536${http2 ? HTTP2_OPTIONS : HTTP1_OPTIONS}
    health_checks:
    - {timeout: 0.5s, interval: 0.5s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: {path: /health${http2 ? ', codec_client_type: HTTP2' : ''}}}
    outlier_detection: {consecutive_5xx: 8, interval: 1s, base_ejection_time: 1s, max_ejection_percent: 50}
    ${more}
    load_assignment:
      cluster_name: ${name}
      endpoints: [{lb_endpoints: [${hosts.join(', ')}]}]`;
}

/**
 * One listener and all policies: retries with budgets, hedging, mirrors, outlier detection, health checks, breakers,
 * a fault filter; an access log at LOG with one line `id status flags protocol` per request.
 */
export function chaosBootstrap(ports: ChaosPorts): string {
  const breaker = 'circuit_breakers: {thresholds: [{track_remaining: true}]}';
  const budget = `circuit_breakers: {thresholds: [{track_remaining: true, max_connections: 200, max_requests: 400,
      retry_budget: {budget_percent: {value: 20}, min_retry_concurrency: 5}}]}`;
  const tight = `circuit_breakers: {thresholds: [{track_remaining: true, max_connections: 4, max_pending_requests: 2, max_requests: 3, max_retries: 1}]}`;
  return `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    per_connection_buffer_limit_bytes: 65536
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": ${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          stream_idle_timeout: 3s
          common_http_protocol_options: {idle_timeout: 20s}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              include_request_attempt_count: true
              retry_policy: {${RETRY}}
              routes:
              - {match: {prefix: /h1/}, route: {cluster: h1, timeout: 5s}}
              - {match: {prefix: /h2/}, route: {cluster: h2, timeout: 5s}}
              - {match: {prefix: /hedge/}, route: {cluster: h1, timeout: 5s, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: "5xx,reset", num_retries: 2, per_try_timeout: 0.1s}}}
              - {match: {prefix: /tight/}, route: {cluster: tight, timeout: 5s}}
              - {match: {prefix: /mirrored/}, route: {cluster: h2, timeout: 5s, request_mirror_policies: [{cluster: mirror}]}}
          access_log:
          - name: file
            typed_config:
              "@type": ${TYPE}.extensions.access_loggers.file.v3.FileAccessLog
              path: "LOG"
              log_format: {text_format_source: {inline_string: "%REQ(X-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %PROTOCOL% %RESPONSE_CODE_DETAILS%\\n"}}
          http_filters:
          - name: fault
            typed_config:
              "@type": ${TYPE}.extensions.filters.http.fault.v3.HTTPFault
              delay: {fixed_delay: 0.05s, percentage: {numerator: 2}}
              abort: {http_status: 418, percentage: {numerator: 1}}
          - name: router
            typed_config: {"@type": ${TYPE}.extensions.filters.http.router.v3.Router}
  clusters:${cluster('h1', ports.h1, false, breaker)}${cluster('h2', ports.h2, true, budget)}${cluster('tight', ports.h1, false, tight)}${cluster('mirror', ports.h1, false, breaker)}
`;
}

export const CLUSTERS = ['h1', 'h2', 'tight', 'mirror'];
