import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { HeldStats } from '../../src/stats/held-stats.ts';
import type { StatScope } from '../../src/stats/scope.ts';
import { StatStore } from '../../src/stats/store.ts';

interface Threads {
  readonly aggregator: StatAggregator;
  readonly stores: readonly StatStore[];
  names(): string[];
}

function threads(count: number): Threads {
  const aggregator = new StatAggregator();
  const stores = Array.from({ length: count }, (_, id) => {
    const store = new StatStore();
    store.onRegister((message) => aggregator.attach(id, message));
    return store;
  });
  return {
    aggregator,
    stores,
    names: () => {
      for (const store of stores) store.flush();
      return aggregator.series().map((series) => series.name);
    },
  };
}

function clusterScope(store: StatStore | undefined, name = 'web'): StatScope {
  if (store === undefined) throw new Error('no such thread');
  return store.root.scope('cluster', name, { envoy_cluster_name: name });
}

t.test('the last release takes a scope away with all that is within it', async (t) => {
  const { aggregator, stores, names } = threads(1);
  const cluster = clusterScope(stores[0]);
  cluster.retain();
  cluster.retain();
  const total = cluster.counter('upstream_rq_total');
  const inner = cluster.scope('circuit_breakers.default').gauge('rq_open');
  const time = cluster.histogram('upstream_rq_time');
  stores[0]?.root.counter('other').inc();
  total.add(3);
  inner.set(1);
  time.record(7);
  t.equal(names().length, 4);
  cluster.release();
  t.equal(names().length, 4, 'somebody has it still');
  cluster.release();
  t.strictSame(names(), ['other']);
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), undefined);

  total.inc();
  inner.inc();
  time.record(9);
  cluster.counter('late').inc();
  cluster.gauge('late_gauge').inc();
  cluster.histogram('late_histogram').record(1);
  cluster.scope('late_scope').counter('late').inc();
  t.strictSame(names(), ['other'], 'what is written afterwards is lost');
  t.equal(aggregator.value('other'), 1, 'and is found in nobody else');
});

t.test('the same name comes back with nothing of its past', async (t) => {
  const { aggregator, stores, names } = threads(1);
  const first = clusterScope(stores[0]);
  first.retain();
  first.counter('upstream_rq_total').add(3);
  first.gauge('upstream_cx_active').set(2);
  first.histogram('upstream_rq_time').record(7);
  names();
  first.release();
  const second = clusterScope(stores[0]);
  second.retain();
  const total = second.counter('upstream_rq_total');
  second.gauge('upstream_cx_active');
  second.histogram('upstream_rq_time');
  names();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 0);
  t.equal(aggregator.value('cluster.web.upstream_rq_time'), 0);
  t.strictSame(
    aggregator.series().map((series) => series.used()),
    [false, false, false],
  );
  total.inc();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 1);
});

t.test('a version that comes before the old one goes keeps the counts', async (t) => {
  const { aggregator, stores, names } = threads(1);
  const old = clusterScope(stores[0]);
  old.retain();
  old.counter('upstream_rq_total').add(3);
  const next = clusterScope(stores[0]);
  next.retain();
  old.release();
  next.counter('upstream_rq_total').inc();
  names();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 4);
});

t.test('a stat is there as long as one thread has it', async (t) => {
  const { aggregator, stores, names } = threads(3);
  const scopes = stores.map((store) => clusterScope(store));
  for (const [i, scope] of scopes.entries()) {
    scope.retain();
    scope.counter('upstream_rq_total').add(10 ** i);
    scope.histogram('upstream_rq_time').record(1);
  }
  names();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 111);
  scopes[0]?.release();
  names();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 110);
  t.equal(aggregator.value('cluster.web.upstream_rq_time'), 2);
  aggregator.detach(1);
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 110, 'a thread that died has counted');
  scopes[2]?.release();
  t.strictSame(names(), [], 'but holds nothing');
});

t.test('places of removed stats serve others, which begin at nothing', async (t) => {
  const { aggregator, stores, names } = threads(1);
  const store = stores[0];
  const buffers = new Set<SharedArrayBuffer>();
  store?.onRegister((message) => {
    for (const { buffer } of [...message.segments, ...message.blocks]) buffers.add(buffer);
    aggregator.attach(0, message);
  });
  for (let i = 0; i < 5000; i++) {
    const scope = clusterScope(store, `c${i}`);
    scope.retain();
    for (let k = 0; k < 10; k++) {
      const counter = scope.counter(`n${k}`);
      counter.add(k + 1);
    }
    const histogram = scope.histogram('time');
    histogram.record(5);
    if (i % 100 === 0) {
      t.equal(names().length, 11);
      t.equal(aggregator.value(`cluster.c${i}.n3`), 4);
      t.equal(aggregator.value(`cluster.c${i}.time`), 1);
    }
    scope.release();
  }
  t.strictSame(names(), []);
  t.equal(buffers.size, 2, `${buffers.size} shared buffers for fifty thousand counters, one after another`);
});

t.test('what came and went within a turn was never there', async (t) => {
  const { stores, names } = threads(1);
  const scope = clusterScope(stores[0]);
  scope.retain();
  scope.counter('a').inc();
  scope.release();
  const again = clusterScope(stores[0]);
  again.retain();
  again.counter('b').inc();
  await Promise.resolve();
  t.strictSame(names(), ['cluster.web.b']);
});

t.test('an object holds what it makes in the root, with others or alone', async (t) => {
  const { aggregator, stores, names } = threads(1);
  const root = stores[0]?.root;
  if (root === undefined) throw new Error('no root');
  const one = new HeldStats(root);
  const two = new HeldStats(root);
  one.scope('http', 'in', { p: 'in' }).scope('rbac').counter('allowed').inc();
  two.scope('http', 'in', { p: 'in' }).scope('rbac').counter('allowed').inc();
  one.scope('listener', 'a').counter('downstream_cx_total').inc();
  one.counter('plain').inc();
  names();
  one.letGo();
  one.letGo();
  t.strictSame(names(), ['http.in.rbac.allowed', 'plain']);
  t.equal(aggregator.value('http.in.rbac.allowed'), 2);
  two.letGo();
  t.strictSame(names(), ['plain']);
});
