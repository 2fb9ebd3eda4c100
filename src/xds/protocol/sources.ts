import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { ApiConfigSource, ConfigSource, GrpcService } from '#plain/envoy.config.core.v3.ts';
import { at } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { XdsStream } from '../../core/xds-protocol.ts';
import type { StatScope } from '../../stats/scope.ts';
import { checkTransport } from '../check-services.ts';
import { STREAM_BACKOFF } from './backoff.ts';
import { createChannel, type GrpcChannel } from './channel.ts';
import { createClusterDialer, findServer } from './cluster-dialer.ts';
import type { DiscoverySource, SubscribeOptions } from './discovery.ts';
import { FileSource } from './file-source.ts';
import { DEFAULT_RATE_LIMIT } from './request-queue.ts';
import { RestSource } from './rest-source.ts';
import { GrpcStream } from './stream.ts';

export interface SourcesParts {
  readonly bootstrap: Bootstrap;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly stats: StatScope;
  readonly log: Logger;
  /** `--reject-unknown-dynamic-fields`; for sources of text, where such fields are gone after reading. */
  readonly rejectUnknownFields?: boolean;
  /** A statistic that is a text has that value now. */
  readonly onText?: (name: string, value: string) => void;
}

/** The service and the methods of each type that has a stream of its own. */
const SERVICES: Readonly<
  Record<string, { readonly service: string; readonly name: string; readonly deltaOnly?: boolean }>
> = {
  'envoy.config.cluster.v3.Cluster': { service: 'cluster.v3.ClusterDiscoveryService', name: 'Clusters' },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': {
    service: 'endpoint.v3.EndpointDiscoveryService',
    name: 'Endpoints',
  },
  'envoy.config.endpoint.v3.LbEndpoint': {
    service: 'endpoint.v3.LocalityEndpointDiscoveryService',
    name: 'LocalityEndpoints',
    deltaOnly: true,
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
    deltaOnly: true,
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

  constructor(parts: SourcesParts) {
    this.#parts = parts;
  }

  /** Equal configurations give the same source. Throws a ConfigError for what cannot be done. */
  open(config: ConfigSource): { readonly key: string; readonly source: DiscoverySource } {
    const { initialFetchTimeout: _, resourceApiVersion: __, ...where } = config;
    const key = config.ads !== undefined ? 'ads' : JSON.stringify(where);
    let source = this.#sources.get(key);
    if (source === undefined) {
      source = key === 'ads' ? this.#openAds() : this.#openOne(config);
      this.#sources.set(key, source);
    }
    return { key, source };
  }

  /** A way to another service that the proxy calls: access logs. Throws a ConfigError. */
  channelTo(service: GrpcService): GrpcChannel {
    return createChannel(service, this.#parts);
  }

  /** The same for a service that a source of type gRPC names: load reports, health checks. Throws a ConfigError. */
  channelOf(api: ApiConfigSource): GrpcChannel {
    checkTransport(api);
    if (api.apiType !== 'GRPC' && api.apiType !== 'DELTA_GRPC') {
      throw ConfigError.at('api_type', `${api.apiType ?? 'REST_LEGACY'} is not for a stream: GRPC is`);
    }
    return this.#channel(api);
  }

  /** What is known of each stream; polls and files have none. */
  status(): XdsStream[] {
    return [...this.#sources].flatMap(([key, source]) => {
      const streams =
        source instanceof GrpcStream ? [source] : source instanceof SourcePerType ? source.streams() : [];
      return streams.map((stream) => ({ source: key, ...stream.status() }));
    });
  }

  close(): void {
    for (const source of this.#sources.values()) source.close();
  }

  #openAds(): DiscoverySource {
    const config = this.#parts.bootstrap.dynamicResources?.adsConfig;
    if (config === undefined)
      throw ConfigError.at('ads', 'the bootstrap has no dynamic_resources.ads_config');
    return at('dynamic_resources.ads_config', () => {
      checkTransport(config);
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
    const { stats, log, rejectUnknownFields = false } = this.#parts;
    if (config.apiConfigSource !== undefined) {
      const api = config.apiConfigSource;
      return at('api_config_source', () => this.#openApi(api));
    }
    if (config.pathConfigSource !== undefined || config.path !== undefined) {
      return new FileSource(config, { stats, log, rejectUnknownFields });
    }
    if (config.self !== undefined) {
      throw ConfigError.at('self', 'is not supported here: name the source, or use ads');
    }
    throw ConfigError.at('', 'names no source of configuration');
  }

  #openApi(api: ApiConfigSource): DiscoverySource {
    checkTransport(api);
    switch (api.apiType) {
      case 'REST':
        return this.#openRest(api);
      case 'GRPC':
      case 'DELTA_GRPC': {
        const delta = api.apiType === 'DELTA_GRPC';
        const channel = this.#channel(api);
        return new SourcePerType((type) => {
          const known = SERVICES[type];
          if (known === undefined || (known.deltaOnly === true && !delta)) {
            throw ConfigError.at('', `there is no ${api.apiType} service for ${type}`);
          }
          const method = `${delta ? 'delta' : 'stream'}${known.name}`;
          return this.#stream(api, delta, `envoy.service.${known.service}`, method, channel);
        }, channel);
      }
      default:
        throw ConfigError.at('api_type', `Unsupported config source ${api.apiType ?? 'REST_LEGACY'}`);
    }
  }

  #openRest(api: ApiConfigSource): DiscoverySource {
    const { bootstrap, node, stats, log, rejectUnknownFields = false } = this.#parts;
    if ((api.grpcServices?.length ?? 0) > 0) {
      throw ConfigError.at('grpc_services', 'a source of type REST has cluster_names instead');
    }
    const names = api.clusterNames ?? [];
    const [cluster] = names;
    if (cluster === undefined || names.length > 1)
      throw ConfigError.at('cluster_names', 'exactly one is needed');
    const found = findServer(bootstrap, cluster, 'cluster_names[0]');
    const dialer = at('cluster_names[0]', () => createClusterDialer(found, this.#parts, 'http/1.1'));
    const random = Math.random;
    return new RestSource(api, { dialer, cluster, node, stats, log, rejectUnknownFields, random });
  }

  #channel(api: ApiConfigSource): GrpcChannel {
    const services = api.grpcServices ?? [];
    const [service] = services;
    if (service === undefined || services.length > 1) {
      throw ConfigError.at('grpc_services', 'exactly one is needed');
    }
    if ((api.clusterNames?.length ?? 0) > 0) {
      throw ConfigError.at('cluster_names', 'a source of type gRPC has grpc_services instead');
    }
    return at('grpc_services[0]', () => createChannel(service, this.#parts));
  }

  #stream(
    api: ApiConfigSource,
    delta: boolean,
    service: string,
    method: string,
    channel: GrpcChannel,
  ): GrpcStream {
    const { node, stats, log, onText } = this.#parts;
    const retry = api.grpcServices?.[0]?.envoyGrpc?.retryPolicy?.retryBackOff;
    const baseMs = retry?.baseInterval ?? STREAM_BACKOFF.baseMs;
    const limit = api.rateLimitSettings;
    return new GrpcStream({
      channel,
      service,
      method,
      delta,
      node,
      nodeOnFirstMessageOnly: api.setNodeOnFirstMessageOnly ?? false,
      stats,
      log,
      onText: onText ?? ignore,
      aggregated: service.endsWith('AggregatedDiscoveryService'),
      // As Envoy: without a maximum of its own, an interval that is set goes up to ten times itself.
      backoff: {
        baseMs,
        maxMs: retry === undefined ? STREAM_BACKOFF.maxMs : (retry.maxInterval ?? 10 * baseMs),
      },
      rateLimit:
        limit === undefined
          ? null
          : {
              maxTokens: limit.maxTokens ?? DEFAULT_RATE_LIMIT.maxTokens,
              fillRate: limit.fillRate ?? DEFAULT_RATE_LIMIT.fillRate,
            },
    });
  }
}

/** Each type has a stream of its own. */
class SourcePerType implements DiscoverySource {
  readonly #make: (type: string) => GrpcStream;
  readonly #channel: GrpcChannel;
  readonly #byType = new Map<string, GrpcStream>();

  constructor(make: (type: string) => GrpcStream, channel: GrpcChannel) {
    this.#make = make;
    this.#channel = channel;
  }

  streams(): GrpcStream[] {
    return [...this.#byType.values()];
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
    this.#channel.close();
  }
}

function ignore(): void {
  // Nobody asks.
}
