import { isDeepStrictEqual } from 'node:util';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { bindsToPort, listenAddress } from '../config/listener.ts';
import type { ConfigUpdate } from '../core/config-update.ts';
import { formatAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import { claimAddresses } from './listen-check.ts';

export interface ClaimedListeners {
  readonly failed: readonly { readonly name: string; readonly message: string }[];
  readonly claimed: readonly ListenerConfig[];
  /** All that were in force. */
  readonly before: ReadonlyMap<string, ListenerConfig>;
}

/** The listeners in force, and which addresses they may have. */
export class LiveListeners {
  readonly inForce = new Map<string, ListenerConfig>();
  /** As they were asked for: port 0 may have become another. */
  readonly #asked = new Map<string, ListenerConfig>();
  /** What the step before let go: workers close sockets a moment after they said so. */
  #leaving: ListenerConfig[] = [];

  /** What the process starts with. Rejects with a readable error when an address cannot be had. */
  async init(listeners: readonly ListenerConfig[]): Promise<void> {
    for (const [i, claimed] of (await claimAddresses(listeners)).entries()) {
      const key = claimed.name || `listener ${i}`;
      this.inForce.set(key, claimed);
      this.#asked.set(key, listeners[i] ?? claimed);
    }
  }

  /** Those that change, each with an address that can be had; they count as in force from now on. */
  async claim({ listeners = [], removedListeners = [] }: ConfigUpdate): Promise<ClaimedListeners> {
    const leaving = this.#leaving;
    this.#leaving = [];
    if (listeners.length === 0) return { failed: [], claimed: [], before: new Map() };
    const failed: { name: string; message: string }[] = [];
    const claimed: ListenerConfig[] = [];
    const before = new Map(this.inForce);
    const own = addressesByPort([...before.values(), ...leaving]);
    const fail = (name: string, error: unknown): void => {
      failed.push({ name, message: error instanceof Error ? error.message : String(error) });
    };
    for (const config of listeners as readonly ListenerConfig[]) {
      const name = config.name ?? '';
      const old = before.get(name);
      const asked = this.#asked.get(name);
      if (old !== undefined && isDeepStrictEqual(asked, config)) continue;
      try {
        let next = config;
        if (old?.address !== undefined && isDeepStrictEqual(asked?.address, config.address)) {
          next = { ...config, address: old.address };
        } else if (!isOwn(listenAddress(config.address), own)) {
          next = (await claimAddresses([config]))[0] ?? config;
        }
        this.#asked.set(name, config);
        this.inForce.set(name, next);
        claimed.push(next);
      } catch (error) {
        fail(name, error);
      }
    }
    // An address of this process's own may be had when its listener really gives it up.
    const gone = new Set(removedListeners);
    for (let clash = this.#clash(claimed, gone); clash !== null; clash = this.#clash(claimed, gone)) {
      const { name = '', address } = clash.config;
      const where = `listener '${name}' on ${formatAddress(listenAddress(address))}`;
      fail(name, new Error(`${where}: listener '${clash.holder}' has this address`));
      claimed.splice(claimed.indexOf(clash.config), 1);
      this.restore(name, before.get(name));
    }
    for (const { name = '' } of claimed) {
      const old = before.get(name);
      if (old !== undefined) this.#leaving.push(old);
    }
    return { failed, claimed, before };
  }

  /** The last of `claimed` whose address another listener has. */
  #clash(
    claimed: readonly ListenerConfig[],
    gone: ReadonlySet<string>,
  ): { readonly config: ListenerConfig; readonly holder: string } | null {
    const holders = new Map<string, string[]>();
    for (const [name, config] of this.inForce) {
      if (gone.has(name) || !bindsToPort(config)) continue;
      const address = formatAddress(listenAddress(config.address));
      holders.set(address, [...(holders.get(address) ?? []), name]);
    }
    const shared = [...holders.values()].filter((names) => names.length > 1);
    if (shared.length === 0) return null;
    for (const config of claimed.toReversed()) {
      const names = shared.find((one) => one.includes(config.name ?? ''));
      const holder = names?.find((name) => name !== config.name);
      if (holder !== undefined) return { config, holder };
    }
    return null;
  }

  remove(name: string): void {
    const config = this.inForce.get(name);
    if (config !== undefined) this.#leaving.push(config);
    this.inForce.delete(name);
    this.#asked.delete(name);
  }

  /** The version before the one that could not be had, which serves on. */
  restore(name: string, before: ListenerConfig | undefined): void {
    if (before === undefined) {
      this.inForce.delete(name);
      this.#asked.delete(name);
    } else {
      this.inForce.set(name, before);
      // Whoever asks for the failed one again gets another try.
      this.#asked.set(name, before);
    }
  }
}

/** IP addresses that sockets of these listeners are bound to. */
function addressesByPort(listeners: readonly ListenerConfig[]): Map<number, string[]> {
  const byPort = new Map<number, string[]>();
  for (const config of listeners) {
    const { ip, port, path } = listenAddress(config.address);
    if (path === '' && bindsToPort(config)) byPort.set(port, [...(byPort.get(port) ?? []), ip]);
  }
  return byPort;
}

/** Whether one of these sockets is in the way of a trial, but not of workers, which share with their like. */
function isOwn({ ip, port, path }: Address, byPort: ReadonlyMap<number, readonly string[]>): boolean {
  if (path !== '' || port === 0) return false;
  return (byPort.get(port) ?? []).some((held) => held === ip || isAny(held) || isAny(ip));
}

function isAny(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::';
}
