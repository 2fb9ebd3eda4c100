import { create, fromJson, type JsonValue } from '@bufbuild/protobuf';
import type { Address, Locality } from '#plain/envoy.config.core.v3.ts';
import type { ClusterHealthCheck } from '#plain/envoy.service.health.v3.ts';
import type { DelegatedStatus } from '../core/xds-protocol.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';

const MESSAGE = 'envoy.service.health.v3.HealthCheckRequestOrEndpointHealthResponse';
/** What Envoy says; checks by gRPC are done as well, but the message has no word for them. */
const PROTOCOLS = ['HTTP', 'TCP'] as const;

/** The first message of a stream: who offers to check what. */
export function healthCheckRequest(node: object): object {
  const registry = envoyRegistry();
  const capability = fromJson(
    requireMessage(registry, 'envoy.service.health.v3.Capability'),
    { healthCheckProtocols: [...PROTOCOLS] },
    { registry },
  );
  return create(requireMessage(registry, MESSAGE), {
    requestType: { case: 'healthCheckRequest', value: { node, capability } },
  });
}

/** How the endpoints of `clusters` are, both as a list and by cluster and locality, as Envoy says it. */
export function endpointHealthResponse(
  clusters: readonly ClusterHealthCheck[],
  statuses: readonly (readonly DelegatedStatus[])[],
): object {
  const all: object[] = [];
  const byCluster = clusters.map(({ clusterName = '', localityEndpoints = [] }, i) => {
    let next = 0;
    const localities = localityEndpoints.map(({ locality = {}, endpoints = [] }) => ({
      locality: localityJson(locality),
      endpointsHealth: endpoints.map(({ address }) => {
        const healthStatus = statuses[i]?.[next++] ?? 'UNHEALTHY';
        const health = { endpoint: { address: addressJson(address) }, healthStatus };
        all.push(health);
        return health;
      }),
    }));
    return { clusterName, localityEndpointsHealth: localities };
  });
  const json = { endpointHealthResponse: { endpointsHealth: all, clusterEndpointsHealth: byCluster } };
  const registry = envoyRegistry();
  // By way of JSON, as the plain objects are nearly that.
  return fromJson(requireMessage(registry, MESSAGE), json as unknown as JsonValue, { registry });
}

function localityJson({ region = '', zone = '', subZone = '' }: Locality): object {
  return { region, zone, subZone };
}

/** The address alone: what else a configuration can say of a socket is no matter of health. */
function addressJson(address: Address | undefined): object {
  if (address?.pipe !== undefined) return { pipe: { path: address.pipe.path ?? '' } };
  const { address: ip = '', portValue = 0 } = address?.socketAddress ?? {};
  return { socketAddress: { address: ip, portValue } };
}
