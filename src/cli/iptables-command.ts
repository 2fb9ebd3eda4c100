import { type Command, InvalidArgumentError, Option } from 'commander';
import { BACKENDS } from '../iptables/backend.ts';
import { DIAL_COMMAND } from '../iptables/dial.ts';
import { IPTABLES_OPTIONS } from '../iptables/options.ts';
import type { IptablesFlags } from './iptables.ts';

const HELP = `
Each flag is also read from the environment: INOX_EXCLUDE_OUTBOUND_PORTS for --exclude-outbound-ports, and under Istio's
names. Istio's letters and long flags are understood, and the long ones of linkerd-init.

Rules are set when this runs in a container or in a network namespace of its own, or with --yes. Elsewhere they are
only printed, and the exit code is 3.`;

/** Flags that istio-iptables and linkerd-init have and that change nothing here. */
const WITHOUT_EFFECT = [
  '--log_output_level <levels>',
  '--log-level <level>',
  '--log-format <format>',
  '-f, --iptables-restore-format',
  '--use-wait-flag',
];

/** `inox iptables`. */
export function addIptablesCommand(inox: Command): void {
  const command = inox
    .command('iptables')
    .description('send the traffic of this pod through the proxy: set, explain, check or remove the rules')
    .addHelpText('after', HELP);
  for (const { name, short, argument, help, fallback, aliases } of IPTABLES_OPTIONS) {
    const value = argument === undefined ? '' : ` <${argument}>`;
    const shown = fallback === '' || argument === undefined ? '' : ` (default: ${fallback})`;
    const long = argument === undefined ? `--${name} [boolean]` : `--${name}${value}`;
    command.option(short === undefined ? long : `-${short}, ${long}`, help + shown);
    for (const alias of aliases)
      command.addOption(
        new Option(argument === undefined ? `--${alias} [boolean]` : `--${alias}${value}`).hideHelp(),
      );
  }
  for (const flags of WITHOUT_EFFECT) command.addOption(new Option(flags).hideHelp());
  command
    .addOption(
      new Option('--ipv6 <when>', 'rules for IPv6, too').choices(['auto', 'on', 'off']).default('auto'),
    )
    .addOption(
      new Option('--backend <name>', 'what sets them').choices(['auto', ...BACKENDS]).default('auto'),
    )
    .option('-n, --dry-run', 'print the rules and change nothing')
    .addOption(new Option('--simulate').hideHelp())
    .option('-y, --yes', 'set them, also where they are those of the machine itself')
    .option('--explain', 'say in plain words what happens to which traffic, and change nothing')
    .option('--cleanup', 'remove every rule, route and address that this command has set')
    .option('--check', 'try the rules that are set with connections of its own, and change nothing')
    .option('--run-validation', 'set the rules, then try them')
    .option('--check-timeout <seconds>', 'how long one of them may take', parseSeconds, 5)
    .action(async (flags: IptablesFlags) => {
      const { iptables } = await import('./iptables.ts');
      process.exitCode = await iptables(flags);
    });
  inox
    .command(DIAL_COMMAND, { hidden: true })
    .arguments('<ip> <port> <ms>')
    .action(async (ip: string, port: string, ms: string) => {
      const { dial } = await import('../iptables/dial.ts');
      process.stdout.write(await dial(ip, Number(port), Number(ms)));
    });
}

function parseSeconds(text: string): number {
  if (!/^\d{1,3}s?$/.test(text)) throw new InvalidArgumentError('must be whole seconds');
  return Number.parseInt(text, 10);
}
