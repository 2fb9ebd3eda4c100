import type { Commands } from './commands.ts';
import type { Family, Interception } from './interception.ts';
import { OWN_SOURCE } from './interception.ts';
import { commandError, InterceptionError } from './problems.ts';

/** One change of addresses or routes that rules rely on; `add` and `remove` are arguments of `ip`. */
export interface RouteStep {
  readonly why: string;
  /** Prints what is there; the step is done when a line of it matches. */
  readonly show: readonly string[];
  readonly done: RegExp;
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

const FLAG: Readonly<Record<Family, string>> = { ipv4: '-4', ipv6: '-6' };

/** What is needed besides rules, for the given families. */
export function routeSteps(what: Interception, families: readonly Family[]): RouteStep[] {
  const steps: RouteStep[] = [];
  // All of 127.0.0.0/8 is on lo; of IPv6 only ::1 is.
  if (families.includes('ipv6'))
    steps.push({
      why: 'the address from which the proxy calls the application over IPv6',
      show: ['-6', 'addr', 'show', 'dev', 'lo'],
      done: / ::6\/128 /,
      add: ['-6', 'addr', 'add', OWN_SOURCE.ipv6, 'dev', 'lo'],
      remove: ['-6', 'addr', 'del', OWN_SOURCE.ipv6, 'dev', 'lo'],
    });
  if (what.mode !== 'TPROXY') return steps;
  const table = String(what.tproxyTable);
  const mark = String(what.tproxyMark);
  for (const family of families) {
    const flag = FLAG[family];
    steps.push(
      {
        why: 'marked packets are for this pod, whatever their address',
        show: [flag, 'route', 'show', 'table', table],
        done: /^local (?:default|0\.0\.0\.0\/0|::\/0) dev lo/m,
        add: [flag, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', table],
        remove: [flag, 'route', 'del', 'local', 'default', 'dev', 'lo', 'table', table],
      },
      {
        why: 'marked packets ask that routing table',
        show: [flag, 'rule', 'show'],
        done: new RegExp(`fwmark 0x${what.tproxyMark.toString(16)} lookup ${table}\\b`),
        add: [flag, 'rule', 'add', 'fwmark', mark, 'lookup', table],
        remove: [flag, 'rule', 'del', 'fwmark', mark, 'lookup', table],
      },
    );
  }
  return steps;
}

/** Steps that are not done yet. */
export function pendingSteps(steps: readonly RouteStep[], commands: Commands): RouteStep[] {
  if (steps.length === 0) return [];
  if (!commands.exists('ip'))
    throw new InterceptionError(
      `the program ip is not installed, and it is needed for: ${steps.map(({ why }) => why).join('; ')}`,
      'Debian: apt-get install iproute2. Or --mode REDIRECT with --ipv6 off, which need no routes.',
    );
  return steps.filter(({ show, done }) => !done.test(commands.run('ip', show).out));
}

export function addRoutes(steps: readonly RouteStep[], commands: Commands): void {
  for (const { add } of pendingSteps(steps, commands)) {
    const ran = commands.run('ip', add);
    if (ran.code !== 0) throw commandError(`ip ${add.join(' ')}`, ran.err);
  }
}

/** Removes what is there; returns the commands that it took. */
export function removeRoutes(steps: readonly RouteStep[], commands: Commands): string[] {
  if (!commands.exists('ip')) return [];
  const removed: string[] = [];
  for (const { show, done, remove } of steps) {
    if (!done.test(commands.run('ip', show).out)) continue;
    const ran = commands.run('ip', remove);
    if (ran.code !== 0) throw commandError(`ip ${remove.join(' ')}`, ran.err);
    removed.push(`ip ${remove.join(' ')}`);
  }
  return removed;
}
