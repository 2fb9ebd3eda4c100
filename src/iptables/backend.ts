import type { Commands } from './commands.ts';
import type { Family } from './interception.ts';
import { commandError, InterceptionError } from './problems.ts';
import { parseSaved, renderIptables, type Saved } from './render-iptables.ts';
import { presentTables, renderNft } from './render-nft.ts';
import type { Table } from './rules.ts';

export const BACKENDS = ['iptables-nft', 'iptables-legacy', 'nft'] as const;
export type BackendName = (typeof BACKENDS)[number];

export type FamilyRules = ReadonlyMap<Family, readonly Table[]>;

/** One way to set rules. Its methods throw an InterceptionError that says what to do. */
export interface Backend {
  readonly name: BackendName;
  /** Whether rules of ours are there now. */
  present(): boolean;
  /** Whether rules of others are there for addresses to be translated. */
  hasForeignRules(): boolean;
  /** What the programs are given to bring about `rules`; '' when there is nothing to do. */
  render(rules: FamilyRules): string;
  /** Brings it about: all or nothing. Without rules, ours are removed. */
  apply(rules: FamilyRules): void;
}

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
const NOTHING: FamilyRules = new Map();

/** The ones that this machine has programs for; whether the kernel plays along shows when they are used. */
export function findBackends(commands: Commands): Backend[] {
  const found: Backend[] = [];
  for (const name of ['iptables-nft', 'iptables-legacy'] as const) {
    const stem = name.slice('iptables'.length);
    if (commands.exists(`iptables${stem}-restore`)) found.push(iptablesBackend(name, stem, commands));
    // Distributions with one variant have it under the plain name.
    else if (commands.exists('iptables-restore') && variantOf(commands) === name)
      found.push(iptablesBackend(name, '', commands));
  }
  if (commands.exists('nft')) found.push(nftBackend(commands));
  return found;
}

function variantOf(commands: Commands): BackendName {
  // Before 1.8 there was only the one, and it did not say so.
  return /nf_tables/.test(commands.run('iptables', ['-V']).out) ? 'iptables-nft' : 'iptables-legacy';
}

/**
 * The one where ours are already, else the one where others have theirs (of the two kinds of iptables, rules in one do
 * not show in the other), else the first that works.
 */
export function chooseBackend(backends: readonly Backend[], wish: BackendName | 'auto'): Backend {
  if (wish !== 'auto') {
    const found = backends.find(({ name }) => name === wish);
    if (found === undefined)
      throw new InterceptionError(
        `the programs of ${wish} are not installed`,
        `Found: ${backends.map(({ name }) => name).join(', ') || 'none'}. Debian: apt-get install iptables nftables.`,
      );
    return found;
  }
  if (backends.length === 0)
    throw new InterceptionError(
      'neither iptables nor nft is installed',
      'Debian: apt-get install iptables iproute2. Alpine: apk add iptables ip6tables iproute2. The image of inox has them.',
    );
  const problems: InterceptionError[] = [];
  const working = backends.filter((backend) => {
    try {
      backend.hasForeignRules();
      return true;
    } catch (error) {
      if (!(error instanceof InterceptionError)) throw error;
      problems.push(error);
      return false;
    }
  });
  const [first] = working;
  if (first === undefined) throw problems[0] ?? new Error('no backend was tried');
  return (
    working.find((backend) => backend.present()) ??
    working.find((backend) => backend.name !== 'nft' && backend.hasForeignRules()) ??
    first
  );
}

function iptablesBackend(name: BackendName, stem: string, commands: Commands): Backend {
  const program = (family: Family, action: 'save' | 'restore'): string =>
    `${family === 'ipv4' ? 'iptables' : 'ip6tables'}${stem}-${action}`;
  const save = (family: Family): string => {
    // Without IPv6 in the kernel its programs fail; what needs them fails when rules are set.
    if (!commands.exists(program(family, 'save'))) return '';
    const ran = commands.run(program(family, 'save'), []);
    if (ran.code === 0) return ran.out;
    if (family === 'ipv6') return '';
    throw commandError(program(family, 'save'), ran.err);
  };
  const restore = (family: Family, input: string, ...flags: string[]): void => {
    const ran = commands.run(program(family, 'restore'), ['--noflush', '--wait=5', ...flags], input);
    if (ran.code !== 0) throw commandError(program(family, 'restore'), ran.err);
  };
  const inputs = (rules: FamilyRules): [Family, string, Saved][] =>
    FAMILIES.flatMap((family): [Family, string, Saved][] => {
      const saved = parseSaved(save(family));
      const input = renderIptables(rules.get(family) ?? [], saved);
      return input === '' ? [] : [[family, input, saved]];
    });
  return {
    name,
    present: () => FAMILIES.some((family) => parseSaved(save(family)).size > 0),
    hasForeignRules: () => FAMILIES.some((family) => /^-A (?!INOX_)(?!.* -j INOX_)/m.test(save(family))),
    render: (rules) =>
      inputs(rules)
        .map(([family, input]) => `# ${program(family, 'restore')} --noflush\n${input}`)
        .join('\n'),
    apply(rules) {
      const all = inputs(rules);
      for (const [family, input] of all) restore(family, input, '--test');
      const done: Family[] = [];
      for (const [family, input] of all) {
        try {
          restore(family, input);
          done.push(family);
        } catch (error) {
          // One family captured and the other not is worse than none: the caller is told that nothing is.
          for (const one of done) restore(one, renderIptables([], parseSaved(save(one))));
          const left = renderIptables([], parseSaved(save(family)));
          if (left !== '') restore(family, left);
          throw error;
        }
      }
    },
  };
}

function nftBackend(commands: Commands): Backend {
  const present = (): Set<Family> => {
    const ran = commands.run('nft', ['list', 'tables']);
    if (ran.code !== 0) throw commandError('nft', ran.err);
    return presentTables(ran.out);
  };
  return {
    name: 'nft',
    present: () => present().size > 0,
    hasForeignRules() {
      const ran = commands.run('nft', ['list', 'tables']);
      if (ran.code !== 0) throw commandError('nft', ran.err);
      return /^table (?:ip|ip6|inet) (?!inox$)/m.test(ran.out);
    },
    render(rules) {
      const input = renderNft(rules, present());
      return input === '' ? '' : `# nft -f -\n${input}`;
    },
    apply(rules) {
      const input = renderNft(rules, present());
      if (input === '') return;
      const ran = commands.run('nft', ['-f', '-'], input);
      if (ran.code !== 0) throw commandError('nft', ran.err);
    },
  };
}

/** Removes ours from each of them; what has no rules of ours is left alone. */
export function removeEverywhere(backends: readonly Backend[]): BackendName[] {
  const removed: BackendName[] = [];
  for (const backend of backends) {
    let there: boolean;
    try {
      there = backend.present();
    } catch (error) {
      if (!(error instanceof InterceptionError)) throw error;
      continue; // The kernel does not know this kind: nothing of ours can be in it.
    }
    if (!there) continue;
    backend.apply(NOTHING);
    removed.push(backend.name);
  }
  return removed;
}
