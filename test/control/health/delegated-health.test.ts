/** Checks for a management server, whose connections the test makes or refuses. */
import t from 'tap';
import { DelegatedHealth } from '../../../src/control/health/delegated-health.ts';
import { EventFiles } from '../../../src/control/health/event-file.ts';
import { createRandom } from '../../../src/core/random.ts';
import { TimerWheel } from '../../../src/core/timer-wheel.ts';
import type { DelegatedCluster } from '../../../src/core/xds-protocol.ts';
import type { DialListener } from '../../../src/net/dial.ts';
import { StatStore } from '../../../src/stats/store.ts';
import type { TestOwner } from '../../support/http-setting.ts';
import { FakeConnection } from '../../upstream/fakes.ts';

const connection = () => new FakeConnection({ ip: '127.0.0.1', port: 1, path: '' });

function setUp(test: TestOwner) {
  const clock = { nowMs: 0, now: () => clock.nowMs, wall: () => clock.nowMs };
  const timers = new TimerWheel(clock);
  const dials: { port: number; listener: DialListener; cancelled: boolean }[] = [];
  const problems: string[] = [];
  const told: string[] = [];
  const delegated = new DelegatedHealth(
    {
      workers: 1,
      clock,
      random: createRandom(1),
      timers,
      runtime: () => undefined,
      outlierLogPath: '',
      files: new EventFiles(() => {}),
      stats: new StatStore().root,
      dial: (address, _options, listener) => {
        const dial = { port: address.port, listener, cancelled: false };
        dials.push(dial);
        return {
          cancel: () => {
            dial.cancelled = true;
          },
        };
      },
      compileTransport: () => {
        throw new Error('no such secret');
      },
      hasTraffic: () => true,
      publishHosts: () => told.push('hosts'),
      publishHealth: () => told.push('health'),
    },
    (message) => problems.push(message),
  );
  test.teardown(() => {
    delegated.close();
    timers.close();
  });
  const newest = (port: number) => dials.findLast((dial) => dial.port === port);
  return {
    delegated,
    dials,
    problems,
    told,
    pass: (port: number) => newest(port)?.listener.onConnected(connection()),
    fail: (port: number) => newest(port)?.listener.onFailed({} as never),
    advance: (ms: number) => {
      for (let i = 0; i < ms; i += 10) {
        clock.nowMs += 10;
        timers.advance();
      }
    },
  };
}

const CHECK = {
  timeout: 1000,
  interval: 1000,
  unhealthyThreshold: 1,
  healthyThreshold: 1,
  tcpHealthCheck: {},
};
const endpoint = (port: number, more: object = {}) => ({
  endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } }, ...more },
});

function cluster(name: string, lbEndpoints: object[], checks: object[] = [CHECK]): DelegatedCluster {
  return {
    checks: checks.map((check) => ({
      name,
      type: 'EDS',
      ignoreHealthOnHostRemoval: true,
      healthChecks: [check],
    })),
    assignment: { endpoints: [{ lbEndpoints }] },
  };
}

t.test('endpoints are unhealthy until a check says otherwise; no worker hears of them', async (t) => {
  const { delegated, told, pass, fail } = setUp(t);
  delegated.set([cluster('a', [endpoint(1), endpoint(2)]), cluster('b', [endpoint(3)])]);
  t.same(delegated.statuses(), [['UNHEALTHY', 'UNHEALTHY'], ['UNHEALTHY']]);
  pass(1);
  fail(2);
  pass(3);
  await new Promise((resolve) => setImmediate(resolve));
  t.same(delegated.statuses(), [['HEALTHY', 'UNHEALTHY'], ['HEALTHY']]);
  t.same(told, []);
});

t.test('one that does not answer in time has timed out', async (t) => {
  const { delegated, advance } = setUp(t);
  delegated.set([cluster('a', [endpoint(1)])]);
  advance(1001);
  t.same(delegated.statuses(), [['TIMEOUT']]);
});

t.test('what is known of endpoints stays when others come and go', async (t) => {
  const { delegated, dials, pass } = setUp(t);
  delegated.set([cluster('a', [endpoint(1), endpoint(2)])]);
  pass(1);
  delegated.set([cluster('a', [endpoint(3), endpoint(1)])]);
  t.same(delegated.statuses(), [['UNHEALTHY', 'HEALTHY']], 'in the order in which they are asked for');
  t.equal(dials.find((dial) => dial.port === 2)?.cancelled, true);
  delegated.set([cluster('a', [endpoint(1)], [{ ...CHECK, timeout: 500 }])]);
  t.same(delegated.statuses(), [['UNHEALTHY']], 'another check begins anew');
  delegated.set([]);
  t.same(delegated.statuses(), []);
  t.ok(dials.at(-1)?.cancelled);
});

t.test('of several checks all must pass', async (t) => {
  const { delegated, dials } = setUp(t);
  delegated.set([cluster('a', [endpoint(1)], [CHECK, { ...CHECK, interval: 5000 }])]);
  const [first, second] = dials;
  first?.listener.onConnected(connection());
  t.same(delegated.statuses(), [['UNHEALTHY']]);
  second?.listener.onConnected(connection());
  t.same(delegated.statuses(), [['HEALTHY']]);
});

t.test('what is not checked is not healthy', async (t) => {
  const { delegated, problems } = setUp(t);
  const transportSocketMatches = [{ name: 'tls', match: {}, transportSocket: { name: 'tls' } }];
  const [broken] = cluster('b', []).checks;
  delegated.set([
    cluster('none', [endpoint(1)], []),
    cluster('off', [endpoint(2, { healthCheckConfig: { disableActiveHealthCheck: true } })]),
    { ...cluster('b', [endpoint(3)]), checks: [{ ...broken, transportSocketMatches }] },
  ]);
  t.same(delegated.statuses(), [['UNHEALTHY'], ['UNHEALTHY'], ['UNHEALTHY']]);
  t.equal(problems.length, 1);
  t.match(problems[0], /health checks of cluster 'b' for the management server: .*no such secret/);
});
