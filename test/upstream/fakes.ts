import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import type { Clock } from '../../src/core/clock.ts';
import type { ResetReason } from '../../src/core/errors.ts';
import { createRandom } from '../../src/core/random.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import type { ClientConnection, ClientConnectionEvents } from '../../src/http/codec.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../../src/http/stream.ts';
import {
  type Address,
  type Connection,
  type ConnectionEvents,
  PLAIN_ACCEPT,
} from '../../src/net/connection.ts';
import type { DialListener, DialOptions } from '../../src/net/dial.ts';
import type { TlsInfo } from '../../src/net/transport.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { StatStore } from '../../src/stats/store.ts';
import type { Cluster } from '../../src/upstream/cluster.ts';
import type { ClusterContext } from '../../src/upstream/context.ts';
import { createLocalHoldings } from '../../src/upstream/holdings.ts';
import type { Host } from '../../src/upstream/host.ts';
import type { PoolRequest } from '../../src/upstream/pools/http-pool.ts';
import type { HttpPoolConnection } from '../../src/upstream/pools/http-pool-connection.ts';

export class FakeClock implements Clock {
  ms = 1000;
  now(): number {
    return this.ms;
  }
  wall(): number {
    return this.ms;
  }
}

const NO_EVENTS: ConnectionEvents & StreamEvents<ResponseHead> = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
  onHead() {},
  onTrailers() {},
  onReset() {},
  onBlocked() {},
};

/** A handshake that said nothing but the protocol. */
const TLS: TlsInfo = {
  version: 'TLSv1.3',
  cipher: '',
  alpn: '',
  serverName: '',
  peer: null,
  own: null,
  sessionId: '',
  peerValidated: false,
};

let nextId = 1;

export class FakeConnection implements Connection {
  events: ConnectionEvents = NO_EVENTS;
  readonly id = nextId++;
  readonly remote: Address;
  readonly local: Address = { ip: '127.0.0.1', port: 1, path: '' };
  tls: TlsInfo | null = null;
  accepted = PLAIN_ACCEPT;
  buffered = 0;
  bytesRead = 0;
  bytesWritten = 0;
  destroyed = false;
  constructor(remote: Address) {
    this.remote = remote;
  }
  write(): boolean {
    return true;
  }
  writeBorrowed(): boolean {
    return true;
  }
  end(): void {}
  closeAfterFlush(): void {}
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {}
  resume(): void {}
  whenClosed(): void {}
}

/** An upstream codec that does what the test says; of HTTP/1 unless there is a `limit`. */
export class FakeClient implements ClientConnection {
  readonly connection: Connection;
  readonly events: ClientConnectionEvents;
  readonly http2: boolean;
  /** Requests that it takes at once. */
  limit: number;
  available = true;
  active = 0;
  opened = 0;
  destroyed = false;
  endedHere = false;
  response: StreamEvents<ResponseHead> = NO_EVENTS;
  constructor(connection: Connection, events: ClientConnectionEvents, limit = 0) {
    this.connection = connection;
    this.events = events;
    this.http2 = limit > 0;
    this.limit = Math.max(1, limit);
  }
  get capacity(): number {
    return this.available ? Math.max(0, this.limit - this.active) : 0;
  }
  open(events: StreamEvents<ResponseHead>): ClientStream {
    if (this.capacity === 0) throw new Error('not available');
    this.active++;
    if (!this.http2) this.available = false;
    this.opened++;
    this.response = events;
    return {
      events,
      sendHead() {},
      sendData() {},
      sendTrailers() {},
      reset: (reason) => {
        if (this.http2) this.complete();
        else this.fail(reason);
      },
      pause() {},
      resume() {},
    };
  }
  /** The exchange ended in both directions. */
  complete(): void {
    this.active--;
    if (!this.http2) this.available = true;
    this.events.onChanged();
  }
  /** GOAWAY: what runs may end, nothing else begins. */
  goaway(): void {
    this.events.onGoaway();
    this.available = false;
    this.events.onChanged();
  }
  /** The connection is gone. */
  fail(reason: ResetReason | undefined): void {
    this.available = false;
    if (reason === undefined) this.endedHere ||= this.active > 0;
    else this.endedHere ||= reason.fault !== 'upstream' || reason.kind === 'protocol-error';
    this.active = 0;
    this.events.onClosed(reason);
  }
  drain(): void {}
  destroy(): void {
    this.destroyed = true;
    this.fail(undefined);
  }
}

export interface FakeDialled {
  readonly address: Address;
  readonly options: DialOptions;
  readonly listener: DialListener;
  cancelled: boolean;
}

/** A pool request that writes down what happened to it. */
export class FakeRequest implements PoolRequest {
  readonly response = NO_EVENTS;
  stream: ClientStream | undefined;
  upstream: HttpPoolConnection | undefined;
  failure: ResetReason | undefined;
  calls = 0;
  onPoolReady(stream: ClientStream, upstream: HttpPoolConnection): void {
    this.calls++;
    this.stream = stream;
    this.upstream = upstream;
  }
  onPoolFailure(reason: ResetReason): void {
    this.calls++;
    this.failure = reason;
  }
}

export const REFUSED: ResetReason = {
  kind: 'connection-failure',
  fault: 'upstream',
  retrySafe: true,
  details: 'connection refused',
};
export const REMOTE_CLOSE: ResetReason = {
  kind: 'connection-termination',
  fault: 'upstream',
  retrySafe: false,
  details: '',
};

/** A world without sockets: dials and clients wait for the test to decide their fate. */
export function createWorld(seed = 1) {
  const clock = new FakeClock();
  const timers = new TimerWheel(clock);
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  const dials: FakeDialled[] = [];
  const clients: FakeClient[] = [];
  const context: ClusterContext = {
    stats: store.root,
    clock,
    random: createRandom(seed),
    timers,
    dial(address, options, listener) {
      const dialled: FakeDialled = { address, options, listener, cancelled: false };
      dials.push(dialled);
      return {
        cancel() {
          dialled.cancelled = true;
        },
      };
    },
    createHttp1(connection, _options, events) {
      const client = new FakeClient(connection, events);
      clients.push(client);
      return client;
    },
    createHttp2(connection, options, events) {
      const client = new FakeClient(connection, events, options.maxConcurrentStreams);
      clients.push(client);
      return client;
    },
    holdings: createLocalHoldings,
    addedViaApi: false,
    primary: true,
    promoteLeastRequest: false,
    envoyStrict: false,
  };
  return {
    clock,
    timers,
    store,
    dials,
    clients,
    context,
    cluster: (config: ClusterConfig): Cluster => compileCluster(config, context),
    /** Lets dial `i` succeed; returns its client. */
    connect(i: number, alpn = ''): FakeClient {
      const dialled = dials[i];
      if (dialled === undefined) throw new Error(`no dial ${i}`);
      const connection = new FakeConnection(dialled.address);
      if (alpn !== '') connection.tls = { ...TLS, alpn };
      dialled.listener.onConnected(connection);
      const client = clients.at(-1);
      if (client === undefined) throw new Error('no client');
      return client;
    },
    refuse(i: number, reason: ResetReason = REFUSED): void {
      dials[i]?.listener.onFailed(reason);
    },
    stat(name: string): number {
      store.flush();
      return aggregator.value(`cluster.c.${name}`) ?? 0;
    },
    /** Counts per `upstream_*` stat that are not zero. */
    stats(...names: string[]): Record<string, number> {
      store.flush();
      return Object.fromEntries(names.map((name) => [name, aggregator.value(`cluster.c.${name}`) ?? 0]));
    },
    /** Full names of all stats that begin with `prefix`, sorted. */
    names(prefix: string): string[] {
      store.flush();
      const { counters, gauges, histograms } = aggregator.snapshot();
      return [...counters, ...gauges, ...histograms]
        .map((sample) => sample.name)
        .filter((name) => name.startsWith(prefix))
        .sort();
    },
    advance(ms: number): void {
      clock.ms += ms;
      timers.advance();
    },
    close: (): void => timers.close(),
  };
}

export type World = ReturnType<typeof createWorld>;

export interface Endpoint {
  readonly port: number;
  readonly weight?: number;
  readonly health?: 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'DEGRADED' | 'TIMEOUT';
  readonly priority?: number;
}

/** Configuration of a STATIC cluster `c` with endpoints on 127.0.0.1. */
export function staticCluster(endpoints: readonly Endpoint[], more: ClusterConfig = {}): ClusterConfig {
  return {
    name: 'c',
    loadAssignment: {
      clusterName: 'c',
      endpoints: endpoints.map(({ port, weight, health, priority }) => ({
        priority,
        lbEndpoints: [
          {
            endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } },
            loadBalancingWeight: weight,
            healthStatus: health,
          },
        ],
      })),
    },
    ...more,
  };
}

/** The only host of a cluster. */
export function onlyHost(cluster: Cluster): Host {
  const host = cluster.hosts.value?.hosts[0];
  if (host === undefined) throw new Error('no host');
  return host;
}
