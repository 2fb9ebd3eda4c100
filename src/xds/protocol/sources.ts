import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { ApiConfigSource, ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { at } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { StatScope } from '../../stats/scope.ts';
import { createChannel, type GrpcChannel } from './channel.ts';
import type { DiscoverySource, SubscribeOptions } from './discovery.ts';
import { GrpcStream } from './stream.ts';

export interface SourcesParts {
  readonly bootstrap: Bootstrap;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly stats: StatScope;
  readonly log: Logger;
}

/** The service and the methods of each type that has a stream of its own. */
const SERVICES: Readonly<Record<string, { readonly service: string; readonly name: string }>> = {
  'envoy.config.cluster.v3.Cluster': { service: 'cluster.v3.ClusterDiscoveryService', name: 'Clusters' },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': {
    service: 'endpoint.v3.EndpointDiscoveryService',
    name: 'Endpoints',
  },
  'envoy.config.listener.v3.Listener': { service: 'listener.v3.ListenerDiscoveryService', name: 'Listeners' },
  'envoy.config.route.v3.RouteConfiguration': { service: 'route.v3.RouteDiscoveryService', name: 'Routes' },
  'envoy.config.route.v3.ScopedRouteConfiguration': {
    service: 'route.v3.ScopedRoutesDiscoveryService',
    name: 'ScopedRoutes',
  },
  'envoy.config.route.v3.VirtualHost': {
    service: 'route.v3.VirtualHostDiscoveryService',
    name: 'VirtualHosts',
  },
  'envoy.extensions.transport_sockets.tls.v3.Secret': {
    service: 'secret.v3.SecretDiscoveryService',
    name: 'Secrets',
  },
  'envoy.service.runtime.v3.Runtime': { service: 'runtime.v3.RuntimeDiscoveryService', name: 'Runtime' },
  'envoy.config.core.v3.TypedExtensionConfig': {
    service: 'extension.v3.ExtensionConfigDiscoveryService',
    name: 'ExtensionConfigs',
  },
};

/** Where resources come from: one source for each different ConfigSource, and one stream for all that say `ads`. */
export class Sources {
  readonly #parts: SourcesParts;
  readonly #sources = new Map<string, DiscoverySource>();
  readonly #connected: { set(value: number): void };
  #open = 0;

  constructor(parts: SourcesParts) {
    this.#parts = parts;
    const { stats } = parts;
    this.#connected = stats.scope('control_plane').gauge('connected_state', 'max');
    this.#connected.set(0);
  }

  /** Equal configurations give the same source. Throws a ConfigError for what cannot be done. */
  open(config: ConfigSource): { readonly key: string; readonly source: DiscoverySource } {
    const { initialFetchTimeout: _, resourceApiVersion: __, ...where } = config;
    const key = config.ads !== undefined || isAggregated(config) ? 'ads' : JSON.stringify(where);
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = key === 'ads' ? this.#openAds() : this.#openOne(config);
      this.#sources.set(key, source);
    }
    return { key, source };
  }

  close(): void {
    for (const source of this.#sources.values()) source.close();
  }

  #openAds(): DiscoverySource {
    const config = this.#parts.bootstrap.dynamicResources?.adsConfig;
    if (config === undefined)
      throw ConfigError.at('ads', 'the bootstrap has no dynamic_resources.ads_config');
    return at('dynamic_resources.ads_config', () => {
      const delta = config.apiType === 'DELTA_GRPC';
      if (!delta && config.apiType !== 'GRPC') {
        throw ConfigError.at(
          'api_type',
          `${config.apiType ?? 'REST'} is not for ads_config: GRPC and DELTA_GRPC are`,
        );
      }
      return this.#stream(
        config,
        delta,
        'envoy.service.discovery.v3.AggregatedDiscoveryService',
        delta ? 'deltaAggregatedResources' : 'streamAggregatedResources',
        this.#channel(config),
      );
    });
  }

  #openOne(config: ConfigSource): DiscoverySource {
    const api = config.apiConfigSource;
    if (api === undefined) throw ConfigError.at('', 'only ads and api_config_source are supported yet');
    return at('api_config_source', () => {
      const delta = api.apiType === 'DELTA_GRPC';
      if (!delta && api.apiType !== 'GRPC') {
        throw ConfigError.at('api_type', `${api.apiType ?? ''} is not supported yet`);
      }
      const channel = this.#channel(api);
      return new SourcePerType((type) => {
        const known = SERVICES[type];
        if (known === undefined) throw ConfigError.at('', `there is no service for ${type}`);
        const method = `${delta ? 'delta' : 'stream'}${known.name}`;
        return this.#stream(api, delta, `envoy.service.${known.service}`, method, channel);
      });
    });
  }

  #channel(api: ApiConfigSource): GrpcChannel {
    const services = api.grpcServices ?? [];
    const [service] = services;
    if (service === undefined || services.length > 1) {
      throw ConfigError.at('grpc_services', 'exactly one is needed');
    }
    const { bootstrap } = this.#parts;
    return at('grpc_services[0]', () =>
      createChannel(service, { clusters: bootstrap.staticResources?.clusters ?? [] }),
    );
  }

  #stream(
    api: ApiConfigSource,
    delta: boolean,
    service: string,
    method: string,
    channel: GrpcChannel,
  ): GrpcStream {
    const { node, stats, log } = this.#parts;
    let counted = false;
    return new GrpcStream({
      channel,
      service,
      method,
      delta,
      node,
      nodeOnFirstMessageOnly: api.setNodeOnFirstMessageOnly ?? false,
      stats,
      log,
      server: api.grpcServices?.[0]?.envoyGrpc?.clusterName ?? 'the control plane',
      onConnected: (connected) => {
        if (connected !== counted) this.#open += connected ? 1 : -1;
        counted = connected;
        this.#connected.set(this.#open > 0 ? 1 : 0);
      },
    });
  }
}

/** Each type has a stream of its own. */
class SourcePerType implements DiscoverySource {
  readonly #make: (type: string) => DiscoverySource;
  readonly #byType = new Map<string, DiscoverySource>();

  constructor(make: (type: string) => DiscoverySource) {
    this.#make = make;
  }

  subscribe(options: SubscribeOptions, sink: Parameters<DiscoverySource['subscribe']>[1]) {
    let source = this.#byType.get(options.type);
    if (source === undefined) {
      source = this.#make(options.type);
      this.#byType.set(options.type, source);
    }
    return source.subscribe(options, sink);
  }

  close(): void {
    for (const source of this.#byType.values()) source.close();
  }
}

function isAggregated({ apiConfigSource }: ConfigSource): boolean {
  const type = apiConfigSource?.apiType;
  return type === 'AGGREGATED_GRPC' || type === 'AGGREGATED_DELTA_GRPC';
}
