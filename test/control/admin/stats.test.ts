import t, { type Test } from 'tap';
import type { SmallServer } from '../../../src/control/admin/http-server.ts';
import { startAdmin } from '../../../src/control/admin/server.ts';
import { ask, type FakeContext, fakeContext } from './support.ts';

/** The samples behind the expected output are those that a running Envoy 1.40 was given. */
async function setUp(
  t: Test,
): Promise<{ context: FakeContext; get: (path: string) => Promise<string>; admin: SmallServer }> {
  const context = fakeContext();
  const admin = await startAdmin({ ip: '127.0.0.1', port: 0, path: '' }, context, (error) =>
    t.fail(String(error)),
  );
  t.teardown(() => admin.close());
  const cluster = context.store.root.scope('cluster', 'web', { envoy_cluster_name: 'web' });
  cluster.counter('upstream_rq_total').add(2);
  cluster.counter('upstream_rq_timeout');
  cluster.gauge('upstream_cx_active').set(0);
  cluster.histogram('upstream_rq_per_cx');
  const time = cluster.histogram('upstream_rq_time');
  time.record(3);
  time.record(14);
  context.store.flush();
  return { context, admin, get: async (path) => (await ask(admin.address, path)).body };
}

const SUMMARY =
  'P0(nan,3.05) P25(nan,3.05) P50(nan,3.05) P75(nan,14.5) P90(nan,14.5) P95(nan,14.5) P99(nan,14.5) P99.5(nan,14.5) P99.9(nan,14.5) P100(nan,14.5)';

t.test('text shows numbers by name, then histograms', async (t) => {
  const { get, context } = await setUp(t);
  t.equal(
    await get('/stats'),
    `cluster.web.upstream_cx_active: 0
cluster.web.upstream_rq_timeout: 0
cluster.web.upstream_rq_total: 2
cluster.web.upstream_rq_per_cx: No recorded values
cluster.web.upstream_rq_time: ${SUMMARY}
`,
  );
  t.strictSame(context.calls, ['refresh']);
});

t.test('usedonly, filter and type choose what is shown', async (t) => {
  const { get } = await setUp(t);
  t.equal(
    await get('/stats?usedonly'),
    `cluster.web.upstream_cx_active: 0\ncluster.web.upstream_rq_total: 2\ncluster.web.upstream_rq_time: ${SUMMARY}\n`,
  );
  t.equal(await get('/stats?filter=rq_t.*l$'), 'cluster.web.upstream_rq_total: 2\n');
  t.equal(
    await get('/stats?type=Counters&filter=total&invert_filter'),
    'cluster.web.upstream_rq_timeout: 0\n',
  );
  t.equal(await get('/stats?type=Gauges'), 'cluster.web.upstream_cx_active: 0\n');
  t.equal(await get('/stats?type=TextReadouts'), '');
  t.equal((await get('/stats?type=Histograms')).split('\n').length, 3);
});

t.test('texts come first, in quotes', async (t) => {
  const { get, context } = await setUp(t);
  context.texts.set('control_plane.identifier', 'cp-"1"');
  context.texts.set('a.control_plane.identifier', '');
  const both = 'a.control_plane.identifier: ""\ncontrol_plane.identifier: "cp-"1""\n';
  t.equal(await get('/stats?type=TextReadouts'), both);
  t.ok((await get('/stats')).startsWith(both));
  t.equal(await get('/stats?type=Counters&filter=identifier'), '');
  t.equal(
    await get('/stats?usedonly&filter=identifier'),
    both.slice(both.indexOf('control_plane.identifier: "cp')),
  );
  t.same(JSON.parse(await get('/stats?format=json&filter=^control_plane')).stats, [
    { name: 'control_plane.identifier', value: 'cp-"1"' },
  ]);
});

t.test('mistakes in the query are answered with 400', async (t) => {
  const { admin } = await setUp(t);
  for (const [path, body] of [
    ['/stats?filter=(', /^Invalid re2 regex: /],
    ['/stats?type=Bad', /^invalid &type= param$/],
    ['/stats?type=constructor', /^invalid &type= param$/],
    ['/stats?format=foo', /^usage: \/stats\?format=/],
    ['/stats?histogram_buckets=foo', /^usage: \/stats\?histogram_buckets=/],
    ['/stats/prometheus?histogram_buckets=detailed', /^usage: /],
  ] as const) {
    const answer = await ask(admin.address, path);
    t.equal(answer.status, 400, path);
    t.match(answer.body, body);
  }
});

t.test('histograms can be shown by bucket', async (t) => {
  const { get, context } = await setUp(t);
  context.aggregator.flush();
  const path = '/stats?filter=rq_time$&type=Histograms&histogram_buckets=';
  const rest = (n: number) => `B50(${n}) B100(${n})`.replaceAll(`(${n})`, `(${n},${n})`);
  t.match(await get(`${path}cumulative`), `B0.5(0,0) B1(0,0) B5(1,1) B10(1,1) B25(2,2) ${rest(2)}`);
  t.match(await get(`${path}cumulative`), 'B600000(2,2) B1.8e+06(2,2) B3.6e+06(2,2)\n');
  t.match(await get(`${path}disjoint`), `B0.5(0,0) B1(0,0) B5(1,1) B10(0,0) B25(1,1) ${rest(0)}`);
  t.match(
    await get(`${path}detailed`),
    'cluster.web.upstream_rq_time:\n  totals=3,0.1:1, 14,1:1\n  intervals=3,0.1:1, 14,1:1\n  summary=P0(3.05,3.05) ',
  );
});

t.test('JSON has the shape of Envoy', async (t) => {
  const { get } = await setUp(t);
  const { stats } = JSON.parse(await get('/stats?format=json&usedonly'));
  t.strictSame(stats.slice(0, 2), [
    { name: 'cluster.web.upstream_cx_active', value: 0 },
    { name: 'cluster.web.upstream_rq_total', value: 2 },
  ]);
  const { histograms } = stats[2];
  t.strictSame(histograms.supported_quantiles, [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]);
  t.equal(histograms.computed_quantiles[0].name, 'cluster.web.upstream_rq_time');
  t.strictSame(histograms.computed_quantiles[0].values[3], { cumulative: 14.5, interval: null });
  const buckets = JSON.parse(
    await get('/stats?format=json&type=Histograms&histogram_buckets=cumulative&filter=rq_time'),
  );
  t.strictSame(buckets.stats[0].histograms[0].buckets[2], { upper_bound: 5, interval: 0, cumulative: 1 });
  const detailed = JSON.parse(
    await get('/stats?format=json&type=Histograms&histogram_buckets=detailed&filter=rq_time'),
  );
  t.strictSame(detailed.stats[0].histograms.details[0].totals[1], { lower_bound: 14, width: 1, count: 1 });
  t.strictSame(JSON.parse(await get('/stats?format=json&filter=nothing')), { stats: [] });
});

t.test('the exposition takes the same choices', async (t) => {
  const { get, admin } = await setUp(t);
  const expected =
    '# TYPE envoy_cluster_upstream_rq_total counter\nenvoy_cluster_upstream_rq_total{envoy_cluster_name="web"} 2\n';
  t.equal(await get('/stats/prometheus?filter=rq_total'), expected);
  t.equal(await get('/stats?format=prometheus&filter=rq_total'), expected);
  t.notMatch(await get('/stats/prometheus?usedonly'), 'upstream_rq_timeout');
  t.match(
    await get('/stats/prometheus?filter=rq_time$&histogram_buckets=summary'),
    '# TYPE envoy_cluster_upstream_rq_time summary\nenvoy_cluster_upstream_rq_time{envoy_cluster_name="web",quantile="0"} nan\n',
  );
  t.equal((await ask(admin.address, '/stats/prometheus')).type, 'text/plain; version=0.0.4; charset=utf-8');
  t.equal((await ask(admin.address, '/stats/prometheus', 'HEAD')).body, '');
});
