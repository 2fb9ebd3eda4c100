/**
 * A route configuration with many virtual hosts, of which a proxy sees requests for a few: between threads they are
 * packed by the dozen, and each is unpacked and compiled when its first request comes.
 */
import { deserialize } from 'node:v8';
import type { RouteConfiguration, VirtualHost } from '#plain/envoy.config.route.v3.ts';
import { pack } from '../core/pack.ts';
import type { Slices } from '../core/slices.ts';
import { asciiLower, toWire } from '../core/wire.ts';
import { DomainIndex } from '../route/domain-index.ts';

interface Pack {
  /** Virtual hosts. */
  readonly bytes: Uint8Array;
  /** Those of each of them. */
  readonly domains: readonly (readonly string[])[];
}

interface PackedRoutes extends RouteConfiguration {
  readonly packs?: readonly Pack[];
}

/** One of many virtual hosts. */
export interface LateHost {
  readonly pack: Uint8Array;
  /** Its place in the pack, and in the configuration. */
  readonly at: number;
  readonly index: number;
}

export interface LateRoutes {
  /** Without the virtual hosts. */
  readonly config: RouteConfiguration;
  readonly hosts: DomainIndex<LateHost>;
}

const HOSTS_PER_PACK = 16;
const PACKED_FROM = 64;

/** Plain data for `prepareRoutes`; a configuration with few virtual hosts stays as it is. */
export function packRoutes(routes: RouteConfiguration): RouteConfiguration {
  const { virtualHosts = [], ...rest } = routes;
  // Clusters that do not exist are to be found out at once.
  if (virtualHosts.length < PACKED_FROM || routes.validateClusters === true) return routes;
  const packs: Pack[] = [];
  for (let at = 0; at < virtualHosts.length; at += HOSTS_PER_PACK) {
    const hosts = virtualHosts.slice(at, at + HOSTS_PER_PACK);
    packs.push({ bytes: pack(hosts), domains: hosts.map(({ domains }) => domains ?? []) });
  }
  const packed: PackedRoutes = { ...rest, packs };
  return packed;
}

export async function prepareRoutes(
  packed: RouteConfiguration,
  slices: Slices,
): Promise<RouteConfiguration | LateRoutes> {
  const { packs, ...config }: PackedRoutes = packed;
  if (packs === undefined) return packed;
  const hosts = new DomainIndex<LateHost>();
  for (const [i, one] of packs.entries()) {
    addPack(hosts, one, i);
    await slices.breathe();
  }
  return { config, hosts };
}

/** The same in one go, where nobody waits. */
export function prepareRoutesNow(packed: RouteConfiguration): RouteConfiguration | LateRoutes {
  const { packs, ...config }: PackedRoutes = packed;
  if (packs === undefined) return packed;
  const hosts = new DomainIndex<LateHost>();
  for (const [i, one] of packs.entries()) addPack(hosts, one, i);
  return { config, hosts };
}

function addPack(index: DomainIndex<LateHost>, { bytes, domains }: Pack, number: number): void {
  for (const [at, list] of domains.entries()) {
    const host = { pack: bytes, at, index: number * HOSTS_PER_PACK + at };
    // No domain is there twice: it was compiled before it was accepted.
    for (const domain of list) index.add(asciiLower(toWire(domain)), host);
  }
}

export function unpackHost({ pack: bytes, at }: LateHost): VirtualHost {
  return (deserialize(bytes) as VirtualHost[])[at] ?? {};
}
