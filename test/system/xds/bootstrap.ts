/** The ways in which go-control-plane's integration program can be spoken to. */
export const MODES = ['ads', 'xds', 'rest', 'delta', 'delta-ads'] as const;
export type Mode = (typeof MODES)[number];

export interface Ports {
  readonly xds: number;
  readonly gateway: number;
  readonly als: number;
  readonly admin: number;
}

/** What a proxy needs to know to be fed by the program. */
export function bootstrap(mode: Mode, ports: Ports): string {
  const source = sourceOf(mode);
  return `
node: {id: test-id, cluster: test-cluster}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.admin}}}}
dynamic_resources:
  cds_config: ${source}
  lds_config: ${source}
${adsConfig(mode)}
static_resources:
  clusters:
  - ${cluster('xds_cluster', mode === 'rest' ? ports.gateway : ports.xds, mode !== 'rest')}
  - ${cluster('als_cluster', ports.als, true)}
layered_runtime:
  layers:
  - {name: runtime-0, rtds_layer: {name: runtime-0, rtds_config: ${source}}}
`;
}

const GRPC = 'grpc_services: [{envoy_grpc: {cluster_name: xds_cluster}}]';

function sourceOf(mode: Mode): string {
  if (mode === 'ads' || mode === 'delta-ads') return '{resource_api_version: V3, ads: {}}';
  const api =
    mode === 'rest'
      ? 'api_type: REST, refresh_delay: 0.5s, cluster_names: [xds_cluster]'
      : `api_type: ${mode === 'delta' ? 'DELTA_GRPC' : 'GRPC'}, ${GRPC}, set_node_on_first_message_only: true`;
  return `{resource_api_version: V3, api_config_source: {transport_api_version: V3, ${api}}}`;
}

function adsConfig(mode: Mode): string {
  if (mode !== 'ads' && mode !== 'delta-ads') return '';
  const type = mode === 'ads' ? 'GRPC' : 'DELTA_GRPC';
  return `  ads_config: {api_type: ${type}, transport_api_version: V3, ${GRPC}, set_node_on_first_message_only: true}`;
}

function cluster(name: string, port: number, http2: boolean): string {
  const options = http2
    ? ', typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}'
    : '';
  return `{name: ${name}, connect_timeout: 1s, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}${options}}`;
}
