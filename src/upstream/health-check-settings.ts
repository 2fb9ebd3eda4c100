import type { RequestHead } from '../http/stream.ts';
import type { HostSpec } from './cluster-hosts.ts';
import type { Metadata } from './transport-matches.ts';

/** `envoy.config.core.v3.HealthCheck`, compiled; defaults are filled in. */
export interface HealthCheckSettings {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  /** While the cluster has had no traffic yet. */
  readonly noTrafficIntervalMs: number;
  readonly noTrafficHealthyIntervalMs: number;
  readonly unhealthyIntervalMs: number;
  /** After the first failure of a healthy host, until the threshold decides. */
  readonly unhealthyEdgeIntervalMs: number;
  /** After the first success of an unhealthy host, until the threshold decides. */
  readonly healthyEdgeIntervalMs: number;
  readonly initialJitterMs: number;
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  /** Runtime keys `health_check.min_interval` and `health_check.max_interval`. */
  readonly minIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly reuseConnection: boolean;
  readonly alwaysLogFailures: boolean;
  readonly alwaysLogSuccess: boolean;
  readonly eventLogPaths: readonly string[];
  /** `tls_options.alpn_protocols`. */
  readonly alpn: readonly string[];
  /** `transport_socket_match_criteria`, in place of the hosts' own metadata; null: as requests go. */
  readonly transportCriteria: Metadata;
  readonly probe: HttpProbeSettings | TcpProbeSettings | GrpcProbeSettings;
}

export interface HttpProbeSettings {
  readonly kind: 'HTTP';
  readonly http2: boolean;
  readonly method: string;
  readonly path: string;
  /** '' for the cluster's name. */
  readonly host: string;
  /** Adds, changes and removes request headers; null for none. */
  readonly mutate: ((head: RequestHead, host: HostSpec) => void) | null;
  readonly send: Buffer | null;
  /** Must occur in this order in the body. */
  readonly receive: readonly Buffer[];
  /** Bytes of the body that are looked at, 0 for all. */
  readonly responseBufferSize: number;
  readonly expected: (status: number) => boolean;
  readonly retriable: (status: number) => boolean;
  /** `service_name_matcher`, null for none. */
  readonly serviceName: ((cluster: string) => boolean) | null;
}

export interface TcpProbeSettings {
  readonly kind: 'TCP';
  readonly send: Buffer | null;
  /** Empty: a connection is enough. */
  readonly receive: readonly Buffer[];
  readonly proxyProtocol: 'V1' | 'V2' | null;
}

export interface GrpcProbeSettings {
  readonly kind: 'GRPC';
  readonly serviceName: string;
  /** '' for the cluster's name. */
  readonly authority: string;
  readonly mutate: ((head: RequestHead, host: HostSpec) => void) | null;
}
