import { join } from 'node:path';
import { type PeerPlace, routePath, type Topology } from '../topology.ts';

const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const TCP_PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
const UPSTREAM_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const HTTP2 = {
  typed_extension_protocol_options: {
    [UPSTREAM_OPTIONS]: {
      '@type': `type.googleapis.com/${UPSTREAM_OPTIONS}`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};
const FILE_LOG = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';

/** The bootstrap that Envoy and inox share, as JSON. */
export function envoyConfig(topology: Topology, place: PeerPlace): string {
  const filter = topology.protocol === 'tcp' ? tcpProxy() : httpManager(topology, place);
  return JSON.stringify({
    node: { id: 'bench', cluster: 'bench' },
    admin: { address: socketAddress(place.adminPort) },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: socketAddress(place.port),
          filter_chains: [{ filters: [filter], ...topology.transport?.listener }],
        },
      ],
      clusters: Array.from({ length: topology.clusters }, (_, i) => cluster(i, topology, place)),
    },
  });
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function cluster(index: number, topology: Topology, place: PeerPlace): object {
  const name = `backend_${index}`;
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    ...(topology.upstream === 'h2' ? HTTP2 : {}),
    ...topology.transport?.cluster,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(place.backendPort) } }] }],
    },
  };
}

function tcpProxy(): object {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: { '@type': TCP_PROXY, stat_prefix: 'in', cluster: 'backend_0' },
  };
}

function httpManager(topology: Topology, place: PeerPlace): object {
  const fileLog = {
    name: 'envoy.access_loggers.file',
    typed_config: { '@type': FILE_LOG, path: join(place.dir, 'access.log') },
  };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': HCM,
      stat_prefix: 'in',
      use_remote_address: true,
      common_http_protocol_options: { idle_timeout: '300s' },
      ...(topology.accessLog ? { access_log: [fileLog] } : {}),
      route_config: {
        name: 'local',
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: routes(topology) }],
      },
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
    },
  };
}

function routes(topology: Topology): object[] {
  const prefixes = Array.from({ length: topology.routes > 1 ? topology.routes : 0 }, (_, i) => ({
    match: { prefix: routePath(i) },
    route: { cluster: `backend_${i % topology.clusters}`, timeout: '15s' },
  }));
  return [...prefixes, { match: { prefix: '/' }, route: { cluster: 'backend_0', timeout: '15s' } }];
}
