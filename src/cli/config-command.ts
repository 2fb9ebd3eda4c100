import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ConfigFlags } from './config/config.ts';
import { ADMIN_ADDRESS, parseAddress } from './life-commands.ts';

const HELP = `
What to show: listeners, routes, clusters, endpoints, secrets, scopes, extensions, streams (to control planes), or all.
Examples:
  inox config clusters --fqdn reviews
  inox config endpoints --port 9080 --status unhealthy
  curl '127.0.0.1:15000/config_dump?include_eds' > before; …; inox config diff before 127.0.0.1:15000`;

/** `inox config` and `inox config diff`. */
export function addConfigCommand(inox: Command): void {
  const config = inox
    .command('config')
    .description(
      'show the configuration of a running proxy: what is in force, since when, and what was refused',
    )
    .argument('[what]', 'what to show', 'all')
    .option('--admin <ip:port>', 'its admin interface (Envoy has the same)', parseAddress, ADMIN_ADDRESS)
    .option('-f, --file <file>', 'a saved /config_dump?include_eds instead; - for standard input')
    .addOption(new Option('-o, --output <format>', 'how').choices(['table', 'json', 'yaml']).default('table'))
    .option('--name <text>', 'only what has this in its name')
    .option('--port <port>', 'only this port', parsePort)
    .option('--fqdn <text>', 'only what has this in a host name: a domain of a route, a service of a cluster')
    .option('--address <ip>', 'only this address of a listener or endpoint')
    .option(
      '--status <status>',
      'only endpoints (HEALTHY, UNHEALTHY) or resources (active, warming, …) in it',
    )
    .addHelpText('after', HELP)
    .action(async (what: string, flags: ConfigFlags) => {
      const { showConfig } = await import('./config/config.ts');
      process.exitCode = await showConfig(what, flags);
    });
  config
    .command('diff')
    .description(
      'compare two configurations: exit code 0 when they are the same, 1 when not, 2 after an error',
    )
    .argument('<a>', 'a file with a config dump, or ip:port of an admin interface')
    .argument('<b>', 'the other one')
    .action(async (a: string, b: string, _: unknown, command: Command) => {
      const { diffConfig } = await import('./config/config.ts');
      const { output } = command.optsWithGlobals<{ output: string }>();
      process.exitCode = await diffConfig(a, b, { output });
    });
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new InvalidArgumentError('must be a port');
  return port;
}
