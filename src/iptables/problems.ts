import { readFileSync } from 'node:fs';

/** Something about this machine keeps rules from being set: what happened, and what to do. */
export class InterceptionError extends Error {
  /** What to do next. */
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'InterceptionError';
    this.hint = hint;
  }
}

// linux/capability.h
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

/** Names of the capabilities that changing rules takes and this process lacks. */
export function missingCapabilities(status = readStatus()): string[] {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return [];
  const bits = BigInt(`0x${effective}`);
  const needed: [name: string, bit: bigint][] = [
    ['NET_ADMIN', CAP_NET_ADMIN],
    ['NET_RAW', CAP_NET_RAW],
  ];
  return needed.flatMap(([name, bit]) => ((bits >> bit) & 1n ? [] : [name]));
}

const CAPABILITY_HINT =
  'In Kubernetes: securityContext { runAsUser: 0, capabilities: { add: [NET_ADMIN, NET_RAW] } }, as inox inject writes it; elsewhere: run it as root.';

export function capabilityError(missing: readonly string[]): InterceptionError {
  return new InterceptionError(
    `changing rules takes the ${missing.length === 1 ? 'capability' : 'capabilities'} ${missing.join(' and ')}, which this process has not`,
    CAPABILITY_HINT,
  );
}

const EXPLANATIONS: readonly (readonly [said: RegExp, hint: (match: RegExpExecArray) => string])[] = [
  [
    /can't initialize (ip6?tables) table `(\w+)'|Could not fetch rule set generation id|Table does not exist/i,
    (match) =>
      `The kernel has no module for it, and a container cannot load one. On the node: modprobe ${match[1] === 'ip6tables' ? 'ip6' : 'ip'}table_${match[2] ?? 'nat'}; or use another backend: --backend iptables-nft, iptables-legacy or nft.`,
  ],
  [
    /Couldn't load (?:match|target) `(\w+)'|No chain\/target\/match by that name|Extension (\w+) revision \d+ not supported|missing kernel module/i,
    (match) =>
      `A kernel module is missing. On the node: modprobe ${match[1] ?? match[2] ?? 'xt_owner xt_REDIRECT xt_conntrack'} (xt_owner, xt_REDIRECT; for TPROXY also xt_TPROXY, xt_mark, xt_connmark, xt_conntrack; for DNS xt_CT).`,
  ],
  [
    /Operation not supported|No such file or directory.*\bnft?\b|Could not process rule/i,
    () =>
      'The kernel lacks a part of nftables (nf_tables, nft_redir, nft_chain_nat, nft_ct, nft_tproxy). Load it on the node, or use --backend iptables-legacy.',
  ],
  [
    /xtables lock|xtables\.lock/i,
    () =>
      'Somebody else changes rules at this moment, or /run is read-only: mount an emptyDir at /run, or set XTABLES_LOCKFILE.',
  ],
  [/Permission denied|Operation not permitted/i, () => CAPABILITY_HINT],
];

/** The error for a program that failed: its own words, and what to do about them. */
export function commandError(program: string, said: string): InterceptionError {
  const words = said
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('# Warning'))
    .join('; ');
  for (const [pattern, hint] of EXPLANATIONS) {
    const match = pattern.exec(said);
    if (match !== null) return new InterceptionError(`${program}: ${words}`, hint(match));
  }
  return new InterceptionError(
    `${program}: ${words}`,
    'inox iptables --dry-run shows what was attempted; inox check looks at the machine.',
  );
}

function readStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'latin1');
  } catch {
    return ''; // Not Linux, or /proc is hidden: the programs will say what is missing.
  }
}
