import t from 'tap';
import type { ClusterHosts } from '../../../src/upstream/cluster-hosts.ts';
import type { Host } from '../../../src/upstream/host.ts';
import { peakEwmaCost } from '../../../src/upstream/lb/peak-ewma.ts';
import { PeakEwma, PeakEwmaSettings } from '../../../src/upstream/lb/peak-ewma-estimator.ts';
import { createWorld, FakeClock, staticCluster } from '../fakes.ts';

function estimator(defaultRttMs: number, decayMs: number) {
  const clock = new FakeClock();
  clock.ms = 0;
  return { clock, ewma: new PeakEwma(new PeakEwmaSettings(defaultRttMs, decayMs, clock)) };
}

t.test('an untouched estimate decays from the default (vector of tower)', async (t) => {
  const { clock, ewma } = estimator(10, 1000);
  t.equal(ewma.estimate(clock.ms), 10);
  t.ok(ewma.estimate(100) > 9 && ewma.estimate(100) < 10);
  t.ok(ewma.estimate(200) > 8 && ewma.estimate(200) < 9);
});

t.test('two overlapping requests of 200 ms (vector of tower)', async (t) => {
  const { clock, ewma } = estimator(20, 1000);
  clock.ms = 300;
  ewma.observe(200);
  t.equal(ewma.estimate(300) * 2, 400, 'one is still in flight');
  clock.ms = 400;
  ewma.observe(200);
  t.equal(Math.round(ewma.estimate(400)), 200);
  t.ok(ewma.estimate(1400) < 100);
  t.ok(ewma.estimate(10_400) < 0.1);
});

t.test('a rise is taken at once, a fall with the decay time', async (t) => {
  const { clock, ewma } = estimator(30, 1000);
  clock.ms = 10_000;
  ewma.observe(5);
  ewma.observe(80);
  t.equal(ewma.estimate(clock.ms), 80);
  ewma.observe(5);
  t.equal(ewma.estimate(clock.ms), 80, 'no time passed');
  clock.ms += 1000;
  ewma.observe(5);
  t.ok(Math.abs(ewma.estimate(clock.ms) - (80 / Math.E + 5 * (1 - 1 / Math.E))) < 1e-9);
});

t.test('how often an estimate is read does not change it', async (t) => {
  const { ewma } = estimator(30, 1000);
  const once = ewma.estimate(700);
  for (let now = 0; now < 700; now++) ewma.estimate(now);
  t.equal(ewma.estimate(700), once);
});

t.test('a fast failure counts as slow, and again only for requests sent after it', async (t) => {
  const { clock, ewma } = estimator(30, 10_000);
  clock.ms = 100_000;
  ewma.observe(2);
  const before = ewma.estimate(clock.ms);
  ewma.observeFailure(1);
  t.equal(ewma.estimate(clock.ms), 30, 'at least the default');
  t.ok(before < 30);
  clock.ms += 1;
  for (let i = 0; i < 50; i++) ewma.observeFailure(20);
  t.ok(ewma.estimate(clock.ms) <= 30, 'these were sent before the penalty');
  clock.ms += 100;
  ewma.observeFailure(20);
  t.ok(ewma.estimate(clock.ms) > 58, 'this one was not');
  ewma.observeFailure(500);
  t.equal(ewma.estimate(clock.ms), 500, 'a slow failure is as slow as it was');
});

t.test('failures alone push an estimate to a ceiling', async (t) => {
  const { clock, ewma } = estimator(30, 10_000);
  for (let i = 0; i < 100; i++) {
    clock.ms += 10;
    ewma.observeFailure(1);
  }
  t.ok(ewma.estimate(clock.ms) <= 3000);
  t.ok(ewma.estimate(clock.ms) > 2000);
});

t.test('an abandoned wait only raises the estimate', async (t) => {
  const { clock, ewma } = estimator(30, 10_000);
  ewma.observeAtLeast(5);
  t.equal(ewma.estimate(clock.ms), 30);
  ewma.observeAtLeast(90);
  t.equal(ewma.estimate(clock.ms), 90);
});

const PEAK_EWMA = {
  loadBalancingPolicy: {
    policies: [
      {
        typedExtensionConfig: {
          name: 'envoy.load_balancing_policies.peak_ewma',
          typedConfig: {
            type: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
            value: { decayTime: 1000, defaultRtt: 20 },
          },
        },
      },
    ],
  },
};

function hostsOf(found: { readonly hosts: readonly Host[] } | undefined): [Host, Host, Host] {
  const [a, b, c] = found?.hosts ?? [];
  if (a === undefined || b === undefined || c === undefined) throw new Error('expected three hosts');
  return [a, b, c];
}

function setUp(weight = 1) {
  const world = createWorld(7);
  const config = staticCluster([{ port: 1, weight }, { port: 2 }, { port: 3 }], PEAK_EWMA);
  const cluster = world.cluster(config);
  const hosts = hostsOf(cluster.hosts.value);
  const count = (picks: number): number[] => {
    const counts = new Map<Host | undefined, number>();
    for (let i = 0; i < picks; i++) {
      const host = cluster.pick();
      counts.set(host, (counts.get(host) ?? 0) + 1);
    }
    return hosts.map((host) => counts.get(host) ?? 0);
  };
  return { world, cluster, hosts, count };
}

t.test('cost is estimate × (in flight + 1) / weight', async (t) => {
  const { world, hosts } = setUp(2);
  t.equal(peakEwmaCost(hosts[0], world.clock.ms), 10);
  hosts[1].inflight = 3;
  t.equal(peakEwmaCost(hosts[1], world.clock.ms), 80);
});

t.test('equal hosts share, a dearer host loses every comparison', async (t) => {
  const { hosts, count } = setUp();
  for (const n of count(3000)) t.ok(n > 900 && n < 1100, `${n}`);
  hosts[0].inflight = 1;
  const [a, b, c] = count(3000);
  t.equal(a, 0);
  t.ok(Math.abs((b ?? 0) - (c ?? 0)) < 200);
});

t.test('an idle host does not draw all traffic: its estimate has a floor', async (t) => {
  const { world, hosts, count } = setUp();
  for (const host of hosts) host.onResponse(200, 50);
  world.clock.ms += 20_000;
  hosts[1].onResponse(200, 50);
  hosts[2].onResponse(200, 50);
  hosts[0].inflight = 11;
  t.equal(count(1000)[0], 0, 'eleven requests on the idle host are dearer than one on a busy host');
});

t.test('estimates and identity outlive an update of the host set', async (t) => {
  const { world, cluster, hosts } = setUp();
  hosts[0].onResponse(200, 400);
  const found: ClusterHosts = {
    hosts: hosts.slice(0, 2).map((host) => ({ ...host, health: 'UNKNOWN' as const })),
    overprovisioningFactor: 140,
  };
  cluster.update(found);
  t.equal(cluster.hosts.value?.hosts[0], hosts[0]);
  t.equal(peakEwmaCost(hosts[0], world.clock.ms), 400);
});

t.test('one host needs no comparison, none gives nobody', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(staticCluster([{ port: 1 }], PEAK_EWMA));
  t.equal(cluster.pick(), cluster.hosts.value?.hosts[0]);
  cluster.update({ hosts: [], overprovisioningFactor: 140 });
  t.equal(cluster.pick(), undefined);
  t.equal(world.stat('upstream_cx_none_healthy'), 1);
});
