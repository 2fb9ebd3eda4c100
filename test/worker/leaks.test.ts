/** What a worker holds after its configuration has been replaced many times is what it held before. */
import { queryObjects } from 'node:v8';
import t from 'tap';
import { ChainLife } from '../../src/config/chain-life.ts';
import { filterCount, listenerCount } from '../../src/config/connection-counts.ts';
import { systemClock } from '../../src/core/clock.ts';
import { collectGarbage } from '../../src/core/collect-garbage.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { createRandom } from '../../src/core/random.ts';
import { createCountMemory } from '../../src/core/shared-count.ts';
import { createSignals } from '../../src/core/signals.ts';
import type { WorkerUpdate } from '../../src/core/worker-protocol.ts';
import { HttpConnection } from '../../src/http/manager.ts';
import { ReadArena } from '../../src/net/read-arena.ts';
import { createTcpDial } from '../../src/net/tcp-dial.ts';
import { RouteTable } from '../../src/route/table.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { CounterSlot } from '../../src/stats/handles.ts';
import { StatStore } from '../../src/stats/store.ts';
import { Cluster } from '../../src/upstream/cluster.ts';
import { HoldingsMemory } from '../../src/upstream/holdings.ts';
import { Host } from '../../src/upstream/host.ts';
import { createDataPlane } from '../../src/worker/data-plane.ts';
import { Listeners } from '../../src/worker/listeners.ts';
import { applyUpdate } from '../../src/worker/update.ts';
import { issue, makeCa } from '../support/certs.ts';
import { chainOf, clusterOf, listenerOf, namedBackend, RDS, routesTo } from '../support/control-plane.ts';
import { eventually, settle } from '../support/http-setting.ts';
import { freePort } from '../support/ports.ts';
import { dialWire } from '../support/wire-peer.ts';

/** What versions of the configuration are made of; all else hangs on these. Counting takes a walk over the heap each. */
const COUNTED = { ChainLife, Cluster, CounterSlot, SharedArrayBuffer };

function counts(): Record<string, number> {
  return Object.fromEntries(
    Object.entries(COUNTED).map(([name, counted]) => [name, queryObjects(counted, { format: 'count' })]),
  );
}

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const ca = makeCa('root');
const pairs = [issue(ca, { name: 'one' }), issue(ca, { name: 'two' })];

const secret = (i: number): object => {
  const pair = pairs[i % 2];
  return {
    name: 'leaf',
    tlsCertificate: {
      certificateChain: { inlineString: pair?.chain },
      privateKey: { inlineString: pair?.key },
    },
  };
};

function createWorker() {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(1, message));
  let id = 0;
  const nextId = (): number => id++;
  const arena = new ReadArena();
  const log = new LevelLogger('off', () => {});
  const signals = createSignals(1);
  const exceptions: unknown[] = [];
  const plane = createDataPlane(
    { clusters: [], listeners: [], runtime: {}, holdings: {}, index: 0, envoyStrict: false, signals },
    {
      dry: false,
      stats: store.root,
      clock: systemClock,
      random: createRandom(1),
      log,
      dial: createTcpDial(nextId, arena),
      node: { id: 'n', cluster: 'c', region: '', zone: '', subZone: '', metadata: {} },
    },
  );
  const listeners = new Listeners({ nextId, arena, log, signals, worker: 0, own: plane.own });
  const apply = async (update: WorkerUpdate): Promise<void> => {
    const { failedListeners } = await applyUpdate(update, plane, listeners, (error) =>
      exceptions.push(error),
    );
    t.same(failedListeners, []);
  };
  return { plane, store, aggregator, apply, exceptions };
}

t.test('everything replaced many times, in use', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const port = await freePort();
  const { plane, store, aggregator, apply, exceptions } = createWorker();
  const tls = {
    name: 'tls',
    typedConfig: {
      type: `${TLS}.DownstreamTlsContext`,
      value: {
        commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: 'leaf', sdsConfig: { ads: {} } }] },
      },
    },
  };
  const memory = new HoldingsMemory(1);
  const address = { socketAddress: { address: '127.0.0.1', portValue: port } };
  const limit = {
    name: 'limit',
    typedConfig: {
      type: 'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
      value: { statPrefix: 'limit', maxConnections: 100 },
    },
  };
  const round = async (i: number): Promise<void> => {
    const name = `c${i}`;
    const plain = chainOf({ ...RDS('routes'), statPrefix: `p${i}`, drainTimeout: 1 }) as {
      filters: object[];
    };
    const secured = chainOf(RDS('routes'), {
      filterChainMatch: { transportProtocol: 'tls' },
      transportSocket: tls,
    });
    await apply({
      secrets: [{ key: '{"ads":{}}#leaf', secret: secret(i) }],
      clusters: [clusterOf(name, backend), clusterOf('kept', backend, { connectTimeout: 1000 + i })],
      hosts: {},
      holdings: { [name]: memory.take(), kept: memory.take() },
      routes: [routesTo(i % 2 === 0 ? name : 'kept')],
      counts: {
        [listenerCount(`other${i}`)]: createCountMemory(1),
        [filterCount(`other${i}`, 0)]: createCountMemory(1),
      },
      listeners: [
        listenerOf('in', [{ ...plain, filters: [limit, ...plain.filters] }, secured], { address }),
        listenerOf(`other${i}`, [plain], {
          address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
        }),
      ],
    });
    const peer = await dialWire(port);
    peer.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    t.equal((await peer.message()).body.toString(), 'ok');
    peer.socket.destroy();
    await apply({ routes: [routesTo('kept')], removedListeners: [`other${i}`], removedClusters: [name] });
  };
  const atRest = async (): Promise<Record<string, number>> => {
    await eventually('connections are gone', () => plane.connections.size === 0);
    // Finalizers and the ends of sockets come in turns of their own.
    for (let i = 0; i < 2; i++) {
      collectGarbage();
      await settle();
    }
    store.flush();
    return {
      ...counts(),
      series: aggregator.series().length,
      holdings: plane.memory.holdings.size,
      counts: plane.memory.counts.size,
      timers: plane.wheel.size,
      clusters: plane.clusters.size,
    };
  };
  store.flush();
  const atFirst = aggregator.series().length;
  for (let i = 0; i < 5; i++) await round(i);
  const before = await atRest();
  for (let i = 5; i < 25; i++) await round(i);
  const after = await atRest();
  t.same(after, before);
  t.same(exceptions, []);
  plane.scope.close();
  await apply({ removedListeners: ['in'], removedClusters: ['kept'], removedRoutes: ['routes'] });
  for (const cluster of plane.clusters.values()) cluster.close();
  const end = await atRest();
  t.match(end, { ChainLife: 0, Cluster: 0 });
  for (const one of [Host, HttpConnection, RouteTable]) t.equal(queryObjects(one, { format: 'count' }), 0);
  t.equal(end.series, atFirst, 'statistics that belong to nothing that comes and goes');
  plane.wheel.close();
});

t.test('managers share the table of a route configuration that leaves their filters alone', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const { plane, apply, exceptions } = createWorker();
  const tables = (): number => {
    collectGarbage();
    return queryObjects(RouteTable, { format: 'count' });
  };
  const listeners = ['a', 'b'].map((name) =>
    listenerOf(name, [chainOf({ ...RDS('routes'), statPrefix: name })]),
  );
  await apply({ clusters: [clusterOf('c', backend)], hosts: {}, routes: [routesTo('c')], listeners });
  t.equal(tables(), 1);
  const off = { type: 'envoy.config.route.v3.FilterConfig', value: { disabled: true } };
  await apply({ routes: [{ ...routesTo('c'), typedPerFilterConfig: { router: off } }] });
  t.equal(tables(), 2, 'each with the filters of its manager');
  t.same(exceptions, []);
  await apply({ removedListeners: ['a', 'b'], removedClusters: ['c'], removedRoutes: ['routes'] });
  plane.scope.close();
  plane.wheel.close();
});

t.test('addresses that listeners hand to each other stay known as our own', async (t) => {
  const { plane, apply } = createWorker();
  const [p, q] = [await freePort(), await freePort()];
  const at = (name: string, portValue: number): object =>
    listenerOf(name, [chainOf({ routeConfig: {} })], {
      useOriginalDst: true,
      address: { socketAddress: { address: '127.0.0.1', portValue } },
    });
  const own = (): boolean[] => [p, q].map((port) => plane.own.has({ ip: '127.0.0.1', port, path: '' }));
  await apply({ listeners: [at('a', p), at('b', q)] });
  t.same(own(), [true, true]);
  await apply({ listeners: [at('a', q), at('b', p)] });
  t.same(own(), [true, true]);
  await apply({ listeners: [at('renamed', p)], removedListeners: ['b'] });
  t.same(own(), [true, true]);
  await apply({ removedListeners: ['a', 'renamed'] });
  t.same(own(), [false, false]);
  plane.scope.close();
  plane.wheel.close();
});
