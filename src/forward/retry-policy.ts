import { getHeader, type Headers } from '../http/headers.ts';
import type { RequestHead, ResponseHead } from '../http/stream.ts';
import type { Host } from '../upstream/host.ts';

/** What a request is retried for, as bits. */
export const RETRY_ON = {
  serverError: 1 << 0,
  gatewayError: 1 << 1,
  reset: 1 << 2,
  resetBeforeRequest: 1 << 3,
  connectFailure: 1 << 4,
  envoyRatelimited: 1 << 5,
  retriable4xx: 1 << 6,
  refusedStream: 1 << 7,
  retriableStatusCodes: 1 << 8,
  retriableHeaders: 1 << 9,
  /** Accepted, and never the case: there is no HTTP/3. */
  http3PostConnectFailure: 1 << 10,
  grpcCancelled: 1 << 11,
  grpcDeadlineExceeded: 1 << 12,
  grpcInternal: 1 << 13,
  grpcResourceExhausted: 1 << 14,
  grpcUnavailable: 1 << 15,
} as const;

export const RETRY_ON_GRPC =
  RETRY_ON.grpcCancelled |
  RETRY_ON.grpcDeadlineExceeded |
  RETRY_ON.grpcInternal |
  RETRY_ON.grpcResourceExhausted |
  RETRY_ON.grpcUnavailable;

const HTTP_NAMES: ReadonlyMap<string, number> = new Map([
  ['5xx', RETRY_ON.serverError],
  ['gateway-error', RETRY_ON.gatewayError],
  ['reset', RETRY_ON.reset],
  ['reset-before-request', RETRY_ON.resetBeforeRequest],
  ['connect-failure', RETRY_ON.connectFailure],
  ['envoy-ratelimited', RETRY_ON.envoyRatelimited],
  ['retriable-4xx', RETRY_ON.retriable4xx],
  ['refused-stream', RETRY_ON.refusedStream],
  ['retriable-status-codes', RETRY_ON.retriableStatusCodes],
  ['retriable-headers', RETRY_ON.retriableHeaders],
  ['http3-post-connect-failure', RETRY_ON.http3PostConnectFailure],
]);

const GRPC_NAMES: ReadonlyMap<string, number> = new Map([
  ['cancelled', RETRY_ON.grpcCancelled],
  ['deadline-exceeded', RETRY_ON.grpcDeadlineExceeded],
  ['internal', RETRY_ON.grpcInternal],
  ['resource-exhausted', RETRY_ON.grpcResourceExhausted],
  ['unavailable', RETRY_ON.grpcUnavailable],
]);

/** Bits of a comma-separated list; `valid` is false when any of its names is unknown. Names are trimmed. */
export interface ParsedRetryOn {
  readonly bits: number;
  readonly valid: boolean;
}

/** `x-envoy-retry-on` */
export function parseRetryOn(list: string): ParsedRetryOn {
  return parse(list, HTTP_NAMES);
}

/** `x-envoy-retry-grpc-on` */
export function parseRetryGrpcOn(list: string): ParsedRetryOn {
  return parse(list, GRPC_NAMES);
}

/** `retry_on` of a policy, where both kinds may stand; Envoy skips what it does not know. */
export function parsePolicyRetryOn(list: string): number {
  return parseRetryOn(list).bits | parseRetryGrpcOn(list).bits;
}

function parse(list: string, names: ReadonlyMap<string, number>): ParsedRetryOn {
  let bits = 0;
  let valid = true;
  for (const item of list.split(',')) {
    const name = item.trim();
    if (name === '') continue;
    const bit = names.get(name);
    if (bit === undefined) valid = false;
    else bits |= bit;
  }
  return { bits, valid };
}

/** True: choose another host for the retry, if there is one. `tried` are the hosts of the attempts before it. */
export type HostPredicate = (host: Host, tried: readonly Host[]) => boolean;

/** `rate_limited_retry_back_off`: the upstream says how long to wait. */
export interface RateLimitedBackOff {
  readonly resetHeaders: readonly ResetHeader[];
  /** A header that asks for more is not heeded. */
  readonly maxMs: number;
}

export interface ResetHeader {
  readonly name: string;
  readonly format: 'SECONDS' | 'UNIX_TIMESTAMP';
}

/** `envoy.config.route.v3.RetryPolicy`, compiled. */
export interface RetryPolicy {
  /** Bits of RETRY_ON; 0: only what the request's headers ask for. */
  readonly on: number;
  readonly retries: number;
  readonly statusCodes: readonly number[];
  /** Any of them marks a response for a retry. */
  readonly responseMatches: readonly ((response: ResponseHead) => boolean)[];
  /** When there are any, one of them must hold for a request to be retried at all. */
  readonly requestMatches: readonly ((request: RequestHead) => boolean)[];
  readonly baseMs: number;
  readonly maxMs: number;
  readonly rateLimited: RateLimitedBackOff | null;
  readonly hostPredicates: readonly HostPredicate[];
  /** How often another host is drawn when the predicates refuse one. */
  readonly hostAttempts: number;
  /** `previous_priorities`: after how many attempts the priorities that failed are left out; 0: never. */
  readonly priorityFrequency: number;
}

/** What applies when only the request asks for retries. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  on: 0,
  retries: 1,
  statusCodes: [],
  responseMatches: [],
  requestMatches: [],
  baseMs: 25,
  maxMs: 250,
  rateLimited: null,
  hostPredicates: [],
  hostAttempts: 1,
  priorityFrequency: 0,
};

/** Milliseconds that a response asks to wait, or −1. `wallMs` is now, since the Unix epoch. */
export function resetInterval(policy: RateLimitedBackOff, headers: Headers, wallMs: number): number {
  for (const header of policy.resetHeaders) {
    const value = getHeader(headers, header.name);
    if (value === undefined || !/^\s*\+?\d{1,15}\s*$/.test(value)) continue;
    const seconds = Number(value);
    const ms = header.format === 'SECONDS' ? seconds * 1000 : (seconds - Math.trunc(wallMs / 1000)) * 1000;
    if (ms >= 0 && ms <= policy.maxMs) return ms;
  }
  return -1;
}
