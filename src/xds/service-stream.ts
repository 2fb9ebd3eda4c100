import type { ApiConfigSource } from '#plain/envoy.config.core.v3.ts';
import type { Logger } from '../core/log.ts';
import type { StatScope } from '../stats/scope.ts';
import { Backoff, type BackoffOptions } from './protocol/backoff.ts';
import type { GrpcChannel } from './protocol/channel.ts';
import { RequestQueue } from './protocol/request-queue.ts';

/** What a service needs that speaks to a management server on a stream of its own. */
export interface ServiceParts {
  readonly config: ApiConfigSource;
  /** Throws a ConfigError. */
  readonly channelOf: (api: ApiConfigSource) => GrpcChannel;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly stats: StatScope;
  readonly log: Logger;
  /** Left out: patience that suits many proxies. */
  readonly backoff?: BackoffOptions;
}

/** A server that asks for more than that, of reports or of checks, gets that. */
export const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 24 * 3600 * 1000;

export function moderateInterval(askedMs: number): number {
  return Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, askedMs));
}

export interface ServiceStreamOptions {
  readonly channel: GrpcChannel;
  readonly service: string;
  readonly method: string;
  /** For messages. */
  readonly what: string;
  readonly backoff: BackoffOptions;
  readonly log: Logger;
  /** A stream is there and wants its first request. */
  onOpen(): void;
  onMessage(message: object): void;
  /** It is over and will be opened again; `clean`: the server ended it without an error. */
  onEnd(clean: boolean): void;
  onRetry(): void;
}

/** Requests that wait for a slow server; beyond, newer ones are not sent. */
const MAX_WAITING = 8;

/** A stream to a service that is not discovery, opened again, with more and more patience, when it ends. */
export class ServiceStream {
  readonly #options: ServiceStreamOptions;
  readonly #backoff: Backoff;
  #requests: RequestQueue | null = null;
  #retry: NodeJS.Timeout | null = null;
  #abort = new AbortController();
  #closed = false;

  constructor(options: ServiceStreamOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff);
  }

  start(): void {
    const { options, requests } = { options: this.#options, requests: new RequestQueue() };
    this.#requests = requests;
    this.#abort = new AbortController();
    void this.#run(requests).then((reason) => {
      this.#requests = null;
      requests.end();
      if (this.#closed) return;
      options.onEnd(reason === null);
      const delayMs = this.#backoff.next();
      const why = reason ?? 'the server closed it';
      const next = `tried again in ${Math.round(delayMs)} ms`;
      const { server } = options.channel;
      options.log.log('warning', 'config', `${options.what}: stream to ${server} ended: ${why}; ${next}`);
      this.#retry = setTimeout(() => {
        options.onRetry();
        this.start();
      }, delayMs);
    });
    options.onOpen();
  }

  /** False when there is no stream, or one that does not take what it was given before. */
  send(message: object): boolean {
    const requests = this.#requests;
    if (requests === null || requests.length >= MAX_WAITING) return false;
    requests.push(message);
    return true;
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#requests?.end();
    this.#abort.abort();
    this.#options.channel.close();
  }

  /** Resolves when the stream is over: null for an end without an error. */
  async #run(requests: RequestQueue): Promise<string | null> {
    const { channel, service, method, onMessage } = this.#options;
    try {
      for await (const message of channel.stream(service, method, requests, this.#abort.signal)) {
        this.#backoff.reset();
        onMessage(message);
      }
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}
