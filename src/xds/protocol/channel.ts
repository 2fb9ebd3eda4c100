import type { DescMessage, DescService } from '@bufbuild/protobuf';
import { type CallOptions, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { GrpcService, HeaderValue } from '#plain/envoy.config.core.v3.ts';
import { at } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import { envoyRegistry } from '../../proto/registry.ts';
import { createClusterDialer, type DialerParts, findServer, isCleartext } from './cluster-dialer.ts';
import type { Dialer } from './dialer.ts';
import { compileGoogleGrpc } from './google-grpc.ts';
import { Sessions } from './sessions.ts';

/** Where nothing is said; management servers end connections of clients that ping more often than they like. */
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 15_000;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** A whole configuration comes in one message. */
const MAX_MESSAGE_BYTES = 512 * 1024 * 1024;
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

type Metadata = readonly (readonly [string, string])[];

/** A way to a gRPC server; connections are made when first needed. */
export interface GrpcChannel {
  /** For messages: the cluster or the target. */
  readonly server: string;
  /** Calls a method with a stream of requests; the answers end, or fail, with the stream. */
  stream(
    service: string,
    method: string,
    requests: AsyncIterable<object>,
    signal: AbortSignal,
  ): AsyncIterable<object>;
  close(): void;
}

interface Target {
  readonly server: string;
  readonly dialer: Dialer;
  readonly authority: string;
  readonly secure: boolean;
  readonly keepalive: Keepalive;
  readonly maxMessageBytes: number;
  readonly metadata: () => Metadata;
}

interface Keepalive {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** Throws a ConfigError when the service cannot be reached in the way the configuration says. */
export function createChannel(config: GrpcService, parts: DialerParts): GrpcChannel {
  const target = config.googleGrpc === undefined ? envoyTarget(config, parts) : googleTarget(config, parts);
  const initial = (config.initialMetadata ?? []).map((one, i) => readHeader(one, `initial_metadata[${i}]`));
  const scheme = target.secure ? 'https' : 'http';
  const baseUrl = `${scheme}://${hostOf(target.authority)}`;
  const { intervalMs: pingIntervalMs, timeoutMs: pingTimeoutMs } = target.keepalive;
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: new Sessions(
      baseUrl,
      { pingIntervalMs, pingTimeoutMs },
      {
        createConnection: () => target.dialer.connect(),
        settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
      },
    ),
    acceptCompression: [],
    readMaxBytes: target.maxMessageBytes,
    writeMaxBytes: MAX_MESSAGE_BYTES,
  });
  return openChannel(transport, target, initial);
}

function envoyTarget(config: GrpcService, parts: DialerParts): Target {
  const { clusterName = '', authority = '', maxReceiveMessageLength } = config.envoyGrpc ?? {};
  const field = 'envoy_grpc.cluster_name';
  const cluster = findServer(parts.bootstrap, clusterName, field);
  return {
    server: `cluster '${clusterName}'`,
    dialer: at(field, () => createClusterDialer(cluster, parts, 'h2')),
    authority: authority || clusterName,
    secure: !isCleartext(cluster),
    keepalive: keepaliveOf(cluster),
    // 0 is Envoy's word for no limit.
    maxMessageBytes: maxReceiveMessageLength || MAX_MESSAGE_BYTES,
    metadata: () => [],
  };
}

function googleTarget(config: GrpcService, parts: DialerParts): Target {
  const google = config.googleGrpc ?? {};
  const target = at('google_grpc', () => compileGoogleGrpc(google, parts));
  return {
    ...target,
    server: `'${google.targetUri ?? ''}'`,
    keepalive: { intervalMs: KEEPALIVE_MS, timeoutMs: KEEPALIVE_TIMEOUT_MS },
    maxMessageBytes: MAX_MESSAGE_BYTES,
  };
}

/** As the cluster says. */
function keepaliveOf(cluster: Cluster): Keepalive {
  const typed = cluster.typedExtensionProtocolOptions?.[HTTP_OPTIONS]?.value as
    | { explicitHttpConfig?: { http2ProtocolOptions?: Cluster['http2ProtocolOptions'] } }
    | undefined;
  const options = typed?.explicitHttpConfig?.http2ProtocolOptions ?? cluster.http2ProtocolOptions;
  const { interval, timeout } = options?.connectionKeepalive ?? {};
  return {
    intervalMs: interval ?? KEEPALIVE_MS,
    timeoutMs: timeout ?? KEEPALIVE_TIMEOUT_MS,
  };
}

function readHeader({ key = '', value = '' }: HeaderValue, path: string): readonly [string, string] {
  // Envoy would put values of a request in, and there is none.
  if (/%/.test(value.replaceAll('%%', ''))) {
    throw ConfigError.at(`${path}.value`, 'substitutions (%…%) are not supported here');
  }
  return [key, value.replaceAll('%%', '%')];
}

type StreamMethod = (
  requests: AsyncIterable<object>,
  options: CallOptions,
) => AsyncIterable<object> | Promise<object>;

/** A method with one answer, as a stream of it. */
async function* one(answer: Promise<object>): AsyncGenerator<object> {
  yield await answer;
}

function openChannel(transport: Transport, target: Target, initial: Metadata): GrpcChannel {
  const closed = new AbortController();
  return {
    server: target.server,
    stream: (service, method, requests, signal) => {
      const desc = requireService(service);
      // The client's methods are made of the descriptors: their types are not known when this is compiled.
      const client = createClient(desc, transport) as unknown as Readonly<Record<string, StreamMethod>>;
      const call = client[method];
      if (call === undefined) throw new Error(`${service} has no method ${method}`);
      const headers = [...initial, ...target.metadata()].map(([key, value]): [string, string] => [
        key,
        value,
      ]);
      const answer = call(requests, { signal: AbortSignal.any([signal, closed.signal]), headers });
      return answer instanceof Promise ? one(answer) : answer;
    },
    close: () => {
      closed.abort();
      target.dialer.close();
    },
  };
}

/** What a URL can hold of an authority; `xds` in place of names such as `outbound|80||a`. */
function hostOf(authority: string): string {
  return URL.canParse(`http://${authority}`) && /^[\w.:[\]-]+$/.test(authority) ? authority : 'xds';
}

function requireService(name: string): DescService & { readonly methods: readonly { input: DescMessage }[] } {
  const service = envoyRegistry().getService(name);
  if (service === undefined) throw new Error(`the descriptor set has no ${name}`);
  return service;
}
