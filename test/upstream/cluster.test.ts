import { readFile } from 'node:fs/promises';
import t from 'tap';
import type { ClusterHosts, HostSpec } from '../../src/upstream/cluster-hosts.ts';
import {
  createHoldings,
  HOLDING,
  HOLDING_SLICE,
  HoldingsMemory,
  releaseHoldings,
} from '../../src/upstream/holdings.ts';
import { healthFlagNames } from '../../src/upstream/host.ts';
import { priorityLoad } from '../../src/upstream/lb/priority-load.ts';
import { RequestQueue } from '../../src/upstream/pools/request-queue.ts';
import { createWorld, FakeRequest, staticCluster } from './fakes.ts';

function spec(port: number, more: Partial<HostSpec> = {}): HostSpec {
  return {
    address: { ip: '127.0.0.1', port, path: '' },
    hostname: '',
    weight: 1,
    health: 'UNKNOWN',
    priority: 0,
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    metadata: null,
    ...more,
  };
}

function found(...hosts: HostSpec[]): ClusterHosts {
  return { hosts, overprovisioningFactor: 140 };
}

t.test('an update keeps the hosts whose address stays, with their connections', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = world.cluster(staticCluster([{ port: 1 }, { port: 2 }]));
  const [one, two] = cluster.hosts.value?.hosts ?? [];
  for (const host of [one, two]) host?.http.open(new FakeRequest());
  const first = world.connect(0);
  const second = world.connect(1);
  first.complete();
  second.complete();
  const before = cluster.hosts.value;
  cluster.update(found(spec(2, { weight: 3 }), spec(3)));
  t.not(cluster.hosts.value, before);
  t.equal(cluster.hosts.value?.hosts[0], two);
  t.equal(two?.weight, 3);
  t.equal(two?.http.idleConnections, 1);
  t.equal(first.destroyed, true, 'the removed host was drained');
  t.equal(second.destroyed, false);
  t.equal(before?.hosts.length, 2, 'the old set is untouched');
});

t.test('a host that is a name keeps its connections when its address changes', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = world.cluster(staticCluster([]));
  cluster.update(found(spec(1, { identity: 'web' })));
  const host = cluster.pick();
  const [one, two, three] = [new FakeRequest(), new FakeRequest(), new FakeRequest()];
  host?.http.open(one);
  const first = world.connect(0);
  const before = cluster.hosts.value;
  cluster.update(found(spec(2, { identity: 'web' })));
  t.equal(cluster.hosts.value, before);
  t.equal(cluster.pick(), host);
  t.equal(host?.address.port, 2, 'which admin and health checks see');
  t.equal(world.stat('membership_change'), 1);
  host?.http.open(two);
  t.equal(world.dials[1]?.address.port, 2, 'a new connection goes there');
  world.connect(1);
  first.complete();
  host?.http.open(three);
  t.ok(three.stream, 'the old one is used as before');
  t.equal(first.active, 1);
  t.equal(world.dials.length, 2);
});

t.test('nothing is rebuilt when nothing changed', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(staticCluster([{ port: 1 }]));
  const before = cluster.hosts.value;
  cluster.update(found(spec(1)));
  t.equal(cluster.hosts.value, before);
  cluster.update(found(spec(1, { health: 'DEGRADED' })));
  t.not(cluster.hosts.value, before);
});

t.test('membership is counted', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(
    staticCluster([
      { port: 1, weight: 7 },
      { port: 2, health: 'UNHEALTHY' },
      { port: 3, health: 'DEGRADED' },
    ]),
  );
  const names = [
    'membership_change',
    'membership_total',
    'membership_healthy',
    'membership_degraded',
    'max_host_weight',
  ];
  t.match(world.stats(...names), {
    membership_change: 1,
    membership_total: 3,
    membership_healthy: 1,
    membership_degraded: 1,
    max_host_weight: 0,
  });
  cluster.update(found(spec(1)));
  t.match(world.stats(...names), { membership_change: 2, membership_total: 1, membership_healthy: 1 });
  cluster.update(found(spec(1, { health: 'UNHEALTHY' })));
  t.match(world.stats(...names), { membership_change: 2, membership_healthy: 0 });
});

t.test('draining hosts get nothing and are no reason to panic, unlike unhealthy ones', async (t) => {
  for (const [health, panics, excluded] of [
    ['DRAINING', false, 2],
    ['UNHEALTHY', true, 0],
  ] as const) {
    const world = createWorld();
    const set = world.cluster(staticCluster([{ port: 1 }, { port: 2, health }, { port: 3, health }])).hosts
      .value;
    t.ok(set);
    if (set) t.strictSame(priorityLoad(set, 50).panic, [panics], health);
    t.equal(world.stat('membership_excluded'), excluded, health);
  }
});

t.test('max_host_weight is shown for discovered members only, as in Envoy', async (t) => {
  const world = createWorld();
  const cluster = world.cluster({ name: 'c', type: 'STRICT_DNS' });
  cluster.update(found(spec(1, { weight: 7 }), spec(2)));
  t.equal(world.stat('max_host_weight'), 7);
});

t.test('two endpoints with one address are two hosts, as in Envoy', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(staticCluster([{ port: 1 }, { port: 1 }]));
  const before = cluster.hosts.value;
  t.equal(world.stat('membership_total'), 2);
  cluster.update(found(spec(1), spec(1)));
  t.equal(cluster.hosts.value, before);
  cluster.update(found(spec(1)));
  t.equal(cluster.hosts.value?.hosts[0], before?.hosts[0]);
  t.equal(world.stat('membership_total'), 1);
});

t.test('hosts are grouped by priority and locality', async (t) => {
  const cluster = createWorld().cluster(staticCluster([]));
  const zone = (name: string) => ({ locality: { region: 'r', zone: name, subZone: '' } });
  cluster.update(found(spec(1, zone('a')), spec(2, zone('b')), spec(3, zone('a')), spec(4, { priority: 2 })));
  const priorities = cluster.hosts.value?.priorities ?? [];
  t.strictSame(
    priorities.map((level) => level.localities.map((l) => [l.zone, l.hosts.map((h) => h.address.port)])),
    [
      [
        ['a', [1, 3]],
        ['b', [2]],
      ],
      [],
      [['', [4]]],
    ],
  );
});

t.test('health bits that others set outlive an update', async (t) => {
  const cluster = createWorld().cluster(staticCluster([{ port: 1 }]));
  const host = cluster.hosts.value?.hosts[0];
  if (host === undefined) throw new Error('no host');
  host.healthFlags |= 1;
  cluster.refreshHealth();
  t.equal(cluster.hosts.value?.priorities[0]?.healthy.length, 0);
  cluster.update(found(spec(1, { health: 'DEGRADED' })));
  t.strictSame(healthFlagNames(host.healthFlags), ['failed_active_hc', 'degraded_eds_health']);
  t.equal(host.availability, 'unhealthy');
});

t.test('answers and failures are counted per host', async (t) => {
  const cluster = createWorld().cluster(staticCluster([{ port: 1 }]));
  const host = cluster.pick();
  host?.onResponse(200, 1);
  host?.onResponse(404, 1);
  host?.onResponse(503, 1);
  host?.onFailure(1);
  host?.onTimeout(100);
  host?.onAbandoned(5);
  t.match(host?.stats, { rqSuccess: 2, rqError: 3, rqTimeout: 1 });
});

t.test('a limit is tested on the sum of all slices', async (t) => {
  const memory = new Int32Array(new SharedArrayBuffer(3 * HOLDING_SLICE * 4));
  const slices = [0, 1, 2].map((i) => createHoldings(memory, i));
  slices.forEach((slice, i) => {
    slice.add(HOLDING.requests, i + 1);
  });
  t.equal(slices[0]?.total(HOLDING.requests), 6);
  t.equal(slices[2]?.total(HOLDING.connections), 0);
  t.throws(() => createHoldings(memory, 3));
});

t.test('what a dead worker held is forgotten in both priorities, what the others hold is not', async (t) => {
  const memory = new HoldingsMemory(3).take().fill(1);
  const kinds = Object.keys(HOLDING).length;
  releaseHoldings(memory, 2);
  for (const priority of [memory.subarray(0, memory.length / 2), memory.subarray(memory.length / 2)]) {
    t.equal(createHoldings(priority, 0).total(HOLDING.requests), 2);
    t.strictSame([...priority.subarray(2 * kinds, 3 * kinds)], new Array(kinds).fill(0));
  }
});

t.test('two workers share a connection limit', async (t) => {
  const memory = new Int32Array(2 * HOLDING_SLICE);
  const limits = { circuitBreakers: { thresholds: [{ maxPendingRequests: 1 }] } };
  const hosts = [0, 1].map((slice) => {
    const world = createWorld();
    t.teardown(world.close);
    const cluster = world.cluster.bind(null, staticCluster([{ port: 1 }], limits));
    Object.assign(world.context, { holdings: () => createHoldings(memory, slice) });
    return cluster().hosts.value?.hosts[0];
  });
  const requests = hosts.map((host) => {
    const request = new FakeRequest();
    host?.http.open(request);
    return request;
  });
  t.equal(requests[0]?.failure, undefined);
  t.equal(requests[1]?.failure?.kind, 'overflow');
});

t.test('the queue keeps its order through removals', async (t) => {
  const queue = new RequestQueue<{ readonly n: number }>();
  const items = Array.from({ length: 500 }, (_, n) => ({ n }));
  for (const item of items) queue.push(item);
  for (const item of items) if (item.n % 3 === 0) t.equal(queue.remove(item), true);
  const out: number[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) out.push(item.n);
  t.strictSame(
    out,
    items.map((item) => item.n).filter((n) => n % 3 !== 0),
  );
  t.equal(queue.size, 0);
  t.equal(queue.remove({ n: 1 }), false);
});

t.test("a cluster shows the statistics of Envoy's, no more and no less", async (t) => {
  const world = createWorld();
  world.cluster(
    staticCluster([{ port: 1 }], { name: 'd', circuitBreakers: { thresholds: [{ trackRemaining: true }] } }),
  );
  const expected = await readFile(new URL('envoy-cluster-stats.txt', import.meta.url), 'utf8');
  // Envoy makes this one with the first response.
  const lazy = 'cluster.d.upstream_rq_time';
  const ours = /\.(upstream_rq_replayed|retry_budget_remaining)$/;
  t.strictSame(
    world.names('cluster.d.').filter((name) => name !== lazy && !ours.test(name)),
    expected.trim().split('\n'),
  );
});

t.test('what remains of a limit is right over two workers', async (t) => {
  const memory = new Int32Array(2 * HOLDING_SLICE);
  const limits = { circuitBreakers: { thresholds: [{ maxRequests: 10, trackRemaining: true }] } };
  const remaining = [0, 1].map((slice) => {
    const world = createWorld();
    Object.assign(world.context, { primary: slice === 0, holdings: () => createHoldings(memory, slice) });
    const host = world.cluster(staticCluster([{ port: 1 }], limits)).hosts.value?.hosts[0];
    for (let i = 0; i < 2; i++) {
      host?.http.open(new FakeRequest());
      world.connect(i);
    }
    return world.stat('circuit_breakers.default.remaining_rq');
  });
  t.equal((remaining[0] ?? 0) + (remaining[1] ?? 0), 6);
});
