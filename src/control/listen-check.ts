import { createServer } from 'node:net';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { bindsToPort, ipv4Compat, listenAddress } from '../config/listener.ts';
import { formatAddress } from '../net/address.ts';
import { removeStaleSocket } from './stale-socket.ts';

/**
 * Workers listen with SO_REUSEPORT, which would quietly share a port with another process. So the control
 * thread binds each address alone first: a port in use is an error, and port 0 becomes one number for all.
 * Unix sockets that a killed process left behind are removed. Returns the listeners with their ports resolved.
 */
export async function claimAddresses(listeners: readonly ListenerConfig[]): Promise<ListenerConfig[]> {
  const claimed: ListenerConfig[] = [];
  for (const listener of listeners) {
    const address = listenAddress(listener.address);
    if (!bindsToPort(listener)) {
      claimed.push(listener);
      continue;
    }
    if (address.path !== '') {
      await removeStaleSocket(address.path);
      claimed.push(listener);
      continue;
    }
    const port = await probe(address.ip, address.port, ipv4Compat(listener)).catch((error: unknown) => {
      const where = `listener '${listener.name ?? ''}' on ${formatAddress(address)}`;
      throw new Error(`${where}: ${explainListenError(error)}`, { cause: error });
    });
    const socketAddress = { ...listener.address?.socketAddress, portValue: port };
    claimed.push({ ...listener, address: { ...listener.address, socketAddress } });
  }
  return claimed;
}

function probe(ip: string, port: number, ipv4Compat: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: ip, port, ipv6Only: ip.includes(':') && !ipv4Compat }, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : port));
    });
  });
}

/** Why listening failed, in words that say what to do. */
export function explainListenError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return 'the port is in use by another process; stop it or choose another port';
    case 'EACCES':
      return 'not allowed to bind this port; ports below 1024 need CAP_NET_BIND_SERVICE';
    case 'EADDRNOTAVAIL':
      return 'this machine does not have that address';
    default:
      return error.message;
  }
}
