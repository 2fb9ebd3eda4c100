import { Command, CommanderError, Option } from 'commander';
import { VERSION_LINE } from '../control/version-line.ts';
import { closest } from '../core/suggest.ts';
import { addConfigCommand } from './config-command.ts';
import { ENVOY_FLAGS } from './envoy-flags.ts';
import { addInjectCommands } from './inject-commands.ts';
import { addIptablesCommand } from './iptables-command.ts';
import { addCheckCommand, addLifeCommands } from './life-commands.ts';
import type { RunFlags } from './run.ts';

const COMMANDS = [
  'run',
  'validate',
  'inject',
  'uninject',
  'webhook',
  'iptables',
  'check',
  'config',
  'ready',
  'exec',
  'help',
];

/**
 * Commands load what they need when they run: a serving process never loads what decodes configuration.
 * `inox [run] <Envoy's flags>`, `inox validate -c file`, `inox --version`.
 */
function program(): Command {
  const inox = new Command('inox')
    .description(
      'A service-mesh sidecar proxy: Envoy configuration in, HTTP and TCP proxied, balanced and measured.',
    )
    .showHelpAfterError('(inox --help lists commands and flags)')
    .helpCommand(true)
    .addHelpText(
      'after',
      "\n'inox help run' lists the flags, Envoy's among them; 'inox -c bootstrap.yaml' is enough to start.",
    );

  inox.version(`\ninox  version: ${VERSION_LINE}\n`, '--version', 'print the version as Envoy does');
  const runCommand = inox
    .command('run', { isDefault: true })
    .description('run the proxy; the default command, so that a command line for Envoy works as it is');
  for (const { flags, help, acts } of ENVOY_FLAGS)
    runCommand.option(flags, acts ? help : `(no effect) ${help}`);
  runCommand
    .option('--envoy-strict', "exactly Envoy's behaviour where inox would do better", false)
    .option(
      '--lame-duck-time-s <seconds>',
      'how long connections are still taken after SIGTERM, when readiness fails already (default: 5)',
    )
    .option(
      '--shed-lag-ms <ms>',
      'refuse requests with 503 when an event loop was late by so much for a second (default: off)',
    )
    .option(
      '--last-good-config <file>',
      'keep what the control plane says, and start from it when the control plane is away (env INOX_LAST_GOOD_CONFIG)',
    )
    .option(
      '--dns-capture',
      'answer the DNS queries that inox iptables --dns-capture brings (env INOX_DNS_CAPTURE, ISTIO_META_DNS_CAPTURE)',
    )
    .option(
      '--dns-address <ip:port,…>',
      'loopback addresses to answer at (env INOX_DNS_ADDRESS, DNS_PROXY_ADDR; default: localhost:15053)',
    )
    .option(
      '--dns-names <file>',
      "names to answer, Envoy's DnsTable; ads: those of an Istio control plane (env INOX_DNS_NAMES)",
    )
    .option(
      '--dns-upstream <ip:port,…>',
      'who is asked for other names (env INOX_DNS_UPSTREAM; default: the servers of /etc/resolv.conf)',
    )
    .option('--log-json', 'log as JSON lines', false)
    .option(
      '--metrics-address <ip:port,…>',
      'read-only ports for /stats/prometheus and /ready (env INOX_METRICS_ADDRESS)',
    )
    // Whatever is no command ends up here, as run is the default: a misspelt command, most likely.
    .allowExcessArguments()
    .action(async (flags: RunFlags, command: Command) => {
      const [word] = command.args;
      if (word !== undefined) {
        const near = closest(word, COMMANDS);
        const hint =
          near === undefined ? `expected one of ${COMMANDS.join(', ')}` : `did you mean '${near}'?`;
        inox.error(`error: unknown command or argument '${word}', ${hint}`);
      }
      const { run } = await import('./run.ts');
      await run(flags);
    });

  inox
    .command('validate')
    .description('check a configuration: every mistake with file, line and field')
    .option('-c, --config-path <file>', 'bootstrap configuration, YAML or JSON (env INOX_CONFIG)')
    .option('--config-yaml <yaml>', 'merged over the configuration file')
    .addOption(new Option('-o, --output <format>', 'text or json').choices(['text', 'json']).default('text'))
    .action(async (flags: { configPath?: string; configYaml?: string; output: string }) => {
      const { validate } = await import('./validate.ts');
      process.exitCode = validate(flags);
    });

  addInjectCommands(inox);
  addIptablesCommand(inox);
  addCheckCommand(inox);
  addConfigCommand(inox);
  addLifeCommands(inox);
  return inox;
}

async function main(): Promise<void> {
  process.on('SIGUSR1', () => {
    // Without a listener Node would open its debugger, which runs any code. While serving it reopens access logs;
    // before, there is nothing to reopen. (--disable-sigusr1 would block the signal for us, too.)
  });
  try {
    await program().exitOverride().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode;
    else {
      process.stderr.write(
        `inox: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
      process.exitCode = 1;
    }
  }
}

void main();
