import { isIPv4, isIPv6 } from 'node:net';
import type { CidrRange } from '#plain/envoy.config.core.v3.ts';
import type { FilterChainMatch } from '#plain/envoy.config.listener.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { PrefixMap } from '../net/cidr.ts';
import type { Address } from '../net/connection.ts';
import type { Accepted } from '../net/listener-filter.ts';

/** What stands for the address of a Unix socket; matches no range that anybody would write. */
const NO_IP = '255.255.255.255';

// From the first criterion to the last; each level narrows, and a choice made on one level is never taken back.
type SourcePorts<C> = Map<number, C>;
type SourceRanges<C> = PrefixMap<SourcePorts<C>>;
interface SourceTypes<C> {
  ANY: SourceRanges<C> | null;
  SAME_IP_OR_LOOPBACK: SourceRanges<C> | null;
  EXTERNAL: SourceRanges<C> | null;
}
type DirectRanges<C> = PrefixMap<SourceTypes<C>>;
type Applications<C> = Map<string, DirectRanges<C>>;
type Transports<C> = Map<string, Applications<C>>;
type ServerNames<C> = Map<string, Transports<C>>;
type Destinations<C> = PrefixMap<ServerNames<C>>;
type Ports<C> = Map<number, Destinations<C>>;

/** What a connection is matched by. */
export type MatchedBy = Pick<
  Accepted,
  'local' | 'remote' | 'directRemote' | 'serverName' | 'transportProtocol' | 'applicationProtocols'
>;

export interface MatchedChain<C> {
  readonly name: string;
  readonly match: FilterChainMatch;
  /** Field path of the chain. */
  readonly path: string;
  readonly chain: C;
}

/**
 * `filter_chain_match` of all chains of a listener as nested maps in Envoy's order: destination port and range, server
 * name, transport protocol, application protocols, range of the direct peer, source type, range and port. The most
 * specific value of a criterion decides; when the rest does not match then, nothing does. Null: no chain matches.
 */
export function compileFilterChainMatch<C>(chains: readonly MatchedChain<C>[]): (by: MatchedBy) => C | null {
  const ports: Ports<C> = new Map();
  const seen = new Map<string, string>();
  for (const { name, match, path, chain } of chains) {
    const key = JSON.stringify(sorted(match));
    const twin = seen.get(key);
    if (twin !== undefined) {
      throw ConfigError.at(path, `filter chain '${name}' has the same matching rules as '${twin}'`);
    }
    seen.set(key, name);
    addChain(ports, match, chain, path);
  }
  return (by) => findByPort(ports, by);
}

function addChain<C>(ports: Ports<C>, match: FilterChainMatch, chain: C, path: string): void {
  const destinations = child(ports, match.destinationPort ?? 0, () => new PrefixMap<ServerNames<C>>());
  for (const range of rangesOf(match.prefixRanges, `${path}.filter_chain_match.prefix_ranges`)) {
    const names = destinations.at(range, () => new Map());
    for (const name of serverNamesOf(match, path)) {
      const transports = child(names, name, () => new Map());
      const applications = child(transports, match.transportProtocol ?? '', () => new Map());
      for (const protocol of orNone(match.applicationProtocols, '')) {
        const direct = child(applications, protocol, () => new PrefixMap<SourceTypes<C>>());
        addSources(direct, match, chain, path);
      }
    }
  }
}

function addSources<C>(direct: DirectRanges<C>, match: FilterChainMatch, chain: C, path: string): void {
  const base = `${path}.filter_chain_match`;
  for (const peers of rangesOf(match.directSourcePrefixRanges, `${base}.direct_source_prefix_ranges`)) {
    const types = direct.at(peers, () => ({ ANY: null, SAME_IP_OR_LOOPBACK: null, EXTERNAL: null }));
    const type = match.sourceType ?? 'ANY';
    types[type] ??= new PrefixMap();
    const sources = types[type];
    for (const range of rangesOf(match.sourcePrefixRanges, `${base}.source_prefix_ranges`)) {
      const byPort = sources.at(range, () => new Map());
      for (const port of orNone(match.sourcePorts, 0)) {
        if (byPort.has(port)) {
          throw ConfigError.at(path, 'multiple filter chains with overlapping matching rules are defined');
        }
        byPort.set(port, chain);
      }
    }
  }
}

function serverNamesOf(match: FilterChainMatch, path: string): readonly string[] {
  return orNone(match.serverNames, '').map((name, i) =>
    checkedName((name.startsWith('*.') ? name.slice(1) : name).toLowerCase(), path, i),
  );
}

function checkedName(name: string, path: string, i: number): string {
  if (name.includes('*')) {
    throw ConfigError.at(
      `${path}.filter_chain_match.server_names[${i}]`,
      'partial wildcards are not supported in server_names',
    );
  }
  return name;
}

interface Range {
  readonly address: string;
  readonly bits: number;
}

function rangesOf(ranges: readonly CidrRange[] | undefined, path: string): readonly (Range | null)[] {
  if (ranges === undefined || ranges.length === 0) return [null];
  return ranges.map((range, i) => compileRange(range, `${path}[${i}]`));
}

/** `envoy.config.core.v3.CidrRange`: a range without a length is one of all addresses of its family. */
export function compileRange(range: CidrRange, path: string): Range {
  const address = range.addressPrefix ?? '';
  const bits = range.prefixLen ?? 0;
  const longest = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  if (longest < 0) throw ConfigError.at(`${path}.address_prefix`, `malformed IP address: ${address}`);
  return { address, bits: Math.min(bits, longest) };
}

function orNone<T>(values: readonly T[] | undefined, none: T): readonly T[] {
  return values === undefined || values.length === 0 ? [none] : values;
}

function child<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const ipOf = (address: Address): string => (address.path === '' ? address.ip : NO_IP);

function findByPort<C>(ports: Ports<C>, by: MatchedBy): C | null {
  const { local } = by;
  const exact = local.path === '' && local.port !== 0 ? ports.get(local.port) : undefined;
  const destinations = exact ?? ports.get(0);
  const names = destinations?.find(ipOf(local));
  return names === undefined ? null : findByName(names, by);
}

/** The name itself, then ever shorter endings of it (`.b.example`, `.example`), then chains without names. */
function findByName<C>(names: ServerNames<C>, by: MatchedBy): C | null {
  const { serverName } = by;
  let found = names.get(serverName);
  for (let dot = serverName.indexOf('.', 1); found === undefined && dot > 0; ) {
    if (dot === serverName.length - 1) break;
    found = names.get(serverName.slice(dot));
    dot = serverName.indexOf('.', dot + 1);
  }
  found ??= names.get('');
  if (found === undefined) return null;
  const applications = found.get(by.transportProtocol) ?? found.get('');
  return applications === undefined ? null : findByApplication(applications, by);
}

function findByApplication<C>(applications: Applications<C>, by: MatchedBy): C | null {
  let direct: DirectRanges<C> | undefined;
  for (const protocol of by.applicationProtocols) {
    direct = applications.get(protocol);
    if (direct !== undefined) break;
  }
  direct ??= applications.get('');
  const types = direct?.find(ipOf(by.directRemote));
  if (types === undefined) return null;
  const { SAME_IP_OR_LOOPBACK: local, EXTERNAL: external } = types;
  const near = (local !== null || external !== null) && isSameIpOrLoopback(by);
  const sources = (near ? local : external) ?? types.ANY;
  const sourcePorts = sources?.find(ipOf(by.remote));
  if (sourcePorts === undefined) return null;
  return sourcePorts.get(by.remote.port) ?? sourcePorts.get(0) ?? null;
}

/** As Envoy has it: of 127.0.0.0/8 only 127.0.0.1 counts. */
function isSameIpOrLoopback({ remote, local }: MatchedBy): boolean {
  if (remote.path !== '' || remote.ip === '127.0.0.1' || remote.ip === '::1') return true;
  return remote.ip === local.ip;
}
