import { formatAddress } from '../net/address.ts';
import { AppProbes } from './admin/app-probes.ts';
import { startMetrics } from './admin/metrics-server.ts';
import { createAdminContext } from './admin-context.ts';
import { explainListenError } from './listen-check.ts';
import type { ControlPlane } from './serve.ts';

/** Opens the read-only ports. Returns what closes them; rejects when an address is taken, with none of them open. */
export async function openMetrics(
  control: ControlPlane,
  onBug: (error: unknown) => void,
): Promise<() => void> {
  const probes = new AppProbes(process.env.INOX_APP_PROBES, process.env.POD_IP || '127.0.0.1');
  const servers: { close(): void }[] = [];
  const close = (): void => {
    for (const server of servers) server.close();
  };
  for (const address of control.options.metricsAddresses) {
    try {
      const server = await startMetrics(address, createAdminContext(control), probes, onBug);
      servers.push(server);
      control.options.log.log('info', 'main', `metrics and readiness on ${formatAddress(server.address)}`);
    } catch (error) {
      close();
      const why = explainListenError(error);
      throw new Error(`metrics on ${formatAddress(address)}: ${why}`, { cause: error });
    }
  }
  return close;
}
