import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { OutlierDetector, type OutlierHost } from '../../src/upstream/outlier-detector.ts';
import { OutlierMonitor } from '../../src/upstream/outlier-monitor.ts';
import { createOutlierRecord } from '../../src/upstream/outlier-record.ts';
import {
  ACCRUAL_DEFAULTS,
  OUTLIER_DEFAULTS,
  type OutlierSettings,
} from '../../src/upstream/outlier-settings.ts';

/** A detector with monitors of several workers under a clock that the test moves. */
function setUp(hosts: number, changes: Partial<OutlierSettings> = {}, workers = 1, seed = 1) {
  const settings = { ...OUTLIER_DEFAULTS, maxEjectionPercent: 100, ...changes };
  const log: string[] = [];
  const clock = { nowMs: 0 };
  const detector = new OutlierDetector(settings, createRandom(seed), {
    onDetected: (type) => log.push(`detected ${type}`),
    onEjected: (host, type, enforced) =>
      log.push(`${enforced ? 'ejected' : 'spared'} ${host.key} ${type} ${host.ejections}`),
    onOverflow: () => log.push('overflow'),
    onUnejected: (host) => log.push(`back ${host.key}`),
    onProbation: (host) => log.push(`probation ${host.key}`),
    onProbeFailed: (host) => log.push(`refused ${host.key}`),
  });
  const all: { host: OutlierHost; monitors: OutlierMonitor[] }[] = [];
  for (let i = 0; i < hosts; i++) {
    const record = createOutlierRecord(workers);
    const host = detector.addHost(`h${i}`, record);
    const monitors = Array.from(
      { length: workers },
      (_, worker) =>
        new OutlierMonitor(settings, record, worker, (signal) =>
          detector.onSignal(host.key, signal, clock.nowMs),
        ),
    );
    all.push({ host, monitors });
  }
  const monitor = (host: number, worker = 0): OutlierMonitor => {
    const found = all[host]?.monitors[worker];
    if (found === undefined) throw new Error('no such monitor');
    return found;
  };
  const say = (host: number, statuses: readonly number[], worker = 0): void => {
    for (const status of statuses) monitor(host, worker).onStatus(status);
  };
  const sweepAt = (nowMs: number): void => {
    clock.nowMs = nowMs;
    detector.sweep(nowMs);
  };
  const takeLog = (): string[] => log.splice(0);
  return { detector, clock, monitor, say, sweepAt, takeLog };
}

const many = (n: number, status: number): number[] => Array.from({ length: n }, () => status);

t.test('ejects after consecutive_5xx failures, counted over all workers together', async (t) => {
  const { say, takeLog } = setUp(2, {}, 4);
  say(0, [500, 500], 0);
  say(0, [500], 1);
  say(0, [500], 2);
  t.same(takeLog(), []);
  say(0, [500], 3);
  t.same(takeLog(), ['detected CONSECUTIVE_5XX', 'ejected h0 CONSECUTIVE_5XX 1']);
});

t.test('a success on any worker ends the run', async (t) => {
  const { say, takeLog } = setUp(1, {}, 2);
  say(0, many(4, 503), 0);
  say(0, [200], 1);
  say(0, many(4, 503), 0);
  t.same(takeLog(), []);
  say(0, [503], 1);
  t.match(takeLog(), ['detected CONSECUTIVE_GATEWAY_FAILURE', /spared/, /detected/, /ejected/]);
});

t.test('gateway failures have a run of their own that a 500 ends', async (t) => {
  const enforcing = { ...OUTLIER_DEFAULTS.enforcing, CONSECUTIVE_GATEWAY_FAILURE: 100 };
  const { say, takeLog } = setUp(2, { consecutive5xx: 100, consecutiveGatewayFailure: 3, enforcing });
  say(0, [502, 503, 500, 504, 502]);
  t.same(takeLog(), []);
  say(0, [503]);
  t.same(takeLog(), ['detected CONSECUTIVE_GATEWAY_FAILURE', 'ejected h0 CONSECUTIVE_GATEWAY_FAILURE 1']);
});

t.test('after an ejection the counters start again, and an ejected host is not ejected twice', async (t) => {
  const { say, takeLog, detector, sweepAt } = setUp(2);
  say(0, many(12, 500));
  t.same(takeLog(), ['detected CONSECUTIVE_5XX', 'ejected h0 CONSECUTIVE_5XX 1']);
  t.equal(detector.active, 1);
  sweepAt(30_000);
  t.same(takeLog(), ['back h0']);
  say(0, many(4, 500));
  t.same(takeLog(), []);
  say(0, [500]);
  t.same(takeLog(), ['detected CONSECUTIVE_5XX', 'ejected h0 CONSECUTIVE_5XX 2']);
});

t.test('ejection lasts base × times, and the multiplier falls by one per quiet sweep', async (t) => {
  const { say, takeLog, sweepAt } = setUp(2, { maxEjectionMs: 300_000 });
  say(0, many(5, 500));
  sweepAt(29_999);
  t.equal(takeLog().length, 2);
  sweepAt(30_000);
  t.same(takeLog(), ['back h0']);
  say(0, many(5, 500));
  takeLog();
  sweepAt(89_999);
  t.same(takeLog(), []);
  sweepAt(90_000);
  t.same(takeLog(), ['back h0']);
  sweepAt(100_000);
  sweepAt(110_000);
  say(0, many(5, 500));
  takeLog();
  sweepAt(139_999);
  t.same(takeLog(), []);
  sweepAt(140_000);
  t.same(takeLog(), ['back h0']);
});

t.test('max_ejection_time limits the wait', async (t) => {
  const { say, takeLog, sweepAt } = setUp(1, { baseEjectionMs: 10_000, maxEjectionMs: 15_000 });
  let now = 0;
  for (const wait of [10_000, 15_000, 15_000]) {
    say(0, many(5, 500));
    takeLog();
    sweepAt(now + wait - 1);
    t.same(takeLog(), []);
    sweepAt(now + wait);
    t.same(takeLog(), ['back h0']);
    now += wait;
  }
});

t.test('max_ejection_percent and always_eject_one_host', async (t) => {
  const few = setUp(5, { maxEjectionPercent: 10 });
  few.say(0, many(5, 500));
  t.same(few.takeLog(), ['detected CONSECUTIVE_5XX', 'overflow']);
  const one = setUp(5, { maxEjectionPercent: 10, alwaysEjectOneHost: true });
  one.say(0, many(5, 500));
  one.say(1, many(5, 500));
  t.same(one.takeLog().slice(1), ['ejected h0 CONSECUTIVE_5XX 1', 'detected CONSECUTIVE_5XX', 'overflow']);
  const half = setUp(4, { maxEjectionPercent: 50 });
  for (const host of [0, 1, 2]) half.say(host, many(5, 500));
  t.equal(half.detector.active, 2);
  half.detector.removeHost('h0');
  t.equal(half.detector.active, 1, 'a host that is gone is not ejected any more');
});

t.test('enforcing percentages spare hosts', async (t) => {
  const enforcing = { ...OUTLIER_DEFAULTS.enforcing, CONSECUTIVE_5XX: 0 };
  const { say, takeLog, detector } = setUp(2, { enforcing });
  say(0, many(10, 500));
  t.same(takeLog(), [
    'detected CONSECUTIVE_5XX',
    'spared h0 CONSECUTIVE_5XX 0',
    'detected CONSECUTIVE_5XX',
    'spared h0 CONSECUTIVE_5XX 0',
  ]);
  t.equal(detector.active, 0);
});

t.test('success rate: the published example', async (t) => {
  // {50, 100, 100, 100, 100}: mean 90, deviation 20, threshold 90 − 1.9 × 20 = 52.
  const { say, sweepAt, takeLog, detector } = setUp(5, { consecutive5xx: 0 });
  for (const host of [1, 2, 3, 4]) say(host, many(100, 200));
  say(0, [...many(50, 200), ...many(50, 500)]);
  sweepAt(10_000);
  t.same(detector.external, { average: 90, threshold: 52 });
  t.same(takeLog(), ['detected SUCCESS_RATE', 'ejected h0 SUCCESS_RATE 1']);
  t.equal(detector.hosts.get('h0')?.successRate, 50);
  sweepAt(20_000);
  t.same(detector.external, { average: -1, threshold: -1 }, 'each interval stands alone');
  t.equal(detector.hosts.get('h1')?.successRate, -1);
});

t.test('success rate: too few hosts or too few requests say nothing', async (t) => {
  const four = setUp(4, { consecutive5xx: 0 });
  for (const host of [0, 1, 2]) four.say(host, many(100, 200));
  four.say(3, many(100, 500));
  four.sweepAt(10_000);
  t.same(four.takeLog(), []);
  const quiet = setUp(5, { consecutive5xx: 0 });
  for (const host of [0, 1, 2, 3]) quiet.say(host, many(99, 200));
  quiet.say(4, many(99, 500));
  quiet.sweepAt(10_000);
  t.same(quiet.takeLog(), ['detected FAILURE_PERCENTAGE', 'spared h4 FAILURE_PERCENTAGE 0']);
});

t.test('failure percentage ejects at its threshold', async (t) => {
  const enforcing = { ...OUTLIER_DEFAULTS.enforcing, FAILURE_PERCENTAGE: 100 };
  const { say, sweepAt, takeLog } = setUp(5, { consecutive5xx: 0, enforcing });
  say(0, [...many(16, 200), ...many(84, 500)]);
  say(1, [...many(15, 200), ...many(85, 500)]);
  for (const host of [2, 3, 4]) say(host, many(50, 200));
  sweepAt(10_000);
  t.same(takeLog(), ['detected FAILURE_PERCENTAGE', 'ejected h1 FAILURE_PERCENTAGE 1']);
});

t.test('local failures count as 503 and 504, or apart when the configuration splits them', async (t) => {
  const together = setUp(1);
  for (let i = 0; i < 3; i++) together.monitor(0).onLocalFailure(503);
  for (let i = 0; i < 2; i++) together.monitor(0).onLocalFailure(504);
  t.match(together.takeLog().at(-1), /ejected h0 CONSECUTIVE_5XX/);
  const apart = setUp(1, { splitLocalOrigin: true, consecutiveLocalOriginFailure: 3 });
  apart.say(0, many(4, 500));
  apart.monitor(0).onLocalFailure(503);
  apart.monitor(0).onLocalFailure(503);
  apart.monitor(0).onConnected();
  apart.monitor(0).onLocalFailure(503);
  apart.monitor(0).onLocalFailure(504);
  t.same(apart.takeLog(), []);
  apart.monitor(0).onLocalFailure(503);
  t.same(apart.takeLog(), [
    'detected CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
    'ejected h0 CONSECUTIVE_LOCAL_ORIGIN_FAILURE 1',
  ]);
});

t.test('a successful active health check brings a host back, unless it must not', async (t) => {
  const { say, detector, takeLog } = setUp(1);
  say(0, many(5, 500));
  takeLog();
  detector.onHealthCheckSuccess('h0', 1);
  t.same(takeLog(), ['back h0']);
  const stern = setUp(1, { healthCheckUnejects: false });
  stern.say(0, many(5, 500));
  stern.takeLog();
  stern.detector.onHealthCheckSuccess('h0', 1);
  t.same(stern.takeLog(), []);
});

t.test('failure accrual: one probe decides, the back-off doubles up to its limit', async (t) => {
  const accrual = { ...ACCRUAL_DEFAULTS, maxFailures: 3, maxPenaltyMs: 4000, jitterRatio: 0 };
  const { say, detector, takeLog, monitor, clock } = setUp(2, { accrual, consecutive5xx: 0 }, 2);
  say(0, [500, 500], 0);
  say(0, [500], 1);
  t.same(takeLog(), ['detected EXTENSION', 'ejected h0 EXTENSION 1']);
  let now = 0;
  for (const penalty of [1000, 2000, 4000, 4000]) {
    t.equal(detector.wake(now + penalty - 1), now + penalty, `shut for ${penalty} ms`);
    t.same(takeLog(), []);
    now += penalty;
    clock.nowMs = now;
    detector.wake(now);
    t.same(takeLog(), ['probation h0']);
    t.equal(monitor(0, 1).takeProbe(), true);
    t.equal(monitor(0, 0).takeProbe(), false, 'only one');
    say(0, [500], 0);
    t.ok(detector.hosts.get('h0')?.ejected, 'a late answer elsewhere decides nothing');
    say(0, [503], 1);
    t.same(takeLog(), ['refused h0']);
    t.equal(monitor(0, 0).takeProbe(), false);
  }
  clock.nowMs = now + 4000;
  detector.sweep(clock.nowMs);
  t.same(takeLog(), [], 'time alone brings nothing back');
  detector.wake(clock.nowMs);
  t.equal(monitor(0, 0).takeProbe(), true);
  monitor(0, 0).onAbandoned();
  t.equal(monitor(0, 1).takeProbe(), true, 'a probe that the client gave up is offered again');
  say(0, [200], 1);
  t.same(takeLog(), ['probation h0', 'probation h0', 'back h0']);
  t.equal(detector.wake(clock.nowMs), Infinity);
  say(0, [500, 500], 0);
  t.same(takeLog(), []);
});

t.test('whatever is reported, no more are out than max_ejection_percent allows', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = createRandom(seed);
    const hosts = 1 + (random.uint32() % 12);
    const maxEjectionPercent = random.uint32() % 101;
    const alwaysEjectOneHost = random.float() < 0.5;
    const accrual = random.float() < 0.5 ? ACCRUAL_DEFAULTS : null;
    const world = setUp(hosts, { maxEjectionPercent, alwaysEjectOneHost, accrual }, 3, seed);
    const allowed = Math.max(Math.floor((hosts * maxEjectionPercent) / 100), alwaysEjectOneHost ? 1 : 0);
    for (let step = 0; step < 400; step++) {
      world.clock.nowMs += random.uint32() % 500;
      const host = random.uint32() % hosts;
      const worker = random.uint32() % 3;
      if (random.float() < 0.05) world.detector.sweep(world.clock.nowMs);
      world.detector.wake(world.clock.nowMs);
      if (random.float() < 0.3) world.monitor(host, worker).takeProbe();
      world.say(host, [random.float() < 0.8 ? 503 : 200], worker);
      const out = [...world.detector.hosts.values()].filter((each) => each.ejected).length;
      if (out !== world.detector.active || out > allowed) {
        t.fail(`seed ${seed}: ${out} of ${hosts} out, ${world.detector.active} counted, ${allowed} allowed`);
        return;
      }
    }
  }
  t.pass('40 seeds');
});
