import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { DEFINITION_LENGTH, type StatsMessage } from '../../src/stats/messages.ts';
import { SEGMENT_SLOTS, StatStore } from '../../src/stats/store.ts';

function attached(): { store: StatStore; aggregator: StatAggregator; messages: StatsMessage[] } {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  const messages: StatsMessage[] = [];
  store.onRegister((message) => {
    messages.push(message);
    aggregator.attach(0, message);
  });
  return { store, aggregator, messages };
}

t.test('what a thread writes is read in place by the aggregator', async (t) => {
  const { store, aggregator } = attached();
  const cluster = store.root.scope('cluster', 'web', { envoy_cluster_name: 'web' });
  const total = cluster.counter('upstream_rq_total');
  const active = cluster.gauge('upstream_rq_active');
  const time = cluster.histogram('upstream_rq_time');
  store.flush();
  total.inc();
  total.add(2);
  active.inc();
  active.inc();
  active.dec();
  time.record(7);
  time.record(13);
  store.flush();
  t.equal(aggregator.value('cluster.web.upstream_rq_total'), 3);
  t.equal(aggregator.value('cluster.web.upstream_rq_active'), 1);
  const [sample] = aggregator.snapshot().histograms;
  t.match(sample, { name: 'cluster.web.upstream_rq_time', extracted: 'cluster.upstream_rq_time', value: 2 });
  t.equal(sample?.cumulative.sum, 20);
  t.strictSame(sample?.tags, { envoy_cluster_name: 'web' });
});

t.test('a name gives the same handle again, and each asking counts as a look-up', async (t) => {
  const { store } = attached();
  const before = store.lookups;
  const handle = store.root.scope('http', 'a', { p: 'a' }).counter('downstream_rq_total');
  t.equal(store.root.scope('http', 'a', { p: 'a' }).counter('downstream_rq_total'), handle);
  t.equal(store.lookups, before + 4);
  for (let i = 0; i < 1000; i++) handle.inc();
  t.equal(store.lookups, before + 4);
  t.throws(() => store.root.scope('http', 'a').gauge('downstream_rq_total'), /another type/);
});

t.test('stats of one turn are reported in one message', async (t) => {
  const { store, messages } = attached();
  t.equal(messages.length, 1, 'the root scope');
  for (let i = 0; i < SEGMENT_SLOTS + 10; i++) store.root.counter(`c${i}`).add(i);
  await Promise.resolve();
  t.equal(messages.length, 2);
  t.equal(messages[1]?.definitions.length, DEFINITION_LENGTH * (SEGMENT_SLOTS + 10));
  t.equal(messages[1]?.segments.length, 2);
});

t.test('slots beyond the first segment keep their values apart', async (t) => {
  const { store, aggregator } = attached();
  for (let i = 0; i < 2 * SEGMENT_SLOTS + 10; i++) store.root.counter(`c${i}`).add(i);
  store.flush();
  for (const i of [0, 1, SEGMENT_SLOTS - 1, SEGMENT_SLOTS, 2 * SEGMENT_SLOTS + 9]) {
    t.equal(aggregator.value(`c${i}`), i);
  }
});

t.test('a stat is used once it was written, also with zero', async (t) => {
  const { store, aggregator } = attached();
  const gauge = store.root.gauge('g');
  const counter = store.root.counter('c');
  const histogram = store.root.histogram('h');
  store.flush();
  t.strictSame(
    aggregator.series().map((series) => series.used()),
    [false, false, false],
  );
  gauge.set(0);
  counter.inc();
  histogram.record(0);
  store.flush();
  t.strictSame(
    aggregator.series().map((series) => series.used()),
    [true, true, true],
  );
});

t.test('gauges merge by their rule, counters and histograms add up', async (t) => {
  const aggregator = new StatAggregator();
  const stores = [1, 2].map((threadId) => {
    const store = new StatStore();
    store.onRegister((message) => aggregator.attach(threadId, message));
    return store;
  });
  stores.forEach((store, i) => {
    store.root.counter('c').add(i + 1);
    store.root.gauge('sum').set(i + 10);
    store.root.gauge('max', 'max').set(-5 - i);
    store.root.gauge('last', 'last').set(7 - i);
    store.root.histogram('h').record(100);
    store.flush();
  });
  t.equal(aggregator.value('c'), 3);
  t.equal(aggregator.value('sum'), 21);
  t.equal(aggregator.value('max'), -5);
  t.equal(aggregator.value('last'), 6);
  t.equal(aggregator.value('h'), 2);

  aggregator.detach(2);
  t.equal(aggregator.value('c'), 3, 'counters stay');
  t.equal(aggregator.value('h'), 2, 'histograms stay');
  t.equal(aggregator.value('sum'), 10, 'gauges vanish');
  t.equal(aggregator.value('last'), 7);

  aggregator.resetCounters();
  stores[0]?.root.counter('c').inc();
  t.equal(aggregator.value('c'), 1);
});

t.test('a flush ends the interval of histograms', async (t) => {
  const { store, aggregator } = attached();
  const time = store.root.histogram('time');
  time.record(5);
  store.flush();
  t.equal(aggregator.series()[0]?.interval(), undefined);
  aggregator.flush();
  t.equal(aggregator.series()[0]?.interval()?.count, 1);
  time.record(9);
  time.record(9);
  aggregator.flush();
  t.equal(aggregator.series()[0]?.interval()?.count, 2);
  t.equal(aggregator.series()[0]?.interval()?.sum, 18);
  t.equal(aggregator.series()[0]?.cumulative().count, 3);
});

t.test('one stat may say its own tag-extracted name', async (t) => {
  const { store, aggregator } = attached();
  const scope = store.root.scope('cluster', 'web', { envoy_cluster_name: 'web' });
  scope.counter('upstream_rq_200', { name: 'upstream_rq', tags: { envoy_response_code: '200' } });
  store.flush();
  t.match(aggregator.series()[0], {
    name: 'cluster.web.upstream_rq_200',
    extracted: 'cluster.upstream_rq',
    tags: { envoy_cluster_name: 'web', envoy_response_code: '200' },
  });
});

t.test('a full name is one stat, however its scopes are cut', async (t) => {
  const { store, aggregator } = attached();
  store.root.scope('a').scope('b').counter('c').add(1);
  store.root.scope('a').counter('b.c').add(2);
  store.root.counter('a.b.c').add(4);
  store.flush();
  t.equal(aggregator.series().length, 1);
  t.equal(aggregator.value('a.b.c'), 7);
  t.equal(aggregator.value('a.b.x'), undefined);
  t.equal(aggregator.value('b.c'), undefined);
  t.equal(aggregator.value(''), undefined);
});

t.test('reset and death of a thread do not change what counts as used', async (t) => {
  const aggregator = new StatAggregator();
  const store = new StatStore();
  store.onRegister((message) => aggregator.attach(1, message));
  store.root.counter('used').inc();
  store.root.counter('unused');
  store.root.histogram('unused_h');
  store.flush();
  aggregator.resetCounters();
  aggregator.flush();
  aggregator.detach(1);
  t.strictSame(
    aggregator.series().map((series) => [series.name, series.used(), series.value()]),
    [
      ['unused', false, 0],
      ['unused_h', false, 0],
      ['used', true, 0],
    ],
  );
});
