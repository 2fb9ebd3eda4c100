import { isIP } from 'node:net';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type {
  Address,
  DnsResolverOptions as Flags,
  TypedExtensionConfig,
} from '#plain/envoy.config.core.v3.ts';
import type { CaresDnsResolverConfig } from '#plain/envoy.extensions.network.dns_resolver.cares.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { DnsSettings } from '../upstream/discovery/dns-hosts.ts';
import type { DnsResolverOptions } from '../upstream/discovery/dns-resolver.ts';
import { dnsTargets, overprovisioning } from './cluster-hosts.ts';

const CARES = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig';
const GETADDRINFO = 'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig';
const DEFAULT_REFRESH_MS = 5000;

/** Its hosts have names. */
export function isDnsCluster({ type }: ClusterConfig): boolean {
  return type === 'STRICT_DNS' || type === 'LOGICAL_DNS';
}

/** How a STRICT_DNS or LOGICAL_DNS cluster finds its hosts. */
export function compileDns(config: ClusterConfig): DnsSettings {
  const refreshMs = config.dnsRefreshRate ?? DEFAULT_REFRESH_MS;
  const failure = config.dnsFailureRefreshRate;
  const baseMs = failure?.baseInterval ?? refreshMs;
  const maxMs = failure?.maxInterval ?? baseMs * 10;
  if (maxMs < baseMs) {
    const path = 'dns_failure_refresh_rate.max_interval';
    throw ConfigError.at(path, 'must be greater than or equal to base_interval');
  }
  const logical = config.type === 'LOGICAL_DNS';
  if (logical) checkSole(config);
  return {
    targets: dnsTargets(config),
    logical,
    family: config.dnsLookupFamily ?? 'AUTO',
    refreshMs,
    failureBackoff: failure === undefined ? null : { baseMs, maxMs },
    respectTtl: config.respectDnsTtl ?? false,
    overprovisioningFactor: overprovisioning(config),
  };
}

function checkSole({ loadAssignment }: ClusterConfig): void {
  const endpoints = loadAssignment?.endpoints ?? [];
  if (endpoints.length === 1 && endpoints[0]?.lbEndpoints?.length === 1) return;
  throw ConfigError.at(
    'load_assignment',
    'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint',
  );
}

/** Which resolver a cluster asks: its own settings, else those of the bootstrap, else the system's servers. */
export function compileDnsResolver(
  config: ClusterConfig,
  bootstrap: TypedExtensionConfig | undefined,
): DnsResolverOptions {
  if (config.typedDnsResolverConfig !== undefined) {
    return typedResolver(config.typedDnsResolverConfig, 'typed_dns_resolver_config');
  }
  const older = config.dnsResolutionConfig;
  if (older !== undefined) {
    return caresResolver(older.resolvers, older.dnsResolverOptions, 'dns_resolution_config.resolvers');
  }
  if ((config.dnsResolvers?.length ?? 0) > 0) {
    return caresResolver(config.dnsResolvers, undefined, 'dns_resolvers');
  }
  if (bootstrap !== undefined) return typedResolver(bootstrap, 'typed_dns_resolver_config');
  return caresResolver([], undefined, '');
}

function typedResolver(config: TypedExtensionConfig, path: string): DnsResolverOptions {
  const any = config.typedConfig;
  if (any?.type === GETADDRINFO) return { servers: [], search: true, getaddrinfo: true };
  if (any?.type !== CARES)
    throw ConfigError.at(`${path}.typed_config`, `${any?.type ?? ''} is not supported`);
  const cares = any.value as CaresDnsResolverConfig;
  const resolvers = cares.useResolversAsFallback === true ? [] : cares.resolvers;
  return caresResolver(resolvers, cares.dnsResolverOptions, `${path}.typed_config.resolvers`);
}

function caresResolver(
  resolvers: readonly Address[] | undefined,
  flags: Flags | undefined,
  path: string,
): DnsResolverOptions {
  const servers = (resolvers ?? []).map((address, i) => {
    const ip = address.socketAddress?.address ?? '';
    if (isIP(ip) === 0) throw ConfigError.at(`${path}[${i}]`, 'a DNS resolver needs an IP address');
    const port = address.socketAddress?.portValue || 53;
    return isIP(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
  });
  return { servers, search: flags?.noDefaultSearchDomain !== true, getaddrinfo: false };
}
