import { networkInterfaces } from 'node:os';

/** The first address of this machine that is not loopback, as Envoy's `--local-address-ip-version v4` finds it. */
export function localIp(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const address of addresses ?? []) {
      if (address.family === 'IPv4' && !address.internal) return address.address;
    }
  }
  return '127.0.0.1';
}
