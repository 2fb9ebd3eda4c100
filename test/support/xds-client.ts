/** The client's side of discovery in tests: sources of a bootstrap, and a sink that tells what came. */
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { ApiConfigSource, ConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { Logger } from '../../src/core/log.ts';
import type { StatScope } from '../../src/stats/scope.ts';
import { nodeMessage } from '../../src/xds/node.ts';
import type { DiscoverySink, DiscoveryUpdate, SubscribeOptions } from '../../src/xds/protocol/discovery.ts';
import { Sources } from '../../src/xds/protocol/sources.ts';

/** What a subscription was told, one event after the other. */
export class Events implements DiscoverySink {
  readonly all: string[] = [];
  readonly updates: DiscoveryUpdate[] = [];
  /** What is wrong with an update, in the opinion of the sink. */
  judge: (update: DiscoveryUpdate) => readonly string[] | Promise<readonly string[]> = () => [];
  #read = 0;
  #wake: (() => void)[] = [];
  running = 0;
  mostAtOnce = 0;

  async onUpdate(update: DiscoveryUpdate): Promise<readonly string[]> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.running);
    this.updates.push(update);
    const names = update.resources.map((one) => one.name).sort();
    this.#add(
      `${update.version}: ${[...names, ...update.removed.map((name) => `-${name}`).sort()].join(' ')}`,
    );
    const mistakes = await this.judge(update);
    this.running--;
    return mistakes;
  }

  onMissing(names: readonly string[]): void {
    this.#add(`missing ${[...names].sort().join(' ')}`);
  }

  /** The next event that was not read yet: `version: name name -removed`, `missing name`. */
  async next(): Promise<string> {
    for (;;) {
      const event = this.all[this.#read];
      if (event !== undefined) {
        this.#read++;
        return event;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  get unread(): readonly string[] {
    return this.all.slice(this.#read);
  }

  #add(event: string): void {
    this.all.push(event);
    for (const resolve of this.#wake.splice(0)) resolve();
  }
}

/** Counters and gauges by name. */
export class PlainStats {
  readonly values = new Map<string, number>();

  scope(prefix = ''): StatScope {
    const handle = (name: string) => {
      const key = `${prefix}${name}`;
      if (!this.values.has(key)) this.values.set(key, 0);
      const add = (n: number): void => {
        this.values.set(key, (this.values.get(key) ?? 0) + n);
      };
      const set = (n: number): void => {
        this.values.set(key, n);
      };
      return { inc: () => add(1), dec: () => add(-1), add, set };
    };
    return {
      counter: handle,
      gauge: handle,
      histogram: () => ({ record: () => {} }),
      scope: (name, label) => this.scope(`${prefix}${name}.${label === undefined ? '' : `${label}.`}`),
      retain: () => {},
      release: () => {},
    };
  }

  get(name: string): number {
    return this.values.get(name) ?? -1;
  }
}

export interface Client {
  readonly sources: Sources;
  readonly stats: PlainStats;
  readonly logs: string[];
  /** Statistics that are texts. */
  readonly texts: Map<string, string>;
  subscribe(config: ConfigSource, options: Partial<SubscribeOptions> & { type: string }): Watching;
  close(): void;
}

export interface Watching {
  readonly events: Events;
  setNames(...names: readonly string[]): void;
  close(): void;
}

export function openClient(bootstrap: Bootstrap): Client {
  const stats = new PlainStats();
  const logs: string[] = [];
  const log: Logger = { enabled: () => true, log: (_level, _component, text) => logs.push(text) };
  const full = { node: { id: 'test-id', cluster: 'test' }, ...bootstrap } as Bootstrap;
  const texts = new Map<string, string>();
  const sources = new Sources({
    bootstrap: full,
    node: nodeMessage(full),
    stats: stats.scope(),
    log,
    onText: (name, value) => texts.set(name, value),
  });
  return {
    sources,
    stats,
    logs,
    texts,
    subscribe: (config, options) => {
      const events = new Events();
      const subscription = sources
        .open(config)
        .source.subscribe(
          { names: new Set(['*']), initialFetchTimeoutMs: 0, statPrefix: 'test.sub', ...options },
          events,
        );
      return {
        events,
        setNames: (...names) => subscription.setNames(new Set(names)),
        close: () => subscription.close(),
      };
    },
    close: () => sources.close(),
  };
}

/** A static cluster named `xds` with these hosts (`127.0.0.1:80`, or a path). */
export function serverCluster(hosts: readonly string[], more: Partial<Cluster> = {}): Cluster {
  const lbEndpoints = hosts.map((host) => {
    const [, address = '', port = ''] = /^(.*):(\d+)$/.exec(host) ?? [];
    const where =
      port === '' ? { pipe: { path: host } } : { socketAddress: { address, portValue: Number(port) } };
    return { endpoint: { address: where } };
  });
  return {
    name: 'xds',
    connectTimeout: 1000,
    loadAssignment: { clusterName: 'xds', endpoints: [{ lbEndpoints }] },
    ...more,
  };
}

/** gRPC to the cluster `xds`, patient for some milliseconds only. */
export function grpcApi(delta: boolean, more: Partial<ApiConfigSource> = {}): ApiConfigSource {
  return {
    apiType: delta ? 'DELTA_GRPC' : 'GRPC',
    transportApiVersion: 'V3',
    grpcServices: [
      {
        envoyGrpc: {
          clusterName: 'xds',
          retryPolicy: { retryBackOff: { baseInterval: 10, maxInterval: 20 } },
        },
      },
    ],
    ...more,
  };
}

export function adsBootstrap(
  delta: boolean,
  cluster: Cluster,
  more: Partial<ApiConfigSource> = {},
): Bootstrap {
  return {
    staticResources: { clusters: [cluster] },
    dynamicResources: { adsConfig: grpcApi(delta, more) },
  };
}
