import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import { extensionsOf, filterChainsOf, managersOf, onDemandSourcesOf, secretsOf } from './references.ts';
import type { Held } from './resource.ts';

/** Something of the bootstrap comes from elsewhere: the xds thread is needed. */
export function usesDiscovery(bootstrap: Bootstrap): boolean {
  const { clusterManager, dynamicResources, hdsConfig, layeredRuntime, staticResources } = bootstrap;
  return (
    dynamicResources?.cdsConfig !== undefined ||
    dynamicResources?.ldsConfig !== undefined ||
    clusterManager?.loadStatsConfig !== undefined ||
    hdsConfig !== undefined ||
    (layeredRuntime?.layers ?? []).some((layer) => layer.rtdsLayer !== undefined) ||
    (staticResources?.clusters ?? []).some(isDynamicCluster) ||
    (staticResources?.listeners ?? []).some(isDynamicListener) ||
    (staticResources?.listeners ?? []).some(logsByGrpc)
  );
}

/** A static cluster whose members or secrets come by xDS: it is not ready when the process starts. */
export function isDynamicCluster({ type, transportSocket, transportSocketMatches }: Cluster): boolean {
  return type === 'EDS' || comesByXds([transportSocket, transportSocketMatches]);
}

function isDynamicListener(listener: Listener): boolean {
  return (
    managersOf(listener).some(({ rds, scopedRoutes }) => rds !== undefined || scopedRoutes !== undefined) ||
    extensionsOf(listener).length > 0 ||
    onDemandSourcesOf(filterChainsOf(listener)).length > 0 ||
    comesByXds(filterChainsOf(listener).map((chain) => chain.transportSocket))
  );
}

/** The thread sends access logs to gRPC services, too. */
function logsByGrpc(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if ('type' in value && GRPC_LOGS.includes(String(value.type))) return true;
  return Object.values(value).some(logsByGrpc);
}

const GRPC_LOGS: readonly string[] = [
  'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig',
  'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig',
];

function comesByXds(holder: unknown): boolean {
  return secretsOf(holder).some(({ sdsConfig }) => sdsConfig !== undefined && !isFile(sdsConfig));
}

/** Files with secrets of static resources are read by the control thread. */
function isFile({ path, pathConfigSource }: ConfigSource): boolean {
  return path !== undefined || pathConfigSource !== undefined;
}

/** A static resource as if it had come by xDS. */
export function fromBootstrap<T extends { readonly name?: string }>(config: T): Held<T> {
  return { name: config.name ?? '', version: '', bytes: new Uint8Array(), config, updatedAt: new Date() };
}
