import t from 'tap';
import { clusterStatus, mergeClusterStatuses } from '../../src/upstream/status.ts';
import { createWorld, FakeRequest, onlyHost, staticCluster } from './fakes.ts';

const PEAK_EWMA = {
  loadBalancingPolicy: {
    policies: [
      {
        typedExtensionConfig: {
          typedConfig: {
            type: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
            value: {},
          },
        },
      },
    ],
  },
};

t.test('a status is plain data with limits, members and costs', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const limits = { circuitBreakers: { thresholds: [{ maxRequests: 7 }] } };
  const cluster = world.cluster(
    staticCluster([{ port: 1, health: 'DEGRADED' }], { ...PEAK_EWMA, ...limits }),
  );
  onlyHost(cluster).http.open(new FakeRequest());
  const status = clusterStatus(cluster);
  t.strictSame(structuredClone(status), status);
  t.match(status, {
    name: 'c',
    addedViaApi: false,
    defaultPriority: { maxConnections: 1024, maxRequests: 7, maxRetries: 3 },
    highPriority: { maxRequests: 1024 },
    hosts: [
      {
        address: { ip: '127.0.0.1', port: 1 },
        stats: { cx_active: 1, rq_pending_active: 1, rq_total: 0 },
        gauges: { peak_ewma_cost_min: 60, peak_ewma_cost_max: 60 },
        healthFlags: ['degraded_eds_health'],
      },
    ],
  });
});

t.test('the views of several workers are added, costs give a range', async (t) => {
  const views = [5, 90].map((rttMs) => {
    const cluster = createWorld().cluster(staticCluster([{ port: 1 }, { port: 2 }], PEAK_EWMA));
    const [host] = cluster.hosts.value?.hosts ?? [];
    host?.onResponse(200, 40 + rttMs);
    return [clusterStatus(cluster)];
  });
  const [merged] = mergeClusterStatuses(views);
  t.equal(merged?.hosts.length, 2);
  t.match(merged?.hosts[0], {
    stats: { rq_success: 2 },
    gauges: { peak_ewma_cost_min: 45, peak_ewma_cost_max: 130 },
  });
  t.match(merged?.hosts[1], { stats: { rq_success: 0 }, gauges: { peak_ewma_cost_min: 30 } });
});

t.test('a host that one worker alone knows is shown, as those of ORIGINAL_DST clusters are', async (t) => {
  const views = [[1], [1, 2], [3]].map((ports) => {
    const cluster = createWorld().cluster(staticCluster(ports.map((port) => ({ port }))));
    cluster.hosts.value?.hosts[0]?.onResponse(200, 1);
    return [clusterStatus(cluster)];
  });
  const [merged] = mergeClusterStatuses([[], ...views]);
  t.same(
    merged?.hosts.map(({ address, stats }) => [address.port, stats.rq_success]),
    [
      [1, 2],
      [2, 0],
      [3, 1],
    ],
  );
});
