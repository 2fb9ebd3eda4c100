import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { inoxVersion } from '../core/version.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';

/** The Envoy whose configuration inox speaks: control planes decide by it what to send. */
const ENVOY_VERSION = { majorNumber: 1, minorNumber: 40, patch: 0 };

/** Only what is done here. */
const FEATURES = ['xds.config.resource-in-sotw', 'xds.config.supports-resource-ttl'];

/**
 * The node as it introduces itself: what the bootstrap says, verbatim, and Envoy's name and version. Control planes
 * look for these; Consul, for one, takes nobody else for a proxy. The build's metadata tells the truth. `features`:
 * those of the service that is spoken to.
 */
export function nodeMessage({ node = {} }: Bootstrap, features: readonly string[] = []): object {
  const json = {
    ...node,
    userAgentName: 'envoy',
    userAgentBuildVersion: { version: ENVOY_VERSION, metadata: { 'inox.version': inoxVersion } },
    clientFeatures: [...FEATURES, ...features],
  };
  const registry = envoyRegistry();
  return fromJson(requireMessage(registry, 'envoy.config.core.v3.Node'), json as unknown as JsonValue, {
    registry,
  });
}
