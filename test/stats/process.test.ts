import { Registry } from 'prom-client';
import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { createServerStats, type ServerFacts } from '../../src/stats/process.ts';
import { collectProcessMetrics } from '../../src/stats/process-registry.ts';
import { StatStore } from '../../src/stats/store.ts';
import { watchThread } from '../../src/stats/thread-metrics.ts';

function setUp(): { store: StatStore; aggregator: StatAggregator } {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  return { store, aggregator };
}

t.test('server stats follow the facts at each refresh', async (t) => {
  const { store, aggregator } = setUp();
  let facts: ServerFacts = { state: 'INITIALIZING', concurrency: 2, version: 7 };
  const stats = createServerStats(store.root, aggregator, () => facts);
  const listener = store.root.scope('listener', 'a', { envoy_listener_address: 'a' });
  listener.gauge('downstream_cx_active').set(5);
  store.root.scope('listener').scope('admin').gauge('downstream_cx_active').set(100);
  store.flush();
  t.equal(aggregator.value('server.live'), 0);
  t.equal(aggregator.value('server.state'), 3);
  facts = { state: 'LIVE', concurrency: 2, version: 7, daysUntilFirstCertExpiring: 12 };
  stats.refresh();
  stats.initialized(31);
  store.flush();
  t.equal(aggregator.value('server.live'), 1);
  t.equal(aggregator.value('server.state'), 0);
  t.equal(aggregator.value('server.concurrency'), 2);
  t.equal(aggregator.value('server.total_connections'), 5);
  t.equal(aggregator.value('server.days_until_first_cert_expiring'), 12);
  t.equal(aggregator.value('server.initialization_time_ms'), 1);
  t.ok((aggregator.value('server.memory_physical_size') ?? 0) > 10_000_000);
});

t.test('a thread publishes its loop delay, heap and collections', async (t) => {
  const { store, aggregator } = setUp();
  const stop = watchThread(store.root, 'worker_0');
  t.teardown(stop);
  store.flush();
  t.ok((aggregator.value('server.memory_allocated') ?? 0) > 1_000_000);
  const find = (name: string) => aggregator.series().find((series) => series.name === name);
  t.match(find('nodejs.worker_0.eventloop_lag_p99_seconds'), {
    extracted: 'nodejs.eventloop_lag_p99_seconds',
    tags: { thread: 'worker_0' },
  });
  t.match(find('server.worker_0.watchdog_miss'), {
    extracted: 'server.worker.watchdog_miss',
    tags: { envoy_worker_id: '0' },
  });
  t.ok(find('workers.watchdog_mega_miss'));
  const minor = find('nodejs.worker_0.gc.minor.count');
  t.match(minor, {
    extracted: 'nodejs.gc_duration_seconds_count',
    tags: { kind: 'minor', thread: 'worker_0' },
  });
  let kept: number[][] = [];
  const deadline = Date.now() + 10_000;
  while (minor?.value() === 0 && Date.now() < deadline) {
    kept = [];
    for (let i = 0; i < 10_000; i++) kept.push(new Array<number>(50).fill(i));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok((minor?.value() ?? 0) > 0, 'collections are counted');
  t.ok(kept.length > 0);
});

t.test('process metrics come without the per-thread ones', async (t) => {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const text = await registry.metrics();
  t.match(text, 'process_cpu_seconds_total');
  t.match(text, 'nodejs_version_info');
  t.notMatch(text, 'nodejs_eventloop');
  t.notMatch(text, 'nodejs_gc');
});
