/** A sidecar that takes gRPC and sends all of it on to one upstream by HTTP/2; the admin and the listener on port 0. */
export interface SidecarOptions {
  readonly upstreamPort: number;
  /** YAML of a `transport_socket`, as a flow map. */
  readonly listenerTransport?: string;
  readonly clusterTransport?: string;
}

export function grpcSidecar({ upstreamPort, listenerTransport, clusterTransport }: SidecarOptions): string {
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
    - name: in
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                stream_idle_timeout: 0s
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: { prefix: / }
                          route: { cluster: next, timeout: 0s }
          ${listenerTransport === undefined ? '' : `transport_socket: ${listenerTransport}`}
  clusters:
    - name: next
      type: STATIC
      load_assignment:
        cluster_name: next
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } }
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      ${clusterTransport === undefined ? '' : `transport_socket: ${clusterTransport}`}
`;
}
