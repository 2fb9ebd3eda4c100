import { fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import type { OpenSource } from '../../src/xds/model/hub.ts';
import type {
  DiscoverySink,
  DiscoverySource,
  RawResource,
  SubscribeOptions,
  Subscription,
} from '../../src/xds/protocol/discovery.ts';

/** A resource of that type, made of proto JSON. */
export function rawResource(type: string, json: Record<string, unknown>, version = '1'): RawResource {
  const registry = envoyRegistry();
  const desc = requireMessage(registry, type);
  const message = fromJson(desc, json as JsonValue, { registry });
  const name = String(json.name ?? json.clusterName ?? '');
  return { name, version, type, bytes: toBinary(desc, message) };
}

interface Open {
  readonly options: SubscribeOptions;
  readonly sink: DiscoverySink;
  names: ReadonlySet<string>;
}

/** A control plane in the test's hands: it sees what is asked for, and answers when the test says so. */
export class FakeDiscovery implements DiscoverySource {
  readonly #open = new Set<Open>();
  readonly #questions = new Map<string, number>();

  readonly open: OpenSource = (config: ConfigSource) => {
    if (config.ads === undefined) throw new Error('the fake is asked for ads only');
    return { key: 'ads', source: this };
  };

  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription {
    const open: Open = { options, sink, names: options.names };
    this.#open.add(open);
    return {
      setNames: (names) => {
        open.names = names;
        this.#questions.set(options.type, this.questions(options.type) + 1);
      },
      close: () => void this.#open.delete(open),
    };
  }

  close(): void {
    this.#open.clear();
  }

  /** Names that are asked for, sorted; null when nobody has subscribed to the type. */
  asked(type: string): string[] | null {
    const all = [...this.#open].filter((one) => one.options.type === type);
    return all.length === 0 ? null : [...new Set(all.flatMap((one) => [...one.names]))].sort();
  }

  /** How often other names were asked for. */
  questions(type: string): number {
    return this.#questions.get(type) ?? 0;
  }

  /** Resolves with what is wrong with the resources. */
  async send(
    resources: readonly RawResource[],
    removed: readonly string[] = [],
    type?: string,
  ): Promise<string[]> {
    const of = type ?? resources[0]?.type ?? '';
    const mistakes: string[] = [];
    for (const one of [...this.#open].filter(({ options }) => options.type === of)) {
      const wanted = (name: string): boolean => one.names.has('*') || one.names.has(name);
      const update = { version: '1', resources: resources.filter(({ name }) => wanted(name)), removed };
      mistakes.push(...(await one.sink.onUpdate(update)));
    }
    return mistakes;
  }

  missing(type: string, names: readonly string[]): void {
    for (const one of [...this.#open].filter(({ options }) => options.type === type))
      one.sink.onMissing(names);
  }
}
