import t from 'tap';
import { compileCluster } from '../../src/config/cluster.ts';
import type { HostHealth } from '../../src/upstream/health-view.ts';
import { HEALTH_FLAG, healthFlagNames } from '../../src/upstream/host.ts';
import { createOutlierRecord, PROBATION, setProbation } from '../../src/upstream/outlier-record.ts';
import { createWorld, FakeConnection, FakeRequest, staticCluster } from './fakes.ts';

const ONE = '127.0.0.1:1';
const TWO = '127.0.0.1:2';

/** A cluster of two hosts as worker 1 of 2 sees it. */
function setUp(known: readonly HostHealth[], config = {}) {
  const world = createWorld();
  t.teardown(world.close);
  const signals: string[] = [];
  const cluster = compileCluster(
    staticCluster([{ port: 1 }, { port: 2 }], {
      outlierDetection: { consecutive5xx: 2 },
      commonLbConfig: { healthyPanicThreshold: { value: 0 } },
      ...config,
    }),
    {
      ...world.context,
      health: {
        worker: 1,
        runtime: () => undefined,
        hosts: () => known,
        signal: (name, host, signal) => void signals.push(`${name} ${host} ${signal}`),
      },
    },
  );
  const host = (key: string) => {
    const found = cluster.hosts.value?.hosts.find((each) => each.key === key);
    if (found === undefined) throw new Error(`no host ${key}`);
    return found;
  };
  const picks = (n: number): string[] => Array.from({ length: n }, () => cluster.pick()?.key ?? 'none');
  return { world, cluster, host, picks, signals };
}

const record = (): Int32Array => createOutlierRecord(2);

t.test('hosts begin with the health that is known, and report what happens to them', async (t) => {
  const { host, picks, signals } = setUp([
    { key: ONE, flags: 0, record: record() },
    { key: TWO, flags: HEALTH_FLAG.failedActiveHc, record: record() },
  ]);
  t.same(picks(3), [ONE, ONE, ONE]);
  host(ONE).onResponse(500, 1);
  host(ONE).onFailure(1);
  t.same(signals, [`c ${ONE} status5xx`]);
  host(ONE).onResponse(200, 1);
  host(ONE).onTimeout(1);
  host(ONE).onTimeout(1);
  t.equal(signals.length, 2);
});

t.test('news change what is picked; what discovery says of a host stays', async (t) => {
  const { cluster, picks, host } = setUp([
    { key: ONE, flags: 0, record: record() },
    { key: TWO, flags: 0, record: record() },
  ]);
  host(TWO).healthFlags |= HEALTH_FLAG.degradedEdsHealth;
  cluster.applyHealth([{ key: ONE, flags: HEALTH_FLAG.failedOutlierCheck, record: null }]);
  t.same(picks(2), [TWO, TWO]);
  cluster.applyHealth([{ key: TWO, flags: HEALTH_FLAG.failedOutlierCheck, record: null }]);
  t.same(picks(1), ['none']);
  t.same(healthFlagNames(host(TWO).healthFlags), ['failed_outlier_check', 'degraded_eds_health']);
  cluster.applyHealth([
    { key: ONE, flags: 0, record: null },
    { key: '127.0.0.1:9', flags: 1, record: null },
  ]);
  t.same(picks(2), [ONE, ONE]);
});

t.test('a host on probation takes one request; the others go elsewhere', async (t) => {
  const shared = record();
  const { cluster, picks, host } = setUp(
    [
      { key: ONE, flags: HEALTH_FLAG.failedOutlierCheck, record: shared },
      { key: TWO, flags: HEALTH_FLAG.failedOutlierCheck, record: record() },
    ],
    {
      outlierDetection: {
        monitors: [
          {
            typedConfig: {
              type: 'inox.outlier_detection_monitors.failure_accrual.v1.FailureAccrual',
              value: {},
            },
          },
        ],
      },
    },
  );
  t.same(picks(1), ['none']);
  setProbation(shared, PROBATION.offered);
  cluster.applyHealth([{ key: ONE, flags: HEALTH_FLAG.onProbation, record: shared }]);
  t.same(picks(3), [ONE, 'none', 'none']);
  setProbation(shared, PROBATION.taken);
  cluster.applyHealth([{ key: ONE, flags: HEALTH_FLAG.onProbation, record: shared }]);
  t.same(picks(2), ['none', 'none'], 'another worker was faster');
  t.equal(host(ONE).availability, 'unhealthy');
});

t.test('a cluster that nobody watches pays nothing', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(staticCluster([{ port: 1 }]));
  t.equal(cluster.settings.health, null);
  t.equal(cluster.pick()?.monitor, null);
  t.equal(cluster.pick()?.check, null);
});

t.test('a response may ask to be left out when there are active checks', async (t) => {
  const check = {
    timeout: 1,
    interval: 1,
    unhealthyThreshold: 1,
    healthyThreshold: 1,
    httpHealthCheck: { path: '/' },
  };
  const { host, signals } = setUp([{ key: ONE, flags: 0, record: record() }], { healthChecks: [check] });
  host(ONE).check?.onResponse(['content-length', '0']);
  t.same(signals, []);
  host(ONE).check?.onResponse(['x-envoy-immediate-health-check-fail', '1']);
  t.same(signals, [`c ${ONE} immediate-failure`]);
});

t.test('a host that fails gives up the connections it has; later ones stay', async (t) => {
  for (const close of [false, true]) {
    const { world, cluster, host } = setUp([{ key: ONE, flags: 0, record: record() }], {
      closeConnectionsOnHostHealthFailure: close,
    });
    const [first, second, third] = [new FakeRequest(), new FakeRequest(), new FakeRequest()];
    host(ONE).http.open(first);
    const busy = world.connect(0);
    host(ONE).http.open(second);
    const idle = world.connect(1);
    idle.complete();
    const tcp = new FakeConnection(host(ONE).address);
    host(ONE).tcp.dial({ onTcpReady: () => {}, onTcpFailure: () => {} });
    world.dials[2]?.listener.onConnected(tcp);
    cluster.applyHealth([{ key: ONE, flags: HEALTH_FLAG.failedActiveHc, record: null }]);
    t.equal(idle.destroyed, true, 'idle connections close');
    t.equal(busy.destroyed, false, 'busy ones after their requests');
    t.equal(tcp.destroyed, close, 'TCP only when it is configured');
    busy.complete();
    t.equal(busy.destroyed, true);
    host(ONE).http.open(third);
    const later = world.connect(3);
    later.complete();
    t.equal(later.destroyed, false);
  }
});
