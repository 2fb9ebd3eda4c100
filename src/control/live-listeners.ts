import { isDeepStrictEqual } from 'node:util';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import { bindsToPort, listenAddress } from '../config/listener.ts';
import type { ConfigUpdate } from '../core/config-update.ts';
import { formatAddress } from '../net/address.ts';
import { claimAddresses } from './listen-check.ts';

/** The listeners in force, and which addresses they may have. */
export class LiveListeners {
  readonly inForce = new Map<string, ListenerConfig>();
  /** As they were asked for: port 0 may have become another. */
  readonly #asked = new Map<string, ListenerConfig>();
  /** On which this process has ever listened. */
  readonly #ports = new Set<number>();

  /** What the process starts with. Rejects with a readable error when an address cannot be had. */
  async init(listeners: readonly ListenerConfig[]): Promise<void> {
    for (const [i, claimed] of (await claimAddresses(listeners)).entries()) {
      const key = claimed.name || `listener ${i}`;
      this.inForce.set(key, claimed);
      this.#asked.set(key, listeners[i] ?? claimed);
      if (bindsToPort(claimed)) this.#ports.add(portOf(claimed));
    }
  }

  /** Those that change, each with an address that can be had; they count as in force from now on. */
  async claim(update: ConfigUpdate): Promise<{
    readonly failed: { readonly name: string; readonly message: string }[];
    readonly claimed: ListenerConfig[];
  }> {
    const configs = (update.listeners ?? []) as readonly ListenerConfig[];
    const failed: { name: string; message: string }[] = [];
    const claimed: ListenerConfig[] = [];
    const moved = new Map(configs.map((config) => [config.name ?? '', config] as const));
    for (const name of update.removedListeners ?? []) moved.set(name, {});
    for (const config of configs) {
      const name = config.name ?? '';
      const before = this.inForce.get(name);
      const asked = this.#asked.get(name);
      if (before !== undefined && isDeepStrictEqual(asked, config)) continue;
      try {
        const keeps = before !== undefined && isDeepStrictEqual(asked?.address, config.address);
        const next =
          keeps && before.address !== undefined
            ? { ...config, address: before.address }
            : await this.#claimAddress(config, moved);
        this.#asked.set(name, config);
        this.inForce.set(name, next);
        claimed.push(next);
      } catch (error) {
        failed.push({ name, message: error instanceof Error ? error.message : String(error) });
      }
    }
    return { failed, claimed };
  }

  /** `moved`: listeners as they will be, of those that change or go in the same step. */
  async #claimAddress(
    config: ListenerConfig,
    moved: ReadonlyMap<string, ListenerConfig>,
  ): Promise<ListenerConfig> {
    const port = portOf(config);
    if (!bindsToPort(config)) return config;
    if (port === 0 || !this.#ports.has(port)) {
      const [claimed = config] = await claimAddresses([config]);
      this.#ports.add(portOf(claimed));
      return claimed;
    }
    // The process itself listens there, or did a moment ago: the workers will find out who else does.
    for (const [name, other] of this.inForce) {
      const { address } = moved.get(name) ?? other;
      if (name === config.name || !bindsToPort(other) || !isDeepStrictEqual(address, config.address))
        continue;
      const where = formatAddress(listenAddress(config.address));
      throw new Error(`listener '${config.name ?? ''}' on ${where}: listener '${name}' has this address`);
    }
    return config;
  }

  remove(name: string): void {
    this.inForce.delete(name);
    this.#asked.delete(name);
  }

  /** The version before the one that could not be had, which serves on. */
  restore(name: string, before: ListenerConfig | undefined): void {
    if (before === undefined) {
      this.remove(name);
    } else {
      this.inForce.set(name, before);
      // Whoever asks for the failed one again gets another try.
      this.#asked.set(name, before);
    }
  }
}

/** 0 for one that the system chooses, and for a Unix socket. */
function portOf({ address }: ListenerConfig): number {
  return address?.socketAddress?.portValue ?? 0;
}
