import { inert, noted, only, type SupportTable } from './table.ts';

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3';

/** Where configuration comes from, and what only comes from there. */
export const xdsSupport: SupportTable = {
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
    api_type: only('GRPC', 'DELTA_GRPC', 'AGGREGATED_GRPC', 'AGGREGATED_DELTA_GRPC'),
    transport_api_version: inert('everything is v3'),
    grpc_services: 'implemented',
    set_node_on_first_message_only: 'implemented',
  },
  'envoy.config.core.v3.GrpcService': {
    envoy_grpc: 'implemented',
    initial_metadata: 'implemented',
  },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    cluster_name: noted('a cluster of the bootstrap'),
    authority: 'implemented',
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
  'envoy.service.runtime.v3.Runtime': { name: 'implemented', layer: 'implemented' },
};
