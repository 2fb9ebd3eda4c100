/** Resources of Envoy's API for the worlds of these tests, as proto JSON. */
import type { Resource } from './world.ts';

const API = 'type.googleapis.com/envoy.';

export const TYPE = {
  cluster: `${API}config.cluster.v3.Cluster`,
  endpoints: `${API}config.endpoint.v3.ClusterLoadAssignment`,
  listener: `${API}config.listener.v3.Listener`,
  routes: `${API}config.route.v3.RouteConfiguration`,
} as const;

const ADS = { resource_api_version: 'V3', ads: {} };

/** What a proxy needs to be fed over one stream. */
export function adsBootstrap(options: {
  readonly admin: number;
  readonly xds: number;
  readonly delta: boolean;
  /** Where the control plane is; loopback without. */
  readonly host?: string;
  /** How often it is asked whether it is there; it may take half of that to answer. */
  readonly keepaliveS?: number;
  readonly extra?: object;
}): object {
  const { admin, xds, delta, host, keepaliveS = 30, extra } = options;
  return {
    node: { id: 'test-id', cluster: 'test-cluster' },
    admin: { address: address(admin) },
    dynamic_resources: {
      cds_config: ADS,
      lds_config: ADS,
      ads_config: {
        api_type: delta ? 'DELTA_GRPC' : 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds_cluster' } }],
      },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds_cluster',
          connect_timeout: '1s',
          load_assignment: assignment('xds_cluster', [xds], host === undefined ? undefined : () => host),
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${API}extensions.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: {
                http2_protocol_options: {
                  connection_keepalive: {
                    interval: `${keepaliveS}s`,
                    timeout: `${keepaliveS / 2}s`,
                  },
                },
              },
            },
          },
        },
      ],
    },
    ...extra,
  };
}

function address(port: number, host = '127.0.0.1'): object {
  return { socket_address: { address: host, port_value: port } };
}

function assignment(name: string, ports: readonly number[], hostOf?: (endpoint: number) => string): object {
  const lb_endpoints = ports.map((port, i) => ({ endpoint: { address: address(port, hostOf?.(i)) } }));
  return { cluster_name: name, endpoints: [{ lb_endpoints }] };
}

export function cluster(name: string, extra: object = {}): Resource {
  return {
    '@type': TYPE.cluster,
    name,
    type: 'EDS',
    connect_timeout: '5s',
    eds_cluster_config: { eds_config: ADS },
    ...extra,
  };
}

/** `hostOf` says where the endpoint of that number is; loopback without. */
export function endpoints(
  name: string,
  ports: readonly number[],
  hostOf?: (endpoint: number) => string,
): Resource {
  return { '@type': TYPE.endpoints, ...assignment(name, ports, hostOf) };
}

/** A route by prefix for each pair of path and cluster. */
export function routes(
  name: string,
  pairs: readonly (readonly [path: string, cluster: string])[],
  extra: object = {},
): Resource {
  return {
    '@type': TYPE.routes,
    name,
    virtual_hosts: [
      {
        name,
        domains: ['*'],
        routes: pairs.map(([prefix, to]) => ({ match: { prefix }, route: { cluster: to } })),
        ...extra,
      },
    ],
  };
}

/** A virtual host for each pair of domain and cluster. */
export function virtualHosts(
  name: string,
  pairs: readonly (readonly [domain: string, cluster: string])[],
): Resource {
  return {
    '@type': TYPE.routes,
    name,
    virtual_hosts: pairs.map(([domain, to]) => ({
      name: domain,
      domains: [domain],
      routes: [{ match: { prefix: '/' }, route: { cluster: to } }],
    })),
  };
}

export function listener(name: string, port: number, routeName: string, statPrefix = name): Resource {
  return {
    '@type': TYPE.listener,
    name,
    address: address(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type': `${API}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: statPrefix,
              rds: { config_source: ADS, route_config_name: routeName },
              http_filters: [
                {
                  name: 'router',
                  typed_config: { '@type': `${API}extensions.filters.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}
