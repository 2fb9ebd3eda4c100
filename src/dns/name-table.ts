import { isIP } from 'node:net';
import type { NameInfo } from '../core/dns-protocol.ts';
import { plain } from './message.ts';
import { type DnsEntry, type DnsTable, isName, lookUp } from './table.ts';

/** Where the pod is: what short names mean depends on it. */
export interface NamePlace {
  /** Kubernetes' namespace, '' when it is not known. */
  readonly namespace: string;
  /** Such as `svc.cluster.local`, '' when it is not known. */
  readonly domain: string;
  /** Search list of /etc/resolv.conf. */
  readonly search: readonly string[];
}

/** Short, so that what the control plane says next counts soon. */
const TTL_S = 30;
const KUBERNETES = 'Kubernetes';

/**
 * The names that an Istio control plane knows (NameTable), with those that applications use for them: a service of
 * Kubernetes has short names, and each name with the first search domain behind it, which is what resolvers ask for
 * first, is an alias of the name itself.
 */
export function nameTable(names: Readonly<Record<string, NameInfo>>, place: NamePlace): DnsTable {
  const entries = new Map<string, DnsEntry>();
  const [search] = place.search;
  const aliases: [name: string, alias: string, entry: DnsEntry][] = [];
  for (const [host, info] of Object.entries(names)) {
    const ips = [...new Set(info.ips ?? [])];
    const entry: DnsEntry = {
      ipv4: ips.filter((ip) => isIP(ip) === 4),
      ipv6: ips.filter((ip) => isIP(ip) === 6),
      ttlS: TTL_S,
      addressesOnly: true,
    };
    if (entry.ipv4.length + entry.ipv6.length === 0) continue;
    for (const name of namesOf(plain(host), info, place)) {
      if (!isName(name)) continue;
      entries.set(name, entry);
      if (search !== undefined) aliases.push([`${name}.${search}`, name, entry]);
    }
  }
  // A real name goes before what looks like it.
  for (const [name, alias, entry] of aliases) {
    // What a wildcard stands for is known only when it is asked for.
    if (!entries.has(name)) entries.set(name, name.startsWith('*') ? entry : { ...entry, alias });
  }
  return { size: entries.size, find: (name) => lookUp(entries, name), known: () => false };
}

function namesOf(host: string, info: NameInfo, { namespace, domain }: NamePlace): string[] {
  if (info.registry !== KUBERNETES || domain === '' || !host.endsWith(`.${domain}`)) return [host];
  const { shortname = '', namespace: its = '' } = info;
  if (shortname === '' || its === '') return [host];
  const qualified = plain(`${shortname}.${its}`);
  const [part = ''] = domain.split('.', 1);
  const own = its === namespace ? [plain(shortname)] : [];
  return [host, qualified, `${qualified}.${part}`, ...own, ...(info.altHosts ?? []).map(plain)];
}
