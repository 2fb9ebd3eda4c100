import { connect, type Socket } from 'node:net';
import type { DescMessage, DescService } from '@bufbuild/protobuf';
import { type CallOptions, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { GrpcService } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import { envoyRegistry } from '../../proto/registry.ts';

/** Management servers end connections of clients that ping more often than every 30 s. */
const KEEPALIVE_MS = 30_000;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** A whole configuration comes in one message. */
const MAX_MESSAGE_BYTES = 512 * 1024 * 1024;

/** A way to a gRPC server; connections are made when first needed. */
export interface GrpcChannel {
  /** Calls a method with a stream of requests; the answers end, or fail, with the stream. */
  stream(
    service: string,
    method: string,
    requests: AsyncIterable<object>,
    signal: AbortSignal,
  ): AsyncIterable<object>;
}

export interface ChannelParts {
  /** Static clusters of the bootstrap. */
  readonly clusters: readonly Cluster[];
}

/** Throws a ConfigError when the service cannot be reached in the way the configuration says. */
export function createChannel(config: GrpcService, parts: ChannelParts): GrpcChannel {
  if (config.googleGrpc !== undefined) throw ConfigError.at('google_grpc', 'is not supported yet');
  const name = config.envoyGrpc?.clusterName ?? '';
  const cluster = parts.clusters.find((one) => one.name === name);
  if (cluster === undefined) {
    throw ConfigError.at(
      'envoy_grpc.cluster_name',
      `unknown cluster '${name}': it must be one of the bootstrap`,
    );
  }
  if (cluster.transportSocket !== undefined) {
    throw ConfigError.at('envoy_grpc.cluster_name', `TLS to cluster '${name}' is not supported yet`);
  }
  const targets = targetsOf(cluster);
  if (targets.length === 0) {
    throw ConfigError.at('envoy_grpc.cluster_name', `cluster '${name}' has no endpoints of its own`);
  }
  // Starts anywhere, so that the proxies of a fleet do not all go to the first server.
  let next = Math.floor(Math.random() * targets.length);
  const createConnection = (): Socket => {
    const target = targets[next++ % targets.length] ?? { host: '127.0.0.1', port: 0 };
    const socket = connect(target);
    socket.setNoDelay(true);
    return socket;
  };
  const metadata = (config.initialMetadata ?? []).map(({ key = '', value = '' }) => [key, value] as const);
  const authority = config.envoyGrpc?.authority || name;
  const transport = createGrpcTransport({
    baseUrl: `http://${/^[\w.:-]+$/.test(authority) ? authority : 'xds'}`,
    nodeOptions: { createConnection, settings: { initialWindowSize: WINDOW_BYTES } },
    acceptCompression: [],
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    pingIntervalMs: KEEPALIVE_MS,
    pingTimeoutMs: 15_000,
  });
  return openChannel(transport, metadata);
}

type Target = { readonly host: string; readonly port: number } | { readonly path: string };

function targetsOf({ loadAssignment }: Cluster): Target[] {
  return (loadAssignment?.endpoints ?? []).flatMap((locality) =>
    (locality.lbEndpoints ?? []).flatMap(({ endpoint }): Target[] => {
      const { socketAddress, pipe } = endpoint?.address ?? {};
      if (pipe !== undefined) return [{ path: pipe.path ?? '' }];
      return socketAddress === undefined
        ? []
        : [{ host: socketAddress.address ?? '', port: socketAddress.portValue ?? 0 }];
    }),
  );
}

type StreamMethod = (requests: AsyncIterable<object>, options: CallOptions) => AsyncIterable<object>;

function openChannel(transport: Transport, metadata: readonly (readonly [string, string])[]): GrpcChannel {
  return {
    stream: (service, method, requests, signal) => {
      const desc = requireService(service);
      // The client's methods are made of the descriptors: their types are not known when this is compiled.
      const client = createClient(desc, transport) as unknown as Readonly<Record<string, StreamMethod>>;
      const call = client[method];
      if (call === undefined) throw new Error(`${service} has no method ${method}`);
      return call(requests, {
        signal,
        headers: metadata.map(([key, value]): [string, string] => [key, value]),
      });
    },
  };
}

function requireService(name: string): DescService & { readonly methods: readonly { input: DescMessage }[] } {
  const service = envoyRegistry().getService(name);
  if (service === undefined) throw new Error(`the descriptor set has no ${name}`);
  return service;
}
