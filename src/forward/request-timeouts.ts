import { isGrpc } from '../http/grpc.ts';
import { formatGrpcTimeout, readGrpcTimeout } from '../http/grpc-status.ts';
import { getHeader, type Headers, removeHeader, setHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import type { ForwardPolicy } from './forward-policy.ts';

/** The limits of one request in milliseconds; 0 = none. */
export interface RequestTimeouts {
  /** From the end of the request to the end of the response. */
  readonly globalMs: number;
  /** From the end of the request (or the start of the attempt, if later) to the attempt's response head. */
  readonly perTryMs: number;
  /** Without a byte of an attempt's response. */
  readonly perTryIdleMs: number;
  /** Of one attempt's stream; −1: what the cluster says. */
  readonly maxStreamMs: number;
  /** The attempt that is too late runs on beside a new one. */
  readonly hedge: boolean;
  /** Answer to a timeout; `x-envoy-upstream-rq-timeout-alt-response` makes it 204. */
  readonly status: number;
  /** `x-envoy-expected-rq-timeout-ms` of a first attempt, '' for none. */
  readonly expected: string;
}

/** The part of a route's policy that is about time. */
export type TimeoutPolicy = Pick<ForwardPolicy, 'timeouts' | 'grpcTimeouts'>;

/** What a router filter says about the headers that set timeouts. */
export interface TimeoutHeaderRules {
  readonly suppressEnvoyHeaders: boolean;
  /** `respect_expected_rq_timeout` */
  readonly respectExpected: boolean;
}

const LETTER_X = 120;
const LETTER_E = 101;

/** Whether any `x-envoy-…` header is there: if not, a request has nothing to say about its own forwarding. */
export function hasEnvoyHeaders(headers: Headers): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.charCodeAt(0) === LETTER_X && name.charCodeAt(2) === LETTER_E && name.startsWith('x-envoy-'))
      return true;
  }
  return false;
}

/**
 * The timeouts of a request: the route's, or what its headers ask for, which are taken out. Writes
 * `x-envoy-expected-rq-timeout-ms`, and `grpc-timeout` under `max_grpc_timeout`.
 */
export function requestTimeouts(
  policy: TimeoutPolicy,
  request: RequestHead,
  rules: TimeoutHeaderRules,
): RequestTimeouts {
  const { timeouts, grpcTimeouts } = policy;
  const asks = hasEnvoyHeaders(request.headers);
  if (!asks && (grpcTimeouts === null || !isGrpc(request.headers))) {
    if (timeouts.expected !== '' && !rules.suppressEnvoyHeaders) {
      request.headers.push('x-envoy-expected-rq-timeout-ms', timeouts.expected);
    }
    return timeouts;
  }
  const found = fromHeaders(policy, request, rules);
  writeTimeoutHeaders(policy, found, request, 0, rules.suppressEnvoyHeaders);
  return found;
}

function fromHeaders(
  policy: TimeoutPolicy,
  request: RequestHead,
  rules: TimeoutHeaderRules,
): RequestTimeouts {
  const { headers } = request;
  const { timeouts } = policy;
  // There are no statistics under other names, but the header is for the proxy alone.
  removeHeader(headers, 'x-envoy-upstream-alt-stat-name');
  const hedge = takeFlag(headers, 'x-envoy-hedge-on-per-try-timeout', timeouts.hedge);
  let globalMs = globalTimeout(policy, request);
  const expected = rules.respectExpected ? getHeader(headers, 'x-envoy-expected-rq-timeout-ms') : undefined;
  if (expected !== undefined) globalMs = milliseconds(expected) ?? globalMs;
  else globalMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-timeout-ms') ?? globalMs;
  let perTryMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-per-try-timeout-ms') ?? timeouts.perTryMs;
  if (globalMs !== 0 && perTryMs >= globalMs) perTryMs = 0;
  const maxStreamMs = takeMilliseconds(headers, 'x-envoy-upstream-stream-duration-ms');
  const alternative = getHeader(headers, 'x-envoy-upstream-rq-timeout-alt-response') !== undefined;
  if (alternative) removeHeader(headers, 'x-envoy-upstream-rq-timeout-alt-response');
  return {
    globalMs,
    perTryMs,
    perTryIdleMs: timeouts.perTryIdleMs,
    maxStreamMs: maxStreamMs ?? timeouts.maxStreamMs,
    hedge,
    status: alternative ? 204 : timeouts.status,
    expected: '',
  };
}

function globalTimeout(policy: TimeoutPolicy, request: RequestHead): number {
  const { grpcTimeouts, timeouts } = policy;
  if (grpcTimeouts === null || !isGrpc(request.headers)) return timeouts.globalMs;
  const asked = Math.max(0, readGrpcTimeout(request.headers));
  // The offset may not make it endless, which 0 would be.
  const ms = grpcTimeouts.offsetMs < asked ? asked - grpcTimeouts.offsetMs : asked;
  const { maxMs } = grpcTimeouts;
  return maxMs !== 0 && (ms === 0 || ms > maxMs) ? maxMs : ms;
}

/**
 * Tells the upstream how long it has: the attempt's time, or what is left of the whole when that is less. `elapsedMs`
 * counts from the end of the request.
 */
export function writeTimeoutHeaders(
  policy: TimeoutPolicy,
  timeouts: RequestTimeouts,
  request: RequestHead,
  elapsedMs: number,
  suppress: boolean,
): void {
  const { globalMs, perTryMs, hedge } = timeouts;
  let expectedMs = hedge || perTryMs === 0 ? globalMs : perTryMs;
  if (expectedMs === 0) return;
  // 0 would mean endless.
  if (globalMs > 0) expectedMs = elapsedMs >= globalMs ? 1 : Math.min(expectedMs, globalMs - elapsedMs);
  if (!suppress) setHeader(request.headers, 'x-envoy-expected-rq-timeout-ms', String(expectedMs));
  if (policy.grpcTimeouts !== null && isGrpc(request.headers)) {
    setHeader(request.headers, 'grpc-timeout', formatGrpcTimeout(expectedMs));
  }
}

/** The text of `expected` for a route's own timeouts. */
export function expectedHeader(timeouts: Omit<RequestTimeouts, 'expected'>): string {
  const { globalMs, perTryMs, hedge } = timeouts;
  const ms = hedge || perTryMs === 0 ? globalMs : perTryMs;
  return ms > 0 ? String(globalMs > 0 ? Math.min(ms, globalMs) : ms) : '';
}

/** A whole number of milliseconds as absl::SimpleAtoi reads it, or undefined. */
export function milliseconds(value: string): number | undefined {
  return /^\s*\+?\d{1,15}\s*$/.test(value) ? Number(value) : undefined;
}

function takeMilliseconds(headers: Headers, name: string): number | undefined {
  const value = getHeader(headers, name);
  if (value === undefined) return undefined;
  removeHeader(headers, name);
  return milliseconds(value);
}

function takeFlag(headers: Headers, name: string, otherwise: boolean): boolean {
  const value = getHeader(headers, name);
  if (value === undefined) return otherwise;
  removeHeader(headers, name);
  if (value === 'true') return true;
  return value === 'false' ? false : otherwise;
}
