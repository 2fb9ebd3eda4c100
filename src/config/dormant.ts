/**
 * Clusters that came by xDS and that nobody has asked for: packed by the control thread, unpacked when the first
 * request asks. Of the thousands in a mesh a proxy uses a few.
 */
import { deserialize } from 'node:v8';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { pack } from '../core/pack.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';

export interface PackedCluster {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ClusterParts {
  readonly config: ClusterConfig;
  /** Null when they are not known yet, or in the configuration. */
  readonly hosts: ClusterHosts | null;
}

/** Health checks and outlier detection want to know of the members from the start. */
export function mayBeDormant({ healthChecks, outlierDetection }: ClusterConfig): boolean {
  return (healthChecks?.length ?? 0) === 0 && outlierDetection === undefined;
}

export function packCluster(parts: ClusterParts): PackedCluster {
  return { name: parts.config.name ?? '', bytes: pack(parts) };
}

export function unpackCluster({ bytes }: PackedCluster): ClusterParts {
  return deserialize(bytes) as ClusterParts;
}
