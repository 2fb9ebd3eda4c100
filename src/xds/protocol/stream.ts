import type { Logger } from '../../core/log.ts';
import type { StatScope } from '../../stats/scope.ts';
import { Backoff } from './backoff.ts';
import type { GrpcChannel } from './channel.ts';
import { DeltaProtocol } from './delta.ts';
import type { DiscoverySink, DiscoverySource, SubscribeOptions, Subscription } from './discovery.ts';
import { typeUrl } from './messages.ts';
import { SotwProtocol } from './sotw.ts';
import { TypeState, typeRank } from './type-state.ts';

/** What one protocol does with a stream; made anew for each. */
export interface StreamProtocol {
  /** Names or versions of a type may have changed: what must be said now, or undefined. */
  request(state: TypeState): object | undefined;
  /** Takes a response; resolves with the ACK or NACK. */
  respond(state: TypeState, response: object): Promise<object>;
}

export interface StreamOptions {
  readonly channel: GrpcChannel;
  readonly service: string;
  readonly method: string;
  readonly delta: boolean;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly nodeOnFirstMessageOnly: boolean;
  readonly stats: StatScope;
  readonly log: Logger;
  /** For messages: the cluster or target. */
  readonly server: string;
  /** A stream is there and has answered, or is there no more. */
  readonly onConnected: (connected: boolean) => void;
}

/** A stream to a management server, for one type or (ADS) for all: made again, with more and more patience, when it ends. */
export class GrpcStream implements DiscoverySource {
  readonly #options: StreamOptions;
  readonly #types = new Map<string, TypeState>();
  readonly #backoff = new Backoff();
  #live: LiveStream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription {
    let state = this.#types.get(options.type);
    if (state === undefined) {
      const { type } = options;
      state = new TypeState(type, this.#options.stats, () => this.#onNames());
      this.#types.set(type, state);
    }
    return state.add(options, sink);
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#live?.close();
    for (const state of this.#types.values()) state.close();
  }

  #onNames(): void {
    if (this.#closed) return;
    if (this.#live !== null) this.#live.onNames();
    else if (this.#retry === null && [...this.#types.values()].some((state) => state.names.size > 0))
      this.#open();
  }

  #open(): void {
    this.#retry = null;
    for (const state of this.#types.values()) if (!state.empty) state.countAttempt();
    const live = new LiveStream(this.#options, this.#types, () => {
      this.#backoff.reset();
      this.#options.onConnected(true);
    });
    this.#live = live;
    void live.run().then((reason) => {
      if (this.#live === live) this.#onEnd(reason);
    });
  }

  #onEnd(reason: string): void {
    this.#live = null;
    this.#options.onConnected(false);
    if (this.#closed) return;
    for (const state of this.#types.values()) state.countFailure();
    const delayMs = this.#backoff.next();
    const { log, server } = this.#options;
    log.log(
      'warning',
      'config',
      `stream to ${server} ended: ${reason}; tried again in ${Math.round(delayMs)} ms`,
    );
    this.#retry = setTimeout(() => this.#open(), delayMs);
  }
}

/** One stream, from its first request to its end. */
class LiveStream {
  readonly #options: StreamOptions;
  readonly #types: ReadonlyMap<string, TypeState>;
  readonly #onAnswer: () => void;
  readonly #protocol: StreamProtocol;
  readonly #abort = new AbortController();
  readonly #requests = new RequestQueue();
  /** Responses of a type are taken one after the other. */
  readonly #busy = new Map<string, Promise<void>>();
  #scheduled = false;
  #sentNode = false;

  constructor(options: StreamOptions, types: ReadonlyMap<string, TypeState>, onAnswer: () => void) {
    this.#options = options;
    this.#types = types;
    this.#onAnswer = onAnswer;
    this.#protocol = options.delta ? new DeltaProtocol() : new SotwProtocol();
  }

  /** Resolves with the reason when the stream is over. */
  async run(): Promise<string> {
    const { channel, service, method } = this.#options;
    this.onNames();
    try {
      const responses = channel.stream(service, method, this.#requests, this.#abort.signal);
      for await (const response of responses) this.#onResponse(response);
      return 'the server ended it';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#requests.end();
    }
  }

  close(): void {
    this.#abort.abort();
    this.#requests.end();
  }

  /** Says what has changed, once a turn: clusters first, then what depends on them. */
  onNames(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const types = [...this.#types.values()].sort((a, b) => typeRank(a.type) - typeRank(b.type));
      for (const state of types) {
        const request = this.#protocol.request(state);
        if (request !== undefined) this.#send(request);
      }
    });
  }

  #onResponse(response: object): void {
    this.#onAnswer();
    const { typeUrl: url } = response as { readonly typeUrl: string };
    const state = [...this.#types.values()].find((one) => typeUrl(one.type) === url);
    if (state === undefined) {
      this.#options.log.log(
        'warning',
        'config',
        `${this.#options.server} sent '${url}', which nobody asked for`,
      );
      return;
    }
    const before = this.#busy.get(state.type) ?? Promise.resolve();
    this.#busy.set(
      state.type,
      before.then(async () => {
        const answer = await this.#protocol.respond(state, response);
        if (state.lastError !== '') {
          this.#options.log.log(
            'warning',
            'config',
            `refused an update of ${this.#options.server}: ${state.lastError}`,
          );
        }
        this.#send(answer);
      }),
    );
  }

  #send(request: object): void {
    const node = this.#sentNode && this.#options.nodeOnFirstMessageOnly ? undefined : this.#options.node;
    this.#sentNode = true;
    this.#requests.push(node === undefined ? request : { ...request, node });
  }
}

/** What the call takes as its requests. */
class RequestQueue implements AsyncIterable<object> {
  readonly #waiting: object[] = [];
  #wake: (() => void) | null = null;
  #ended = false;

  push(request: object): void {
    this.#waiting.push(request);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<object> {
    for (;;) {
      const request = this.#waiting.shift();
      if (request !== undefined) yield request;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
      }
    }
  }
}
