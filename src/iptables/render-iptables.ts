import type { PortRange } from './interception.ts';
import type { Chain, Match, Table, Verdict } from './rules.ts';

/** Every chain of ours begins with it; nothing else does. */
export const PREFIX = 'INOX_';

/** What `iptables-save` says is there already. */
export interface SavedTable {
  /** Our chains, with prefix. */
  readonly chains: readonly string[];
  /** Rules elsewhere that lead to them, such as `PREROUTING -j INOX_PREROUTING`. */
  readonly jumps: readonly string[];
}

export type Saved = ReadonlyMap<string, SavedTable>;

/** Reads the output of `iptables-save` (or `ip6tables-save`); only what is ours is kept. */
export function parseSaved(text: string): Saved {
  const tables = new Map<string, { chains: string[]; jumps: string[] }>();
  let table: { chains: string[]; jumps: string[] } | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      table = { chains: [], jumps: [] };
      tables.set(line.slice(1).trim(), table);
    } else if (line.startsWith(`:${PREFIX}`)) {
      table?.chains.push(line.slice(1).split(' ', 1)[0] ?? '');
    } else if (line.startsWith('-A ') && !line.startsWith(`-A ${PREFIX}`)) {
      if (/ -[jg] INOX_\w+/.test(line)) table?.jumps.push(line.slice('-A '.length));
    }
  }
  return new Map([...tables].filter(([, { chains, jumps }]) => chains.length + jumps.length > 0));
}

/**
 * Input for `iptables-restore --noflush`: afterwards our chains are `tables` and nothing else, whatever was there
 * before, and rules of others are where they were. A chain that is declared is emptied; jumps that exist stay in
 * their place.
 */
export function renderIptables(tables: readonly Table[], saved: Saved): string {
  const blocks: string[] = [];
  const names = new Set([...tables.map(({ name }) => name as string), ...saved.keys()]);
  for (const name of names) {
    const wanted = tables.find((table) => table.name === name);
    blocks.push(renderTable(name, wanted?.chains ?? [], saved.get(name) ?? { chains: [], jumps: [] }));
  }
  return blocks.join('');
}

function renderTable(name: string, chains: readonly Chain[], saved: SavedTable): string {
  const ours = chains.map((chain) => PREFIX + chain.name);
  const stale = saved.chains.filter((chain) => !ours.includes(chain));
  const hooks = chains.filter((chain) => chain.name === 'PREROUTING' || chain.name === 'OUTPUT');
  const jumps = hooks.map((chain) => `${chain.name} -j ${PREFIX}${chain.name}`);
  const kept = new Set<string>();
  const lines = [`*${name}`, ...ours.map((chain) => `:${chain} - [0:0]`)];
  for (const jump of saved.jumps) {
    // A second one like it is one too many.
    if (jumps.includes(jump) && !kept.has(jump)) kept.add(jump);
    else lines.push(`-D ${jump}`);
  }
  lines.push(...stale.map((chain) => `-F ${chain}`), ...stale.map((chain) => `-X ${chain}`));
  for (const chain of chains) {
    for (const { match, verdict, why } of chain.rules) {
      if (why !== '') lines.push(`# ${why}`);
      lines.push(['-A', PREFIX + chain.name, ...matchWords(match), ...verdictWords(verdict)].join(' '));
    }
  }
  lines.push(...jumps.filter((jump) => !kept.has(jump)).map((jump) => `-A ${jump}`), 'COMMIT', '');
  return lines.join('\n');
}

function matchWords(match: Match): string[] {
  const words: string[] = [];
  const add = (...more: readonly (string | number)[]): void => void words.push(...more.map(String));
  if (match.source !== undefined) add('-s', match.source);
  if (match.destination !== undefined) add('-d', match.destination);
  if (match.notDestination !== undefined) add('!', '-d', match.notDestination);
  if (match.input !== undefined) add('-i', match.input);
  if (match.output !== undefined) add('-o', match.output);
  if (match.protocol !== undefined) add('-p', match.protocol);
  if (match.sourcePort !== undefined) add('--sport', match.sourcePort);
  if (match.port !== undefined) add('--dport', ports(match.port));
  if (match.notPort !== undefined) add('!', '--dport', match.notPort);
  if (match.uid !== undefined) add('-m', 'owner', '--uid-owner', match.uid);
  if (match.gid !== undefined) add('-m', 'owner', '--gid-owner', match.gid);
  if (match.mark !== undefined) add('-m', 'mark', '--mark', match.mark);
  if (match.notMark !== undefined) add('-m', 'mark', '!', '--mark', match.notMark);
  if (match.connectionMark !== undefined) add('-m', 'connmark', '--mark', match.connectionMark);
  if (match.state === 'established') add('-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED');
  if (match.state === 'invalid') add('-m', 'conntrack', '--ctstate', 'INVALID');
  return words;
}

function verdictWords(verdict: Verdict): string[] {
  switch (verdict.kind) {
    case 'return':
    case 'accept':
    case 'drop':
      return ['-j', verdict.kind.toUpperCase()];
    case 'goto':
      return ['-g', PREFIX + verdict.chain];
    case 'redirect':
      return ['-j', 'REDIRECT', '--to-ports', String(verdict.port)];
    case 'tproxy':
      return [
        '-j',
        'TPROXY',
        '--tproxy-mark',
        `${verdict.mark}/0xffffffff`,
        '--on-port',
        String(verdict.port),
      ];
    case 'mark':
      return ['-j', 'MARK', '--set-mark', String(verdict.mark)];
    case 'save-mark':
      return ['-j', 'CONNMARK', '--save-mark'];
    case 'restore-mark':
      return ['-j', 'CONNMARK', '--restore-mark'];
    case 'zone':
      return ['-j', 'CT', '--zone', String(verdict.zone)];
  }
  return verdict satisfies never;
}

function ports({ low, high }: PortRange): string {
  return low === high ? String(low) : `${low}:${high}`;
}
