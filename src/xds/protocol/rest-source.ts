import type { Socket } from 'node:net';
import { create, type JsonValue, toJson } from '@bufbuild/protobuf';
import type { Pool } from 'undici';
import type { ApiConfigSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { envoyRegistry, requireMessage } from '../../proto/registry.ts';
import type { StatScope } from '../../stats/scope.ts';
import type { Dialer } from './dialer.ts';
import type { DiscoverySink, DiscoverySource, SubscribeOptions, Subscription } from './discovery.ts';
import { readJsonResponse } from './discovery-text.ts';
import { typeUrl } from './messages.ts';
import { WholeResponses } from './read-response.ts';
import { TypeState } from './type-state.ts';

/** The path of each type; what has none cannot be fetched. Source: the `google.api.http` options of Envoy's services. */
const PATHS: Readonly<Record<string, string>> = {
  'envoy.config.cluster.v3.Cluster': 'clusters',
  'envoy.config.endpoint.v3.ClusterLoadAssignment': 'endpoints',
  'envoy.config.listener.v3.Listener': 'listeners',
  'envoy.config.route.v3.RouteConfiguration': 'routes',
  'envoy.config.route.v3.ScopedRouteConfiguration': 'scoped-routes',
  'envoy.extensions.transport_sockets.tls.v3.Secret': 'secrets',
  'envoy.service.runtime.v3.Runtime': 'runtime',
  'envoy.config.core.v3.TypedExtensionConfig': 'extension_configs',
};
const DEFAULT_TIMEOUT_MS = 1000;
const NOT_MODIFIED = 304;
const OK = 200;

export interface RestSourceParts {
  /** To the hosts of `cluster`. */
  readonly dialer: Dialer;
  readonly cluster: string;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly stats: StatScope;
  readonly log: Logger;
  readonly rejectUnknownFields: boolean;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Polls a management server over HTTP/1.1 with proto3 JSON: each type by itself. */
export class RestSource implements DiscoverySource {
  readonly #polls = new Map<string, Poll>();
  readonly #shared: PollShared;

  /** Throws a ConfigError. */
  constructor({ refreshDelay, requestTimeout }: ApiConfigSource, parts: RestSourceParts) {
    if (refreshDelay === undefined)
      throw ConfigError.at('refresh_delay', 'refresh_delay is required for REST API configuration sources');
    if (refreshDelay <= 0) throw ConfigError.at('refresh_delay', 'must be longer than nothing');
    this.#shared = {
      ...parts,
      refreshMs: refreshDelay,
      timeoutMs: requestTimeout ?? DEFAULT_TIMEOUT_MS,
      responses: new WholeResponses(parts),
      client: lazyClient(parts.dialer),
    };
  }

  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription {
    let poll = this.#polls.get(options.type);
    if (poll === undefined) {
      const path = PATHS[options.type];
      if (path === undefined) throw ConfigError.at('', `${options.type} cannot be fetched over REST`);
      poll = new Poll(options.type, `/v3/discovery:${path}`, this.#shared);
      this.#polls.set(options.type, poll);
    }
    return poll.state.add(options, sink);
  }

  close(): void {
    for (const poll of this.#polls.values()) poll.close();
    void this.#shared.client.close();
    this.#shared.dialer.close();
  }
}

interface PollShared extends RestSourceParts {
  readonly refreshMs: number;
  readonly timeoutMs: number;
  readonly responses: WholeResponses;
  readonly client: LazyClient;
}

/** Asks for one type again and again. */
class Poll {
  readonly state: TypeState;
  readonly #path: string;
  readonly #shared: PollShared;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #scheduled = false;
  #asking = false;
  /** Names that the version stands for: to servers, a version that is up to date means that nothing is to be said. */
  #answered: ReadonlySet<string> = new Set();
  /** Names changed while a request was on its way. */
  #again = false;

  constructor(type: string, path: string, shared: PollShared) {
    this.state = new TypeState(type, shared.stats, () => this.#onNames());
    this.#path = path;
    this.#shared = shared;
  }

  close(): void {
    this.#abort.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.state.close();
  }

  #onNames(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.state.names.size === 0) return;
    this.#asking = true;
    await this.#fetch();
    this.#asking = false;
    if (this.#abort.signal.aborted) return;
    const { refreshMs, random } = this.#shared;
    if (this.#again) {
      this.#again = false;
      this.#onNames();
    } else this.#timer = setTimeout(() => void this.#ask(), refreshMs * (1 + random()));
  }

  async #fetch(): Promise<void> {
    const { client, cluster, responses, timeoutMs } = this.#shared;
    const { names } = this.state;
    // What was given up meanwhile is not there any more.
    this.#answered = new Set([...this.#answered].filter((name) => names.has(name)));
    let text: string;
    try {
      const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(timeoutMs)]);
      const answer = await (await client.get()).request({
        method: 'POST',
        path: this.#path,
        headers: { 'content-type': 'application/json', host: cluster },
        body: JSON.stringify(this.#request(names)),
        signal,
      });
      text = await answer.body.text();
      if (answer.statusCode === NOT_MODIFIED) {
        this.state.countAttempt();
        return;
      }
      if (answer.statusCode !== OK) throw new Error(`it answered with status ${answer.statusCode}`);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.state.countAttempt();
      this.state.countFailure();
      const why =
        error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : String(error);
      responses.complain(this.state, `cannot fetch ${this.#path} of cluster '${cluster}': ${why}`);
      return;
    }
    const accepted = await responses.take(this.state, `${this.#path} of cluster '${cluster}'`, () =>
      readJsonResponse(text),
    );
    if (accepted) this.#answered = names;
  }

  #request(names: ReadonlySet<string>): JsonValue {
    const registry = envoyRegistry();
    const desc = requireMessage(registry, 'envoy.service.discovery.v3.DiscoveryRequest');
    const { type, version } = this.state;
    const onlyWildcard = names.size === 1 && names.has('*');
    const fields: Record<string, unknown> = {
      node: this.#shared.node,
      typeUrl: typeUrl(type),
      versionInfo: [...names].every((name) => this.#answered.has(name)) ? version : '',
      resourceNames: onlyWildcard ? [] : [...names].sort(),
    };
    const request = create(desc, fields);
    return toJson(desc, request, { registry, useProtoFieldName: true });
  }
}

/** As for messages of streams. */
const MAX_RESPONSE_BYTES = 512 * 1024 * 1024;

interface LazyClient {
  get(): Promise<Pool>;
  close(): Promise<void>;
}

/** undici is loaded when there is something to ask: it costs a thread 9 MB. */
function lazyClient(dialer: Dialer): LazyClient {
  let client: Promise<Pool> | null = null;
  const make = async (): Promise<Pool> => {
    const { Pool: UndiciPool } = await import('undici');
    return new UndiciPool('http://xds', {
      maxResponseSize: MAX_RESPONSE_BYTES,
      // undici takes any stream that behaves as a socket does, but not within this call.
      connect: (_options, callback) => {
        setImmediate(() => callback(null, dialer.connect() as Socket));
      },
    });
  };
  return {
    get: () => {
      client ??= make();
      return client;
    },
    close: async () => {
      await (await client)?.destroy();
    },
  };
}
