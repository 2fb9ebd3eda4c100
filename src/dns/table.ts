import { isIP } from 'node:net';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { didYouMean } from '../core/suggest.ts';
import { plain } from './message.ts';

/** What a name has. */
export interface DnsEntry {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly ttlS: number;
  /** What the name stands for: the addresses are this one's. */
  readonly alias?: string;
  /** Records other than addresses are asked of others; without it there are none. */
  readonly addressesOnly?: boolean;
}

/** Names that are answered without asking anybody. */
export interface DnsTable {
  /** The name itself, else the closest `*.` above it. */
  find(name: string): DnsEntry | undefined;
  /** Whether all names that end so are in the table: what is not there does not exist. */
  known(name: string): boolean;
  readonly size: number;
}

/** As in Envoy's dns_filter. */
const DEFAULT_TTL_S = 300;
const MIN_TTL_S = 30;
const LONGEST_NAME = 253;
const TABLE_FIELDS = ['virtual_domains', 'known_suffixes'];
const DOMAIN_FIELDS = ['name', 'endpoint', 'answer_ttl'];

export const EMPTY_TABLE: DnsTable = { find: () => undefined, known: () => false, size: 0 };

/** What the first table has goes before what the second one has. */
export function joinTables(first: DnsTable, second: DnsTable): DnsTable {
  if (second.size === 0) return first;
  return {
    find: (name) => first.find(name) ?? second.find(name),
    known: (name) => first.known(name) || second.known(name),
    size: first.size + second.size,
  };
}

/**
 * `envoy.data.dns.v3.DnsTable` as it is in the file of `external_dns_table`: names with address lists. Throws a
 * ConfigError with every mistake; clusters, services and matchers that are not suffixes are such.
 */
export function parseDnsTable(json: unknown): DnsTable {
  const problems: ConfigProblem[] = [];
  const wrong = (path: string, message: string): void => void problems.push({ path, message });
  const names = new Map<string, DnsEntry>();
  const table = fields(json, '', TABLE_FIELDS, wrong);
  list(table.virtual_domains, 'virtual_domains', wrong).forEach((value, index) => {
    const path = `virtual_domains[${index}]`;
    const domain = fields(value, path, DOMAIN_FIELDS, wrong);
    const name = typeof domain.name === 'string' ? plain(domain.name) : '';
    if (!isName(name))
      wrong(`${path}.name`, `'${String(domain.name)}' must be a name such as web.mesh or *.mesh`);
    const endpoint = fields(domain.endpoint, `${path}.endpoint`, ['address_list'], wrong);
    const addresses = fields(endpoint.address_list, `${path}.endpoint.address_list`, ['address'], wrong);
    const entry = {
      ipv4: [] as string[],
      ipv6: [] as string[],
      ttlS: seconds(domain.answer_ttl, `${path}.answer_ttl`, wrong),
    };
    list(addresses.address, `${path}.endpoint.address_list.address`, wrong).forEach((address, at) => {
      const family = typeof address === 'string' ? isIP(address) : 0;
      if (family === 0)
        wrong(`${path}.endpoint.address_list.address[${at}]`, `'${String(address)}' must be an IP address`);
      else entry[family === 4 ? 'ipv4' : 'ipv6'].push(String(address));
    });
    if (names.has(name)) wrong(`${path}.name`, `'${name}' is there twice`);
    names.set(name, entry);
  });
  const suffixes = list(table.known_suffixes, 'known_suffixes', wrong).map((value, index) => {
    const { suffix } = fields(value, `known_suffixes[${index}]`, ['suffix'], wrong);
    if (typeof suffix !== 'string' || suffix === '') wrong(`known_suffixes[${index}]`, 'must have a suffix');
    return plain(String(suffix)).replace(/^\./, '');
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    size: names.size + suffixes.length,
    find: (name) => lookUp(names, name),
    known: (name) => suffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`)),
  };
}

/** Whether there can be such a name, or `*.` and a name; in lower case, without the final dot. */
export function isName(text: string): boolean {
  return (
    text.length <= LONGEST_NAME && /^(\*\.)?[!-)+-\-/-[\]-~]{1,63}(\.[!-)+-\-/-[\]-~]{1,63})*$/.test(text)
  );
}

/** The name itself, else the closest `*.` above it. */
export function lookUp(names: ReadonlyMap<string, DnsEntry>, name: string): DnsEntry | undefined {
  const entry = names.get(name);
  if (entry !== undefined) return entry;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    const entry = names.get(`*${name.slice(dot)}`);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

type Wrong = (path: string, message: string) => void;

function fields(
  value: unknown,
  path: string,
  known: readonly string[],
  wrong: Wrong,
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    wrong(path, 'must be an object');
    return {};
  }
  const found: Record<string, unknown> = {};
  for (const [key, part] of Object.entries(value)) {
    const name = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (known.includes(name)) found[name] = part;
    else wrong(path === '' ? key : `${path}.${key}`, `is not known here${didYouMean(key, known)}`);
  }
  return found;
}

function list(value: unknown, path: string, wrong: Wrong): readonly unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  wrong(path, 'must be a list');
  return [];
}

function seconds(value: unknown, path: string, wrong: Wrong): number {
  if (value === undefined) return DEFAULT_TTL_S;
  const match = typeof value === 'string' ? /^(\d{1,9})(?:\.\d+)?s$/.exec(value) : null;
  if (match === null || Number(match[1]) < MIN_TTL_S) {
    wrong(path, `'${String(value)}' must be a duration of ${MIN_TTL_S}s or more`);
    return DEFAULT_TTL_S;
  }
  return Number(match[1]);
}
