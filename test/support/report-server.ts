/** A management server for load reports and health checks: it says what a test says, and hands over what it was told. */
import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import {
  type handleBidiStreamingCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { envoyRegistry } from '../../src/proto/registry.ts';
import { GrpcPeer } from './grpc-peer.ts';

const SERVICES = [
  'envoy.service.load_stats.v3.LoadReportingService',
  'envoy.service.health.v3.HealthDiscoveryService',
];

/** Messages as proto JSON with Envoy's field names. */
export type Json = Readonly<Record<string, unknown>>;

/** One stream that a client has open. */
export class ReportStream extends GrpcPeer<Json, Json> {
  /** Reads on until a request has what is asked for. */
  async until(test: (request: Json) => boolean): Promise<Json> {
    for (;;) {
      const request = await this.next();
      if (test(request)) return request;
    }
  }

  send(response: Json): void {
    this.call.write(response);
  }
}

/** Each stream goes to whoever asks for the next one. */
export class ReportServer {
  readonly #server = new Server();
  readonly #streams: ReportStream[] = [];
  readonly #waiting: ((stream: ReportStream) => void)[] = [];
  port = 0;

  constructor() {
    const registry = envoyRegistry();
    for (const name of SERVICES) {
      const definition: Record<string, ServiceDefinition[string]> = {};
      const handlers: Record<string, handleBidiStreamingCall<Json, Json>> = {};
      for (const { name: method, methodKind, input, output } of registry.getService(name)?.methods ?? []) {
        if (methodKind !== 'bidi_streaming') continue;
        const path = `/${name}/${method}`;
        definition[method] = {
          path,
          requestStream: true,
          responseStream: true,
          requestSerialize: () => Buffer.alloc(0),
          requestDeserialize: (bytes: Buffer) =>
            toJson(input, fromBinary(input, bytes), { registry, useProtoFieldName: true }),
          responseSerialize: (response: JsonValue) =>
            Buffer.from(toBinary(output, fromJson(output, response, { registry }))),
          responseDeserialize: () => ({}),
        };
        handlers[method] = (call) => this.#onStream(new ReportStream(path, call));
      }
      this.#server.addService(definition, handlers);
    }
  }

  async listen(port = 0): Promise<this> {
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return this;
  }

  next(): Promise<ReportStream> {
    const stream = this.#streams.shift();
    return stream === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(stream);
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #onStream(stream: ReportStream): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#streams.push(stream);
    else waiting(stream);
  }
}
