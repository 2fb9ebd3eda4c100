import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import { StatStore } from '../../src/stats/store.ts';
import {
  createHealthCheckStats,
  type HealthCheckHappening,
  HealthCheckSession,
  type ProbeListener,
} from '../../src/upstream/health-check-session.ts';
import type { HealthCheckSettings } from '../../src/upstream/health-check-settings.ts';
import { HEALTH_FLAG, healthFlagNames } from '../../src/upstream/host.ts';

const SETTINGS: HealthCheckSettings = {
  timeoutMs: 1000,
  intervalMs: 10_000,
  noTrafficIntervalMs: 60_000,
  noTrafficHealthyIntervalMs: 90_000,
  unhealthyIntervalMs: 3000,
  unhealthyEdgeIntervalMs: 2000,
  healthyEdgeIntervalMs: 5000,
  initialJitterMs: 0,
  intervalJitterMs: 0,
  intervalJitterPercent: 0,
  minIntervalMs: 0,
  maxIntervalMs: Number.MAX_SAFE_INTEGER,
  unhealthyThreshold: 3,
  healthyThreshold: 2,
  reuseConnection: true,
  alwaysLogFailures: false,
  alwaysLogSuccess: false,
  eventLogPaths: [],
  alpn: [],
  transportCriteria: null,
  probe: { kind: 'TCP', send: null, receive: [], proxyProtocol: null },
};

/** A session under a clock that the test moves; the test is the host that answers. */
function setUp(
  changes: Partial<HealthCheckSettings> = {},
  flags: number = HEALTH_FLAG.failedActiveHc,
  seed = 1,
) {
  const clock = { nowMs: 0, now: () => clock.nowMs, wall: () => clock.nowMs };
  const timers = new TimerWheel(clock);
  const events: HealthCheckHappening[] = [];
  const results: boolean[] = [];
  const sent: number[] = [];
  const world = { traffic: true, abandoned: 0, listener: null as ProbeListener | null };
  const owner = {
    flags,
    onChecked: (healthy: boolean) => void results.push(healthy),
    onHappening: (event: HealthCheckHappening) => void events.push(event),
  };
  const store = new StatStore();
  const stats = createHealthCheckStats(store.root.scope('cluster.x'));
  const session = new HealthCheckSession(
    {
      settings: { ...SETTINGS, ...changes },
      stats,
      timers,
      random: createRandom(seed),
      hasTraffic: () => world.traffic,
    },
    owner,
    (listener) => {
      world.listener = listener;
      return {
        send: () => void sent.push(clock.nowMs),
        abandon: () => void world.abandoned++,
        close: () => {},
      };
    },
  );
  /** Lets time pass in steps of the timer wheel. */
  const pass = (ms: number): void => {
    const end = clock.nowMs + ms;
    while (clock.nowMs < end) {
      clock.nowMs = Math.min(end, clock.nowMs + 10);
      timers.advance();
    }
  };
  timers.close();
  const answer = (kind: 'ok' | 'degraded' | 'no' | 'retriable' | 'network'): void => {
    const { listener } = world;
    if (kind === 'ok' || kind === 'degraded') listener?.onSuccess(kind === 'degraded');
    else if (kind === 'network') listener?.onFailure('NETWORK', false);
    else listener?.onFailure('ACTIVE', kind === 'retriable', 503);
  };
  /** Time from now to the next check, to the wheel's 10 ms. */
  const untilNext = (): number => {
    const count = sent.length;
    const from = clock.nowMs;
    for (let i = 0; i < 20_000 && sent.length === count; i++) pass(10);
    return Math.round((clock.nowMs - from - 10) / 100) * 100;
  };
  const names = (): readonly string[] => healthFlagNames(owner.flags);
  t.teardown(() => timers.close());
  return { session, owner, events, results, sent, world, pass, answer, untilNext, names };
}

t.test('checks at once, and the first success is believed', async (t) => {
  const { session, sent, answer, names, untilNext, events } = setUp();
  session.start();
  t.same(sent, [0]);
  answer('ok');
  t.same(names(), []);
  t.equal(untilNext(), 10_000);
  t.same(events, [{ kind: 'add_healthy_event', firstCheck: true }]);
});

t.test('a host that says no is out at once, and comes back after healthy_threshold', async (t) => {
  const { session, answer, names, untilNext } = setUp();
  session.start();
  answer('ok');
  untilNext();
  answer('no');
  t.same(names(), ['failed_active_hc']);
  t.equal(untilNext(), 3000, 'unhealthy_interval');
  answer('ok');
  t.same(names(), ['failed_active_hc']);
  t.equal(untilNext(), 5000, 'healthy_edge_interval');
  answer('ok');
  t.same(names(), []);
  t.equal(untilNext(), 10_000);
});

t.test('the network and retriable statuses have unhealthy_threshold tries', async (t) => {
  const { session, answer, names, untilNext } = setUp();
  session.start();
  answer('ok');
  untilNext();
  answer('network');
  t.same(names(), []);
  t.equal(untilNext(), 2000, 'unhealthy_edge_interval');
  answer('retriable');
  t.same(names(), []);
  untilNext();
  answer('network');
  t.same(names(), ['failed_active_hc']);
});

t.test('a success between failures starts the count again', async (t) => {
  const { session, answer, names, untilNext } = setUp();
  session.start();
  for (const kind of ['ok', 'network', 'network', 'ok', 'network', 'network'] as const) {
    answer(kind);
    untilNext();
  }
  t.same(names(), []);
});

t.test('no answer in time is a failure of the network, and shows', async (t) => {
  const { session, answer, names, pass, world, untilNext } = setUp({ unhealthyThreshold: 1 });
  session.start();
  answer('ok');
  untilNext();
  pass(980);
  t.equal(world.abandoned, 0);
  pass(40);
  t.equal(world.abandoned, 1);
  t.same(names(), ['failed_active_hc', 'active_hc_timeout']);
  untilNext();
  answer('no');
  t.same(names(), ['failed_active_hc'], 'the next failure is of another kind');
});

t.test('without traffic it asks less often', async (t) => {
  const { session, answer, world, untilNext } = setUp();
  world.traffic = false;
  session.start();
  answer('ok');
  t.equal(untilNext(), 90_000);
  answer('network');
  t.equal(untilNext(), 60_000);
  world.traffic = true;
  answer('ok');
  t.equal(untilNext(), 10_000);
});

t.test('jitter is added to intervals, within its bounds', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { session, sent, answer, untilNext, pass } = setUp(
      { initialJitterMs: 500, intervalJitterMs: 400, intervalJitterPercent: 10 },
      HEALTH_FLAG.failedActiveHc,
      seed,
    );
    session.start();
    t.same(sent, []);
    pass(520);
    t.equal(sent.length, 1);
    answer('ok');
    const wait = untilNext();
    if (wait < 10_000 || wait > 11_400) t.fail(`seed ${seed}: ${wait} ms`);
  }
});

t.test('pending and degraded hosts', async (t) => {
  const { session, answer, names, untilNext, events } = setUp(
    {},
    HEALTH_FLAG.failedActiveHc | HEALTH_FLAG.pendingActiveHc,
  );
  session.start();
  t.same(names(), ['failed_active_hc', 'pending_active_hc']);
  answer('degraded');
  t.same(names(), ['degraded_active_hc']);
  untilNext();
  answer('ok');
  t.same(names(), []);
  t.same(
    events.map((event) => event.kind),
    ['add_healthy_event', 'degraded_healthy_host', 'no_longer_degraded_host'],
  );
});

t.test('events of failures, always or the first only', async (t) => {
  const quiet = setUp();
  quiet.session.start();
  for (const kind of ['no', 'no', 'ok', 'ok', 'no'] as const) {
    quiet.answer(kind);
    quiet.untilNext();
  }
  t.same(quiet.events, [
    { kind: 'health_check_failure_event', failure: 'ACTIVE', firstCheck: true, httpStatus: 503 },
    { kind: 'add_healthy_event', firstCheck: false },
    { kind: 'eject_unhealthy_event', failure: 'ACTIVE', httpStatus: 503 },
  ]);
  const loud = setUp({ alwaysLogFailures: true, alwaysLogSuccess: true });
  loud.session.start();
  for (const kind of ['ok', 'ok', 'network'] as const) {
    loud.answer(kind);
    loud.untilNext();
  }
  t.same(
    loud.events.map((event) => event.kind),
    ['add_healthy_event', 'successful_health_check_event', 'health_check_failure_event'],
  );
});

t.test('a passive failure takes the host out and leaves the rhythm alone', async (t) => {
  const { session, answer, names, sent, pass } = setUp();
  session.start();
  answer('ok');
  pass(4000);
  session.failPassively();
  t.same(names(), ['failed_active_hc', 'excluded_via_immediate_hc_fail']);
  pass(6020);
  t.equal(sent.length, 2);
});

t.test('after its end nothing happens any more', async (t) => {
  const { session, answer, results, sent, pass } = setUp();
  session.start();
  session.close();
  session.close();
  answer('ok');
  session.failPassively();
  pass(100_000);
  t.same(results, []);
  t.equal(sent.length, 1);
});
