import type { Address } from '../net/connection.ts';

/** `envoy.config.core.v3.HealthStatus` as configured or delivered by EDS. */
export type HealthStatus = 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED';

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** What a host says about its own active health checks. */
export interface HostHealthCheck {
  /** Host header of a check, '' for the usual one. */
  readonly hostname: string;
  /** Checked in place of the host's address; null for that address. */
  readonly address: Address | null;
  /** Checked instead of the address's port, 0 for that port. */
  readonly port: number;
  readonly disabled: boolean;
}

/** One endpoint as discovery found it. Plain data: it travels between threads. */
export interface HostSpec {
  readonly address: Address;
  /** Set where the host stays the same when its address changes (LOGICAL_DNS): what it is known by. */
  readonly identity?: string;
  /** `endpoint.hostname`, or the name that DNS resolved; '' when there is none. */
  readonly hostname: string;
  readonly weight: number;
  readonly health: HealthStatus;
  readonly priority: number;
  readonly locality: Locality;
  /** `locality_lb_endpoints.load_balancing_weight`, 0 when unset. */
  readonly localityWeight: number;
  /** `endpoint.health_check_config`; left out when there is none. */
  readonly healthCheck?: HostHealthCheck;
  /** `metadata.filter_metadata`. */
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** The same of its locality, as far as anything reads it: what decides over transport sockets. */
  readonly localityMetadata?: Readonly<Record<string, unknown>>;
}

/** All endpoints of a cluster at one moment, in configuration order: what discovery sends to the workers. */
export interface ClusterHosts {
  readonly hosts: readonly HostSpec[];
  /** Percent; Envoy's default is 140. */
  readonly overprovisioningFactor: number;
}

export const DEFAULT_OVERPROVISIONING = 140;
