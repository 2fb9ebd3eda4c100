import type { TimerWheel } from '../core/timer-wheel.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import type { MirrorPolicy } from './mirror.ts';
import type { RequestTimeouts } from './request-timeouts.ts';
import type { RetryPolicy } from './retry-policy.ts';

/** What a route says about forwarding, compiled. A null costs a comparison per request and nothing else. */
export interface ForwardPolicy<C = Cluster> {
  /** For requests that ask for no others by header. */
  readonly timeouts: RequestTimeouts;
  /** `max_grpc_timeout` and `grpc_timeout_offset`, which came before `max_stream_duration`; null: not set. */
  readonly grpcTimeouts: GrpcTimeouts | null;
  readonly priority: 'DEFAULT' | 'HIGH';
  /** `connect_config`: a CONNECT ends here in a raw connection to a host. */
  readonly connect: boolean;
  readonly retry: RetryPolicy | null;
  /** Null: none. */
  readonly mirrors: readonly MirrorPolicy<C>[] | null;
  /** Bytes of a body that are kept for another attempt or sent to a mirror. */
  readonly bufferLimitBytes: number;
  /** `x-envoy-attempt-count` to the upstream. */
  readonly attemptCountInRequest: boolean;
  readonly attemptCountInResponse: boolean;
  /** `x-envoy-is-timeout-retry` to the upstream. */
  readonly isTimeoutRetryHeader: boolean;
}

/** Milliseconds; 0 = no limit. */
export interface GrpcTimeouts {
  readonly maxMs: number;
  readonly offsetMs: number;
}

/** What the forwarding of one router filter shares. */
export interface Forwarder {
  readonly wheel: TimerWheel;
  /** Leave out `x-envoy-…` headers. */
  readonly suppressEnvoyHeaders: boolean;
  /** Nothing that Envoy does not do: no replay on a connection that died. */
  readonly envoyStrict: boolean;
  /** This machine's address, which mirrored requests come from. */
  readonly localIp: string;
  /** Wall clock, for reset headers. */
  readonly wall: () => number;
  /** Told the chosen host before the request head is sent (host rewriting). */
  onHost(x: Exchange, host: Host): void;
}
