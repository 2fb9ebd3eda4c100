/** A small config dump with something of everything. */
import type { JsonRecord } from '../../../src/cli/config/source.ts';

const last_updated = '2026-01-01T00:00:00.000Z';
const info = { version_info: '7', last_updated, client_status: 'ACKED' };

const address = (ip: string, port: number): JsonRecord => ({
  address: { socket_address: { address: ip, port_value: port } },
});
const member = (ip: string, more: JsonRecord): JsonRecord => ({ endpoint: address(ip, 8080), ...more });
const rds = { filters: [{ typed_config: { rds: { route_config_name: '80' } } }] };
const out = { name: 'out', ...address('127.0.0.1', 15001), filter_chains: [rds, rds] };

export function configDump(): JsonRecord[] {
  return [
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
      dynamic_active_clusters: [
        { ...info, cluster: { name: 'outbound|80||reviews', type: 'EDS', lb_policy: 'LEAST_REQUEST' } },
        {
          ...info,
          cluster: {
            name: 'plain',
            load_balancing_policy: {
              policies: [
                {
                  typed_extension_config: { typed_config: { '@type': 'type.googleapis.com/x.v1.PeakEwma' } },
                },
              ],
            },
          },
        },
      ],
    },
    { ecds_filters: [{ ...info, ecds_filter: { name: 'e', typed_config: { '@type': 'x/y.Router' } } }] },
    {
      dynamic_endpoint_configs: [
        {
          ...info,
          endpoint_config: {
            cluster_name: 'outbound|80||reviews',
            endpoints: [
              {
                locality: { region: 'r', zone: 'z' },
                priority: 1,
                lb_endpoints: [
                  member('10.0.0.1', { health_status: 'HEALTHY' }),
                  member('::1', { health_status: 'UNHEALTHY', load_balancing_weight: 3 }),
                ],
              },
            ],
          },
        },
        { endpoint_config: { cluster_name: 'none' }, client_status: 'DOES_NOT_EXIST' },
      ],
    },
    {
      static_listeners: [
        {
          listener: {
            name: 'in',
            ...address('0.0.0.0', 15006),
            filter_chains: [{ filters: [{ typed_config: { cluster: 'inbound|80||' } }] }],
          },
          last_updated,
        },
      ],
      dynamic_listeners: [
        {
          name: 'out',
          active_state: { version_info: '7', listener: out, last_updated },
          warming_state: { version_info: '8', listener: out, last_updated },
          client_status: 'ACKED',
        },
        {
          name: 'bad',
          error_state: {
            failed_configuration: { name: 'bad', ...address('127.0.0.1', 1) },
            details: "Listener 'bad': no\nand no",
            version_info: '9',
            last_update_attempt: last_updated,
          },
          client_status: 'NACKED',
        },
      ],
    },
    {
      dynamic_scoped_route_configs: [
        {
          name: 's',
          ...info,
          scoped_route_configs: [
            { name: 'one', route_configuration_name: '80', key: { fragments: [{ string_key: 'a' }] } },
          ],
        },
      ],
    },
    {
      dynamic_route_configs: [
        {
          ...info,
          route_config: {
            name: '80',
            virtual_hosts: [
              {
                name: 'reviews',
                domains: ['reviews', 'reviews.ns', 'reviews.ns.svc', '10.0.0.9:80'],
                routes: [
                  {
                    match: { prefix: '/api', headers: [{ name: 'x-a' }] },
                    route: { cluster: 'outbound|80||reviews' },
                  },
                  {
                    match: { safe_regex: { regex: '^/r$' } },
                    route: {
                      weighted_clusters: {
                        clusters: [
                          { name: 'a', weight: 1 },
                          { name: 'b', weight: 99 },
                        ],
                      },
                    },
                  },
                  { match: { path: '/x' }, direct_response: { status: 404 } },
                ],
              },
            ],
          },
        },
        { route_config: { name: 'later' }, client_status: 'REQUESTED' },
      ],
    },
  ];
}
