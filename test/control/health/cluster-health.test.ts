import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { ClusterHealth, type HealthParts } from '../../../src/control/health/cluster-health.ts';
import { EventFiles } from '../../../src/control/health/event-file.ts';
import { decodeStatus } from '../../../src/control/health/grpc-probe.ts';
import { matchesPayload } from '../../../src/control/health/payload.ts';
import { createRandom } from '../../../src/core/random.ts';
import { TimerWheel } from '../../../src/core/timer-wheel.ts';
import type { DialListener } from '../../../src/net/dial.ts';
import type { ClientTransport } from '../../../src/net/transport.ts';
import { StatStore } from '../../../src/stats/store.ts';
import type { ClusterHosts, HostSpec } from '../../../src/upstream/cluster-hosts.ts';
import { healthFlagNames } from '../../../src/upstream/host.ts';
import { FakeConnection } from '../../upstream/fakes.ts';

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

const hosts = (...specs: HostSpec[]): ClusterHosts => ({ hosts: specs, overprovisioningFactor: 140 });

const CHECK: ClusterConfig = {
  name: 'c',
  type: 'STRICT_DNS',
  healthChecks: [
    { timeout: 1000, interval: 1000, unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} },
  ],
};

const TLS: ClientTransport = {
  connect: () => {
    throw new Error('not dialled here');
  },
};
const MATCHES: ClusterConfig = {
  ...CHECK,
  transportSocketMatches: [
    { name: 'tls', match: { tlsMode: 'istio' }, transportSocket: { name: 'tls' } },
    { name: 'raw', match: {}, transportSocket: { name: 'raw' } },
  ],
};
const labelled = (port: number, tlsMode: string): HostSpec =>
  spec(port, { metadata: { 'envoy.transport_socket_match': { tlsMode } } });

/** A watched cluster whose checks the test answers. */
function setUp(config: ClusterConfig) {
  const clock = { nowMs: 0, now: () => clock.nowMs, wall: () => clock.nowMs };
  const timers = new TimerWheel(clock);
  const dials: { port: number; transport: unknown; listener: DialListener }[] = [];
  const published: number[][] = [];
  const known = new Map<string, string>();
  const order: string[] = [];
  const parts: HealthParts = {
    workers: 2,
    clock,
    random: createRandom(1),
    timers,
    runtime: () => undefined,
    outlierLogPath: '',
    files: new EventFiles(() => {}),
    stats: new StatStore().root,
    dial: (address, { transport }, listener) => {
      dials.push({ port: address.port, transport, listener });
      return { cancel: () => {} };
    },
    compileTransport: ({ name }) => (name === 'tls' ? TLS : null),
    hasTraffic: () => true,
    publishHosts: (_cluster, found) => {
      order.push('hosts');
      published.push(found.hosts.map((host) => host.address.port));
    },
    publishHealth: (_cluster, news) => {
      order.push('health');
      for (const { key, flags } of news) known.set(key, healthFlagNames(flags).join());
    },
  };
  const health = new ClusterHealth(config, parts);
  t.teardown(() => {
    health.close();
    timers.close();
  });
  /** The next check of the host on `port` succeeds or fails. */
  const answer = (port: number, well: boolean): void => {
    const at = dials.findIndex((dial) => dial.port === port);
    const [dial] = dials.splice(at, 1);
    if (at < 0 || dial === undefined) throw new Error(`no check of ${port}`);
    if (well) dial.listener.onConnected(new FakeConnection({ ip: '127.0.0.1', port, path: '' }));
    else
      dial.listener.onFailed({
        kind: 'connection-failure',
        fault: 'upstream',
        retrySafe: true,
        details: 'refused',
      });
  };
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i += 10) {
      clock.nowMs += 10;
      timers.advance();
    }
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { health, answer, pass, published, known, order, dials, turn };
}

t.test('workers learn the health of hosts before the hosts', async (t) => {
  const { health, order, known, published } = setUp(CHECK);
  health.update(hosts(spec(1), spec(2)));
  t.same(order, ['health', 'hosts']);
  t.same(published, [[1, 2]]);
  t.same([...known.values()], ['failed_active_hc', 'failed_active_hc']);
});

t.test('the first round ends when every host had its check, whatever came out', async (t) => {
  const { health, answer, turn, known } = setUp(CHECK);
  health.update(
    hosts(
      spec(1),
      spec(2),
      spec(3, { healthCheck: { hostname: '', address: null, port: 0, disabled: true } }),
    ),
  );
  let warm = false;
  const started = health.start().then(() => {
    warm = true;
  });
  answer(1, true);
  await turn();
  t.notOk(warm);
  answer(2, false);
  await started;
  t.same(Object.fromEntries(known), {
    '127.0.0.1:1': '',
    '127.0.0.1:2': 'failed_active_hc',
    '127.0.0.1:3': '',
  });
});

t.test('a host that leaves while it waits for its first check holds nobody up', async (t) => {
  const { health } = setUp(CHECK);
  health.update(hosts(spec(1)));
  const started = health.start();
  health.update(hosts());
  await started;
  t.pass();
});

t.test('a host that discovery drops stays as long as its checks pass', async (t) => {
  const { health, answer, published, known, pass, turn } = setUp(CHECK);
  health.update(hosts(spec(1), spec(2)));
  void health.start();
  answer(1, true);
  answer(2, false);
  health.update(hosts());
  t.same(published.at(-1), [1]);
  await turn();
  t.equal(known.get('127.0.0.1:1'), 'pending_dynamic_removal');
  pass(1100);
  answer(1, false);
  t.same(published.at(-1), [], 'it fails a check and goes');
});

t.test('it stays when discovery finds it again, and goes at once when health is ignored', async (t) => {
  const again = setUp(CHECK);
  again.health.update(hosts(spec(1)));
  void again.health.start();
  again.answer(1, true);
  again.health.update(hosts());
  again.health.update(hosts(spec(1)));
  await again.turn();
  t.equal(again.known.get('127.0.0.1:1'), '');
  const stern = setUp({ ...CHECK, ignoreHealthOnHostRemoval: true });
  stern.health.update(hosts(spec(1)));
  void stern.health.start();
  stern.answer(1, true);
  stern.health.update(hosts());
  t.same(stern.published.at(-1), []);
});

t.test('a host may be checked elsewhere', async (t) => {
  const { health, dials } = setUp(CHECK);
  const own = { hostname: '', address: null, port: 99, disabled: false };
  health.update(hosts(spec(1, { healthCheck: own })));
  void health.start();
  t.same(
    dials.map((dial) => dial.port),
    [99],
  );
});

t.test('payloads match in their order, without overlap', async (t) => {
  const cases: readonly (readonly [boolean, string[], string])[] = [
    [true, [], ''],
    [true, ['he', 'lo'], 'well, hello'],
    [false, ['lo', 'he'], 'well, hello'],
    [false, ['ell', 'llo'], 'hello'],
    [true, ['l', 'l'], 'hello'],
    [false, ['x'], ''],
  ];
  for (const [expected, segments, text] of cases) {
    t.equal(
      matchesPayload(
        segments.map((each) => Buffer.from(each)),
        Buffer.from(text),
      ),
      expected,
      text,
    );
  }
});

t.test('the answer of a gRPC check: one plain frame with a status, nothing else', async (t) => {
  const frame = (...body: number[]): Buffer => Buffer.from([0, 0, 0, 0, body.length, ...body]);
  t.equal(decodeStatus(frame(8, 1)), 1);
  t.equal(decodeStatus(frame(8, 2)), 2);
  t.equal(decodeStatus(frame()), 0);
  t.equal(decodeStatus(frame(16, 150, 1, 8, 1)), 1, 'another field before it');
  for (const bad of [
    Buffer.alloc(0),
    Buffer.from([1, 0, 0, 0, 2, 8, 1]),
    frame(8),
    frame(8, 255),
    frame(10, 1, 0),
  ]) {
    t.equal(decodeStatus(bad), -1);
  }
  const random = createRandom(5);
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(Array.from({ length: random.uint32() % 12 }, () => random.uint32() & 255));
    if (bytes.length >= 5 && random.float() < 0.8) {
      bytes[0] = 0;
      bytes.writeUInt32BE(bytes.length - 5, 1);
    }
    if (!Number.isInteger(decodeStatus(bytes)) || decodeStatus(bytes) < -1) t.fail(bytes.toString('hex'));
  }
});

t.test('hosts are checked by the transport socket that their metadata chooses', async (t) => {
  const { health, dials, answer, known, turn } = setUp(MATCHES);
  health.update(hosts(labelled(1, 'istio'), spec(2)));
  void health.start();
  t.same(
    dials.map(({ port, transport }) => [port, transport]),
    [
      [1, TLS],
      [2, null],
    ],
  );
  answer(1, true);
  answer(2, true);
  await turn();
  health.update(hosts(labelled(1, 'none'), spec(2)));
  t.same(
    dials.map(({ port, transport }) => [port, transport]),
    [[1, null]],
    'a change is checked at once',
  );
  t.equal(known.get('127.0.0.1:1'), '', 'and what was known stays until then');
});

t.test('checks may choose their transport socket themselves', async (t) => {
  const [check] = CHECK.healthChecks ?? [];
  const healthChecks = [{ ...check, transportSocketMatchCriteria: { tlsMode: 'istio' } }];
  const { health, dials } = setUp({ ...MATCHES, healthChecks });
  health.update(hosts(labelled(1, 'none'), spec(2)));
  void health.start();
  t.same(
    dials.map(({ transport }) => transport),
    [TLS, TLS],
  );
});
