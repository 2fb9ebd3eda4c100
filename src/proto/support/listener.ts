import { inert, noted, type SupportTable } from './table.ts';

export const listenerSupport: SupportTable = {
  'envoy.config.listener.v3.Listener': {
    name: 'implemented',
    address: 'implemented',
    stat_prefix: 'implemented',
    filter_chains: 'implemented',
    default_filter_chain: 'implemented',
    per_connection_buffer_limit_bytes: 'implemented',
    enable_reuse_port: 'implemented',
    tcp_backlog_size: 'implemented',
    metadata: 'inert',
    drain_type: 'implemented',
    traffic_direction: noted('for `/drain_listeners?inboundonly`'),
    tcp_fast_open_queue_length: 'inert',
    connection_balance_config: inert('the kernel balances between workers'),
    max_connections_to_accept_per_socket_event: 'inert',
    ignore_global_conn_limit: inert('there is no global limit'),
    bypass_overload_manager: 'inert',
  },
  'envoy.config.listener.v3.FilterChain': {
    name: noted('a label'),
    filters: 'implemented',
    filter_chain_match: noted('without any criterion'),
    transport_socket: noted('raw_buffer only'),
    metadata: 'inert',
  },
  'envoy.config.listener.v3.FilterChainMatch': {},
  'envoy.config.listener.v3.Filter': {
    name: noted('a label, the type of typed_config decides'),
    typed_config: 'implemented',
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': {
    stat_prefix: 'implemented',
    cluster: 'implemented',
    weighted_clusters: 'implemented',
    idle_timeout: 'implemented',
    max_connect_attempts: 'implemented',
    access_log: 'implemented',
    max_downstream_connection_duration: 'implemented',
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster': {
    clusters: 'implemented',
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight': {
    name: 'implemented',
    weight: 'implemented',
  },
};
