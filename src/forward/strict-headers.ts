import type { LocalAnswer } from '../http/exchange.ts';
import { getHeader, type Headers } from '../http/headers.ts';
import { FLAG } from '../http/response-flags.ts';
import { milliseconds } from './request-timeouts.ts';
import { parseRetryGrpcOn, parseRetryOn } from './retry-policy.ts';

/** `strict_check_headers`: the answer to the first header whose value Envoy would not understand, or null. */
export function checkStrictly(headers: Headers, names: readonly string[]): LocalAnswer | null {
  for (const name of names) {
    const value = getHeader(headers, name);
    if (value === undefined || isValid(name, value)) continue;
    return {
      status: 400,
      body: `invalid header '${name}' with value '${value}'`,
      details: `request_headers_failed_strict_check{${name}}`,
      flags: FLAG.invalidEnvoyRequestHeaders,
    };
  }
  return null;
}

function isValid(name: string, value: string): boolean {
  switch (name) {
    case 'x-envoy-retry-on':
      return parseRetryOn(value).valid;
    case 'x-envoy-retry-grpc-on':
      return parseRetryGrpcOn(value).valid;
    default:
      return milliseconds(value) !== undefined;
  }
}
