import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { NodeIdentity } from '../core/worker-protocol.ts';

export function nodeIdentity(bootstrap: Bootstrap): NodeIdentity {
  const { node } = bootstrap;
  return {
    id: node?.id ?? '',
    cluster: node?.cluster ?? '',
    region: node?.locality?.region ?? '',
    zone: node?.locality?.zone ?? '',
    subZone: node?.locality?.subZone ?? '',
    metadata: node?.metadata ?? {},
  };
}
