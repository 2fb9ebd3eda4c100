/** A bootstrap in the shape of what a sidecar gets from Istio: virtual listeners that hand over to those of services. */

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
const PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

const tcp = (cluster: string): string =>
  `{name: tcp, typed_config: {'@type': ${FILTERS}.network.tcp_proxy.v3.TcpProxy, stat_prefix: '${cluster}', cluster: '${cluster}'}}`;

const http = (name: string, cluster: string): string => `
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': ${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ${name}
                use_remote_address: false
                normalize_path: true
                stream_idle_timeout: 0s
                upgrade_configs: [{ upgrade_type: websocket }]
                route_config:
                  name: ${name}
                  validate_clusters: false
                  virtual_hosts:
                    - name: registered
                      domains: [registered.example]
                      routes: [{ match: { prefix: / }, route: { cluster: '${cluster === 'BlackHoleCluster' ? 'PassthroughCluster' : cluster}', timeout: 0s } }]
                    - name: ${cluster === 'BlackHoleCluster' ? 'block_all' : 'allow_any'}
                      domains: ['*']
                      routes:
                        - match: { prefix: / }
                          ${cluster === 'BlackHoleCluster' ? 'direct_response: { status: 502 }' : `route: { cluster: '${cluster}', timeout: 0s, max_stream_duration: { max_stream_duration: 0s, grpc_timeout_header_max: 0s } }`}
                http_filters:
                  - { name: router, typed_config: { '@type': ${FILTERS}.http.router.v3.Router } }`;

const inspector = (name: string, type: string): string =>
  `{name: ${name}, filter_disabled: {destination_port_range: {start: 15006, end: 15007}}, typed_config: {'@type': ${FILTERS}.listener.${name}.v3.${type}}}`;

/** Listener of an HTTP port, with the rest as TCP. */
const shared = (port: number, unknown: string): string => `
    - name: 0.0.0.0_${port}
      address: { socket_address: { address: '::', ipv4_compat: true, port_value: ${port} } }
      bind_to_port: false
      traffic_direction: OUTBOUND
      continue_on_listener_filters_timeout: true
      listener_filters_timeout: 0s
      listener_filters: [${inspector('tls_inspector', 'TlsInspector')}, ${inspector('http_inspector', 'HttpInspector')}]
      filter_chains:
        - filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c] }
          filters:${http(`outbound_${port}`, unknown)}
      default_filter_chain: { name: PassthroughFilterChain, filters: [${tcp(unknown)}] }`;

const passthrough = (name: string, more = ''): string => `
    - name: '${name}'
      type: ORIGINAL_DST
      lb_policy: CLUSTER_PROVIDED
      connect_timeout: 10s
      typed_extension_protocol_options:
        ${PROTOCOL_OPTIONS}:
          '@type': type.googleapis.com/${PROTOCOL_OPTIONS}
          use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} }${more}`;

const OWN_SOURCE = `
      upstream_bind_config: { source_address: { address: 127.0.0.6, port_value: 0 }, additional_source_addresses: [{ address: '::6', port_value: 0 }] }`;

/**
 * `service`: an address whose port 7001 has a listener and a cluster of its own, as a TCP service has. `policy`: what
 * becomes of outbound traffic to nobody in the registry.
 */
export function istioBootstrap(service: string, policy: 'ALLOW_ANY' | 'REGISTRY_ONLY' = 'ALLOW_ANY'): string {
  const unknown = policy === 'ALLOW_ANY' ? 'PassthroughCluster' : 'BlackHoleCluster';
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 15000 } } }
static_resources:
  listeners:
    - name: virtualOutbound
      address: { socket_address: { address: '::', ipv4_compat: true, port_value: 15001 } }
      use_original_dst: true
      traffic_direction: OUTBOUND
      filter_chains:
        - name: virtualOutbound-blackhole
          filter_chain_match: { destination_port: 15001 }
          filters: [${tcp('BlackHoleCluster')}]
        - name: virtualOutbound-catchall-tcp
          filters: [${tcp(unknown)}]${[8080, 8081, 8082].map((port) => shared(port, unknown)).join('')}
    - name: ${service}_7001
      address: { socket_address: { address: ${service}, port_value: 7001 } }
      bind_to_port: false
      traffic_direction: OUTBOUND
      filter_chains: [{ filters: [${tcp('outbound|7001||echo')}] }]
    - name: virtualInbound
      address: { socket_address: { address: '::', ipv4_compat: true, port_value: 15006 } }
      traffic_direction: INBOUND
      continue_on_listener_filters_timeout: true
      listener_filters_timeout: 5s
      listener_filters:
        - { name: original_dst, typed_config: { '@type': ${FILTERS}.listener.original_dst.v3.OriginalDst } }
        - ${inspector('tls_inspector', 'TlsInspector')}
        - ${inspector('http_inspector', 'HttpInspector')}
      filter_chains:
        - name: virtualInbound-blackhole
          filter_chain_match: { destination_port: 15006 }
          filters: [${tcp('BlackHoleCluster')}]
        - name: virtualInbound-catchall-http
          filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c] }
          filters:${http('inbound', 'InboundPassthroughCluster')}
        - name: virtualInbound
          filter_chain_match: { transport_protocol: raw_buffer }
          filters: [${tcp('InboundPassthroughCluster')}]
        - name: virtualInbound-tls
          filter_chain_match: { transport_protocol: tls }
          filters: [${tcp('InboundPassthroughCluster')}]
  clusters:
    - { name: BlackHoleCluster, type: STATIC, connect_timeout: 10s }
    - name: outbound|7001||echo
      type: STATIC
      load_assignment:
        cluster_name: echo
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${service}, port_value: 7001 } } } }] }]${passthrough('PassthroughCluster')}${passthrough('InboundPassthroughCluster', OWN_SOURCE)}
`;
}
