import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { ResponseCodes } from '../../src/stats/http-codes.ts';
import { StatStore } from '../../src/stats/store.ts';

function setUp(exact: boolean): { store: StatStore; aggregator: StatAggregator; codes: ResponseCodes } {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  const codes = new ResponseCodes(store.root, exact ? 'upstream_rq' : 'downstream_rq', exact);
  return { store, aggregator, codes };
}

t.test('counts exact codes, classes and the total, and makes each counter once', async (t) => {
  const { store, aggregator, codes } = setUp(true);
  for (const status of [200, 200, 204, 503, 100, 599]) codes.count(status);
  const lookups = store.lookups;
  for (const status of [200, 204, 503, 599]) codes.count(status);
  t.equal(store.lookups, lookups);
  store.flush();
  const values = Object.fromEntries(aggregator.snapshot().counters.map((c) => [c.name, c.value]));
  t.strictSame(values, {
    upstream_rq_100: 1,
    upstream_rq_1xx: 1,
    upstream_rq_200: 3,
    upstream_rq_204: 2,
    upstream_rq_2xx: 5,
    upstream_rq_503: 2,
    upstream_rq_599: 2,
    upstream_rq_5xx: 4,
    upstream_rq_completed: 10,
  });
});

t.test('codes become labels', async (t) => {
  const { store, aggregator, codes } = setUp(true);
  codes.count(404);
  store.flush();
  t.match(aggregator.series(), [
    { name: 'upstream_rq_404', extracted: 'upstream_rq', tags: { envoy_response_code: '404' } },
    { name: 'upstream_rq_4xx', extracted: 'upstream_rq_xx', tags: { envoy_response_code_class: '4' } },
    { name: 'upstream_rq_completed', extracted: 'upstream_rq_completed', tags: {} },
  ]);
});

t.test('a connection manager has classes only, and has them from the start', async (t) => {
  const { store, aggregator, codes } = setUp(false);
  store.flush();
  t.equal(aggregator.series().length, 6);
  codes.count(302);
  t.equal(aggregator.value('downstream_rq_3xx'), 1);
  t.equal(aggregator.value('downstream_rq_302'), undefined);
});

t.test('impossible codes are counted as unknown', async (t) => {
  const { store, aggregator, codes } = setUp(true);
  for (const status of [0, 99, 600, -1]) codes.count(status);
  store.flush();
  t.equal(aggregator.value('upstream_rq_unknown'), 4);
  t.equal(aggregator.value('upstream_rq_completed'), 4);
});
