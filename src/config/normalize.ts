import type { HttpConnectionManager } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { Exchange, LocalAnswer } from '../http/exchange.ts';
import { LOCAL_REPLY } from '../http/local-reply.ts';
import {
  type HostRules,
  type NormalizedPath,
  normalizeHost,
  normalizePath,
  type PathRules,
  UNCHANGED,
} from '../http/normalize.ts';
import type { Counter } from '../stats/scope.ts';

const ESCAPED_SLASHES = {
  IMPLEMENTATION_SPECIFIC_DEFAULT: 'keep',
  KEEP_UNCHANGED: 'keep',
  REJECT_REQUEST: 'reject',
  UNESCAPE_AND_REDIRECT: 'unescape-and-redirect',
  UNESCAPE_AND_FORWARD: 'unescape-and-forward',
} as const;

/** Path and host rules of a connection manager; the result answers the exchange itself and says false when it must. */
export function compileNormalize(
  config: HttpConnectionManager,
  redirected: Counter,
): (x: Exchange) => boolean {
  const path: PathRules = {
    normalizePath: config.normalizePath ?? false,
    mergeSlashes: config.mergeSlashes ?? false,
    escapedSlashes: ESCAPED_SLASHES[config.pathWithEscapedSlashesAction ?? 'IMPLEMENTATION_SPECIFIC_DEFAULT'],
  };
  const host: HostRules = {
    stripPort: config.stripAnyHostPort ? 'any' : config.stripMatchingHostPort ? 'matching' : 'none',
    stripTrailingDot: config.stripTrailingHostDot ?? false,
  };
  const hostTouched = host.stripPort !== 'none' || host.stripTrailingDot;
  return (x) => {
    const { request } = x;
    // CONNECT has no path.
    if (request.path !== '') {
      const result = normalizePath(request.path, path);
      if (result !== UNCHANGED && !applyPath(x, result, redirected)) return false;
    }
    if (hostTouched) request.authority = normalizeHost(request.authority, host, x.downstream.local.port);
    return true;
  };
}

function applyPath(x: Exchange, result: NormalizedPath, redirected: Counter): boolean {
  switch (result.kind) {
    case 'ok':
      x.request.path = result.path;
      return true;
    case 'reject':
      x.reply(LOCAL_REPLY.pathNormalizationFailed);
      return false;
    case 'redirect':
      redirected.inc();
      x.reply(redirectTo(result.path, result.details));
      return false;
    default:
      return result satisfies never;
  }
}

function redirectTo(path: string, details: string): LocalAnswer {
  return { status: 307, body: '', details, flags: 0, headers: ['location', path] };
}
