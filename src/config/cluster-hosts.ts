import { isIP } from 'node:net';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Address as AddressConfig } from '#plain/envoy.config.core.v3.ts';
import type {
  ClusterLoadAssignment,
  LbEndpoint,
  LocalityLbEndpoints,
} from '#plain/envoy.config.endpoint.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { Address } from '../net/connection.ts';
import { type ClusterHosts, DEFAULT_OVERPROVISIONING, type HostSpec } from '../upstream/cluster-hosts.ts';
import type { DnsTarget } from '../upstream/discovery/dns-hosts.ts';
import { TRANSPORT_NAMESPACE } from '../upstream/transport-matches.ts';
import { compileHostHealthCheck } from './health-check.ts';

/** The endpoints of `load_assignment`, which must all be IP addresses or Unix sockets. */
export function compileStaticHosts(config: ClusterConfig): ClusterHosts {
  const hosts: HostSpec[] = [];
  forEachEndpoint(config, (endpoint, locality, path) => {
    const address = literalAddress(endpoint.endpoint?.address, `${path}.endpoint.address`);
    hosts.push(hostSpec(endpoint, locality, address, path));
  });
  return { hosts, overprovisioningFactor: overprovisioning(config) };
}

/** What a ClusterLoadAssignment says of a cluster of type EDS. Throws a ConfigError. */
export function compileAssignment(assignment: ClusterLoadAssignment): ClusterHosts {
  return compileStaticHosts({ loadAssignment: assignment });
}

/** The names of a STRICT_DNS or LOGICAL_DNS cluster. An IP address is a name that resolves to itself. */
export function dnsTargets(config: ClusterConfig): DnsTarget[] {
  const targets: DnsTarget[] = [];
  forEachEndpoint(config, (endpoint, locality, path) => {
    const socket = endpoint.endpoint?.address?.socketAddress;
    const name = socket?.address ?? '';
    if (name === '') throw ConfigError.at(`${path}.endpoint.address`, 'a DNS cluster needs a socket_address');
    if ((socket?.resolverName ?? '') !== '') {
      const where = `${path}.endpoint.address.socket_address.resolver_name`;
      throw ConfigError.at(where, `${config.type} clusters must NOT have a custom resolver name set`);
    }
    const port = socket?.portValue ?? 0;
    const spec = hostSpec(endpoint, locality, { ip: '', port, path: '' }, path);
    const hostname = spec.hostname || name;
    // As in Envoy: of the only host the priority says nothing.
    const one = config.type === 'LOGICAL_DNS' ? { identity: name, priority: 0 } : {};
    targets.push({ name, port, spec: { ...spec, hostname, ...one } });
  });
  return targets;
}

export function overprovisioning(config: ClusterConfig): number {
  return config.loadAssignment?.policy?.overprovisioningFactor ?? DEFAULT_OVERPROVISIONING;
}

function forEachEndpoint(
  config: ClusterConfig,
  visit: (endpoint: LbEndpoint, locality: LocalityLbEndpoints, path: string) => void,
): void {
  config.loadAssignment?.endpoints?.forEach((locality, i) => {
    if (locality.ledsClusterLocalityConfig !== undefined) {
      const path = `load_assignment.endpoints[${i}].leds_cluster_locality_config`;
      throw ConfigError.at(path, 'LEDS is only supported when EDS is used');
    }
    locality.lbEndpoints?.forEach((endpoint, j) => {
      visit(endpoint, locality, `load_assignment.endpoints[${i}].lb_endpoints[${j}]`);
    });
  });
}

function hostSpec(
  endpoint: LbEndpoint,
  locality: LocalityLbEndpoints,
  address: Address,
  path: string,
): HostSpec {
  return {
    address,
    hostname: endpoint.endpoint?.hostname ?? '',
    weight: endpoint.loadBalancingWeight ?? 1,
    health: endpoint.healthStatus ?? 'UNKNOWN',
    priority: locality.priority ?? 0,
    locality: {
      region: locality.locality?.region ?? '',
      zone: locality.locality?.zone ?? '',
      subZone: locality.locality?.subZone ?? '',
    },
    localityWeight: locality.loadBalancingWeight ?? 0,
    metadata: endpoint.metadata?.filterMetadata ?? null,
    ...localityMetadata(locality),
    ...compileHostHealthCheck(
      endpoint.endpoint?.healthCheckConfig,
      literalAddress,
      `${path}.endpoint.health_check_config`,
    ),
  };
}

function localityMetadata({ metadata }: LocalityLbEndpoints): Pick<HostSpec, 'localityMetadata'> {
  const found = metadata?.filterMetadata?.[TRANSPORT_NAMESPACE];
  return found === undefined ? {} : { localityMetadata: { [TRANSPORT_NAMESPACE]: found } };
}

function literalAddress(config: AddressConfig | undefined, path: string): Address {
  if (config?.pipe !== undefined) return { ip: '', port: 0, path: config.pipe.path ?? '' };
  const socket = config?.socketAddress;
  if (socket === undefined) throw ConfigError.at(path, 'expected a socket_address or a pipe');
  if (socket.protocol === 'UDP') {
    throw ConfigError.at(`${path}.socket_address.protocol`, 'UDP upstreams are not supported');
  }
  const ip = socket.address ?? '';
  if (isIP(ip) === 0) {
    throw ConfigError.at(
      `${path}.socket_address.address`,
      `malformed IP address: ${ip}; a name needs a cluster of type STRICT_DNS or LOGICAL_DNS`,
    );
  }
  return { ip, port: socket.portValue ?? 0, path: '' };
}
