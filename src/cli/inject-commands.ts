import type { Command } from 'commander';
import { SETTINGS } from '../inject/settings.ts';
import type { InjectFlags } from './inject.ts';
import type { WebhookFlags } from './webhook.ts';

const FILES = ['-f, --filename <file...>', 'manifests: a file, a folder, or - for standard input'] as const;

/** `inox inject`, `inox uninject` and `inox webhook`. */
export function addInjectCommands(inox: Command): void {
  const inject = inox
    .command('inject')
    .description('add the sidecar to the workloads of Kubernetes manifests, and print them')
    .argument('[file...]', 'as --filename; without any, standard input')
    .option(...FILES)
    .addHelpText('after', '\nAnnotations inox.dev/<flag> of a pod say the same for that pod alone.');
  addSettings(inject).action(async (files: string[], flags: InjectFlags) => {
    const { inject } = await import('./inject.ts');
    process.exitCode = inject({ ...flags, filename: [...(flags.filename ?? []), ...files] });
  });

  inox
    .command('uninject')
    .description('take out of manifests what inject put in, and print them')
    .argument('[file...]', 'as --filename; without any, standard input')
    .option(...FILES)
    .action(async (files: string[], flags: { filename?: string[] }) => {
      const { uninject } = await import('./uninject.ts');
      process.exitCode = uninject({ filename: [...(flags.filename ?? []), ...files] });
    });

  const webhook = inox
    .command('webhook')
    .description("add the sidecar when pods are made: an admission webhook for Kubernetes' API server")
    .option('--addr <ip:port>', 'where to listen', ':9443')
    .requiredOption('--tls-cert-file <file>', 'certificate chain, PEM; read again when it changes')
    .requiredOption('--tls-key-file <file>', 'its key, PEM')
    .option('--ignore-namespace <name...>', 'never touch pods there', [
      'kube-system',
      'kube-public',
      'kube-node-lease',
    ])
    .option('--log-json', 'log as JSON lines', false);
  addSettings(webhook).action(async (flags: WebhookFlags) => {
    const { webhook } = await import('./webhook.ts');
    process.exitCode = await webhook(flags);
  });
}

function addSettings(command: Command): Command {
  for (const { name, argument, help, fallback } of SETTINGS) {
    const shown = fallback === undefined || fallback === '' ? '' : ` (default: ${fallback})`;
    const value = argument === 'boolean' ? '[boolean]' : `<${argument}>`;
    command.option(`--${name} ${value}`, `${help}${shown}`);
  }
  return command;
}
