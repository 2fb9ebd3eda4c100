import { existsSync } from 'node:fs';

/** Name of the configuration in messages. */
export const BUILT_IN_NAME = 'built-in transparent bootstrap';
/** Where the metrics and readiness ports are, unless flags or environment say otherwise. */
export const BUILT_IN_METRICS = '0.0.0.0:15090,0.0.0.0:15021';

/** `TPROXY` when the rules are set for it (`inox iptables --mode TPROXY`): takes root with NET_ADMIN. */
const MODE_ENVIRONMENT = 'INOX_INTERCEPTION_MODE';

/** Nobody named a configuration. */
export function usesBuiltIn(flags: { readonly configPath?: string; readonly configYaml?: string }): boolean {
  return (flags.configPath ?? process.env.INOX_CONFIG ?? flags.configYaml) === undefined;
}

/**
 * What runs when nobody names a configuration: traffic that `inox iptables` redirects here passes through to where it
 * was going, HTTP with its metrics, everything else as it is. Requests are forwarded as they came: no header is added
 * and no name is looked up.
 */
export function builtInBootstrap(
  ipv6 = existsSync('/proc/net/if_inet6'),
  transparent = process.env[MODE_ENVIRONMENT] === 'TPROXY',
): string {
  return `
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 15000 } }
static_resources:
  listeners:
${listener('outbound', 15001, 'PassthroughCluster', ipv6, false)}
${listener('inbound', 15006, 'InboundPassthroughCluster', ipv6, transparent)}
  clusters:
    - name: BlackHoleCluster
      type: STATIC
${passthrough('PassthroughCluster', '')}
${passthrough('InboundPassthroughCluster', transparent ? '' : INBOUND_BIND)}
`;
}

/** With TPROXY the application sees the client's address; the mark brings its answers back here. */
const CLIENT_SOURCE = `
        - name: envoy.filters.listener.original_src
          typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc, mark: 1337 }`;

/** The rules leave this source alone; without it the connection to the application would come back to the proxy. */
const INBOUND_BIND = `
      upstream_bind_config:
        source_address: { address: 127.0.0.6, port_value: 0 }
        additional_source_addresses: [ { address: '::6', port_value: 0 } ]`;

function listener(
  direction: 'inbound' | 'outbound',
  port: number,
  cluster: string,
  ipv6: boolean,
  transparent: boolean,
): string {
  const address = ipv6 ? "'::', ipv4_compat: true" : '0.0.0.0';
  // Nobody has to wait for the first bytes of a connection that leads nowhere.
  const elsewhere = `filter_disabled: { destination_port_range: { start: ${port}, end: ${port + 1} } }`;
  return `
    - name: ${direction}
      traffic_direction: ${direction.toUpperCase()}
      address: { socket_address: { address: ${address}, port_value: ${port} } }
      transparent: ${transparent}
      listener_filters_timeout: 5s
      continue_on_listener_filters_timeout: true
      listener_filters:
        - name: envoy.filters.listener.original_dst
          typed_config: { '@type': ${FILTERS}.listener.original_dst.v3.OriginalDst }${transparent ? CLIENT_SOURCE : ''}
        - name: envoy.filters.listener.tls_inspector
          ${elsewhere}
          typed_config: { '@type': ${FILTERS}.listener.tls_inspector.v3.TlsInspector }
        - name: envoy.filters.listener.http_inspector
          ${elsewhere}
          typed_config: { '@type': ${FILTERS}.listener.http_inspector.v3.HttpInspector }
      filter_chains:
        - name: ${direction}-blackhole
          filter_chain_match: { destination_port: ${port} }
          filters: [ ${tcpProxy(`${direction}_blackhole`, 'BlackHoleCluster')} ]
        - name: ${direction}-http
          filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.1, h2c] }
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': ${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ${direction}
                stream_idle_timeout: 0s
                server_header_transformation: PASS_THROUGH
                generate_request_id: false
                preserve_external_request_id: true
                skip_xff_append: true
                upgrade_configs: [ { upgrade_type: websocket } ]
                http_protocol_options: { header_key_format: ${PRESERVE_CASE} }
                route_config:
                  name: ${direction}
                  virtual_hosts:
                    - name: any
                      domains: ['*']
                      routes:
                        - match: { prefix: / }
                          route: { cluster: ${cluster}, timeout: 0s, max_stream_duration: { grpc_timeout_header_max: 0s } }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      '@type': ${FILTERS}.http.router.v3.Router
                      suppress_envoy_headers: true
      default_filter_chain:
        name: ${direction}-tcp
        filters: [ ${tcpProxy(direction, cluster)} ]`;
}

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
const PRESERVE_CASE =
  "{ stateful_formatter: { name: preserve_case, typed_config: { '@type': type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig } } }";

function tcpProxy(prefix: string, cluster: string): string {
  const type = `'@type': ${FILTERS}.network.tcp_proxy.v3.TcpProxy`;
  return `{ name: envoy.filters.network.tcp_proxy, typed_config: { ${type}, stat_prefix: ${prefix}, cluster: ${cluster}, idle_timeout: 0s } }`;
}

function passthrough(name: string, more: string): string {
  const limits = ['max_connections', 'max_pending_requests', 'max_requests', 'max_retries'];
  return `
    - name: ${name}
      type: ORIGINAL_DST
      lb_policy: CLUSTER_PROVIDED
      connect_timeout: 10s
      circuit_breakers:
        thresholds: [ { ${limits.map((limit) => `${limit}: 4294967295`).join(', ')} } ]
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          common_http_protocol_options: { idle_timeout: 300s }
          use_downstream_protocol_config:
            http_protocol_options: { header_key_format: ${PRESERVE_CASE} }${more}`;
}
