import { Gauge, Registry } from 'prom-client';
import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { Exposition, type ExpositionOptions } from '../../src/stats/exposition.ts';
import { ResponseCodes } from '../../src/stats/http-codes.ts';
import { StatStore } from '../../src/stats/store.ts';

function setUp(): { store: StatStore; aggregator: StatAggregator; exposition: Exposition } {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  return { store, aggregator, exposition: new Exposition(aggregator, () => new Registry()) };
}

async function render(exposition: Exposition, options?: ExpositionOptions): Promise<string> {
  let text = '';
  for await (const chunk of exposition.render(options)) text += chunk;
  return text;
}

t.test('counters and gauges look as Envoy prints them', async (t) => {
  const { store, exposition } = setUp();
  for (const name of ['web', 'db']) {
    const cluster = store.root.scope('cluster', name, { envoy_cluster_name: name });
    new ResponseCodes(cluster, 'upstream_rq', true).count(200);
    cluster.counter('upstream_rq_total').add(3);
    cluster.scope('circuit_breakers').scope('default').gauge('cx_open').set(0);
  }
  store.root.scope('cluster_manager').counter('cluster_added').add(2);
  store.flush();
  t.equal(
    await render(exposition),
    `# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="db"} 1
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="web"} 1
# TYPE envoy_cluster_upstream_rq_completed counter
envoy_cluster_upstream_rq_completed{envoy_cluster_name="db"} 1
envoy_cluster_upstream_rq_completed{envoy_cluster_name="web"} 1
# TYPE envoy_cluster_upstream_rq_total counter
envoy_cluster_upstream_rq_total{envoy_cluster_name="db"} 3
envoy_cluster_upstream_rq_total{envoy_cluster_name="web"} 3
# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="db"} 1
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="web"} 1
# TYPE envoy_cluster_manager_cluster_added counter
envoy_cluster_manager_cluster_added{} 2
# TYPE envoy_cluster_circuit_breakers_default_cx_open gauge
envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name="db"} 0
envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name="web"} 0
`,
  );
});

t.test('histograms have the default buckets, a sum and a count', async (t) => {
  const { store, exposition } = setUp();
  const time = store.root
    .scope('cluster', 'web', { envoy_cluster_name: 'web' })
    .histogram('upstream_rq_time');
  for (const ms of [0, 1, 7, 400, 4_000_000]) time.record(ms);
  store.flush();
  const lines = (await render(exposition)).split('\n');
  t.equal(lines[0], '# TYPE envoy_cluster_upstream_rq_time histogram');
  t.equal(lines[1], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="web",le="0.5"} 1');
  t.equal(lines[2], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="web",le="1"} 2');
  t.equal(lines[19], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="web",le="3600000"} 4');
  t.equal(lines[20], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="web",le="+Inf"} 5');
  t.equal(lines[21], 'envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="web"} 4000408');
  t.equal(lines[22], 'envoy_cluster_upstream_rq_time_count{envoy_cluster_name="web"} 5');
  t.strictSame(lines.slice(23), ['']);
});

t.test('label values are escaped and odd names made legal', async (t) => {
  const { store, exposition } = setUp();
  store.root.scope('cluster', 'a', { envoy_cluster_name: 'a"\\\n' }).counter('x-y.z').inc();
  store.flush();
  t.match(await render(exposition), 'envoy_cluster_x_y_z{envoy_cluster_name="a\\"\\\\\\n"} 1\n');
});

t.test('unused stats and filtered names are left out with their titles', async (t) => {
  const { store, exposition } = setUp();
  store.root.counter('a').inc();
  store.root.counter('b');
  store.flush();
  t.equal(await render(exposition, { usedOnly: true }), '# TYPE envoy_a counter\nenvoy_a{} 1\n');
  t.equal(
    await render(exposition, { accepts: (name) => name === 'b' }),
    '# TYPE envoy_b counter\nenvoy_b{} 0\n',
  );
});

t.test(
  'the prom-client registry shows the same numbers, and other metrics of it are shown too',
  async (t) => {
    const registry = new Registry();
    new Gauge({ name: 'nodejs_answer', help: 'h', registers: [registry] }).set(42);
    const store = new StatStore();
    const aggregator = new StatAggregator();
    store.onRegister((message) => aggregator.attach(0, message));
    const exposition = new Exposition(aggregator, () => registry);
    store.root.counter('requests', { name: 'requests', tags: { code: '1' } }).add(5);
    store.root.histogram('time').record(3);
    store.flush();
    t.match(await render(exposition), /# TYPE nodejs_answer gauge\nnodejs_answer 42\n$/);
    const text = await registry.metrics();
    t.match(text, '# TYPE envoy_requests counter\nenvoy_requests{code="1"} 5');
    t.match(text, 'envoy_time_bucket{le="5"} 1');
    store.root.counter('later').inc();
    store.flush();
    await exposition.registry();
    t.match(await registry.metrics(), 'envoy_later 1');
  },
);

t.test('rendering many thousand series lets other work through', async (t) => {
  const { store, exposition } = setUp();
  for (let i = 0; i < 400; i++) {
    const cluster = store.root.scope('cluster', `c${i}`, { envoy_cluster_name: `c${i}` });
    for (let j = 0; j < 50; j++) cluster.counter(`stat_${j}`).inc();
  }
  store.flush();
  await exposition.registry();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const text = await render(exposition);
  clearInterval(timer);
  t.equal(text.split('\n').length, 400 * 50 + 50 + 1);
  t.ok(turns >= 1, `${turns} timers ran meanwhile`);
});
