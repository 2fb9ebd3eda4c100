import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../../src/config/cluster.ts';
import { Cell } from '../../../src/core/cell.ts';
import type { Cluster } from '../../../src/upstream/cluster.ts';
import type { HostSpec } from '../../../src/upstream/cluster-hosts.ts';
import type { AggregateMember } from '../../../src/upstream/lb/aggregate.ts';
import { ANY_HOST } from '../../../src/upstream/lb/load-balancer.ts';
import { effectiveWeight } from '../../../src/upstream/lb/locality.ts';
import { MetadataMatch } from '../../../src/upstream/lb/metadata-match.ts';
import { createWorld } from '../fakes.ts';

function spec(port: number, zone = '', more: Partial<HostSpec> = {}): HostSpec {
  return {
    address: { ip: '127.0.0.1', port, path: '' },
    hostname: '',
    weight: 1,
    health: 'UNKNOWN',
    priority: 0,
    locality: { region: 'r', zone, subZone: '' },
    localityWeight: 0,
    metadata: null,
    ...more,
  };
}

/** Part of 4000 picks that each port got. */
function shares(cluster: Cluster, context = ANY_HOST): Record<number, number> {
  const counts: Record<number, number> = {};
  for (let i = 0; i < 4000; i++) {
    const port = cluster.pick(context)?.address.port ?? 0;
    counts[port] = (counts[port] ?? 0) + 1 / 4000;
  }
  return counts;
}

const near = (value: number | undefined, expected: number): boolean =>
  Math.abs((value ?? 0) - expected) < 0.03;

t.test('a locality loses weight as more than its surplus of hosts is gone', async (t) => {
  t.equal(effectiveWeight({ weight: 10, eligible: 10 }, 10, 140), 10);
  t.equal(effectiveWeight({ weight: 10, eligible: 10 }, 8, 140), 10);
  t.equal(effectiveWeight({ weight: 10, eligible: 10 }, 5, 140), 7);
  t.equal(effectiveWeight({ weight: 10, eligible: 10 }, 0, 140), 0);
});

/** A cluster as seen from zone a, where one in `callers` of all callers is. */
function zoned(callers: readonly string[], hosts: readonly string[], more: ClusterConfig = {}) {
  const world = createWorld();
  const local = world.cluster({ name: 'local' });
  local.update({ hosts: callers.map((zone, i) => spec(i + 1, zone)), overprovisioningFactor: 140 });
  const localPeers = {
    locality: { region: 'r', zone: 'a', subZone: '' },
    hosts: () => local.hosts.value,
  };
  const commonLbConfig = { zoneAwareLbConfig: { minClusterSize: 1 } };
  const cluster = compileCluster({ name: 'c', commonLbConfig, ...more }, { ...world.context, localPeers });
  const members = hosts.map((zone, i) => spec(i + 1, zone));
  cluster.update({ hosts: members, overprovisioningFactor: 140 });
  return { world, local, cluster };
}

t.test('requests stay in the zone when it has as many hosts as callers', async (t) => {
  const { world, cluster } = zoned(['a', 'b'], ['a', 'b']);
  t.strictSame(Object.keys(shares(cluster)), ['1']);
  t.equal(world.stat('lb_zone_routing_all_directly'), 4000);
});

t.test('what the zone cannot take goes to zones with room', async (t) => {
  // Half of the callers are here and a quarter of the hosts: half of the requests stay.
  const { world, cluster } = zoned(['a', 'b'], ['a', 'b', 'c', 'c']);
  const got = shares(cluster);
  t.ok(near(got[1], 0.5), `${got[1]}`);
  t.notOk(got[2], 'zone b has more callers than hosts');
  t.ok(near((got[3] ?? 0) + (got[4] ?? 0), 0.5));
  t.equal(world.stat('lb_zone_routing_sampled') + world.stat('lb_zone_routing_cross_zone'), 4000);
});

t.test('zones count for nothing where the local cluster is elsewhere, or the cluster is small', async (t) => {
  const stranger = zoned(['b', 'c'], ['a', 'b']);
  t.ok(near(shares(stranger.cluster)[1], 0.5));
  t.equal(stranger.world.stat('lb_local_cluster_not_ok'), 1);
  const small = zoned(['a', 'b'], ['a', 'b'], { commonLbConfig: {} });
  t.ok(near(shares(small.cluster)[1], 0.5));
  t.equal(small.world.stat('lb_zone_cluster_too_small'), 1);
});

t.test('zones are worked out anew when the callers change', async (t) => {
  const { local, cluster } = zoned(['a', 'b'], ['a', 'b']);
  t.strictSame(Object.keys(shares(cluster)), ['1']);
  local.update({
    hosts: [spec(1, 'a'), spec(2, 'a'), spec(3, 'a'), spec(4, 'b')],
    overprovisioningFactor: 140,
  });
  t.ok(near(shares(cluster)[1], 2 / 3));
});

const staged = (port: number, stage: unknown): HostSpec =>
  spec(port, '', { metadata: { 'envoy.lb': { stage } } });
const asking = (stage: string) => ({ ...ANY_HOST, metadataMatch: MetadataMatch.merge(null, { stage }) });

t.test('subsets follow the hosts: health keeps them, metadata moves them', async (t) => {
  const world = createWorld();
  const cluster = world.cluster({ name: 'c', lbSubsetConfig: { subsetSelectors: [{ keys: ['stage'] }] } });
  cluster.update({
    hosts: [staged(1, 'prod'), staged(2, 'prod'), staged(3, 'dev')],
    overprovisioningFactor: 140,
  });
  t.same(world.stats('lb_subsets_active', 'lb_subsets_created', 'lb_subsets_removed'), {
    lb_subsets_active: 2,
    lb_subsets_created: 2,
    lb_subsets_removed: 0,
  });
  t.strictSame(Object.keys(shares(cluster, asking('dev'))), ['3']);
  const [one] = cluster.hosts.value?.hosts ?? [];
  if (one !== undefined) one.healthFlags = 1;
  cluster.refreshHealth();
  t.strictSame(
    Object.keys(shares(cluster, asking('prod'))),
    ['2'],
    'at half of its hosts a subset does not panic',
  );
  t.equal(world.stat('lb_subsets_created'), 2);
  cluster.update({ hosts: [staged(2, 'dev'), staged(3, 'dev')], overprovisioningFactor: 140 });
  t.equal(cluster.pick(asking('prod')), undefined);
  t.strictSame(Object.keys(shares(cluster, asking('dev'))), ['2', '3']);
  t.same(world.stats('lb_subsets_active', 'lb_subsets_removed'), {
    lb_subsets_active: 1,
    lb_subsets_removed: 1,
  });
});

t.test('criteria have one text whatever their order, and keep types apart', async (t) => {
  const id = (fields: object): string | undefined => MetadataMatch.merge(null, fields)?.id;
  t.equal(id({ a: 1, b: { x: 1, y: [2] } }), id({ b: { y: [2], x: 1 }, a: 1 }));
  t.not(id({ a: 1 }), id({ a: '1' }));
  t.not(id({ a: '1', b: '2' }), id({ a: '1', 'b": "2': '' }));
  t.equal(MetadataMatch.merge(MetadataMatch.merge(null, { a: 1, b: 2 }), { b: 3 })?.id, id({ a: 1, b: 3 }));
});

t.test('an aggregate cluster uses the clusters in turn, with their own hosts', async (t) => {
  const world = createWorld();
  const cells: Record<string, Cell<AggregateMember>> = { one: new Cell(), two: new Cell() };
  const aggregate = compileCluster(
    {
      name: 'aggregate',
      lbPolicy: 'CLUSTER_PROVIDED',
      clusterType: {
        name: 'envoy.clusters.aggregate',
        typedConfig: {
          type: 'envoy.extensions.clusters.aggregate.v3.ClusterConfig',
          value: { clusters: ['one', 'two'] },
        },
      },
    },
    { ...world.context, clusterCell: (name) => cells[name] ?? new Cell() },
  );
  t.equal(aggregate.warm, true);
  t.equal(aggregate.pick(), undefined, 'none of its clusters is there');
  const [one, two] = ['one', 'two'].map((name) => world.cluster({ name }));
  for (const [cell, cluster, port] of [
    [cells.one, one, 1],
    [cells.two, two, 3],
  ] as const) {
    cluster?.update({ hosts: [spec(port), spec(port + 1)], overprovisioningFactor: 140 });
    if (cell !== undefined) cell.value = cluster;
  }
  t.strictSame(Object.keys(shares(aggregate)), ['1', '2']);
  t.ok(one?.hosts.value?.hosts.includes(aggregate.pick() ?? (undefined as never)));
  const [first] = one?.hosts.value?.hosts ?? [];
  if (first !== undefined) first.healthFlags = 1;
  one?.refreshHealth();
  t.ok(near(shares(aggregate)[2], 0.7), 'the news of a cluster arrive');
});

t.test('slow start: a new host begins with a part of its weight', async (t) => {
  const world = createWorld();
  const cluster = world.cluster({
    name: 'c',
    roundRobinLbConfig: { slowStartConfig: { slowStartWindow: 10_000 } },
  });
  cluster.update({ hosts: [spec(1)], overprovisioningFactor: 140 });
  world.clock.ms += 20_000;
  cluster.update({ hosts: [spec(1), spec(2)], overprovisioningFactor: 140 });
  t.ok(near(shares(cluster)[2], 0.1 / 1.1), 'a tenth at first');
  world.clock.ms += 5000;
  t.ok(near(shares(cluster)[2], 0.5 / 1.5), 'half of it half way');
  world.clock.ms += 5000;
  t.ok(near(shares(cluster)[2], 0.5), 'all of it in the end');
});
