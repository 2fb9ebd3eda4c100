import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../core/log.ts';
import type { XdsStream } from '../../core/xds-protocol.ts';
import type { Counter, Gauge, StatScope } from '../../stats/scope.ts';
import { Backoff, type BackoffOptions } from './backoff.ts';
import type { GrpcChannel } from './channel.ts';
import { DeltaProtocol } from './delta.ts';
import type { DiscoverySink, DiscoverySource, SubscribeOptions, Subscription } from './discovery.ts';
import { INVALID_ARGUMENT, typeUrl } from './messages.ts';
import { NackDamper } from './nack-damper.ts';
import { type RateLimit, RequestQueue } from './request-queue.ts';
import { SotwProtocol } from './sotw.ts';
import { TypeState, typeRank } from './type-state.ts';

/** Well-behaved servers have one response a type on the way, or a few in delta. */
const MAX_RESPONSES = 64;
/** Beyond what rate limits keep waiting. */
const MAX_REQUESTS = 1000;
const LOOK_MS = 100;
/** So long a server may leave them unread. */
const UNREAD_MS = 30_000;
/** Characters of names that a server gives and that logs and statistics show. */
const MAX_NAME = 256;

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
  readonly backoff: BackoffOptions;
  readonly rateLimit: RateLimit | null;
  /** Envoy counts a stream for all types at the root, and one for a type below that type's statistics. */
  readonly aggregated: boolean;
  /** A statistic that is a text has that value now. */
  readonly onText: (name: string, value: string) => void;
}

/** Envoy's statistics of a stream. */
interface StreamStats {
  readonly connected: Gauge;
  readonly pending: Gauge;
  readonly enforced: Counter;
  readonly identifier: (value: string) => void;
}

/** What is known of a stream. */
export type StreamStatus = Omit<XdsStream, 'source'>;

/** A stream to a management server, for one type or (ADS) for all: made again, with more and more patience, when it ends. */
export class GrpcStream implements DiscoverySource {
  readonly #options: StreamOptions;
  readonly #types = new Map<string, TypeState>();
  readonly #backoff: Backoff;
  #stats: StreamStats | null = null;
  #live: LiveStream | null = null;
  #identifier = '';
  #lastEnd = '';
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff);
    if (options.aggregated) this.#stats = createStreamStats(options, '');
  }

  status(): StreamStatus {
    return {
      server: this.#options.channel.server,
      connected: this.#live?.answered ?? false,
      identifier: this.#identifier,
      lastEnd: this.#lastEnd,
      types: Array.from(this.#types.values(), (state) => ({
        type: state.type,
        names: [...state.names],
        version: state.version,
        nonce: state.nonce,
        error: state.lastError,
        updatedAt: state.updatedAt?.getTime() ?? 0,
      })),
    };
  }

  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription {
    this.#stats ??= createStreamStats(this.#options, options.statPrefix);
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
    this.#stats?.connected.set(0);
    for (const state of this.#types.values()) state.close();
    this.#options.channel.close();
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
    this.#stats ??= createStreamStats(this.#options, '');
    const stats = this.#stats;
    const live = new LiveStream(this.#options, stats, this.#types, (identifier) => {
      this.#backoff.reset();
      if (identifier !== this.#identifier) stats.identifier(identifier);
      this.#identifier = identifier;
      stats.connected.set(1);
    });
    this.#live = live;
    void live.run().then((reason) => {
      if (this.#live === live) this.#onEnd(reason);
    });
  }

  #onEnd(reason: string): void {
    this.#live = null;
    this.#lastEnd = reason;
    this.#stats?.connected.set(0);
    if (this.#closed) return;
    for (const state of this.#types.values()) state.countFailure();
    const delayMs = this.#backoff.next();
    const { log, channel } = this.#options;
    log.log(
      'warning',
      'config',
      `stream to ${channel.server} ended: ${reason}; tried again in ${Math.round(delayMs)} ms`,
    );
    this.#retry = setTimeout(() => this.#open(), delayMs);
  }
}

/** One stream, from its first request to its end. */
class LiveStream {
  /** The server has said something. */
  answered = false;
  readonly #options: StreamOptions;
  readonly #types: ReadonlyMap<string, TypeState>;
  readonly #onAnswer: (identifier: string) => void;
  readonly #protocol: StreamProtocol;
  readonly #abort = new AbortController();
  readonly #requests: RequestQueue;
  /** Responses of a type are taken one after the other. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #damper = new NackDamper();
  /** What NACKs that wait say, by type. */
  readonly #refusals = new Map<string, object>();
  /** That came and are not answered. */
  #responses = 0;
  #onTaken: (() => void) | null = null;
  #scheduled = false;
  #sentNode = false;

  constructor(
    options: StreamOptions,
    stats: StreamStats,
    types: ReadonlyMap<string, TypeState>,
    onAnswer: (identifier: string) => void,
  ) {
    this.#options = options;
    this.#requests = new RequestQueue(options.rateLimit, stats);
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
      for await (const response of responses) {
        this.#onResponse(response);
        await this.#untilRead();
      }
      return 'the server ended it';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#requests.end();
      this.#damper.close();
    }
  }

  close(): void {
    this.#abort.abort();
    this.#requests.end();
    this.#damper.close();
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
        if (request !== undefined) this.#sendNames(state, request);
      }
    });
  }

  #sendNames({ type }: TypeState, request: object): void {
    const errorDetail = this.#refusals.get(type);
    if (this.#options.delta || errorDetail === undefined) this.#send(request);
    else {
      // With the nonce of the newest response, it is an answer to that.
      this.#refusals.delete(type);
      this.#send({ ...request, errorDetail });
    }
  }

  /** A server that sends without waiting for answers, or does not read them, waits for us. */
  async #untilRead(): Promise<void> {
    while (this.#responses > MAX_RESPONSES) {
      await new Promise<void>((resolve) => {
        this.#onTaken = resolve;
      });
    }
    const since = performance.now();
    while (this.#requests.length > MAX_REQUESTS && !this.#abort.signal.aborted) {
      // A broken connection is noticed only by who reads.
      if (performance.now() - since > UNREAD_MS) throw new Error('the server does not read');
      await sleep(LOOK_MS);
    }
  }

  #onResponse(response: object): void {
    const { log, channel } = this.#options;
    const { typeUrl: url, controlPlane } = response as Answer;
    this.answered = true;
    this.#onAnswer((controlPlane?.identifier ?? '').slice(0, MAX_NAME));
    const state = [...this.#types.values()].find((one) => typeUrl(one.type) === url);
    if (state === undefined) {
      log.log(
        'warning',
        'config',
        `${channel.server} sent '${url.slice(0, MAX_NAME)}', which nobody asked for`,
      );
      return;
    }
    this.#damper.hurry(state.type);
    const before = this.#busy.get(state.type) ?? Promise.resolve();
    this.#responses++;
    this.#busy.set(
      state.type,
      before
        .then(() => this.#take(state, response))
        .finally(() => {
          this.#responses--;
          this.#onTaken?.();
        }),
    );
  }

  async #take(state: TypeState, response: object): Promise<void> {
    const { log, channel } = this.#options;
    let answer: object;
    try {
      answer = await this.#protocol.respond(state, response);
    } catch (error) {
      // A mistake of ours; the server hears of it, and the stream goes on.
      const { nonce } = response as Answer;
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log.log('error', 'config', `cannot take an update of ${channel.server}: ${message}`);
      const errorDetail = { code: INVALID_ARGUMENT, message: 'internal error' };
      this.#send({ typeUrl: typeUrl(state.type), responseNonce: nonce, errorDetail });
      return;
    }
    if (state.lastError !== '') {
      log.log('warning', 'config', `refused an update of ${channel.server}: ${state.lastError}`);
    }
    const { errorDetail } = answer as Partial<Refusal>;
    if (errorDetail === undefined) {
      this.#damper.accepted(state.type);
      this.#send(answer);
    } else {
      this.#refusals.set(state.type, errorDetail);
      await this.#damper.wait(state.type, errorDetail.message);
      if (this.#refusals.get(state.type) === errorDetail) this.#send(answer);
      this.#refusals.delete(state.type);
    }
    // Names may have changed meanwhile.
    this.onNames();
  }

  #send(request: object): void {
    const node = this.#sentNode && this.#options.nodeOnFirstMessageOnly ? undefined : this.#options.node;
    this.#sentNode = true;
    this.#requests.push(node === undefined ? request : { ...request, node });
  }
}

interface Refusal {
  readonly errorDetail: { readonly message: string };
}

/** What responses of both protocols have. */
interface Answer {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly controlPlane?: { readonly identifier: string };
}

function createStreamStats(
  { stats, onText }: Pick<StreamOptions, 'stats' | 'onText'>,
  prefix: string,
): StreamStats {
  const parent = prefix.split('.').reduce((scope, part) => (part === '' ? scope : scope.scope(part)), stats);
  const scope = parent.scope('control_plane');
  const connected = scope.gauge('connected_state', 'max');
  connected.set(0);
  const name = `${prefix === '' ? '' : `${prefix}.`}control_plane.identifier`;
  onText(name, '');
  return {
    connected,
    pending: scope.gauge('pending_requests', 'sum'),
    enforced: scope.counter('rate_limit_enforced'),
    identifier: (value) => onText(name, value),
  };
}
