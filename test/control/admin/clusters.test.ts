import t, { type Test } from 'tap';
import { startAdmin } from '../../../src/control/admin/server.ts';
import { ask, type FakeContext, fakeCluster, fakeContext, fakeHost } from './support.ts';

async function setUp(t: Test): Promise<{ context: FakeContext; get: (path: string) => Promise<string> }> {
  const context = fakeContext();
  const admin = await startAdmin({ ip: '127.0.0.1', port: 0, path: '' }, context, (error) =>
    t.fail(String(error)),
  );
  t.teardown(() => admin.close());
  return { context, get: async (path) => (await ask(admin.address, path)).body };
}

t.test('text lists limits and hosts line by line, clusters by name', async (t) => {
  const { context, get } = await setUp(t);
  context.clusterList = [fakeCluster('web', [fakeHost(23002)]), fakeCluster('db', [])];
  t.equal(
    await get('/clusters?filter=we'),
    `web::observability_name::web
web::default_priority::max_connections::1024
web::default_priority::max_pending_requests::1024
web::default_priority::max_requests::1024
web::default_priority::max_retries::3
web::high_priority::max_connections::1024
web::high_priority::max_pending_requests::1024
web::high_priority::max_requests::1024
web::high_priority::max_retries::3
web::added_via_api::false
web::127.0.0.1:23002::cx_active::2
web::127.0.0.1:23002::cx_connect_fail::0
web::127.0.0.1:23002::cx_total::2
web::127.0.0.1:23002::rq_active::0
web::127.0.0.1:23002::rq_error::0
web::127.0.0.1:23002::rq_pending_active::0
web::127.0.0.1:23002::rq_success::2
web::127.0.0.1:23002::rq_timeout::0
web::127.0.0.1:23002::rq_total::2
web::127.0.0.1:23002::hostname::
web::127.0.0.1:23002::health_flags::healthy
web::127.0.0.1:23002::weight::1
web::127.0.0.1:23002::region::r1
web::127.0.0.1:23002::zone::z1
web::127.0.0.1:23002::sub_zone::
web::127.0.0.1:23002::canary::false
web::127.0.0.1:23002::priority::0
web::127.0.0.1:23002::success_rate::-1
web::127.0.0.1:23002::local_origin_success_rate::-1
`,
  );
  t.match(await get('/clusters'), /^db::observability_name::db\n/);
});

t.test('health flags, outlier figures and figures of our own are shown', async (t) => {
  const { context, get } = await setUp(t);
  const host = fakeHost(1, {
    healthFlags: ['failed_active_hc', 'failed_outlier_check'],
    gauges: { peak_ewma_cost_min: 1.5 },
  });
  const outlier = {
    successRateAverage: 99.5,
    successRateEjectionThreshold: 80,
    localOriginSuccessRateAverage: -1,
    localOriginSuccessRateEjectionThreshold: -1,
  };
  context.clusterList = [{ ...fakeCluster('web', [host]), outlier }];
  const text = await get('/clusters');
  t.match(text, 'web::127.0.0.1:1::health_flags::/failed_active_hc/failed_outlier_check\n');
  t.match(text, 'web::outlier::success_rate_average::99.5\n');
  t.match(text, 'web::127.0.0.1:1::peak_ewma_cost_min::1.5\n');
  const [status] = JSON.parse(await get('/clusters?format=json')).cluster_statuses;
  t.strictSame(status.host_statuses[0].health_status, {
    failed_active_health_check: true,
    failed_outlier_check: true,
    eds_health_status: 'HEALTHY',
  });
  t.strictSame(status.success_rate_ejection_threshold, { value: 80 });
});

t.test('JSON is proto JSON without default values', async (t) => {
  const { context, get } = await setUp(t);
  context.clusterList = [
    fakeCluster('web', [fakeHost(23009, { hostname: 'other', weight: 3, subZone: '' })]),
  ];
  const limits = { max_connections: 1024, max_pending_requests: 1024, max_requests: 1024, max_retries: 3 };
  t.strictSame(JSON.parse(await get('/clusters?format=json')), {
    cluster_statuses: [
      {
        name: 'web',
        host_statuses: [
          {
            address: { socket_address: { address: '127.0.0.1', port_value: 23009 } },
            stats: [
              { name: 'cx_connect_fail' },
              { value: '2', name: 'cx_total' },
              { name: 'rq_error' },
              { value: '2', name: 'rq_success' },
              { name: 'rq_timeout' },
              { value: '2', name: 'rq_total' },
              { type: 'GAUGE', value: '2', name: 'cx_active' },
              { type: 'GAUGE', name: 'rq_active' },
              { type: 'GAUGE', name: 'rq_pending_active' },
            ],
            health_status: { eds_health_status: 'HEALTHY' },
            weight: 3,
            hostname: 'other',
            locality: { region: 'r1', zone: 'z1' },
          },
        ],
        circuit_breakers: { thresholds: [limits, { priority: 'HIGH', ...limits }] },
        observability_name: 'web',
      },
    ],
  });
});
