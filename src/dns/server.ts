import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Counter, StatScope } from '../stats/scope.ts';
import { DnsCache } from './cache.ts';
import {
  addressReply,
  CLASS_IN,
  emptyReply,
  parseQuery,
  type Query,
  RCODE,
  refusal,
  renew,
  TYPE,
} from './message.ts';
import type { DnsTable } from './table.ts';
import {
  askUpstream,
  createFramer,
  type DnsServerAddress,
  framed,
  type UpstreamAnswer,
  type UpstreamEvents,
} from './upstream.ts';

export interface DnsOptions {
  /** Where to listen, over UDP and TCP. */
  readonly addresses: readonly DnsServerAddress[];
  readonly table: DnsTable;
  /** Who is asked for the rest. */
  readonly upstreams: readonly DnsServerAddress[];
  readonly stats: StatScope;
  /** How long one server may take. */
  readonly timeoutMs?: number;
  /** Entries of the cache; 0: none. */
  readonly cacheEntries?: number;
  readonly nowMs?: () => number;
}

export interface DnsServer {
  readonly addresses: readonly DnsServerAddress[];
  /** Answers from this one from now on. */
  setTable(table: DnsTable): void;
  close(): void;
}

const TIMEOUT_MS = 2000;
const CACHE_ENTRIES = 4096;
const MAX_TTL_S = 3600;
/** Questions that wait for an upstream: Envoy's `max_pending_lookups`. */
const MAX_PENDING = 256;
/** Connections at a time. */
const MAX_CLIENTS = 256;
/** Bytes that a client may leave unread. */
const MAX_UNREAD = 256 * 1024;
const MAX_QUERY = 4096;
const IDLE_MS = 10_000;

/** Answers captured queries: names of the table itself, the rest from the cache or an upstream. Rejects when an address is taken. */
export async function startDnsServer(options: DnsOptions): Promise<DnsServer> {
  const resolver = new Resolver(options);
  const sockets: (UdpSocket | Server)[] = [];
  const addresses: DnsServerAddress[] = [];
  const close = (): void => {
    for (const socket of sockets) socket.close();
    sockets.length = 0;
  };
  try {
    for (const { ip, port } of options.addresses) {
      // TCP chooses where the port is 0: ports that are free there are fewer.
      const tcp = serveTcp(resolver);
      sockets.push(tcp);
      await once(tcp.listen({ port, host: ip, ipv6Only: isIPv6(ip) }), 'listening');
      const bound = (tcp.address() as AddressInfo).port;
      const udp = createSocket({ type: isIPv6(ip) ? 'udp6' : 'udp4', ipv6Only: isIPv6(ip) });
      sockets.push(udp);
      udp.bind(bound, ip);
      await once(udp, 'listening');
      serveUdp(udp, resolver);
      addresses.push({ ip, port: bound });
    }
  } catch (error) {
    close();
    throw error;
  }
  const setTable = (table: DnsTable): void => {
    resolver.table = table;
  };
  return { addresses, setTable, close };
}

function serveUdp(socket: UdpSocket, resolver: Resolver): void {
  socket.on('message', (bytes, from) => {
    resolver.answer(bytes, false, (reply) => {
      try {
        socket.send(reply, from.port, from.address);
      } catch {
        // Closed in the meantime.
      }
    });
  });
  socket.on('error', () => {
    // A client that went away; Linux reports it on the socket of the server.
  });
}

function serveTcp(resolver: Resolver): Server {
  const server = createServer((client: Socket) => {
    client.setTimeout(IDLE_MS, () => client.destroy());
    client.on('error', () => client.destroy());
    const messages = createFramer(MAX_QUERY, (bytes) => {
      resolver.answer(bytes, true, (reply) => {
        if (client.writable) client.write(framed(reply));
      });
    });
    client.on('data', (chunk: Buffer) => {
      // Who asks and does not read is no client.
      if (!messages(chunk) || client.writableLength > MAX_UNREAD) client.destroy();
    });
  });
  server.maxConnections = MAX_CLIENTS;
  return server;
}

interface DnsStats {
  readonly queriesUdp: Counter;
  readonly queriesTcp: Counter;
  readonly malformed: Counter;
  readonly local: Counter;
  readonly hits: Counter;
  readonly misses: Counter;
  readonly upstream: Counter;
  readonly timeouts: Counter;
  readonly failures: Counter;
  readonly overflow: Counter;
}

function createStats(stats: StatScope): DnsStats {
  const scope = stats.scope('dns');
  return {
    queriesUdp: scope.counter('queries_udp'),
    queriesTcp: scope.counter('queries_tcp'),
    malformed: scope.counter('queries_malformed'),
    local: scope.counter('answers_local'),
    hits: scope.counter('cache_hits'),
    misses: scope.counter('cache_misses'),
    upstream: scope.counter('upstream_queries'),
    timeouts: scope.counter('upstream_timeouts'),
    failures: scope.counter('upstream_failures'),
    overflow: scope.counter('pending_overflow'),
  };
}

/** Decides who answers: the table, the cache or an upstream. */
class Resolver {
  table: DnsTable;
  readonly #upstreams: readonly DnsServerAddress[];
  readonly #timeoutMs: number;
  readonly #stats: DnsStats;
  readonly #events: UpstreamEvents;
  readonly #cache: DnsCache;
  /** One question at a time, however many ask it; also when it comes back to us as the answer to itself. */
  readonly #pending = new Map<string, Promise<UpstreamAnswer | undefined>>();
  /** Whose turn it is among the addresses of a name. */
  #turn = 0;

  constructor(options: DnsOptions) {
    const stats = createStats(options.stats);
    this.table = options.table;
    this.#upstreams = options.upstreams;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#stats = stats;
    this.#events = { onQuery: () => stats.upstream.inc(), onTimeout: () => stats.timeouts.inc() };
    const nowMs = options.nowMs ?? (() => performance.now());
    this.#cache = new DnsCache(options.cacheEntries ?? CACHE_ENTRIES, MAX_TTL_S, nowMs);
  }

  answer(bytes: Buffer, overTcp: boolean, reply: (bytes: Buffer) => void): void {
    const stats = this.#stats;
    (overTcp ? stats.queriesTcp : stats.queriesUdp).inc();
    const query = parseQuery(bytes);
    if (typeof query !== 'object') {
      stats.malformed.inc();
      if (query !== undefined) reply(refusal(bytes, query));
      return;
    }
    const send = (answer: Buffer): void =>
      reply(overTcp || answer.length <= query.udpLimit ? answer : emptyReply(query, RCODE.NOERROR, true));
    const local = this.#fromTable(query);
    if (local !== undefined) {
      stats.local.inc();
      send(local);
      return;
    }
    const kept = this.#cache.get(query);
    if (kept !== undefined) {
      stats.hits.inc();
      send(kept);
      return;
    }
    stats.misses.inc();
    this.#askUpstream(query, overTcp, send);
  }

  #askUpstream(query: Query, overTcp: boolean, send: (answer: Buffer) => void): void {
    const key = `${overTcp ? 'T' : 'U'} ${query.key}`;
    let asking = this.#pending.get(key);
    if (asking === undefined) {
      if (this.#pending.size >= MAX_PENDING) {
        this.#stats.overflow.inc();
        send(emptyReply(query, RCODE.SERVFAIL));
        return;
      }
      asking = askUpstream(query, this.#upstreams, overTcp, this.#timeoutMs, this.#events)
        .then((answer) => {
          if (answer !== undefined) this.#cache.set(query.key, answer.bytes, answer.ttlS);
          return answer;
        })
        .finally(() => this.#pending.delete(key));
      this.#pending.set(key, asking);
    }
    void asking.then((answer) => {
      if (answer === undefined) this.#stats.failures.inc();
      send(answer === undefined ? emptyReply(query, RCODE.SERVFAIL) : renew(answer.bytes, query, 0));
    });
  }

  #fromTable(query: Query): Buffer | undefined {
    const { table } = this;
    if (table.size === 0 || query.class !== CLASS_IN) return undefined;
    const entry = table.find(query.name);
    if (entry === undefined) return table.known(query.name) ? emptyReply(query, RCODE.NXDOMAIN) : undefined;
    const { ttlS, alias } = entry;
    if (query.type === TYPE.A) return addressReply(query, this.#rotate(entry.ipv4), ttlS, alias);
    if (query.type === TYPE.AAAA) return addressReply(query, this.#rotate(entry.ipv6), ttlS, alias);
    // The name is ours: nobody else is asked about it, unless only its addresses are known here.
    return entry.addressesOnly === true ? undefined : emptyReply(query, RCODE.NOERROR);
  }

  /** Clients take the first one, so that each has its turn. */
  #rotate(addresses: readonly string[]): readonly string[] {
    if (addresses.length < 2) return addresses;
    const first = this.#turn++ % addresses.length;
    return [...addresses.slice(first), ...addresses.slice(0, first)];
  }
}
