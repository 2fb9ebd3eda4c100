import { readFileSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import {
  type Backend,
  type BackendName,
  chooseBackend,
  type FamilyRules,
  findBackends,
  removeEverywhere,
} from '../iptables/backend.ts';
import { type Commands, systemCommands } from '../iptables/commands.ts';
import { explain } from '../iptables/explain.ts';
import type { Family, Interception } from '../iptables/interception.ts';
import { IPTABLES_OPTIONS, nameServers, parseInterception, readTexts } from '../iptables/options.ts';
import { capabilityError, InterceptionError, missingCapabilities } from '../iptables/problems.ts';
import { addRoutes, pendingSteps, type RouteStep, removeRoutes, routeSteps } from '../iptables/routes.ts';
import { interceptionRules } from '../iptables/rules.ts';
import { surroundings } from '../iptables/surroundings.ts';

/** The flags of `inox iptables` as commander names them: those below, and the settings by key. */
export interface IptablesFlags {
  readonly ipv6: 'auto' | 'on' | 'off';
  readonly backend: BackendName | 'auto';
  readonly dryRun?: boolean;
  readonly simulate?: boolean;
  readonly yes?: boolean;
  readonly explain?: boolean;
  readonly cleanup?: boolean;
  readonly check?: boolean;
  readonly runValidation?: boolean;
  readonly checkTimeout: number;
  readonly [setting: string]: unknown;
}

/** Nothing was done, since nobody said that this machine's own rules may be changed. */
const NOT_DONE = 3;

/** Returns the exit code: 0, 1 for mistakes and failures, 3 when rules were only printed though asked to be set. */
export async function iptables(flags: IptablesFlags): Promise<number> {
  try {
    const what = parseInterception(readTexts(textFlags(flags), process.env), servers());
    const here = surroundings(process.env);
    const families: Family[] =
      flags.ipv6 === 'on' || (flags.ipv6 === 'auto' && here.ipv6) ? ['ipv4', 'ipv6'] : ['ipv4'];
    if (flags.explain === true) {
      process.stdout.write(explain(what, families));
      return 0;
    }
    const commands = systemCommands(process.env);
    const wished = flags.dryRun === true || flags.simulate === true;
    const dry = wished || (!here.ownNetwork && flags.yes !== true);
    if (flags.check === true) return await check(what, families, flags.checkTimeout);
    if (flags.cleanup === true) cleanup(what, commands, dry);
    else set(what, families, chooseBackend(findBackends(commands), flags.backend), commands, dry);
    if (dry && !wished) {
      say(`nothing was changed: this is ${here.description}. --yes does it, --dry-run only prints.`);
      return NOT_DONE;
    }
    return flags.runValidation === true && !dry ? await check(what, families, flags.checkTimeout) : 0;
  } catch (error) {
    return report(error);
  }
}

function set(
  what: Interception,
  families: readonly Family[],
  backend: Backend,
  commands: Commands,
  dry: boolean,
): void {
  const rules: FamilyRules = new Map(families.map((family) => [family, interceptionRules(what, family)]));
  const steps = routeSteps(what, families);
  if (dry) {
    const pending = pendingSteps(steps, commands);
    process.stdout.write(pending.map(({ why, add }) => `# ${why}\nip ${add.join(' ')}\n\n`).join(''));
    process.stdout.write(backend.render(rules));
    return;
  }
  needCapabilities();
  const missing = pendingSteps(steps, commands);
  addRoutes(missing, commands);
  try {
    backend.apply(rules);
  } catch (error) {
    removeRoutes(missing, commands);
    throw error;
  }
  removeRoutes(staleSteps(what, steps), commands);
  const others = findBackends(commands).filter(({ name }) => name !== backend.name);
  const old = removeEverywhere(others);
  const was = old.length === 0 ? '' : `; older rules of ${old.join(' and ')} are removed`;
  say(`traffic is captured (${what.mode}, ${backend.name}, ${families.join(' and ')})${was}`);
}

/** Steps that only other settings need, such as those of TPROXY for REDIRECT. */
function staleSteps(what: Interception, wanted: readonly RouteStep[]): RouteStep[] {
  const kept = new Set(wanted.map(({ add }) => add.join(' ')));
  return everyStep(what).filter(({ add }) => !kept.has(add.join(' ')));
}

function everyStep(what: Interception): RouteStep[] {
  return routeSteps({ ...what, mode: 'TPROXY' }, ['ipv4', 'ipv6']);
}

function cleanup(what: Interception, commands: Commands, dry: boolean): void {
  const backends = findBackends(commands);
  const steps = everyStep(what);
  if (dry) {
    for (const backend of backends) process.stdout.write(backend.render(new Map()));
    return;
  }
  needCapabilities();
  const removed = removeEverywhere(backends);
  removeRoutes(steps, commands);
  say(
    removed.length === 0
      ? 'there were no rules of inox'
      : `the rules of inox are removed (${removed.join(', ')})`,
  );
}

const TICK = { ok: '√', failed: '×', skipped: '-' } as const;

async function check(what: Interception, families: readonly Family[], seconds: number): Promise<number> {
  const { tryInterception } = await import('../iptables/check.ts');
  const trials = await tryInterception(what, families, seconds * 1000);
  for (const { name, result, detail } of trials) process.stdout.write(`${TICK[result]} ${name}: ${detail}\n`);
  if (trials.some(({ result }) => result === 'failed')) return 1;
  if (trials.some(({ result }) => result === 'ok')) return 0;
  say('nothing could be tried here');
  return 1;
}

function needCapabilities(): void {
  const missing = missingCapabilities();
  if (missing.length > 0) throw capabilityError(missing);
}

/** The settings that were given, by their names without dashes. */
function textFlags(flags: IptablesFlags): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const { name, aliases } of IPTABLES_OPTIONS) {
    for (const one of [name, ...aliases]) {
      const value = flags[one.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())];
      if (value !== undefined) texts[one] = String(value);
    }
  }
  return texts;
}

function servers(): string[] {
  try {
    return nameServers(readFileSync('/etc/resolv.conf', 'latin1'));
  } catch {
    return []; // Who captures DNS is told that there are none.
  }
}

function report(error: unknown): number {
  if (error instanceof ConfigError) {
    const problems = error.problems.map((problem) => ({ ...problem, path: `--${problem.path}` }));
    process.stderr.write(`${formatProblems(problems)}\n`);
  } else if (error instanceof InterceptionError) {
    say(error.message);
    process.stderr.write(`  ${error.hint}\n`);
  } else throw error;
  return 1;
}

function say(message: string): void {
  process.stderr.write(`inox iptables: ${message}\n`);
}
