import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { Subscription } from '../protocol/discovery.ts';
import { FETCH_TIMEOUT_MS, type OpenSource } from './hub.ts';

const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';
/** Virtual hosts that were found are asked for on, for their changes; beyond so many the oldest are given up. */
const MAX_KEPT = 10_000;

/**
 * Virtual hosts that are asked for one by one, under `<route configuration>/<host of a request>`: the answer is a
 * virtual host of any name that has this one among its aliases. What came is taken by whoever wants them all.
 */
export class HostDemands {
  readonly #names = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  readonly #subscription: Subscription;

  constructor(source: ConfigSource, open: OpenSource) {
    this.#subscription = open(source).source.subscribe(
      {
        type: VIRTUAL_HOST,
        names: new Set(),
        initialFetchTimeoutMs: source.initialFetchTimeout ?? FETCH_TIMEOUT_MS,
        statPrefix: 'http.vhds',
      },
      {
        onUpdate: async ({ resources }) => {
          for (const { name, aliases = [] } of resources)
            for (const asked of [name, ...aliases]) this.#answer(asked);
          return [];
        },
        onMissing: (names) => {
          for (const name of names) this.#names.delete(name);
          this.#tell();
          for (const name of names) this.#answer(name);
        },
      },
    );
  }

  /** Calls back once, when there is an answer; at once for a host that is there. */
  ask(name: string, answered: () => void): void {
    if (this.#names.has(name) && !this.#waiting.has(name)) {
      answered();
      return;
    }
    this.#waiting.set(name, answered);
    this.#names.add(name);
    if (this.#names.size > MAX_KEPT) this.#giveUpOldest();
    this.#tell();
  }

  #answer(name: string): void {
    const answered = this.#waiting.get(name);
    this.#waiting.delete(name);
    answered?.();
  }

  #giveUpOldest(): void {
    for (const name of this.#names) {
      if (this.#waiting.has(name)) continue;
      this.#names.delete(name);
      return;
    }
  }

  #tell(): void {
    this.#subscription.setNames(new Set(this.#names));
  }
}
