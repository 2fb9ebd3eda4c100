import { inert, noted, type SupportTable } from './table.ts';

/** Balancing over localities and subsets, and aggregate clusters. */
export const balancingSupport: SupportTable = {
  'envoy.config.cluster.v3.Cluster.CustomClusterType': {
    name: noted('a label'),
    typed_config: noted('aggregate clusters only'),
  },
  'envoy.extensions.clusters.aggregate.v3.ClusterConfig': {
    clusters: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig': {},
  'envoy.config.cluster.v3.Cluster.SlowStartConfig': {
    slow_start_window: 'implemented',
    aggression: 'implemented',
    min_weight_percent: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig': {
    fallback_policy: 'implemented',
    default_subset: 'implemented',
    subset_selectors: 'implemented',
    locality_weight_aware: 'implemented',
    scale_locality_weight: 'implemented',
    panic_mode_any: 'implemented',
    list_as_any: 'implemented',
    metadata_fallback_policy: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector': {
    keys: 'implemented',
    single_host_per_subset: 'implemented',
    fallback_policy: 'implemented',
    fallback_keys_subset: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig': {
    slow_start_window: 'implemented',
    aggression: 'implemented',
    min_weight_percent: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig': {
    zone_aware_lb_config: 'implemented',
    locality_weighted_lb_config: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig': {},
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig': {
    routing_enabled: 'implemented',
    min_cluster_size: 'implemented',
    fail_traffic_on_panic: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig': {
    minimum_ring_size: 'implemented',
    maximum_ring_size: 'implemented',
    hash_function: inert('hosts and requests are hashed by one function of 32 bits'),
  },
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig': {
    table_size: 'implemented',
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig': {
    use_hostname_for_hashing: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig': {
    use_hostname_for_hashing: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash': {
    minimum_ring_size: 'implemented',
    maximum_ring_size: 'implemented',
    hash_function: inert('hosts and requests are hashed by one function of 32 bits'),
    use_hostname_for_hashing: 'implemented',
    consistent_hashing_lb_config: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.maglev.v3.Maglev': {
    table_size: 'implemented',
    consistent_hashing_lb_config: 'implemented',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy': {
    header: 'implemented',
    cookie: 'implemented',
    query_parameter: 'implemented',
    connection_properties: 'implemented',
    terminal: 'implemented',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': {
    header_name: 'implemented',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': {
    name: 'implemented',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': {
    name: 'implemented',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': {
    source_ip: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': {
    slow_start_config: 'implemented',
    locality_lb_config: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.random.v3.Random': {
    locality_lb_config: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality': {
    endpoint_picking_policy: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset': {
    fallback_policy: 'implemented',
    default_subset: 'implemented',
    subset_selectors: 'implemented',
    allow_redundant_keys: 'implemented',
    locality_weight_aware: 'implemented',
    scale_locality_weight: 'implemented',
    panic_mode_any: 'implemented',
    list_as_any: 'implemented',
    metadata_fallback_policy: 'implemented',
    subset_lb_policy: 'implemented',
  },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector': {
    keys: 'implemented',
    single_host_per_subset: 'implemented',
    fallback_policy: 'implemented',
    fallback_keys_subset: 'implemented',
  },
};
