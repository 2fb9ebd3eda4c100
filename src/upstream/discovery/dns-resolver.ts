import { type LookupAddress, lookup, type RecordWithTtl, Resolver } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

/** `dns_lookup_family`: AUTO asks for IPv6 and, when there is none, for IPv4. */
export type DnsFamily = 'AUTO' | 'V4_ONLY' | 'V6_ONLY' | 'V4_PREFERRED' | 'ALL';

export interface ResolvedAddress {
  readonly ip: string;
  /** 0 when the source knows none (hosts file, literal). */
  readonly ttlMs: number;
}

/** A name without addresses is no failure: its hosts are gone. A failure leaves the old hosts in place. */
export type DnsResult =
  | { readonly ok: true; readonly addresses: readonly ResolvedAddress[] }
  | { readonly ok: false; readonly error: string };

export interface DnsResolver {
  /** Never rejects. */
  resolve(name: string, family: DnsFamily): Promise<DnsResult>;
  /** Gives up queries under way; their promises settle as failures. */
  close(): void;
}

export interface DnsResolverOptions {
  /** `ip:port` of name servers; empty for the system's. */
  readonly servers: readonly string[];
  /** `no_default_search_domain` is the opposite. */
  readonly search: boolean;
  /** Ask the C library instead (nsswitch, mDNS, …): the getaddrinfo resolver. */
  readonly getaddrinfo: boolean;
  readonly hostsFile?: string;
  readonly resolvConf?: string;
}

/** One family's answer for one name. */
type Lookup = (name: string, version: 4 | 6) => Promise<DnsResult>;

const NO_ADDRESSES: DnsResult = { ok: true, addresses: [] };
/** Retries double the time; unlimited, four of five seconds would hold up the start for more than a minute. */
const QUERY_TIMEOUT_MS = 2000;
const QUERY_MAX_TIMEOUT_MS = 5000;
const QUERY_TRIES = 3;
/** No such name, or no record of the type asked for. */
const EMPTY_CODES: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Resolves as Envoy's c-ares resolver does, where Node's own `resolve` would not: literals stand for
 * themselves, then the hosts file, `localhost`, and name servers with the search list of resolv.conf.
 */
export function createDnsResolver(options: DnsResolverOptions): DnsResolver {
  if (options.getaddrinfo) {
    return { resolve: (name, family) => resolveFamilies(systemLookup, name, family), close() {} };
  }
  const resolver = new Resolver({
    timeout: QUERY_TIMEOUT_MS,
    maxTimeout: QUERY_MAX_TIMEOUT_MS,
    tries: QUERY_TRIES,
  });
  if (options.servers.length > 0) resolver.setServers(options.servers);
  const query = serverLookup(resolver);
  const byName: Lookup = async (name, version) => {
    const local = await hostsLookup(options.hostsFile ?? '/etc/hosts', name, version);
    if (local.length > 0) return { ok: true, addresses: local };
    if (isLocalhost(name))
      return { ok: true, addresses: [{ ip: version === 6 ? '::1' : '127.0.0.1', ttlMs: 0 }] };
    return searched(query, name, version, options);
  };
  return { resolve: (name, family) => resolveFamilies(byName, name, family), close: () => resolver.cancel() };
}

async function resolveFamilies(find: Lookup, name: string, family: DnsFamily): Promise<DnsResult> {
  if (isIP(name) !== 0) return { ok: true, addresses: [{ ip: name, ttlMs: 0 }] };
  switch (family) {
    case 'V4_ONLY':
      return find(name, 4);
    case 'V6_ONLY':
      return find(name, 6);
    case 'AUTO':
      return either(await find(name, 6), () => find(name, 4));
    case 'V4_PREFERRED':
      return either(await find(name, 4), () => find(name, 6));
    case 'ALL': {
      const [v4, v6] = await Promise.all([find(name, 4), find(name, 6)]);
      if (!v4.ok) return v6.ok && v6.addresses.length > 0 ? v6 : v4;
      return v6.ok ? { ok: true, addresses: [...v4.addresses, ...v6.addresses] } : v4;
    }
    default:
      family satisfies never;
      return NO_ADDRESSES;
  }
}

/** The second family is asked when the first has no address; it decides whether that is a failure. */
async function either(first: DnsResult, second: () => Promise<DnsResult>): Promise<DnsResult> {
  return first.ok && first.addresses.length > 0 ? first : second();
}

function serverLookup(resolver: Resolver): Lookup {
  return (name, version) =>
    new Promise((resolve) => {
      const done = (error: NodeJS.ErrnoException | null, records: RecordWithTtl[]): void => {
        if (error === null) {
          resolve({ ok: true, addresses: records.map((r) => ({ ip: r.address, ttlMs: r.ttl * 1000 })) });
        } else if (EMPTY_CODES.has(error.code)) resolve(NO_ADDRESSES);
        else resolve({ ok: false, error: error.message });
      };
      if (version === 4) resolver.resolve4(name, { ttl: true }, done);
      else resolver.resolve6(name, { ttl: true }, done);
    });
}

const systemLookup: Lookup = (name, version) =>
  new Promise((resolve) => {
    lookup(
      name,
      { all: true, family: version },
      (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
        if (error === null) resolve({ ok: true, addresses: found.map((a) => ({ ip: a.address, ttlMs: 0 })) });
        else if (EMPTY_CODES.has(error.code)) resolve(NO_ADDRESSES);
        else resolve({ ok: false, error: error.message });
      },
    );
  });

/** Tries the names that resolv.conf makes of `name`; the first with an address wins. */
async function searched(
  query: Lookup,
  name: string,
  version: 4 | 6,
  options: DnsResolverOptions,
): Promise<DnsResult> {
  const names = options.search
    ? searchNames(name, await readText(options.resolvConf ?? '/etc/resolv.conf'))
    : [name];
  let failure: DnsResult | undefined;
  for (const candidate of names) {
    const result = await query(candidate, version);
    if (result.ok && result.addresses.length > 0) return result;
    if (!result.ok) failure ??= result;
  }
  return failure ?? NO_ADDRESSES;
}

/** resolv.conf(5): names with fewer than `ndots` dots are tried with the search domains first. */
export function searchNames(name: string, resolvConf: string): string[] {
  if (name.endsWith('.')) return [name];
  let domains: string[] = [];
  let ndots = 1;
  for (const line of resolvConf.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'search' || keyword === 'domain') domains = words;
    if (keyword !== 'options') continue;
    const option = words.findLast((word) => /^ndots:\d+$/.test(word));
    if (option !== undefined) ndots = Math.min(15, Number(option.slice('ndots:'.length)));
  }
  const expanded = domains.filter((domain) => domain !== '.').map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...expanded] : [...expanded, name];
}

async function hostsLookup(file: string, name: string, version: 4 | 6): Promise<ResolvedAddress[]> {
  const wanted = name.toLowerCase().replace(/\.$/, '');
  const found: ResolvedAddress[] = [];
  for (const line of (await readText(file)).split('\n')) {
    const [ip = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(ip) === version && names.some((n) => n.toLowerCase() === wanted)) found.push({ ip, ttlMs: 0 });
  }
  return found;
}

/** RFC 6761 §6.3 */
function isLocalhost(name: string): boolean {
  const lower = name.toLowerCase().replace(/\.$/, '');
  return lower === 'localhost' || lower.endsWith('.localhost');
}

/** Read anew each time, so that edits count; a file that is missing or unreadable says nothing. */
async function readText(file: string): Promise<string> {
  return readFile(file, 'latin1').catch(() => '');
}
