import type { OmitHostMetadataConfig } from '#plain/envoy.extensions.retry.host.omit_host_metadata.v3.ts';
import type { RetryHostPredicateExtension } from '../../config/context.ts';
import type { Host } from '../../upstream/host.ts';

/** Hosts that failed this request before. */
export const previousHosts: RetryHostPredicateExtension = {
  kind: 'retry-host-predicate',
  name: 'envoy.retry_host_predicates.previous_hosts',
  type: 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
  compile: () => (host, tried) => tried.includes(host),
};

/** Hosts whose metadata say `envoy.lb: {canary: true}`. */
export const omitCanaryHosts: RetryHostPredicateExtension = {
  kind: 'retry-host-predicate',
  name: 'envoy.retry_host_predicates.omit_canary_hosts',
  type: 'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate',
  compile: () => (host) => balancerMetadata(host.metadata).canary === true,
};

/** Hosts whose `envoy.lb` metadata have all the values of `metadata_match`. */
export const omitHostMetadata: RetryHostPredicateExtension = {
  kind: 'retry-host-predicate',
  name: 'envoy.retry_host_predicates.omit_host_metadata',
  type: 'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig',
  compile(value) {
    const config: OmitHostMetadataConfig = value;
    const wanted = Object.entries(balancerMetadata(config.metadataMatch?.filterMetadata ?? null));
    return (host) => {
      const has = balancerMetadata(host.metadata);
      return wanted.every(([key, value]) => holds(has[key], value));
    };
  },
};

const NOTHING: Readonly<Record<string, unknown>> = {};

function balancerMetadata(metadata: Host['metadata']): Readonly<Record<string, unknown>> {
  const found = metadata?.['envoy.lb'];
  return typeof found === 'object' && found !== null ? { ...found } : NOTHING;
}

/** A list of values holds when any of them is the wanted one. */
function holds(has: unknown, wanted: unknown): boolean {
  if (Array.isArray(has)) return has.some((one) => same(one, wanted));
  return same(has, wanted);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'object' && a !== null && JSON.stringify(a) === JSON.stringify(b));
}
