import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Counter, StatScope } from '../stats/scope.ts';
import { DnsCache } from './cache.ts';
import { addressReply, errorReply, parseQuery, type Query, RCODE } from './message.ts';
import type { DnsTable } from './table.ts';
import { askUpstream, createFramer, type DnsServerAddress, framed, type UpstreamAnswer } from './upstream.ts';

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
  close(): void;
}

const TIMEOUT_MS = 2000;
const CACHE_ENTRIES = 4096;
const MAX_TTL_S = 3600;
/** Questions that wait for an upstream: Envoy's `max_pending_lookups`. */
const MAX_PENDING = 256;
const MAX_CLIENTS = 64;
const MAX_QUERY = 4096;
const IDLE_MS = 10_000;

/** Answers captured queries: names of the table itself, the rest from the cache or an upstream. Rejects when an address is taken. */
export async function startDnsServer(options: DnsOptions): Promise<DnsServer> {
  const resolver = createResolver(options);
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
  return { addresses, close };
}

type Resolve = (bytes: Buffer, overTcp: boolean, reply: (bytes: Buffer) => void) => void;

function serveUdp(socket: UdpSocket, resolver: Resolve): void {
  socket.on('message', (bytes, from) => {
    resolver(bytes, false, (reply) => {
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

function serveTcp(resolver: Resolve): Server {
  const server = createServer((client: Socket) => {
    client.setTimeout(IDLE_MS, () => client.destroy());
    client.on('error', () => client.destroy());
    const messages = createFramer(MAX_QUERY, (bytes) => {
      resolver(bytes, true, (reply) => {
        if (client.writable) client.write(framed(reply));
      });
    });
    client.on('data', (chunk: Buffer) => {
      // Who asks and does not read is no client.
      if (!messages(chunk) || client.writableLength > MAX_QUERY * MAX_CLIENTS) client.destroy();
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

function createResolver(options: DnsOptions): Resolve {
  const { table, upstreams, timeoutMs = TIMEOUT_MS, nowMs = () => performance.now() } = options;
  const stats = createStats(options.stats);
  const cache = new DnsCache(options.cacheEntries ?? CACHE_ENTRIES, MAX_TTL_S, nowMs);
  const pending = new Map<string, Promise<UpstreamAnswer | undefined>>();
  const events = { onQuery: () => stats.upstream.inc(), onTimeout: () => stats.timeouts.inc() };

  const ask = (query: Query, overTcp: boolean): Promise<UpstreamAnswer | undefined> | undefined => {
    const key = `${overTcp ? 'T' : 'U'} ${query.key}`;
    // One question at a time, however many ask it.
    const running = pending.get(key);
    if (running !== undefined) return running;
    if (pending.size >= MAX_PENDING) return undefined;
    const asking = askUpstream(query, upstreams, overTcp, timeoutMs, events).finally(() =>
      pending.delete(key),
    );
    pending.set(key, asking);
    return asking;
  };

  return (bytes, overTcp, reply) => {
    (overTcp ? stats.queriesTcp : stats.queriesUdp).inc();
    const query = parseQuery(bytes);
    if (typeof query !== 'object') {
      stats.malformed.inc();
      if (query !== undefined) reply(errorReply(bytes, query));
      return;
    }
    const send = (answer: Buffer): void =>
      reply(overTcp || answer.length <= query.udpLimit ? answer : errorReply(bytes, RCODE.NOERROR, true));
    const local = answerLocally(table, query);
    if (local !== undefined) {
      stats.local.inc();
      send(local);
      return;
    }
    const kept = cache.get(query.key, query.id);
    if (kept !== undefined) {
      stats.hits.inc();
      send(kept);
      return;
    }
    stats.misses.inc();
    const asking = ask(query, overTcp);
    if (asking === undefined) {
      stats.overflow.inc();
      reply(errorReply(bytes, RCODE.SERVFAIL));
      return;
    }
    void asking.then((answer) => {
      if (answer === undefined) {
        stats.failures.inc();
        reply(errorReply(bytes, RCODE.SERVFAIL));
        return;
      }
      cache.set(query.key, answer.bytes, answer.ttlS);
      const copy = Buffer.from(answer.bytes);
      copy.writeUInt16BE(query.id, 0);
      send(copy);
    });
  };
}

function answerLocally(table: DnsTable, query: Query): Buffer | undefined {
  if (table.size === 0) return undefined;
  const entry = table.find(query.name);
  if (entry === undefined)
    return table.known(query.name) ? errorReply(query.bytes, RCODE.NXDOMAIN) : undefined;
  if (query.type === 'A') return addressReply(query, entry.ipv4, entry.ttlS);
  if (query.type === 'AAAA') return addressReply(query, entry.ipv6, entry.ttlS);
  // The name is ours: nobody else is asked about it.
  return errorReply(query.bytes, RCODE.NOERROR);
}
