import type { NetworkFilter, NetworkFilterExtension } from '../../config/context.ts';

export const sniCluster: NetworkFilterExtension = {
  kind: 'network-filter',
  name: 'envoy.filters.network.sni_cluster',
  type: 'envoy.extensions.filters.network.sni_cluster.v3.SniCluster',
  compile: () => chooseBySni,
};

/** The server name that tls_inspector found is the name of the cluster that tcp_proxy takes instead of its own. */
const chooseBySni: NetworkFilter = (connection, next) => {
  const { serverName } = connection.accepted;
  if (serverName !== '') connection.accepted = { ...connection.accepted, cluster: serverName };
  next(connection);
};
