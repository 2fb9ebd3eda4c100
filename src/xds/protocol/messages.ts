/** The messages of the protocol as protobuf-es makes them of Envoy's descriptors, which are known at run time only. */
import type { Any } from '@bufbuild/protobuf/wkt';
import type { WrappedResource } from './raw-resource.ts';

export interface DiscoveryRequest {
  readonly versionInfo?: string;
  readonly node?: object | undefined;
  readonly resourceNames?: readonly string[];
  readonly typeUrl: string;
  readonly responseNonce?: string;
  readonly errorDetail?: { readonly code: number; readonly message: string } | undefined;
}

export interface DiscoveryResponse {
  readonly versionInfo: string;
  readonly resources: readonly Any[];
  readonly typeUrl: string;
  readonly nonce: string;
  readonly controlPlane?: { readonly identifier: string };
}

export interface DeltaDiscoveryRequest {
  readonly node?: object | undefined;
  readonly typeUrl: string;
  readonly resourceNamesSubscribe?: readonly string[];
  readonly resourceNamesUnsubscribe?: readonly string[];
  readonly initialResourceVersions?: Readonly<Record<string, string>>;
  readonly responseNonce?: string;
  readonly errorDetail?: { readonly code: number; readonly message: string } | undefined;
}

export interface DeltaDiscoveryResponse {
  readonly systemVersionInfo: string;
  readonly resources: readonly WrappedResource[];
  readonly typeUrl: string;
  readonly removedResources: readonly string[];
  readonly nonce: string;
  readonly controlPlane?: { readonly identifier: string };
}

/** gRPC's INVALID_ARGUMENT: what a NACK says. */
export const INVALID_ARGUMENT = 3;

/** Characters that a server is told; as in Envoy. */
const MAX_MISTAKES = 4096;

/** What is wrong with a response, for the server, the log and the status: of a thousand mistakes the first ones. */
export function describeMistakes(mistakes: readonly string[]): string {
  const all = mistakes.join('\n');
  return all.length > MAX_MISTAKES ? `${all.slice(0, MAX_MISTAKES)}...(truncated)` : all;
}

/** `envoy.config.cluster.v3.Cluster` → `type.googleapis.com/envoy.config.cluster.v3.Cluster` */
export function typeUrl(type: string): string {
  return `type.googleapis.com/${type}`;
}
