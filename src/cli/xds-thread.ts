import { parentPort } from 'node:worker_threads';
import type { LoadedMessage, LoadMessage } from '../control/load-config.ts';
import type { FromXds, ToXds } from '../core/xds-protocol.ts';
import { prepareXds, runXds } from '../xds/main.ts';
import { loadOutcome } from './load-config.ts';

/**
 * The program of the xds thread. What reads configuration from control planes reads the bootstrap, too, where the
 * thread was started for it: a process for that would take the time again, and the descriptors stay anyway.
 */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error('cli/xds-thread runs in a thread of its own only');
  const onMessage = (message: LoadMessage | ToXds): void => {
    if (message.type === 'load') {
      port.postMessage({ type: 'loaded', outcome: loadOutcome(message.flags) } satisfies LoadedMessage);
      return;
    }
    port.off('message', onMessage);
    if (message.type === 'init') runXds(port, message.init);
  };
  port.on('message', onMessage);
  port.postMessage({ type: 'begun' } satisfies FromXds);
  prepareXds();
}

main();
