import type { RouteAction } from '#plain/envoy.config.route.v3.ts';
import type { RegexMatchAndSubstitute } from '#plain/envoy.type.matcher.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { compileRegex, compileSubstitution } from '../core/regex.ts';
import { toWire } from '../core/wire.ts';
import { getHeader, setHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import type { ClusterPick, ForwardRoute, RewritableInfo } from './action.ts';
import { applyHeaderMutations } from './policy.ts';

/** New path or authority of a request; undefined: leave it. */
export type Rewrite = (request: RequestHead) => string | undefined;

export interface RequestRewrite {
  readonly path: Rewrite | undefined;
  readonly host: Rewrite | undefined;
}

/** Index of the first `?` or `#`, or the length. */
export function pathEnd(path: string): number {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query < 0) return fragment < 0 ? path.length : fragment;
  return fragment < 0 || query < fragment ? query : fragment;
}

/**
 * Makes a request ready for its cluster: first what the weighted cluster says, then the route and the levels
 * around it: header mutations, host, path. `envoyHeaders` is false when
 * `suppress_envoy_headers` is on.
 */
export function finalizeRequest(
  route: ForwardRoute,
  pick: ClusterPick,
  x: RewritableInfo,
  envoyHeaders: boolean,
): void {
  const request = x.request;
  if (pick.ownRequestMutations !== undefined) {
    applyHeaderMutations(pick.ownRequestMutations, request.headers, x);
  }
  if (pick.hostRewriteLiteral !== '') request.authority = pick.hostRewriteLiteral;
  for (const mutations of pick.requestMutations) applyHeaderMutations(mutations, request.headers, x);
  const host = route.rewrite?.host?.(request);
  if (host !== undefined && host !== '') {
    rewriteAuthority(request, host, route.appendXForwardedHost, envoyHeaders);
  }
  const path = route.rewrite?.path?.(request);
  if (path === undefined) return;
  x.originalPath = request.path;
  if (envoyHeaders) setHeader(request.headers, 'x-envoy-original-path', request.path);
  request.path = path;
}

/** Replaces the authority; the old one goes to `x-forwarded-host` when asked for and not last there already. */
export function rewriteAuthority(
  request: RequestHead,
  host: string,
  appendXForwardedHost: boolean,
  envoyHeaders: boolean,
): void {
  const old = request.authority;
  if (appendXForwardedHost && old !== '') {
    const known = getHeader(request.headers, 'x-forwarded-host');
    if (known === undefined || known === '') setHeader(request.headers, 'x-forwarded-host', old);
    else if (lastOf(known) !== old) setHeader(request.headers, 'x-forwarded-host', `${known},${old}`);
  }
  if (envoyHeaders) setHeader(request.headers, 'x-envoy-original-host', old);
  request.authority = host;
}

function lastOf(list: string): string {
  return list.slice(list.lastIndexOf(',') + 1);
}

/** `matchedLength` is what a prefix rewrite replaces, −1 for the whole path without its query. */
export function compileRewrite(
  config: RouteAction,
  matchedLength: number,
  path: string,
): RequestRewrite | undefined {
  if (config.pathRewritePolicy !== undefined) {
    throw ConfigError.at(`${path}.path_rewrite_policy`, 'path rewrite extensions are not supported');
  }
  const newPath = compilePathRewrite(config, matchedLength, path);
  const newHost = compileHostRewrite(config, path);
  return newPath === undefined && newHost === undefined ? undefined : { path: newPath, host: newHost };
}

/** `prefix_rewrite` and `regex_rewrite`, which routes and redirects share. */
export function compilePathRewrite(
  config: { readonly prefixRewrite?: string; readonly regexRewrite?: RegexMatchAndSubstitute },
  matchedLength: number,
  path: string,
): Rewrite | undefined {
  const { prefixRewrite, regexRewrite } = config;
  if (prefixRewrite !== undefined && prefixRewrite !== '') {
    if (regexRewrite !== undefined) {
      throw ConfigError.at(path, 'only one of prefix_rewrite and regex_rewrite may be set');
    }
    const prefix = toWire(prefixRewrite);
    return (request) =>
      prefix + request.path.slice(matchedLength < 0 ? pathEnd(request.path) : matchedLength);
  }
  if (regexRewrite === undefined) return undefined;
  const replace = compileReplace(regexRewrite, `${path}.regex_rewrite`);
  return (request) => {
    const end = pathEnd(request.path);
    return replace(request.path.slice(0, end)) + request.path.slice(end);
  };
}

function compileReplace(config: RegexMatchAndSubstitute, path: string): (text: string) => string {
  const regex = compileRegex(config.pattern?.regex ?? '', `${path}.pattern`);
  // It becomes part of a request line or a header: unlike prefix_rewrite it has no rule in Envoy's protos.
  if (/[\r\n\0]/.test(config.substitution ?? '')) {
    throw ConfigError.at(`${path}.substitution`, 'line breaks and NUL cannot be part of a path or host');
  }
  const substitution = compileSubstitution(config.substitution ?? '', regex, `${path}.substitution`);
  return (text) => regex.replace(text, substitution);
}

function compileHostRewrite(config: RouteAction, path: string): Rewrite | undefined {
  if (config.hostRewriteLiteral !== undefined && config.hostRewriteLiteral !== '') {
    const host = toWire(config.hostRewriteLiteral);
    return () => host;
  }
  if (config.hostRewriteHeader !== undefined && config.hostRewriteHeader !== '') {
    const name = config.hostRewriteHeader.toLowerCase();
    return (request) => getHeader(request.headers, name);
  }
  if (config.hostRewritePathRegex !== undefined) {
    const replace = compileReplace(config.hostRewritePathRegex, `${path}.host_rewrite_path_regex`);
    return (request) => replace(request.path.slice(0, pathEnd(request.path)));
  }
  return undefined;
}
