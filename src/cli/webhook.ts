import { isIP } from 'node:net';
import { createLog } from '../control/log-output.ts';
import { inoxVersion } from '../core/version.ts';
import { startWebhook } from '../inject/webhook.ts';
import { settingsOf } from './inject.ts';

/** The flags of `inox webhook` as commander names them, besides the settings of sidecars. */
export interface WebhookFlags {
  readonly addr: string;
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  readonly ignoreNamespace: readonly string[];
  readonly logJson: boolean;
  readonly [setting: string]: unknown;
}

/** Serves until SIGTERM or SIGINT; returns the exit code. */
export async function webhook(flags: WebhookFlags): Promise<number> {
  const defaults = settingsOf(flags);
  if (defaults === undefined) return 1;
  const [, host = '', port = ''] = /^\[?([^\]]*)\]?:(\d{1,5})$/.exec(flags.addr) ?? [];
  if (port === '' || Number(port) > 65_535 || (host !== '' && isIP(host) === 0)) {
    process.stderr.write(`inox: --addr must be ip:port or :port, not '${flags.addr}'\n`);
    return 1;
  }
  const log = await createLog('info', flags.logJson ? 'json' : 'text', undefined);
  try {
    const server = await startWebhook({
      defaults,
      version: inoxVersion,
      ignoredNamespaces: flags.ignoreNamespace,
      host: host === '' ? '::' : host,
      port: Number(port),
      certFile: flags.tlsCertFile,
      keyFile: flags.tlsKeyFile,
      log: (level, message) => log.log(level, 'webhook', message),
    });
    log.log('info', 'webhook', `listening on ${server.address.address} port ${server.address.port}`);
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    });
    await server.close();
    return 0;
  } catch (error) {
    process.stderr.write(`inox: webhook: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
