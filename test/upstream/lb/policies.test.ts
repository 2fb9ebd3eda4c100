import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Cluster } from '../../../src/upstream/cluster.ts';
import { createWorld, type Endpoint, staticCluster } from '../fakes.ts';

function make(endpoints: readonly Endpoint[], more: ClusterConfig = {}, seed = 1): Cluster {
  return createWorld(seed).cluster(staticCluster(endpoints, more));
}

function ports(cluster: Cluster, picks: number): number[] {
  return Array.from({ length: picks }, () => cluster.pick()?.address.port ?? 0);
}

function shares(cluster: Cluster, picks: number): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const port of ports(cluster, picks)) counts[port] = (counts[port] ?? 0) + 1 / picks;
  return counts;
}

function near(actual: number | undefined, expected: number, tolerance = 0.03): boolean {
  return Math.abs((actual ?? 0) - expected) <= tolerance;
}

const THREE = [{ port: 1 }, { port: 2 }, { port: 3 }];

t.test('ROUND_ROBIN goes in turn from a random start', async (t) => {
  const starts = new Set<number>();
  for (let seed = 0; seed < 20; seed++) {
    const [a = 0, b, c, d] = ports(make(THREE, {}, seed), 4);
    t.strictSame([b, c, d], [(a % 3) + 1, ((a + 1) % 3) + 1, a]);
    starts.add(a);
  }
  t.equal(starts.size, 3);
});

t.test('ROUND_ROBIN with weights is exact over a cycle and does not bunch', async (t) => {
  const cluster = make([
    { port: 1, weight: 5 },
    { port: 2, weight: 1 },
    { port: 3, weight: 2 },
  ]);
  const picked = ports(cluster, 8000);
  for (const [port, weight] of [
    [1, 5],
    [2, 1],
    [3, 2],
  ]) {
    t.ok(Math.abs(picked.filter((p) => p === port).length - 1000 * (weight ?? 0)) <= 1, `${port}`);
  }
  t.notOk(picked.join('').includes('22'));
  t.notOk(picked.join('').includes('1111'));
});

t.test('RANDOM is uniform whatever the weights', async (t) => {
  const counts = shares(make([{ port: 1, weight: 9 }, { port: 2 }], { lbPolicy: 'RANDOM' }), 10_000);
  t.ok(near(counts[1], 0.5));
});

t.test('LEAST_REQUEST prefers the less loaded of two samples', async (t) => {
  const cluster = make(THREE, { lbPolicy: 'LEAST_REQUEST' });
  const host = cluster.hosts.value?.hosts[0];
  if (host !== undefined) host.inflight = 5;
  // Samples may repeat: only when both fall on the loaded host it is picked.
  t.ok(near(shares(cluster, 10_000)[1], 1 / 9));
});

t.test('LEAST_REQUEST takes as many samples as choice_count says', async (t) => {
  const more: ClusterConfig = { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: { choiceCount: 6 } };
  const cluster = make(THREE, more);
  const host = cluster.hosts.value?.hosts[0];
  if (host !== undefined) host.inflight = 5;
  t.ok((shares(cluster, 10_000)[1] ?? 0) < 0.01);
});

t.test('LEAST_REQUEST with weights divides them by the load', async (t) => {
  const endpoints = [
    { port: 1, weight: 4 },
    { port: 2, weight: 2 },
  ];
  const idle = make(endpoints, { lbPolicy: 'LEAST_REQUEST' });
  t.ok(near(shares(idle, 3000)[1], 2 / 3));
  const [first] = idle.hosts.value?.hosts ?? [];
  if (first !== undefined) first.inflight = 3;
  t.ok(near(shares(idle, 3000)[1], 1 / 3), '4 / (3 + 1) against 2');
  const bias = { activeRequestBias: { defaultValue: 0, runtimeKey: 'x' } };
  const unbiased = make(endpoints, { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: bias });
  const [other] = unbiased.hosts.value?.hosts ?? [];
  if (other !== undefined) other.inflight = 3;
  t.ok(near(shares(unbiased, 3000)[1], 2 / 3));
});

t.test('the typed policy can ask for a full scan', async (t) => {
  const cluster = make(THREE, {
    loadBalancingPolicy: {
      policies: [
        { typedExtensionConfig: { name: 'future', typedConfig: { type: 'x.Unknown', value: {} } } },
        {
          typedExtensionConfig: {
            name: 'envoy.load_balancing_policies.least_request',
            typedConfig: {
              type: 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
              value: { selectionMethod: 'FULL_SCAN' },
            },
          },
        },
      ],
    },
  });
  const [a, b] = cluster.hosts.value?.hosts ?? [];
  if (a !== undefined) a.inflight = 2;
  if (b !== undefined) b.inflight = 1;
  t.strictSame([...new Set(ports(cluster, 100))], [3]);
});

t.test('unhealthy and draining hosts get nothing while enough others are well', async (t) => {
  const cluster = make([
    { port: 1 },
    { port: 2 },
    { port: 3, health: 'UNHEALTHY' },
    { port: 4, health: 'DRAINING' },
  ]);
  t.strictSame(new Set(ports(cluster, 100)), new Set([1, 2]));
});

t.test('below the panic threshold all hosts are used', async (t) => {
  const world = createWorld();
  const endpoints: Endpoint[] = [
    { port: 1 },
    { port: 2, health: 'UNHEALTHY' },
    { port: 3, health: 'UNHEALTHY' },
  ];
  const cluster = world.cluster(staticCluster(endpoints));
  t.strictSame(new Set(ports(cluster, 100)), new Set([1, 2, 3]));
  t.equal(world.stat('lb_healthy_panic'), 100);
  const calm = make(endpoints, { commonLbConfig: { healthyPanicThreshold: {} } });
  t.strictSame(new Set(ports(calm, 100)), new Set([1]), 'a threshold of 0 % switches panic off');
  const failing = make(endpoints, { commonLbConfig: { zoneAwareLbConfig: { failTrafficOnPanic: true } } });
  t.strictSame(new Set(ports(failing, 10)), new Set([0]), 'nobody');
});

t.test('priorities: load flows over as the healthy part shrinks', async (t) => {
  const level = (priority: number, healthy: number): Endpoint[] =>
    Array.from({ length: 100 }, (_, i) => ({
      port: priority * 1000 + i + 1,
      priority,
      health: i < healthy ? 'HEALTHY' : 'UNHEALTHY',
    }));
  const first = (healthy: number, second = 100): number => {
    const cluster = make([...level(0, healthy), ...level(1, second)]);
    return ports(cluster, 4000).filter((port) => port < 1000).length / 4000;
  };
  // Envoy's table for two priorities.
  t.equal(first(100), 1);
  t.equal(first(72), 1);
  t.ok(near(first(71), 0.99, 0.01));
  t.ok(near(first(50), 0.7));
  t.ok(near(first(25), 0.35));
  t.equal(first(0), 0);
  t.ok(near(first(25, 25), 0.5), 'both short: in proportion');
});

t.test('degraded hosts are used when the healthy ones do not suffice', async (t) => {
  const cluster = make([
    { port: 1 },
    { port: 2, health: 'DEGRADED' },
    { port: 3, health: 'DEGRADED' },
    { port: 4, health: 'DEGRADED' },
  ]);
  const counts = shares(cluster, 4000);
  t.ok(near(counts[1], 0.35));
  t.ok(near(counts[2], 0.65 / 3));
});

t.test('when nobody is well, every priority gets load by its size', async (t) => {
  const cluster = make([
    { port: 1, health: 'UNHEALTHY' },
    { port: 2, health: 'UNHEALTHY', priority: 1 },
    { port: 3, health: 'UNHEALTHY', priority: 1 },
  ]);
  t.ok(near(shares(cluster, 4000)[1], 0.34));
});
