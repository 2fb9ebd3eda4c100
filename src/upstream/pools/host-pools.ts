import { isIP } from 'node:net';
import { getHeader } from '../../http/headers.ts';
import type { Protocol, RequestHead } from '../../http/stream.ts';
import type { LocalBind } from '../../net/bound-socket.ts';
import type { DialOptions } from '../../net/dial.ts';
import type { Host } from '../host.ts';
import { HttpPool } from './http-pool.ts';
import type { AutoNames, PoolShared } from './pool-shared.ts';

export type Priority = 'DEFAULT' | 'HIGH';

/** More pools by server name than this, and those that are empty are dropped before another one is made. */
const SWEEP_FROM = 16;

/**
 * The HTTP pools of one host, made when first asked for. Most clusters use one; others have one for each version of
 * the client, for each priority, for each server name that requests are for (`auto_sni`),
 * or for each client (`original_src`).
 */
export class HostPools {
  readonly #host: Host;
  readonly #shared: PoolShared;
  /** By priority and version. */
  readonly #pools: (HttpPool | null)[] = [null, null, null, null];
  #byName: Map<string, HttpPool> | null = null;

  constructor(host: Host, shared: PoolShared) {
    this.#host = host;
    this.#shared = shared;
  }

  /**
   * `serverName`: whom connections of the pool are for; '' for what is configured. `source`: where they come from; null
   * for what is configured.
   */
  pick(
    downstream: Protocol,
    priority: Priority,
    serverName: string,
    source: LocalBind | null = null,
  ): HttpPool {
    const shared = priority === 'HIGH' ? (this.#shared.high ?? this.#shared) : this.#shared;
    const http2 = downstream === 'HTTP/2' ? shared.httpForHttp2 : null;
    const at = (priority === 'HIGH' ? 2 : 0) + (http2 === null ? 0 : 1);
    if (source !== null) return this.#from(shared, http2 ?? shared.http, `${at}${serverName}`, source);
    if (serverName !== '') return this.#named(shared, http2 ?? shared.http, at, serverName);
    let pool = this.#pools[at];
    if (!pool) {
      const own = shared.autoNames?.verify === true ? dialNames(shared.autoNames, '') : null;
      pool = this.#create(shared, http2 ?? shared.http, own);
      this.#pools[at] = pool;
    }
    return pool;
  }

  /** Every pool that there is. */
  *all(): Generator<HttpPool> {
    for (const pool of this.#pools) if (pool !== null) yield pool;
    if (this.#byName !== null) yield* this.#byName.values();
  }

  #named(shared: PoolShared, protocol: PoolShared['http'], at: number, serverName: string): HttpPool {
    return this.#keyed(`${at}${serverName}`, () =>
      this.#create(shared, protocol, dialNames(shared.autoNames, serverName)),
    );
  }

  /** Connections from the client's own address serve that client alone. */
  #from(shared: PoolShared, protocol: PoolShared['http'], key: string, source: LocalBind): HttpPool {
    return this.#keyed(`${key} ${source.ipv4}${source.ipv6} ${source.port}`, () =>
      this.#create(shared, protocol, { ...dialNames(shared.autoNames, key.slice(1)), bind: source }),
    );
  }

  /** `own`: what its connections ask for besides; null where they are like all others. */
  #create(shared: PoolShared, protocol: PoolShared['http'], own: Partial<DialOptions> | null): HttpPool {
    const dialOptions = own === null ? protocol.dialOptions : { ...protocol.dialOptions, ...own };
    return new HttpPool(this.#host, shared, own === null ? protocol : { ...protocol, dialOptions });
  }

  #keyed(key: string, create: () => HttpPool): HttpPool {
    this.#byName ??= new Map();
    const byName = this.#byName;
    let pool = byName.get(key);
    if (pool === undefined) {
      // Keys come from clients: only pools in use are kept, whose number the breaker bounds.
      if (byName.size >= SWEEP_FROM) for (const [name, one] of byName) if (one.empty) byName.delete(name);
      pool = create();
      byName.set(key, pool);
    }
    return pool;
  }
}

/**
 * What a connection that is for `name` asks for, and what it must find. Where certificates must be for somebody, '' is
 * not good enough.
 */
function dialNames(names: AutoNames | null, name: string): Pick<DialOptions, 'serverName' | 'verifyName'> {
  return {
    ...(name !== '' && names?.ask !== false && isIP(name) === 0 ? { serverName: name } : {}),
    ...(names?.verify === true ? { verifyName: name } : {}),
  };
}

/**
 * The host that a request is for, without port or brackets: its authority, or what `header` says if it is there. '' where
 * that is an IP address, which no handshake asks for, unless the certificate must be for it.
 */
export function serverNameOf(head: RequestHead, { header, verify }: AutoNames): string {
  const given = (header === '' ? '' : getHeader(head.headers, header)) || head.authority;
  const name = hostOf(given);
  return verify || isIP(name) === 0 ? name : '';
}

function hostOf(authority: string): string {
  if (authority.startsWith('[')) return authority.slice(1, Math.max(1, authority.indexOf(']')));
  const colon = authority.lastIndexOf(':');
  return colon < 0 ? authority : authority.slice(0, colon);
}
