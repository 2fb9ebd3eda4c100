import { networkInterfaces } from 'node:os';
import { formatAddress } from './address.ts';
import type { Address } from './connection.ts';

/** How long the machine's addresses are taken to stay as they are. */
const KEEP_MS = 1000;

/**
 * The addresses at which this process takes redirected connections. Connecting to one of them would bring the
 * connection back to where it came from, again and again.
 */
export class OwnAddresses {
  readonly #exact = new Set<string>();
  readonly #anyIpv4 = new Set<number>();
  readonly #anyIpv6 = new Set<number>();
  readonly #machine: () => ReadonlySet<string>;

  constructor(machine: () => ReadonlySet<string> = cached(machineAddresses)) {
    this.#machine = machine;
  }

  add(address: Address): void {
    if (address.ip === '0.0.0.0') this.#anyIpv4.add(address.port);
    else if (address.ip === '::') this.#anyIpv6.add(address.port);
    else this.#exact.add(formatAddress(address));
  }

  delete(address: Address): void {
    if (address.ip === '0.0.0.0') this.#anyIpv4.delete(address.port);
    else if (address.ip === '::') this.#anyIpv6.delete(address.port);
    else this.#exact.delete(formatAddress(address));
  }

  /** Whether a connection to `address` would come to this process. */
  has(address: Address): boolean {
    if (this.#exact.size > 0 && this.#exact.has(formatAddress(address))) return true;
    if (!this.#anyIpv6.has(address.port)) {
      if (!this.#anyIpv4.has(address.port) || address.ip.includes(':')) return false;
    }
    return isThisMachine(address.ip) || this.#machine().has(address.ip);
  }
}

function isThisMachine(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1' || ip === '0.0.0.0' || ip === '::';
}

function machineAddresses(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces()))
    for (const { address } of addresses ?? []) found.add(address);
  return found;
}

function cached(look: () => ReadonlySet<string>): () => ReadonlySet<string> {
  let found: ReadonlySet<string> = new Set();
  let untilMs = -1;
  return () => {
    const nowMs = performance.now();
    if (nowMs >= untilMs) {
      found = look();
      untilMs = nowMs + KEEP_MS;
    }
    return found;
  };
}
