/** What the services share: they speak gRPC with each other, in clear text; the sidecars encrypt between them. */
import {
  type Client,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export { status } from '@grpc/grpc-js';

export interface Emoji {
  readonly shortcode: string;
  readonly unicode: string;
}

export interface Votes {
  readonly shortcode: string;
  readonly votes: number;
}

export type ServiceName = 'EmojiService' | 'VotingService';

/** What a method throws to fail in gRPC's way. */
export class GrpcError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

type Method = (request: { readonly shortcode: string }) => object | Promise<object>;

function serviceOf(name: ServiceName): ServiceClientConstructor {
  const definition = loadSync(new URL('emojivoto.proto', import.meta.url).pathname, { defaults: true });
  const { emojivoto } = loadPackageDefinition(definition) as { emojivoto?: { v1?: GrpcObject } };
  return emojivoto?.v1?.[name] as ServiceClientConstructor;
}

/** Serves `methods` on 127.0.0.1; the port is the first argument of the program. */
export function serve(name: ServiceName, methods: Readonly<Record<string, Method>>): void {
  const port = Number(process.argv[2]);
  const server = new Server();
  const handlers: UntypedServiceImplementation = {};
  for (const [method, answer] of Object.entries(methods)) {
    handlers[method] = (
      call: { request: { shortcode: string } },
      done: (error: Partial<GrpcError> | null, response?: object) => void,
    ) => {
      Promise.resolve()
        .then(() => answer(call.request))
        .then(
          (response) => done(null, response),
          (error: Error) => done({ code: status.INTERNAL, ...error, message: error.message }),
        );
    };
  }
  server.addService(serviceOf(name).service, handlers);
  server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error;
    console.log(`listening on 127.0.0.1:${port}`);
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit());
}

/** A service as another one reaches it: by its name, through the outbound listener of the caller's sidecar. */
export class RemoteService {
  readonly #client: Client;
  readonly #path: string;
  readonly #service: ServiceClientConstructor['service'];

  constructor(name: ServiceName, authority: string, sidecarPort: number) {
    const Constructor = serviceOf(name);
    this.#service = Constructor.service;
    this.#path = `/emojivoto.v1.${name}/`;
    this.#client = new Constructor(`127.0.0.1:${sidecarPort}`, credentials.createInsecure(), {
      'grpc.default_authority': authority,
    });
  }

  /** Rejects with an error that has gRPC's `code` and `details`. */
  call<T>(method: string, request: object): Promise<T> {
    const definition = this.#service[method];
    if (definition === undefined) throw new Error(`no method is called ${method}`);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        this.#path + method,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        new Metadata(),
        { deadline: Date.now() + 5000 },
        (error, response) => (error === null ? resolve(response as T) : reject(error)),
      );
    });
  }
}
