import type { RedirectAction } from '#plain/envoy.config.route.v3.ts';
import { toWire } from '../core/wire.ts';
import { getHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import { compilePathRewrite, type Rewrite } from './rewrite.ts';

export const REDIRECT_STATUS: Readonly<Record<NonNullable<RedirectAction['responseCode']>, number>> = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
};

/** Builds the `location` of `envoy.config.route.v3.RedirectAction`. */
export function compileLocation(
  config: RedirectAction,
  matchedLength: number,
  path: string,
): (request: RequestHead) => string {
  const scheme = config.schemeRedirect ?? (config.httpsRedirect === true ? 'https' : '');
  const host = toWire(config.hostRedirect ?? '');
  const port =
    config.portRedirect === undefined || config.portRedirect === 0 ? '' : `:${config.portRedirect}`;
  const pathOf = compileRedirectPath(config, matchedLength, path);
  return (request) => {
    const newScheme = scheme === '' ? request.scheme : scheme;
    const newHost = host === '' ? requestHost(request, newScheme, port) : host;
    return `${newScheme}://${newHost}${port}${pathOf(request)}`;
  };
}

/** The redirect that `require_tls` makes: same host and path. */
export function tlsLocation(request: RequestHead): string {
  return `https://${request.authority}${request.path}`;
}

function compileRedirectPath(
  config: RedirectAction,
  matchedLength: number,
  path: string,
): (request: RequestHead) => string {
  const strip = config.stripQuery === true;
  if (config.pathRedirect !== undefined && config.pathRedirect !== '') {
    const fixed = toWire(config.pathRedirect);
    // A query of its own wins over the request's and is never stripped.
    if (fixed.includes('?') || strip) return () => fixed;
    return (request) => fixed + queryOf(request.path);
  }
  const rewrite: Rewrite | undefined = compilePathRewrite(config, matchedLength, path);
  return (request) => {
    const full = rewrite?.(request) ?? request.path;
    if (!strip) return full;
    const query = full.indexOf('?');
    return query < 0 ? full : full.slice(0, query);
  };
}

function queryOf(path: string): string {
  const query = path.indexOf('?');
  return query < 0 ? '' : path.slice(query);
}

/** The request's host; its port goes when a new one comes, or when it was the old scheme's default port. */
function requestHost(request: RequestHead, newScheme: string, newPort: string): string {
  const host = request.authority;
  if (host === '') return host;
  let colon = host.lastIndexOf(':');
  if (host.startsWith('[')) {
    colon = host.lastIndexOf(']:');
    if (colon >= 0) colon += 1;
  }
  if (colon < 0) return host;
  if (newPort !== '') return host.slice(0, colon);
  const oldScheme = getHeader(request.headers, 'x-forwarded-proto') ?? request.scheme;
  if (newScheme === oldScheme) return host;
  const port = host.slice(colon);
  const isDefault = (oldScheme === 'https' && port === ':443') || (oldScheme === 'http' && port === ':80');
  return isDefault ? host.slice(0, colon) : host;
}
