import type { RouteAction_HashPolicy } from '#plain/envoy.config.route.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { getHeader } from '../http/headers.ts';
import { queryParameter } from '../http/query.ts';
import type { RequestHead } from '../http/stream.ts';
import { combineHashes, hashText } from '../upstream/lb/hash.ts';

/** The hash of a request that comes from `remoteIp`; undefined when it has none of what is hashed. */
export type RequestHash = (request: RequestHead, remoteIp: string) => number | undefined;

interface Part {
  readonly read: (request: RequestHead, remoteIp: string) => string | undefined;
  /** Enough, when there is a hash. */
  readonly terminal: boolean;
}

/** `hash_policy` of a route; null without. */
export function compileHashPolicy(
  configs: readonly RouteAction_HashPolicy[] | undefined,
  path: string,
): RequestHash | null {
  const parts = (configs ?? []).flatMap((config, i) => {
    const read = compileRead(config, `${path}[${i}]`);
    return read === null ? [] : [{ read, terminal: config.terminal ?? false }];
  });
  if (parts.length === 0) return null;
  return (request, remoteIp) => hashOf(parts, request, remoteIp);
}

function hashOf(parts: readonly Part[], request: RequestHead, remoteIp: string): number | undefined {
  let hash: number | undefined;
  for (const { read, terminal } of parts) {
    const text = read(request, remoteIp);
    if (text !== undefined) hash = combineHashes(hash, hashText(text));
    if (terminal && hash !== undefined) break;
  }
  return hash;
}

function compileRead(config: RouteAction_HashPolicy, path: string): Part['read'] | null {
  if (config.header !== undefined) {
    const name = (config.header.headerName ?? '').toLowerCase();
    if (name === ':authority' || name === 'host') return (request) => request.authority;
    if (name === ':path') return (request) => request.path;
    if (name === ':method') return (request) => request.method;
    return (request) => getHeader(request.headers, name);
  }
  if (config.cookie !== undefined) {
    const name = config.cookie.name ?? '';
    return (request) => cookieOf(getHeader(request.headers, 'cookie') ?? '', name);
  }
  if (config.queryParameter !== undefined) {
    const name = config.queryParameter.name ?? '';
    return (request) => queryParameter(request.path, name);
  }
  if (config.connectionProperties !== undefined) {
    return config.connectionProperties.sourceIp === true ? (_request, remoteIp) => remoteIp : null;
  }
  throw ConfigError.at(path, 'is not supported');
}

function cookieOf(header: string, name: string): string | undefined {
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at >= 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}
