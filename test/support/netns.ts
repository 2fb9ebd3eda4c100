import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a system test may need from the machine, with how to get it. */
const hints = {
  ip: "the command 'ip' (Debian: apt-get install iproute2)",
  iptables: "the command 'iptables' (Debian: apt-get install iptables)",
  ip6tables: "the command 'ip6tables' (Debian: apt-get install iptables)",
  curl: "the command 'curl' (Debian: apt-get install curl)",
  psql: 'PostgreSQL (Debian: apt-get install postgresql)',
  'redis-server': 'Redis (Debian: apt-get install redis-server)',
  mariadbd: 'MariaDB (Debian: apt-get install mariadb-server)',
  prometheus: 'Prometheus (Debian: apt-get install prometheus)',
  setpriv: "the command 'setpriv' (Debian: apt-get install util-linux)",
  buildah: "the command 'buildah' (Debian: apt-get install buildah)",
  nft: "the command 'nft' (Debian: apt-get install nftables)",
} as const;

export type Command = keyof typeof hints;

/**
 * Fails loudly when this machine cannot run a system test: one error that names everything that is missing.
 * A system test never skips itself: a skipped test looks like a passed one.
 */
export function needRootAnd(...commands: readonly Command[]): void {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root (run: sudo -E npm run test:system)');
  for (const command of commands) if (!inPath(command)) missing.push(hints[command]);
  if (missing.length === 0) missing.push(...namespaceProblem());
  if (missing.length > 0) throw new Error(`this system test needs:\n  - ${missing.join('\n  - ')}`);
}

function namespaceProblem(): string[] {
  const name = `inox-probe-${process.pid}`;
  try {
    run('ip', ['netns', 'add', name]);
    run('ip', ['netns', 'delete', name]);
    return [];
  } catch (error) {
    return [`the right to create network namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN): ${String(error)}`];
  }
}

function inPath(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false; // Not in this folder.
    }
  });
}

/** Runs a command to its end; throws with what it said when it fails. */
export function run(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 20_000,
    });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() ?? '';
    throw new Error(`${command} ${args.join(' ')} failed: ${said}`, { cause: error });
  }
}

/** A network namespace of its own; `delete` takes its interfaces and iptables rules with it. */
export interface Namespace {
  readonly name: string;
  /** Runs a command inside, to its end. */
  run(command: string, ...args: string[]): string;
  delete(): void;
}

let created = 0;

/** Loopback is up. The name holds the process id: runs side by side do not meet. */
export function createNamespace(label: string): Namespace {
  created++;
  const name = `inox-${label}-${process.pid}${created === 1 ? '' : `-${created}`}`;
  run('ip', ['netns', 'add', name]);
  const inside = (command: string, ...args: string[]): string =>
    run('ip', ['netns', 'exec', name, command, ...args]);
  inside('ip', 'link', 'set', 'lo', 'up');
  const remove = (): void => {
    process.off('exit', remove);
    try {
      run('ip', ['netns', 'delete', name]);
    } catch {
      // Busy for a moment: somebody else's `ip netns exec` had just begun and saw the mount.
      run('ip', ['netns', 'delete', name]);
    }
  };
  process.on('exit', remove); // Also when the set-up of a test throws.
  return { name, run: inside, delete: remove };
}
