import { inert, noted, only, type SupportTable } from './table.ts';

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3';

/** Where configuration comes from, and what only comes from there. */
export const xdsSupport: SupportTable = {
  'envoy.extensions.filters.http.on_demand.v3.OnDemand': { odcds: 'implemented' },
  'envoy.extensions.filters.http.on_demand.v3.PerRouteConfig': { odcds: 'implemented' },
  'envoy.extensions.filters.http.on_demand.v3.OnDemandCds': {
    source: 'implemented',
    timeout: 'implemented',
  },
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources': {
    lds_config: 'implemented',
    cds_config: 'implemented',
    ads_config: 'implemented',
  },
  'envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer': { name: 'implemented', rtds_config: 'implemented' },
  'envoy.config.core.v3.ConfigSource': {
    path: 'implemented',
    path_config_source: 'implemented',
    api_config_source: 'implemented',
    ads: 'implemented',
    initial_fetch_timeout: 'implemented',
    resource_api_version: inert('everything is v3'),
  },
  'envoy.config.core.v3.AggregatedConfigSource': {},
  'envoy.config.core.v3.PathConfigSource': { path: 'implemented', watched_directory: 'implemented' },
  'envoy.config.core.v3.WatchedDirectory': { path: 'implemented' },
  'envoy.config.core.v3.ApiConfigSource': {
    api_type: only('REST', 'GRPC', 'DELTA_GRPC'),
    transport_api_version: only('V3'),
    cluster_names: noted('for REST: one static cluster that is not of type EDS'),
    grpc_services: noted('exactly one'),
    refresh_delay: 'implemented',
    request_timeout: 'implemented',
    rate_limit_settings: 'implemented',
    set_node_on_first_message_only: 'implemented',
  },
  'envoy.config.core.v3.RateLimitSettings': { max_tokens: 'implemented', fill_rate: 'implemented' },
  'envoy.config.core.v3.GrpcService': {
    envoy_grpc: 'implemented',
    google_grpc: noted('the same client as for envoy_grpc, with a target of its own'),
    timeout: inert('streams have none'),
    initial_metadata: noted('without %substitutions%'),
  },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    cluster_name: noted('a static cluster that is not of type EDS; its certificates are not from SDS'),
    authority: 'implemented',
    retry_policy: noted('retry_back_off'),
    max_receive_message_length: noted('0 or unset: 512 MB'),
    skip_envoy_headers: inert('none are sent'),
  },
  'envoy.config.core.v3.RetryPolicy': {
    retry_back_off: 'implemented',
    num_retries: inert('a stream is tried again for as long as it takes'),
    retry_on: inert('a stream is tried again whatever ended it'),
  },
  'envoy.config.core.v3.BackoffStrategy': { base_interval: 'implemented', max_interval: 'implemented' },
  'envoy.config.core.v3.GrpcService.GoogleGrpc': {
    target_uri: noted('host:port, dns:///, ipv4:, ipv6:, unix: and unix-abstract:'),
    channel_credentials: 'implemented',
    call_credentials: noted('never in clear text to another host'),
    stat_prefix: noted('in messages; there are no statistics of Google gRPC'),
    credentials_factory_name: noted('the default and envoy.grpc_credentials.file_based_metadata'),
    per_stream_buffer_limit_bytes: inert('streams are bounded by the HTTP/2 window'),
    channel_args: inert('they are for a library that is not used'),
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelArgs': { args: inert('see channel_args') },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelArgs.Value': {
    string_value: inert('see channel_args'),
    int_value: inert('see channel_args'),
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelCredentials': {
    ssl_credentials: 'implemented',
    local_credentials: 'implemented',
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials': {
    root_certs: 'implemented',
    private_key: 'implemented',
    cert_chain: 'implemented',
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.GoogleLocalCredentials': {},
  'envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials': {
    access_token: 'implemented',
    from_plugin: noted('FileBasedMetadataConfig'),
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.MetadataCredentialsFromPlugin': {
    name: inert('the type of the configuration counts'),
    typed_config: 'implemented',
  },
  'envoy.config.grpc_credential.v3.FileBasedMetadataConfig': {
    secret_data: 'implemented',
    header_key: 'implemented',
    header_prefix: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.EdsClusterConfig': {
    eds_config: 'implemented',
    service_name: 'implemented',
  },
  [`${MANAGER}.Rds`]: { config_source: 'implemented', route_config_name: 'implemented' },
  [`${MANAGER}.ScopedRoutes`]: {
    name: 'implemented',
    scope_key_builder: 'implemented',
    rds_config_source: 'implemented',
    scoped_route_configurations_list: 'implemented',
    scoped_rds: 'implemented',
  },
  [`${MANAGER}.ScopedRoutes.ScopeKeyBuilder`]: { fragments: 'implemented' },
  [`${MANAGER}.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder`]: { header_value_extractor: 'implemented' },
  [`${MANAGER}.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor`]: {
    name: 'implemented',
    element_separator: 'implemented',
    index: 'implemented',
    element: 'implemented',
  },
  [`${MANAGER}.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement`]: {
    separator: 'implemented',
    key: 'implemented',
  },
  [`${MANAGER}.ScopedRouteConfigurationsList`]: { scoped_route_configurations: 'implemented' },
  [`${MANAGER}.ScopedRds`]: { scoped_rds_config_source: 'implemented' },
  'envoy.config.route.v3.ScopedRouteConfiguration': {
    name: 'implemented',
    route_configuration_name: 'implemented',
    route_configuration: 'implemented',
    key: 'implemented',
  },
  'envoy.config.route.v3.ScopedRouteConfiguration.Key': { fragments: 'implemented' },
  'envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment': { string_key: 'implemented' },
  'envoy.config.route.v3.Vhds': { config_source: 'implemented' },
  'envoy.config.core.v3.ExtensionConfigSource': {
    config_source: 'implemented',
    default_config: 'implemented',
    apply_default_config_without_warming: 'implemented',
    type_urls: 'implemented',
  },
  'envoy.config.endpoint.v3.LedsClusterLocalityConfig': {
    leds_config: noted('ADS and gRPC in delta mode, as in Envoy'),
    leds_collection_name: noted('xdstp://<authority>/envoy.config.endpoint.v3.LbEndpoint/<path>/*'),
  },
  'envoy.service.health.v3.HealthCheckSpecifier': {
    cluster_health_checks: noted('10,000 endpoints together'),
    interval: noted('100 ms at least'),
  },
  'envoy.service.health.v3.ClusterHealthCheck': {
    cluster_name: 'implemented',
    health_checks: noted('each at most every 100 ms; of several, an endpoint must pass all; no event log'),
    locality_endpoints: 'implemented',
    transport_socket_matches: noted('certificates are of the bootstrap'),
  },
  'envoy.service.health.v3.LocalityEndpoints': { locality: 'implemented', endpoints: 'implemented' },
  'envoy.service.runtime.v3.Runtime': { name: 'implemented', layer: 'implemented' },
};
