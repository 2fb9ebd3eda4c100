import { getHeader, type Headers } from './headers.ts';

/** gRPC status codes by name (doc/statuscodes.md of gRPC). */
export const GRPC = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** `grpc-status` of trailers, or of the head of a trailers-only answer; −1 when there is none or it is no number. */
export function readGrpcStatus(headers: Headers): number {
  const value = getHeader(headers, 'grpc-status');
  return value === undefined ? -1 : parseGrpcStatus(value);
}

/** As absl::SimpleAtoi: digits with spaces around them; anything else is −1. */
export function parseGrpcStatus(value: string): number {
  return /^\s*\+?\d{1,9}\s*$/.test(value) ? Number(value) : -1;
}

/** The HTTP status that says the same, by Envoy's table: what outlier detection and host statistics count. */
export function grpcToHttp(status: number): number {
  return HTTP_OF_GRPC[status] ?? 500;
}

const HTTP_OF_GRPC: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

/**
 * `grpc-timeout` in milliseconds, rounded up; −1 when there is none or it breaks gRPC's format: at most eight
 * digits and one of the units H, M, S, m, u, n.
 */
export function readGrpcTimeout(headers: Headers): number {
  const value = getHeader(headers, 'grpc-timeout');
  if (value === undefined || !/^\d{1,8}[HMSmun]$/.test(value)) return -1;
  const amount = Number(value.slice(0, -1));
  return Math.ceil(amount * (UNIT_MS[value.slice(-1)] ?? 0));
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

const MAX_GRPC_TIMEOUT = 99_999_999;

/** `ms` as `grpc-timeout`: in the finest unit that eight digits can hold. */
export function formatGrpcTimeout(ms: number): string {
  if (ms <= MAX_GRPC_TIMEOUT) return `${ms}m`;
  if (ms / 1000 <= MAX_GRPC_TIMEOUT) return `${Math.trunc(ms / 1000)}S`;
  if (ms / 60_000 <= MAX_GRPC_TIMEOUT) return `${Math.trunc(ms / 60_000)}M`;
  return `${Math.min(Math.trunc(ms / 3_600_000), MAX_GRPC_TIMEOUT)}H`;
}
