/** Management servers for tests: one that does what a test says message by message, and what they both stand on. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type handleBidiStreamingCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import { GrpcPeer } from './grpc-peer.ts';

const DISCOVERY = 'envoy.service.discovery.v3';

export const CLUSTER = 'envoy.config.cluster.v3.Cluster';
export const ENDPOINTS = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
export const LISTENER = 'envoy.config.listener.v3.Listener';
export const ROUTES = 'envoy.config.route.v3.RouteConfiguration';
export const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';

/** A request of either protocol as a server sees it; what the protocol does not have is empty. */
export interface XdsRequest {
  readonly typeUrl: string;
  readonly node?: { readonly id: string; readonly userAgentName: { readonly value?: string } };
  readonly responseNonce: string;
  readonly errorDetail?: { readonly code: number; readonly message: string };
  readonly versionInfo: string;
  readonly resourceNames: readonly string[];
  readonly resourceNamesSubscribe: readonly string[];
  readonly resourceNamesUnsubscribe: readonly string[];
  readonly initialResourceVersions: Readonly<Record<string, string>>;
}

export interface AnyMessage {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export function message(type: string, fields: Record<string, unknown>): object {
  return create(requireMessage(envoyRegistry(), type), fields);
}

/** A message packed as the resource it is. */
export function any(type: string, fields: Record<string, unknown>): AnyMessage {
  const desc = requireMessage(envoyRegistry(), type);
  return { typeUrl: urlOf(type), value: toBinary(desc, create(desc, fields)) };
}

export function wrapped(fields: Record<string, unknown>): AnyMessage {
  return any(`${DISCOVERY}.Resource`, fields);
}

/** A small resource of that name; `mark` makes another one of it. */
export function resource(type: string, name: string, mark = ''): AnyMessage {
  switch (type) {
    case ENDPOINTS:
      return any(type, { clusterName: name, namedEndpoints: mark === '' ? {} : { [mark]: {} } });
    case CLUSTER:
      return any(type, { name, altStatName: mark });
    case LISTENER:
      return any(type, { name, statPrefix: mark });
    default:
      return any(type, { name });
  }
}

export function urlOf(type: string): string {
  return `type.googleapis.com/${type}`;
}

/** One stream that a client has open. */
export class PeerStream extends GrpcPeer<XdsRequest, object | Uint8Array> {
  readonly metadata: Metadata;
  readonly delta: boolean;
  #nonce = 0;

  constructor(path: string, call: ServerDuplexStream<XdsRequest, object | Uint8Array>) {
    super(path, call);
    this.metadata = call.metadata;
    this.delta = path.includes('/Delta');
  }

  /** Sends a response of the stream's protocol; returns its nonce. */
  send(response: Record<string, unknown>): string {
    const nonce = `${response.nonce ?? `n${++this.#nonce}`}`;
    const type = this.delta ? 'DeltaDiscoveryResponse' : 'DiscoveryResponse';
    this.call.write(message(`${DISCOVERY}.${type}`, { nonce, ...response }));
    return nonce;
  }

  /** A state of the world, or the same as a delta response. */
  sendAll(
    type: string,
    version: string,
    resources: readonly AnyMessage[],
    removed: readonly string[] = [],
  ): string {
    if (!this.delta) return this.send({ typeUrl: urlOf(type), versionInfo: version, resources });
    return this.send({
      typeUrl: urlOf(type),
      systemVersionInfo: version,
      resources: resources.map((one) => ({ name: nameIn(one), version, resource: one })),
      removedResources: removed,
    });
  }

  /** Bytes in place of a message. */
  sendBytes(bytes: Uint8Array): void {
    this.call.write(bytes);
  }
}

function nameIn({ typeUrl, value }: AnyMessage): string {
  const desc = envoyRegistry().getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
  if (desc === undefined) return 'unknown';
  const found = fromBinary(desc, value) as unknown as { name?: string; clusterName?: string };
  return found.name ?? found.clusterName ?? '';
}

/** A gRPC server with all discovery services; each stream goes to whoever asks for the next one. */
export class XdsServer {
  readonly #server = new Server({
    'grpc.max_send_message_length': -1,
    'grpc.max_receive_message_length': -1,
  });
  readonly #streams: PeerStream[] = [];
  readonly #waiting: ((stream: PeerStream) => void)[] = [];
  readonly streams: PeerStream[] = [];
  /** In place of `next`: every stream as it comes. */
  onStream: ((stream: PeerStream) => void) | null = null;
  address = '';
  port = 0;

  constructor() {
    for (const service of envoyRegistry()) {
      if (service.kind !== 'service' || !/DiscoveryService$/.test(service.typeName)) continue;
      const methods = service.methods.filter((method) => method.methodKind === 'bidi_streaming');
      const definition: Record<string, ServiceDefinition[string]> = {};
      const handlers: Record<string, handleBidiStreamingCall<XdsRequest, object | Uint8Array>> = {};
      for (const method of methods) {
        const path = `/${service.typeName}/${method.name}`;
        definition[method.name] = {
          path,
          requestStream: true,
          responseStream: true,
          requestSerialize: () => Buffer.alloc(0),
          requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
          responseSerialize: (response: object) => serialize(method.output, response),
          responseDeserialize: () => ({}),
        };
        handlers[method.name] = (call) => this.#onStream(new PeerStream(path, call));
      }
      if (methods.length > 0) this.#server.addService(definition, handlers);
    }
  }

  /** `address`: `127.0.0.1:0`, or `unix:/path`. */
  async listen(address = '127.0.0.1:0', credentials = ServerCredentials.createInsecure()): Promise<this> {
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    this.address = address.startsWith('unix:') ? address : `127.0.0.1:${this.port}`;
    return this;
  }

  async next(): Promise<PeerStream> {
    return this.#streams.shift() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #onStream(stream: PeerStream): void {
    this.streams.push(stream);
    if (this.onStream !== null) {
      this.onStream(stream);
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting(stream);
    else this.#streams.push(stream);
  }
}

function serialize(desc: DescMessage, response: object): Buffer {
  if (response instanceof Uint8Array) return Buffer.from(response);
  return Buffer.from(toBinary(desc, response as ReturnType<typeof create>));
}

/** Passes connections on to `port`; cut, they break in the middle of whatever travels. */
export class Cable {
  readonly #server;
  readonly #sockets = new Set<Socket>();
  /** Bytes from the server that are let through before the connection is cut. */
  budget = Number.POSITIVE_INFINITY;

  constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = createConnection(port, '127.0.0.1');
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
      }
      client.pipe(upstream);
      upstream.on('data', (chunk: Buffer) => {
        const part = chunk.subarray(0, Math.max(0, Math.min(chunk.length, this.budget)));
        this.budget -= part.length;
        client.write(part);
        if (part.length < chunk.length) {
          this.budget = Number.POSITIVE_INFINITY;
          this.cut();
        }
      });
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
