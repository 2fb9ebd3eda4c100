import { isIP } from 'node:net';
import { getHeader } from '../../http/headers.ts';
import type { Protocol, RequestHead } from '../../http/stream.ts';
import type { Host } from '../host.ts';
import { HttpPool } from './http-pool.ts';
import type { PoolShared } from './pool-shared.ts';

export type Priority = 'DEFAULT' | 'HIGH';

/** More pools by server name than this, and those that are empty are dropped before another one is made. */
const SWEEP_FROM = 16;

/**
 * The HTTP pools of one host, made when first asked for. Most clusters use one; others have one for each version of
 * the client, for each priority, or (`auto_sni`) for each server name that requests are for.
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

  /** `serverName`: what connections of the pool ask for in their handshake; '' for what is configured. */
  pick(downstream: Protocol, priority: Priority, serverName: string): HttpPool {
    const shared = priority === 'HIGH' ? (this.#shared.high ?? this.#shared) : this.#shared;
    const http2 = downstream === 'HTTP/2' ? shared.httpForHttp2 : null;
    const at = (priority === 'HIGH' ? 2 : 0) + (http2 === null ? 0 : 1);
    if (serverName !== '') return this.#named(shared, http2 ?? shared.http, at, serverName);
    let pool = this.#pools[at];
    if (!pool) {
      pool = new HttpPool(this.#host, shared, http2 ?? shared.http);
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
    this.#byName ??= new Map();
    const byName = this.#byName;
    const key = `${at}${serverName}`;
    let pool = byName.get(key);
    if (pool === undefined) {
      // Names come from clients: only pools in use are kept, whose number the breaker bounds.
      if (byName.size >= SWEEP_FROM) for (const [name, one] of byName) if (one.empty) byName.delete(name);
      const dialOptions = { ...protocol.dialOptions, serverName };
      pool = new HttpPool(this.#host, shared, { ...protocol, dialOptions });
      byName.set(key, pool);
    }
    return pool;
  }
}

/** The server name that a request is for, by `header` ('' for its authority); '' where that is an IP address. */
export function serverNameOf(head: RequestHead, header: string): string {
  const given = (header === '' ? undefined : getHeader(head.headers, header)) ?? head.authority;
  if (given.startsWith('[')) return '';
  const colon = given.lastIndexOf(':');
  const name = colon < 0 ? given : given.slice(0, colon);
  return isIP(name) === 0 ? name : '';
}
