export type Policy = 'PEAK_EWMA' | 'ROUND_ROBIN' | 'LEAST_REQUEST';

const EXTENSIONS = 'type.googleapis.com/envoy.extensions';
const HCM = `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const PEAK_EWMA = `${EXTENSIONS}.load_balancing_policies.peak_ewma.v3alpha.PeakEwma`;

/** One cluster of several backends; Peak-EWMA by Envoy's typed policy, the others by `lb_policy`. */
export function balancedConfig(
  policy: Policy,
  decaySeconds: number,
  backendPorts: readonly number[],
  port: number,
  adminPort: number,
): object {
  const typedConfig = { '@type': PEAK_EWMA, decay_time: `${decaySeconds}s` };
  const typed = { name: 'envoy.load_balancing_policies.peak_ewma', typed_config: typedConfig };
  const balancing =
    policy === 'PEAK_EWMA'
      ? { load_balancing_policy: { policies: [{ typed_extension_config: typed }] } }
      : { lb_policy: policy };
  return {
    admin: { address: socketAddress(adminPort) },
    static_resources: {
      listeners: [{ name: 'in', address: socketAddress(port), filter_chains: [{ filters: [manager()] }] }],
      clusters: [
        {
          name: 'three',
          type: 'STATIC',
          connect_timeout: '1s',
          ...balancing,
          load_assignment: {
            cluster_name: 'three',
            endpoints: [
              { lb_endpoints: backendPorts.map((p) => ({ endpoint: { address: socketAddress(p) } })) },
            ],
          },
        },
      ],
    },
  };
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function manager(): object {
  const router = { '@type': `${EXTENSIONS}.filters.http.router.v3.Router` };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': HCM,
      stat_prefix: 'in',
      route_config: {
        name: 'local',
        virtual_hosts: [
          { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'three' } }] },
        ],
      },
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: router }],
    },
  };
}
