import { asciiLower } from '../core/wire.ts';
import { getHeader } from '../http/headers.ts';
import { portStart } from '../http/normalize.ts';
import type { RequestHead } from '../http/stream.ts';
import { pathEnd } from './rewrite.ts';
import type { RouteIndex } from './route-index.ts';

export type RequireTls = 'NONE' | 'EXTERNAL_ONLY' | 'ALL';

export interface VirtualHost<R> {
  readonly name: string;
  readonly routes: RouteIndex<R>;
  readonly requireTls: RequireTls;
  /** Taken by requests that come in plain text where TLS is required. */
  readonly tlsRedirect: R;
}

/** Finds the virtual host of a request. */
export interface VirtualHosts<R> {
  /** Of `*`. */
  readonly fallback: VirtualHost<R> | undefined;
  /** There is nothing but `*`: the authority need not be looked at. */
  readonly onlyFallback: boolean;
  /** `host` in lower case. */
  find(host: string): VirtualHost<R> | undefined;
}

export interface TableOptions {
  readonly ignorePortInHostMatching: boolean;
  readonly ignorePathParameters: boolean;
  /** `vhds`: virtual hosts may come that nobody has asked for yet. */
  readonly growing: boolean;
}

/** A compiled RouteConfiguration. */
export class RouteTable<R> {
  readonly name: string;
  readonly growing: boolean;
  readonly #hosts: VirtualHosts<R>;
  readonly #options: TableOptions;
  readonly #only: VirtualHost<R> | undefined;

  constructor(name: string, hosts: VirtualHosts<R>, options: TableOptions) {
    this.name = name;
    this.growing = options.growing;
    this.#hosts = hosts;
    this.#options = options;
    this.#only = hosts.onlyFallback ? hosts.fallback : undefined;
  }

  /**
   * The route of a request, undefined when there is none (404, flag NR). `random` is the request's one random
   * number, a uint32: runtime fractions and weighted clusters draw with the same one.
   */
  match(request: RequestHead, random: number): R | undefined {
    const host = this.#only ?? this.findVirtualHost(request);
    if (host === undefined || (request.path === '' && request.method !== 'CONNECT')) return undefined;
    if (host.requireTls !== 'NONE' && needsTls(host.requireTls, request)) return host.tlsRedirect;
    const end = pathEnd(request.path);
    const path = end === request.path.length ? request.path : request.path.slice(0, end);
    return host.routes.find(
      this.#options.ignorePathParameters ? withoutParameters(path) : path,
      request,
      random,
    );
  }

  findVirtualHost(request: RequestHead): VirtualHost<R> | undefined {
    if (this.#only !== undefined) return this.#only;
    const hosts = this.#hosts;
    if (request.authority === '') return hosts.fallback;
    let host = asciiLower(request.authority);
    if (this.#options.ignorePortInHostMatching) {
      const port = portStart(host);
      if (port >= 0) host = host.slice(0, port);
    }
    return hosts.find(host);
  }
}

function needsTls(required: RequireTls, request: RequestHead): boolean {
  if (request.scheme === 'https') return false;
  return required === 'ALL' || getHeader(request.headers, 'x-envoy-internal') !== 'true';
}

/** Drops `;parameters` of every segment. */
function withoutParameters(path: string): string {
  return path.includes(';') ? path.replace(/;[^/]*/g, '') : path;
}
