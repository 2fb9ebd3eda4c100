import { randomBytes } from 'node:crypto';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import { compileClientTransport } from '../../config/client-transport.ts';
import { compileDnsResolver } from '../../config/cluster-dns.ts';
import { ExtensionRegistry } from '../../config/context.ts';
import { SecretStore } from '../../config/tls-secrets.ts';
import { systemClock } from '../../core/clock.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { EXTENSIONS } from '../../extensions/index.ts';
import type { ClientTransport } from '../../net/transport.ts';
import type { StatScope } from '../../stats/scope.ts';
import { createDnsResolver } from '../../upstream/discovery/dns-resolver.ts';
import { Dialer, type DialTarget } from './dialer.ts';

export interface DialerParts {
  readonly bootstrap: Bootstrap;
  readonly stats: StatScope;
  readonly log: Logger;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5000;
const RAW_BUFFER = 'envoy.transport_sockets.raw_buffer';

/** A cluster of the bootstrap whose hosts are known without asking a control plane; throws a ConfigError at `field`. */
export function findServer(bootstrap: Bootstrap, name: string, field: string): Cluster {
  const cluster = (bootstrap.staticResources?.clusters ?? []).find((one) => one.name === name);
  const type = cluster?.type ?? 'STATIC';
  if (
    cluster === undefined ||
    cluster.clusterType !== undefined ||
    !['STATIC', 'STRICT_DNS', 'LOGICAL_DNS'].includes(type)
  ) {
    throw ConfigError.at(
      field,
      `needs a static cluster that is not of type EDS: '${name}' ${cluster === undefined ? 'does not exist' : `is of type ${type}`}`,
    );
  }
  return cluster;
}

/** To the hosts of a static cluster, with its TLS. `alpn` is offered where the cluster does not say what. */
export function createClusterDialer(cluster: Cluster, parts: DialerParts, alpn: string): Dialer {
  const targets = targetsOf(cluster);
  if (targets.length === 0) {
    throw ConfigError.at('', `cluster '${cluster.name ?? ''}' has no endpoints of its own`);
  }
  if ((cluster.transportSocketMatches?.length ?? 0) > 0) {
    throw ConfigError.at(
      '',
      `cluster '${cluster.name ?? ''}' leads to a control plane and must not have transport_socket_matches`,
    );
  }
  const keepalive = cluster.upstreamConnectionOptions?.tcpKeepalive;
  return new Dialer({
    targets,
    family: cluster.dnsLookupFamily ?? 'AUTO',
    resolver: createDnsResolver(compileDnsResolver(cluster, parts.bootstrap.typedDnsResolverConfig)),
    dial: {
      connectTimeoutMs: cluster.connectTimeout ?? DEFAULT_CONNECT_TIMEOUT_MS,
      alpn: [alpn],
      transport: compileTransport(cluster.transportSocket, cluster.name ?? '', parts),
      ...(keepalive === undefined
        ? {}
        : { tcpKeepalive: { idleMs: (keepalive.keepaliveTime ?? 7200) * 1000 } }),
    },
  });
}

/** Throws a ConfigError, also for secrets that would have to come from a control plane. */
export function compileTransport(
  config: TransportSocket | undefined,
  name: string,
  { bootstrap, stats, log }: DialerParts,
): ClientTransport | null {
  const secrets = new SecretStore();
  for (const secret of bootstrap.staticResources?.secrets ?? []) secrets.set(secret.name ?? '', secret);
  if (hasSource(config)) {
    throw ConfigError.at(
      'transport_socket',
      `the connection to a control plane ('${name}') takes its certificates from the bootstrap or from files, not from SDS`,
    );
  }
  return compileClientTransport(
    config,
    {
      dry: false,
      stats,
      clusterScope: stats.scope('cluster', name, { envoy_cluster_name: name }),
      extensions: new ExtensionRegistry(EXTENSIONS),
      clock: systemClock,
      log,
      secrets,
      ticketSecret: randomBytes(32),
    },
    'transport_socket',
  );
}

/** Whether what travels to the cluster's hosts is readable on the way. */
export function isCleartext({ transportSocket }: Cluster): boolean {
  return transportSocket === undefined || transportSocket.name === RAW_BUFFER;
}

function targetsOf({ loadAssignment }: Cluster): DialTarget[] {
  return (loadAssignment?.endpoints ?? []).flatMap((locality) =>
    (locality.lbEndpoints ?? []).flatMap(({ endpoint }): DialTarget[] => {
      const { socketAddress, pipe } = endpoint?.address ?? {};
      if (pipe !== undefined) return [{ path: pipe.path ?? '' }];
      return socketAddress === undefined
        ? []
        : [{ host: socketAddress.address ?? '', port: socketAddress.portValue ?? 0 }];
    }),
  );
}

/** An `sds_config` anywhere in it. */
function hasSource(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  return 'sdsConfig' in value || Object.values(value).some(hasSource);
}
