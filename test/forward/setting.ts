/** One exchange through a ForwardedRequest in a world without sockets: the test answers for the hosts. */
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { RouteAction, VirtualHost } from '#plain/envoy.config.route.v3.ts';
import { compileForwardPolicy } from '../../src/config/forward-policy.ts';
import type { ResetReason } from '../../src/core/errors.ts';
import type { Forwarder } from '../../src/forward/forward-policy.ts';
import { forwardHttp } from '../../src/forward/http.ts';
import { requestTimeouts } from '../../src/forward/request-timeouts.ts';
import { Exchange, type ExchangeHost } from '../../src/http/exchange.ts';
import { getHeader, type Headers } from '../../src/http/headers.ts';
import { formatFlags } from '../../src/http/response-flags.ts';
import { RequestHead, ResponseHead, type ServerStream, type StreamEvents } from '../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';
import type { Cluster } from '../../src/upstream/cluster.ts';
import { createWorld, FakeClient, REMOTE_CLOSE, staticCluster, type World } from '../upstream/fakes.ts';

const ADDRESS = { ip: '127.0.0.1', port: 1, path: '' };

/** What one attempt sent, and the hand that answers it. */
export interface Upstream {
  readonly port: number;
  readonly head: RequestHead;
  readonly headers: Headers;
  body: string;
  ended: boolean;
  reset: boolean;
  readonly events: StreamEvents<ResponseHead>;
  readonly client: FakeClient;
}

export interface ForwardParts {
  readonly route?: RouteAction;
  readonly virtualHost?: VirtualHost;
  readonly cluster?: ClusterConfig;
  readonly ports?: readonly number[];
  readonly envoyStrict?: boolean;
  readonly suppressEnvoyHeaders?: boolean;
}

export interface ForwardRequest {
  readonly method?: string;
  readonly headers?: Headers;
  /** The body follows by `x.onData`. */
  readonly open?: boolean;
}

export interface Forwarding {
  readonly x: Exchange;
  /** What the client got: `200`, `data ok`, `end`, `reset`. */
  readonly log: string[];
  /** Flags and details as in an access log. */
  outcome(): string;
}

export interface ForwardSetting {
  readonly world: World;
  readonly cluster: Cluster;
  /** All attempts that got a stream, in order. */
  readonly attempts: Upstream[];
  send(request?: ForwardRequest): Forwarding;
  /** Connects what is being dialled. */
  connect(): void;
  refuse(reason?: ResetReason): void;
  /** A complete answer to an attempt. */
  answer(attempt: Upstream | undefined, status: number, headers?: Headers): void;
  /** The host closes without an answer. */
  close(attempt: Upstream | undefined): void;
}

export function forwardSetting(parts: ForwardParts = {}): ForwardSetting {
  const world = createWorld();
  const attempts: Upstream[] = [];
  Object.assign(world.context, {
    envoyStrict: parts.envoyStrict ?? false,
    createHttp1: (...[connection, , events]: Parameters<typeof world.context.createHttp1>) => {
      const client = recorded(new FakeClient(connection, events), attempts);
      world.clients.push(client);
      return client;
    },
  });
  const ports = parts.ports ?? [1];
  const cluster = world.cluster(
    staticCluster(
      ports.map((port) => ({ port })),
      parts.cluster,
    ),
  );
  const policy = compilePolicy(parts, cluster);
  const forwarder: Forwarder = {
    wheel: world.timers,
    suppressEnvoyHeaders: parts.suppressEnvoyHeaders ?? false,
    envoyStrict: parts.envoyStrict ?? false,
    localIp: '192.0.2.9',
    wall: () => world.clock.wall(),
    onHost: () => {},
  };
  let dialled = 0;
  return {
    world,
    cluster,
    attempts,
    send(request = {}) {
      const head = new RequestHead(request.method ?? 'GET', '/', 'a', [...(request.headers ?? [])]);
      const run = exchange(world, head, (x, end) => {
        const rules = { suppressEnvoyHeaders: forwarder.suppressEnvoyHeaders, respectExpected: false };
        const timeouts = requestTimeouts(policy, x.request, rules);
        forwardHttp(x, cluster, null, policy, timeouts, forwarder, end);
      });
      run.x.onHead(head, request.open !== true);
      return run;
    },
    connect() {
      while (dialled < world.dials.length) world.connect(dialled++);
    },
    refuse(reason) {
      while (dialled < world.dials.length) world.refuse(dialled++, reason);
    },
    answer(attempt, status, headers = []) {
      if (attempt === undefined) throw new Error('no such attempt');
      attempt.events.onHead(new ResponseHead(status, [...headers]), true);
      attempt.client.complete();
    },
    close(attempt) {
      if (attempt === undefined) throw new Error('no such attempt');
      attempt.events.onReset(REMOTE_CLOSE);
      attempt.client.fail(REMOTE_CLOSE);
    },
  };
}

function compilePolicy(parts: ForwardParts, cluster: Cluster) {
  const level = {
    path: 'r',
    matchedLength: 0,
    tableConfig: {},
    virtualHostConfig: parts.virtualHost ?? {},
    request: [],
    response: [],
    filterLevels: [],
  };
  return compileForwardPolicy<Cluster>(parts.route ?? {}, {}, level, {
    cluster: () => {
      throw new Error(`nothing is looked up for ${cluster.name}`);
    },
  });
}

/** A client that writes down what is sent on it. */
function recorded(client: FakeClient, attempts: Upstream[]): FakeClient {
  const open = client.open.bind(client);
  client.open = (events) => {
    const stream = open(events);
    let attempt: Upstream | undefined;
    return {
      ...stream,
      sendHead: (head, end) => {
        const port = client.connection.remote.port;
        const headers = [...head.headers];
        attempt = { port, head, headers, body: '', ended: end, reset: false, events, client };
        attempts.push(attempt);
      },
      sendData: (chunk, end) => {
        if (attempt === undefined) throw new Error('data before the head');
        attempt.body += chunk.toString('latin1');
        attempt.ended = end;
      },
      sendTrailers: () => {
        if (attempt !== undefined) attempt.ended = true;
      },
      reset: (reason) => {
        if (attempt !== undefined) attempt.reset = true;
        stream.reset(reason);
      },
    };
  };
  return client;
}

function exchange(world: World, head: RequestHead, terminal: ExchangeHost['terminal']): Forwarding {
  const log: string[] = [];
  const host: ExchangeHost = {
    filters: [],
    selectRoute: () => true,
    vhdsRoute: () => '',
    prepare: () => true,
    terminal,
    routeResponse: () => {},
    finishResponseHead: () => {},
    onFinished: () => {},
    onException: (error) => {
      throw error;
    },
    now: () => world.clock.now(),
  };
  const stream: ServerStream = {
    events: {
      onHead() {},
      onData() {},
      onTrailers() {},
      onReset() {},
      onBlocked() {},
    },
    sendHead: (sent, end) => {
      const count = getHeader(sent.headers, 'x-envoy-attempt-count');
      log.push(`${sent.status}${count === undefined ? '' : ` attempt ${count}`}${end ? ' end' : ''}`);
    },
    sendData: (chunk) => log.push(`data ${chunk.toString('latin1')}`),
    sendTrailers: () => log.push('trailers'),
    reset: () => log.push('reset'),
    pause: () => log.push('pause'),
    resume: () => log.push('resume'),
  };
  const downstream = { connectionId: 1, directRemote: ADDRESS, local: ADDRESS, accepted: PLAIN_ACCEPT };
  const x = new Exchange(host, downstream, stream, head, 0);
  return { x, log, outcome: () => `${formatFlags(x.responseFlags)} ${x.responseCodeDetails}` };
}
