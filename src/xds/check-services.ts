import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { ApiConfigSource } from '#plain/envoy.config.core.v3.ts';
import { at } from '../config/context.ts';
import { ConfigError } from '../core/errors.ts';
import { findServer } from './protocol/cluster-dialer.ts';

/**
 * The gRPC services of the bootstrap: ADS, load reports, health discovery. Throws a ConfigError for what can be seen
 * without opening anything; the xds thread finds out the rest.
 */
export function checkServices(bootstrap: Bootstrap): void {
  const services: readonly (readonly [string, ApiConfigSource | undefined])[] = [
    ['dynamic_resources.ads_config', bootstrap.dynamicResources?.adsConfig],
    ['cluster_manager.load_stats_config', bootstrap.clusterManager?.loadStatsConfig],
    ['hds_config', bootstrap.hdsConfig],
  ];
  for (const [path, api] of services) if (api !== undefined) at(path, () => checkService(api, bootstrap));
}

function checkService(api: ApiConfigSource, bootstrap: Bootstrap): void {
  checkTransport(api);
  if (api.apiType !== 'GRPC' && api.apiType !== 'DELTA_GRPC') {
    const found = api.apiType ?? 'REST_LEGACY';
    throw ConfigError.at('api_type', `${found} is not for a stream: GRPC and DELTA_GRPC are`);
  }
  const [service, ...others] = api.grpcServices ?? [];
  if (service === undefined || others.length > 0)
    throw ConfigError.at('grpc_services', 'exactly one is needed');
  const { envoyGrpc } = service;
  if (envoyGrpc !== undefined)
    findServer(bootstrap, envoyGrpc.clusterName ?? '', 'grpc_services[0].envoy_grpc.cluster_name');
}

/** Throws a ConfigError for another version of xDS than the one that is spoken. */
export function checkTransport({ transportApiVersion }: ApiConfigSource): void {
  if (transportApiVersion === 'V3') return;
  const found = transportApiVersion ?? 'AUTO';
  throw ConfigError.at(
    'transport_api_version',
    `V3 is the only version of xDS that is spoken, found ${found}`,
  );
}
