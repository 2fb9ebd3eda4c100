import t from 'tap';
import { createRandom } from '../../../src/core/random.ts';
import type { HostSpec } from '../../../src/upstream/cluster-hosts.ts';
import { priorityLoad } from '../../../src/upstream/lb/priority-load.ts';
import { createWorld } from '../fakes.ts';

const HEALTH = ['HEALTHY', 'UNHEALTHY', 'DRAINING', 'DEGRADED', 'TIMEOUT'] as const;
const RUNS = 300;

/** Hosts of up to five priorities and three zones, in any health. */
function randomHosts(seed: number): HostSpec[] {
  const random = createRandom(seed);
  const below = (n: number): number => random.uint32() % n;
  const levels = 1 + below(5);
  return Array.from({ length: below(40) }, (_, i) => ({
    address: { ip: '127.0.0.1', port: i + 1, path: '' },
    hostname: '',
    weight: 1 + below(5),
    health: HEALTH[below(10)] ?? 'HEALTHY',
    priority: below(levels),
    locality: { region: 'r', zone: 'abc'[below(3)] ?? 'a', subZone: '' },
    localityWeight: below(4),
    metadata: null,
  }));
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

t.test('loads add up to 100 %, whatever the health', async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const cluster = createWorld(seed).cluster({ name: 'c' });
    cluster.update({ hosts: randomHosts(seed), overprovisioningFactor: 100 + (seed % 3) * 40 });
    const set = cluster.hosts.value;
    if (set === undefined) throw new Error('no hosts');
    for (const threshold of [0, 30, 50, 100]) {
      for (const avoid of [0, 1, 2, 6]) {
        const { healthy, degraded } = priorityLoad(set, threshold, avoid);
        const all = [...healthy, ...degraded];
        if (sum(all) !== 100 || all.some((load) => load < 0)) t.fail(`seed ${seed}: ${all.join(' ')}`);
      }
    }
  }
  t.pass(`${RUNS} host sets`);
});

t.test('outside of panic nobody unhealthy is picked; with a healthy host somebody is', async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const world = createWorld(seed);
    const localityWeightedLbConfig = {};
    const cluster = world.cluster({
      name: 'c',
      lbPolicy: (['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'] as const)[seed % 3],
      commonLbConfig: { healthyPanicThreshold: {}, ...(seed % 2 === 0 ? { localityWeightedLbConfig } : {}) },
    });
    // A locality without a weight gets nothing: here all have one.
    const hosts = randomHosts(seed).map((host) => ({ ...host, localityWeight: host.localityWeight + 1 }));
    cluster.update({ hosts, overprovisioningFactor: 140 });
    const any = hosts.some(({ health }) => health === 'HEALTHY' || health === 'DEGRADED');
    for (let i = 0; i < 50; i++) {
      const host = cluster.pick();
      if ((host !== undefined) !== any) t.fail(`seed ${seed}: picked ${host?.key}`);
      if (host !== undefined && host.availability === 'unhealthy')
        t.fail(`seed ${seed}: ${host.key} is not well`);
    }
  }
  t.pass(`${RUNS} clusters`);
});

t.test('a retry leaves the priorities that it avoids alone, unless there is no other', async (t) => {
  const cluster = createWorld().cluster({ name: 'c' });
  const host = (port: number, priority: number): HostSpec => ({
    address: { ip: '127.0.0.1', port, path: '' },
    hostname: '',
    weight: 1,
    health: 'UNKNOWN',
    priority,
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    metadata: null,
  });
  cluster.update({ hosts: [host(1, 0), host(2, 1), host(3, 2)], overprovisioningFactor: 140 });
  const picked = (avoidPriorities: number): number | undefined =>
    cluster.pick({ hash: undefined, metadataMatch: null, avoidPriorities, onlyPriority: -1, degraded: false })
      ?.address.port;
  t.strictSame([0, 1, 2, 3, 7].map(picked), [1, 2, 1, 3, 1]);
});
