import { readFileSync, statSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import {
  type ConfigSourceFlags,
  loadInChild,
  loadInThread,
  type ServableConfig,
} from '../control/load-config.ts';

/** The longest parts of a start, begun side by side before the configuration is known. */
export interface Begun {
  /** Rejects with a ConfigError with every mistake. */
  readonly config: Promise<ServableConfig>;
  /** Not for a configuration that nothing can be added to. */
  readonly xds: Worker | undefined;
  /** They never come when the configuration cannot be loaded. */
  readonly workers: Promise<readonly Worker[]>;
}

/** `discovery`: there is more configuration than that of the flags, whatever they say. */
export async function begin(
  flags: ConfigSourceFlags,
  concurrency: number,
  discovery: boolean,
): Promise<Begun> {
  const { promise: workers, resolve } = Promise.withResolvers<readonly Worker[]>();
  // Not before: the code of who loads the configuration is waited for longer than that of the workers.
  const onBegun = async (): Promise<void> => {
    const { prepareWorkers } = await import('../control/supervisor.ts');
    resolve(prepareWorkers(concurrency));
  };
  if (!discovery && !mentionsDiscovery(flags))
    return { config: loadInChild(flags, onBegun), xds: undefined, workers };
  const { prepareXdsThread } = await import('../control/xds-thread.ts');
  const xds = prepareXdsThread();
  return { config: loadInThread(xds, flags, onBegun), xds, workers };
}

/** Whether it is likely that a control plane brings configuration; the thread for that can load the bootstrap, too. */
function mentionsDiscovery({
  configPath = process.env.INOX_CONFIG,
  configYaml = '',
}: ConfigSourceFlags): boolean {
  const pattern = /dynamic_?resources/i;
  if (pattern.test(configYaml)) return true;
  try {
    // What can be read but once is left to whoever loads it.
    if (configPath === undefined || !statSync(configPath).isFile()) return false;
    return pattern.test(readFileSync(configPath, 'utf8'));
  } catch {
    // Whoever loads it says what is wrong.
    return false;
  }
}
