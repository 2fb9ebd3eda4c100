import type { SdsSecretConfig, Secret } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { secretKey } from '../../config/tls-secrets.ts';
import type { ResourceHub } from './hub.ts';
import type { Publisher } from './publisher.ts';
import { secretsOf } from './references.ts';
import type { Warming } from './warming.ts';

/** Secrets of clusters and listeners: fetched once, published under the key by which TLS contexts know them. */
export class Secrets {
  readonly #hub: ResourceHub<Secret>;
  readonly #publisher: Publisher;
  readonly #published = new Map<string, Uint8Array>();
  /** How many contexts name a key. */
  readonly #users = new Map<string, number>();

  constructor(hub: ResourceHub<Secret>, publisher: Publisher) {
    this.#hub = hub;
    this.#publisher = publisher;
  }

  /** Watches what `holders` name; `warming` waits for them. Returns what ends the watches. */
  need(holders: unknown, warming: Warming): (() => void)[] {
    return secretsOf(holders).map((config) => this.#watch(config, warming));
  }

  #watch(config: SdsSecretConfig, warming: Warming): () => void {
    const { sdsConfig, name = '' } = config;
    if (sdsConfig === undefined) return () => {};
    const key = secretKey(config, 'sds_secret_config');
    const ready = warming.need(`shared target SdsApi ${name}`);
    this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    const unwatch = this.#hub.watch(sdsConfig, name, {
      onResource: (held) => {
        if (held !== null && this.#published.get(key) !== held.bytes) {
          this.#published.set(key, held.bytes);
          this.#publisher.secret(key, held.config);
        }
        ready();
      },
    });
    let watching = true;
    return () => {
      if (!watching) return;
      watching = false;
      unwatch();
      this.#users.set(key, (this.#users.get(key) ?? 1) - 1);
      // Whoever takes over comes within the turn.
      queueMicrotask(() => this.#forget(key));
    };
  }

  #forget(key: string): void {
    if (this.#users.get(key) !== 0) return;
    this.#users.delete(key);
    if (this.#published.delete(key)) this.#publisher.removeSecret(key);
  }
}
