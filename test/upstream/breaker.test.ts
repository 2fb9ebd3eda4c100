import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import { createHoldings, HOLDING, HOLDING_SLICE } from '../../src/upstream/holdings.ts';
import { createWorld, FakeRequest, onlyHost, staticCluster } from './fakes.ts';

const one = (more: ClusterConfig): ClusterConfig => staticCluster([{ port: 1 }], more);

t.test('requests of HIGH priority have connections and limits of their own', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const thresholds = [{ maxRequests: 1 }, { priority: 'HIGH', maxRequests: 2 }] as const;
  const host = onlyHost(world.cluster(one({ circuitBreakers: { thresholds } })));
  const pools = [host.httpFor('HTTP/1.1'), host.httpFor('HTTP/1.1', 'HIGH')];
  t.not(pools[0], pools[1]);
  t.equal(host.httpFor('HTTP/1.1', 'HIGH'), pools[1], 'made once');
  const requests = pools.map((pool) => {
    const list = [new FakeRequest(), new FakeRequest()];
    for (const request of list) pool.open(request);
    return list;
  });
  for (let i = 0; i < 4; i++) world.connect(i);
  t.strictSame(
    requests.map((list) => list.map((request) => request.failure?.details ?? 'sent')),
    [
      ['sent', 'active_overflow'],
      ['sent', 'sent'],
    ],
  );
  t.equal(world.stat('circuit_breakers.default.rq_open'), 1);
  t.equal(world.stat('circuit_breakers.high.rq_open'), 1);
  host.close();
});

t.test('a host that leaves takes its connections of HIGH priority with it', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = world.cluster(one({}));
  onlyHost(cluster).httpFor('HTTP/1.1', 'HIGH').open(new FakeRequest());
  const client = world.connect(0);
  client.complete();
  cluster.update({ hosts: [], overprovisioningFactor: 140 });
  t.equal(client.destroyed, true);
});

t.test('max_connection_pools: a host counts while it has connections', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const circuitBreakers = { thresholds: [{ maxConnectionPools: 1, trackRemaining: true }] };
  const cluster = world.cluster(staticCluster([{ port: 1 }, { port: 2 }], { circuitBreakers }));
  const first = cluster.pick();
  first?.http.open(new FakeRequest());
  t.equal(world.stat('circuit_breakers.default.cx_pool_open'), 1);
  t.equal(world.stat('circuit_breakers.default.remaining_cx_pools'), 0);
  t.equal(cluster.pick(), undefined, 'the other host would need a pool');
  t.equal(world.stat('upstream_cx_pool_overflow'), 1);
  t.equal(world.stat('upstream_cx_none_healthy'), 0);
  t.equal(cluster.pick(), first, 'the first has one');
  const client = world.connect(0);
  client.fail(undefined);
  t.equal(world.stat('circuit_breakers.default.cx_pool_open'), 0);
  t.equal(world.stat('circuit_breakers.default.remaining_cx_pools'), 1);
  t.not(cluster.pick(), undefined);
});

t.test('per_host_thresholds limit the connections to each host, in parts over the workers', async (t) => {
  for (const [workers, allowed] of [
    [1, 3],
    [2, 2],
    [4, 1],
  ] as const) {
    const world = createWorld();
    t.teardown(world.close);
    const config = one({ circuitBreakers: { perHostThresholds: [{ maxConnections: 3 }] } });
    const memory = new Int32Array(workers * HOLDING_SLICE);
    const cluster = compileCluster(config, { ...world.context, holdings: () => createHoldings(memory, 0) });
    const host = onlyHost(cluster);
    for (let i = 0; i < 5; i++) host.http.open(new FakeRequest());
    t.equal(world.dials.length, allowed, `${workers} workers`);
    t.ok(world.stat('upstream_cx_overflow') > 0);
    host.close();
  }
});

t.test('what others hold counts: the sum is tested, so that workers − 1 are too many at most', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const memory = new Int32Array(2 * HOLDING_SLICE);
  const other = createHoldings(memory, 1);
  const config = one({ circuitBreakers: { thresholds: [{ maxRequests: 2 }] } });
  const cluster = compileCluster(config, { ...world.context, holdings: () => createHoldings(memory, 0) });
  other.add(HOLDING.requests, 2);
  const request = new FakeRequest();
  onlyHost(cluster).http.open(request);
  world.connect(0);
  t.equal(request.failure?.kind, 'overflow');
  other.add(HOLDING.requests, -1);
  const next = new FakeRequest();
  onlyHost(cluster).http.open(next);
  t.ok(next.stream);
});

t.test('a limit that another worker closes is not shown as open for ever', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const memory = new Int32Array(2 * HOLDING_SLICE);
  const other = createHoldings(memory, 1);
  other.add(HOLDING.requests, 1);
  const config = one({ circuitBreakers: { thresholds: [{ maxRequests: 2 }] } });
  const cluster = compileCluster(config, { ...world.context, holdings: () => createHoldings(memory, 0) });
  const host = onlyHost(cluster);
  host.http.open(new FakeRequest());
  world.connect(0);
  t.equal(world.stat('circuit_breakers.default.rq_open'), 1);
  world.advance(1000);
  t.equal(world.stat('circuit_breakers.default.rq_open'), 1, 'it is open');
  other.add(HOLDING.requests, -1);
  world.advance(1000);
  t.equal(world.stat('circuit_breakers.default.rq_open'), 0);
  host.close();
});
