import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CheckFlags } from './check.ts';
import type { ExecFlags } from './exec.ts';
import { READY_ADDRESS } from './readiness.ts';
import type { ReadyFlags } from './ready.ts';

export const ADMIN_ADDRESS = '127.0.0.1:15000';

/** `inox ready` and `inox exec`: the application's life beside the proxy. */
export function addLifeCommands(inox: Command): void {
  inox
    .command('ready')
    .description('ask the proxy whether it is ready: exit code 0 or 1')
    .option('--wait', 'ask until it is')
    .addOption(time('--timeout <time>', 'how long, with --wait: 60s, 500ms, 2m', '60s'))
    .option(
      '--address <ip:port>',
      'its readiness port (env INOX_READY_ADDRESS)',
      parseAddress,
      readyAddress(),
    )
    .action(async (flags: ReadyFlags) => {
      const { ready } = await import('./ready.ts');
      process.exitCode = await ready(flags);
    });

  inox
    .command('exec')
    .description('start a program when the proxy is ready; signals and the exit code are passed on')
    .argument('<command...>', 'the program and its arguments, after --')
    .usage('[options] -- <command> [argument...]')
    .addOption(
      time('--timeout <time>', 'how long the proxy may take to be ready; 0: as long as it takes', '60s'),
    )
    .option(
      '--address <ip:port>',
      'its readiness port (env INOX_READY_ADDRESS)',
      parseAddress,
      readyAddress(),
    )
    .addOption(
      time(
        '--term-delay <time>',
        'pass SIGTERM on so much later: the proxy still brings requests in its lame-duck time',
        '0s',
      ),
    )
    .option('--quit-proxy', 'when the program has ended, end the proxy, so that a Job completes')
    .option('--admin <ip:port>', 'where the proxy is told so', parseAddress, ADMIN_ADDRESS)
    .action(async (command: string[], flags: ExecFlags) => {
      const { exec } = await import('./exec.ts');
      process.exit(await exec(command, flags));
    });
}

/** `inox check`. */
export function addCheckCommand(inox: Command): void {
  inox
    .command('check')
    .description('look at the machine, the configuration and the running proxy: exit code 1 after an error')
    .option('-c, --config-path <file>', 'bootstrap configuration (env INOX_CONFIG; else the built-in one)')
    .option('--config-yaml <yaml>', 'merged over the configuration file')
    .option('--pre', 'before the proxy starts: do not ask it')
    .option('--proxy', 'only the running proxy, which must be there')
    .option('--admin <ip:port>', 'its admin interface', parseAddress, ADMIN_ADDRESS)
    .option('--expiry-days <days>', 'warn when a certificate expires within so many days', parseDays, 7)
    .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']).default('text'))
    .action(async (flags: CheckFlags) => {
      const { check } = await import('./check.ts');
      process.exitCode = await check(flags);
    });
}

function parseDays(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('must be whole days');
  return Number(text);
}

function time(flags: string, help: string, fallback: string): Option {
  return new Option(flags, help).argParser(parseTime).default(parseTime(fallback), fallback);
}

function readyAddress(): string {
  return process.env.INOX_READY_ADDRESS ?? READY_ADDRESS;
}

/** Milliseconds. A bare number is seconds. */
function parseTime(text: string): number {
  const [, digits, unit = 's'] = /^(\d{1,6}(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('must be a time such as 60s, 500ms or 2m');
  return Number(digits) * (unit === 'ms' ? 1 : unit === 's' ? 1000 : 60_000);
}

export function parseAddress(text: string): string {
  if (!/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/.test(text))
    throw new InvalidArgumentError('must be ip:port');
  return text;
}
