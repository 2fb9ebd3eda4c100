import { ConfigError, type ConfigProblem } from '../../src/core/errors.ts';
import { formatProblems } from '../../src/core/format-problems.ts';
import { type BootstrapSource, loadBootstrap } from '../../src/proto/bootstrap.ts';

/** A configuration that uses every part of the format: Any, durations, wrappers, enums, oneofs, maps. */
export const meshYaml = `\
node: { id: one, cluster: web, metadata: { deep: { list: [1, two, null, true] } } }
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
static_resources:
  listeners:
    - name: main
      address:
        socket_address: { address: 127.0.0.1, port_value: 10000 }
      per_connection_buffer_limit_bytes: 4096
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: main
                request_timeout: 1.5s
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: { prefix: /emoji }
                          route: { cluster: emoji, timeout: 0s }
                        - match: { safe_regex: { regex: "/v[0-9]+/.*" } }
                          direct_response: { status: 204 }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: emoji
      type: STRICT_DNS
      connect_timeout: 0.25s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http_protocol_options: {} }
      load_balancing_policy:
        policies:
          - typed_extension_config:
              name: envoy.load_balancing_policies.peak_ewma
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma
                decay_time: 5s
                max_samples_per_host: 10
      load_assignment:
        cluster_name: emoji
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: localhost, port_value: 8080 } } }
                load_balancing_weight: 3
`;

/** Every problem of a source; none when it loads. */
export function problemsOf(source: BootstrapSource): readonly ConfigProblem[] {
  try {
    loadBootstrap(source);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

/** The same as the lines that an operator reads. */
export function complaints(text: string, overlayYaml?: string): string[] {
  const formatted = formatProblems(problemsOf({ file: 'c.yaml', text, overlayYaml }));
  return formatted === '' ? [] : formatted.split('\n');
}

/** A static cluster in one YAML line, with fields added. */
export function cluster(fields: string): string {
  return `static_resources: { clusters: [{ name: a, ${fields} }] }`;
}
