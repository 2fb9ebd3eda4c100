import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileDns } from '../../../src/config/cluster-dns.ts';
import { createRandom } from '../../../src/core/random.ts';
import { Scope } from '../../../src/core/scope.ts';
import { TimerWheel } from '../../../src/core/timer-wheel.ts';
import { StatAggregator } from '../../../src/stats/aggregator.ts';
import { StatStore } from '../../../src/stats/store.ts';
import type { ClusterHosts } from '../../../src/upstream/cluster-hosts.ts';
import { startDns } from '../../../src/upstream/discovery/dns-hosts.ts';
import type { DnsResult } from '../../../src/upstream/discovery/dns-resolver.ts';
import { createUpdateStats } from '../../../src/upstream/discovery/update-stats.ts';
import { FakeClock } from '../fakes.ts';

function answer(...ips: string[]): DnsResult {
  return { ok: true, addresses: ips.map((ip) => ({ ip, ttlMs: 2000 })) };
}

const FAILED: DnsResult = { ok: false, error: 'queryA ESERVFAIL' };

function dnsCluster(names: readonly string[], more: ClusterConfig = {}): ClusterConfig {
  return {
    name: 'c',
    type: 'STRICT_DNS',
    loadAssignment: {
      clusterName: 'c',
      endpoints: [
        {
          locality: { region: 'r', zone: 'z' },
          lbEndpoints: names.map((address) => ({
            endpoint: { address: { socketAddress: { address, portValue: 80 } } },
            loadBalancingWeight: 3,
          })),
        },
      ],
    },
    ...more,
  };
}

/** A resolver that the test answers by hand. */
function setUp(t: Test, names: readonly string[], more: ClusterConfig = {}) {
  const clock = new FakeClock();
  const timers = new TimerWheel(clock);
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  const scope = new Scope();
  const asked: string[] = [];
  const waiting: ((result: DnsResult) => void)[] = [];
  const reports: ClusterHosts[] = [];
  const failures: string[] = [];
  t.teardown(() => {
    scope.close();
    timers.close();
  });
  startDns(compileDns(dnsCluster(names, more)), {
    resolver: {
      resolve(name, family) {
        asked.push(`${name} ${family}`);
        return new Promise((resolve) => waiting.push(resolve));
      },
      close() {},
    },
    timers,
    random: createRandom(1),
    stats: createUpdateStats(store.root.scope('cluster', 'c')),
    scope,
    onHosts: (hosts) => reports.push(hosts),
    onFailure: (name, error) => failures.push(`${name}: ${error}`),
  });
  return {
    asked,
    failures,
    reports,
    scope,
    timers,
    /** Answers the oldest open question. */
    async answer(result: DnsResult): Promise<void> {
      waiting.shift()?.(result);
      await setImmediate();
    },
    advance(ms: number): void {
      clock.ms += ms;
      timers.advance();
    },
    ips: (): (readonly string[])[] => reports.map((hosts) => hosts.hosts.map((host) => host.address.ip)),
    stats: (): Record<string, number> => {
      store.flush();
      const names = ['attempt', 'success', 'failure', 'empty', 'no_rebuild'];
      return Object.fromEntries(names.map((n) => [n, aggregator.value(`cluster.c.update_${n}`) ?? -1]));
    },
  };
}

t.test('every address of every name is a host; the first report waits for all names', async (t) => {
  const dns = setUp(t, ['a', 'b'], { dnsLookupFamily: 'V4_ONLY' });
  t.strictSame(dns.asked, ['a V4_ONLY', 'b V4_ONLY']);
  await dns.answer(answer('1.1.1.1', '1.1.1.2'));
  t.equal(dns.reports.length, 0);
  await dns.answer(answer('2.2.2.2'));
  t.strictSame(dns.ips(), [['1.1.1.1', '1.1.1.2', '2.2.2.2']]);
  t.match(dns.reports[0]?.hosts[0], {
    address: { ip: '1.1.1.1', port: 80, path: '' },
    hostname: 'a',
    weight: 3,
    locality: { region: 'r', zone: 'z', subZone: '' },
  });
  t.strictSame(structuredClone(dns.reports[0]), dns.reports[0], 'plain data');
});

t.test('an unchanged answer in another order is no report', async (t) => {
  const dns = setUp(t, ['a']);
  await dns.answer(answer('1.1.1.1', '1.1.1.2', '1.1.1.1'));
  dns.advance(5100);
  await dns.answer(answer('1.1.1.2', '1.1.1.1'));
  t.strictSame(dns.ips(), [['1.1.1.1', '1.1.1.2']]);
  t.strictSame(dns.stats(), { attempt: 2, success: 2, failure: 0, empty: 0, no_rebuild: 1 });
  dns.advance(5100);
  await dns.answer(answer('1.1.1.3'));
  t.strictSame(dns.ips()[1], ['1.1.1.3']);
});

t.test('a failure keeps the old hosts, an empty answer removes them', async (t) => {
  const dns = setUp(t, ['a']);
  await dns.answer(answer('1.1.1.1'));
  dns.advance(5100);
  await dns.answer(FAILED);
  t.match(dns.failures, [/^\S+: queryA ESERVFAIL$/], 'the log hears why');
  t.equal(dns.reports.length, 1);
  dns.advance(5100);
  await dns.answer(answer());
  t.strictSame(dns.ips()[1], []);
  t.strictSame(dns.stats(), { attempt: 3, success: 2, failure: 1, empty: 0, no_rebuild: 0 });
});

t.test('a name that fails at first does not hold up the others', async (t) => {
  const dns = setUp(t, ['a', 'b']);
  await dns.answer(answer('1.1.1.1'));
  await dns.answer(FAILED);
  t.strictSame(dns.ips(), [['1.1.1.1']]);
});

t.test('a cluster whose only name fails is warm and empty', async (t) => {
  const dns = setUp(t, ['a']);
  await dns.answer(FAILED);
  t.strictSame(dns.ips(), [[]]);
});

t.test('a cluster without names is warm at once', async (t) => {
  t.strictSame(setUp(t, []).ips(), [[]]);
});

t.test('names are asked again at dns_refresh_rate, or at their TTL', async (t) => {
  const plain = setUp(t, ['a'], { dnsRefreshRate: 1000 });
  await plain.answer(answer('1.1.1.1'));
  plain.advance(990);
  t.equal(plain.asked.length, 1);
  plain.advance(30);
  t.equal(plain.asked.length, 2);
  const ttl = setUp(t, ['a'], { dnsRefreshRate: 1000, respectDnsTtl: true });
  await ttl.answer(answer('1.1.1.1'));
  ttl.advance(1900);
  t.equal(ttl.asked.length, 1);
  ttl.advance(130);
  t.equal(ttl.asked.length, 2);
});

t.test('failures back off below a bound that doubles', async (t) => {
  const dns = setUp(t, ['a'], { dnsFailureRefreshRate: { baseInterval: 100, maxInterval: 200 } });
  for (let i = 1; i < 20; i++) {
    await dns.answer(FAILED);
    dns.advance(220);
    t.equal(dns.asked.length, i + 1);
  }
});

t.test('nothing goes on after the scope was closed', async (t) => {
  const dns = setUp(t, ['a']);
  dns.scope.close();
  await dns.answer(answer('1.1.1.1'));
  dns.advance(60_000);
  t.equal(dns.reports.length, 0);
  t.equal(dns.asked.length, 1);
  t.equal(dns.timers.size, 0);
});

t.test('a LOGICAL_DNS cluster has one host, wherever the newest answer begins', async (t) => {
  const dns = setUp(t, ['web'], { type: 'LOGICAL_DNS', dnsRefreshRate: 1000, respectDnsTtl: true });
  const shortLived = { ip: '1.1.1.9', ttlMs: 1 };
  await dns.answer({ ok: true, addresses: [{ ip: '1.1.1.1', ttlMs: 2000 }, shortLived] });
  t.match(dns.reports[0]?.hosts, [
    { identity: 'web', hostname: 'web', address: { ip: '1.1.1.1' }, weight: 3 },
  ]);
  dns.advance(1900);
  t.equal(dns.asked.length, 1, 'the TTL of that address counts');
  dns.advance(120);
  await dns.answer(answer('1.1.1.1', '1.1.1.2'));
  t.equal(dns.reports.length, 1, 'others come and go');
  dns.advance(2020);
  await dns.answer(answer('1.1.1.2', '1.1.1.1'));
  t.match(dns.reports[1]?.hosts, [{ identity: 'web', address: { ip: '1.1.1.2' } }]);
  dns.advance(2020);
  await dns.answer(answer());
  t.equal(dns.reports.length, 2, 'no address at all changes nothing');
  t.match(dns.failures, [/^web: no addresses$/]);
  dns.advance(2020);
  await dns.answer(FAILED);
  t.equal(dns.reports.length, 2);
  t.strictSame(dns.stats(), { attempt: 5, success: 3, failure: 2, empty: 0, no_rebuild: 0 });
});
