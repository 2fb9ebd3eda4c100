import type { Family, PortRange } from './interception.ts';
import type { Match, Table, TableName, Verdict } from './rules.ts';

/** The one table of ours, in the families ip and ip6. */
export const NFT_TABLE = 'inox';

const NFT_FAMILY: Readonly<Record<Family, 'ip' | 'ip6'>> = { ipv4: 'ip', ipv6: 'ip6' };
/** Those of iptables' tables. A mark that is set on the way out changes the route only in a chain of type route. */
const PRIORITY: Readonly<Record<TableName, number>> = { raw: -300, mangle: -150, nat: -100 };

/** Input for `nft -f`, one transaction: our tables are replaced as a whole; without rules they go. */
export function renderNft(
  rules: ReadonlyMap<Family, readonly Table[]>,
  present: ReadonlySet<Family>,
): string {
  const lines: string[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    const table = `table ${NFT_FAMILY[family]} ${NFT_TABLE}`;
    if (present.has(family)) lines.push(`delete ${table}`);
    const tables = rules.get(family) ?? [];
    if (tables.length > 0) lines.push(`${table} {`, ...tables.flatMap((one) => chainLines(one, family)), '}');
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** Which of our tables `nft list tables` names. */
export function presentTables(list: string): Set<Family> {
  const lines = list.split('\n').map((line) => line.trim());
  return new Set(
    (['ipv4', 'ipv6'] as const).filter((family) =>
      lines.includes(`table ${NFT_FAMILY[family]} ${NFT_TABLE}`),
    ),
  );
}

function chainLines({ name: table, chains }: Table, family: Family): string[] {
  const lines: string[] = [];
  for (const { name, rules } of chains) {
    lines.push(`  chain ${table}_${name.toLowerCase()} {`);
    if (name === 'PREROUTING' || name === 'OUTPUT') {
      const type = table === 'nat' ? 'nat' : table === 'mangle' && name === 'OUTPUT' ? 'route' : 'filter';
      lines.push(`    type ${type} hook ${name.toLowerCase()} priority ${PRIORITY[table]}; policy accept;`);
    }
    for (const { match, verdict, why } of rules) {
      if (why !== '') lines.push(`    # ${why}`);
      lines.push(`    ${[...matchWords(match, NFT_FAMILY[family]), verdictWords(verdict, table)].join(' ')}`);
    }
    lines.push('  }');
  }
  return lines;
}

function matchWords(match: Match, family: 'ip' | 'ip6'): string[] {
  const words: string[] = [];
  const add = (word: string, value: string | number | undefined): void => {
    if (value !== undefined) words.push(`${word} ${value}`);
  };
  add('iifname', quoted(match.input));
  add('oifname', quoted(match.output));
  add(`${family} saddr`, match.source);
  add(`${family} daddr`, match.destination);
  add(`${family} daddr !=`, match.notDestination);
  const { protocol } = match;
  const byPort = match.port ?? match.notPort ?? match.sourcePort;
  if (protocol !== undefined && byPort === undefined) add('meta l4proto', protocol);
  add(`${protocol} sport`, match.sourcePort);
  add(`${protocol} dport`, match.port === undefined ? undefined : ports(match.port));
  add(`${protocol} dport !=`, match.notPort);
  add('meta skuid', match.uid);
  add('meta skgid', match.gid);
  add('meta mark', match.mark);
  add('meta mark !=', match.notMark);
  add('ct mark', match.connectionMark);
  if (match.state === 'established') words.push('ct state established,related');
  if (match.state === 'invalid') words.push('ct state invalid');
  return words;
}

function verdictWords(verdict: Verdict, table: TableName): string {
  switch (verdict.kind) {
    case 'return':
    case 'accept':
    case 'drop':
      return verdict.kind;
    case 'goto':
      return `goto ${table}_${verdict.chain.toLowerCase()}`;
    case 'redirect':
      return `redirect to :${verdict.port}`;
    case 'tproxy':
      return `tproxy to :${verdict.port} meta mark set ${verdict.mark} accept`;
    case 'mark':
      return `meta mark set ${verdict.mark}`;
    case 'save-mark':
      return 'ct mark set meta mark';
    case 'restore-mark':
      return 'meta mark set ct mark';
    case 'zone':
      return `ct zone set ${verdict.zone}`;
  }
  return verdict satisfies never;
}

/** A final `+` stands for any ending in iptables, a final `*` in nft. */
function quoted(name: string | undefined): string | undefined {
  return name === undefined ? undefined : `"${name.replace(/\+$/, '*')}"`;
}

function ports({ low, high }: PortRange): string {
  return low === high ? String(low) : `${low}-${high}`;
}
