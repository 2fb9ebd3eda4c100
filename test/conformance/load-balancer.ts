import type { Test } from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { createWorld, type Endpoint, staticCluster } from '../upstream/fakes.ts';

/** What every balancing policy must do, whatever its preferences. `policy` is the part of a cluster that sets it. */
export function loadBalancerSuite(t: Test, policy: ClusterConfig): void {
  const make = (endpoints: readonly Endpoint[], seed = 1) => {
    const cluster = createWorld(seed).cluster(staticCluster(endpoints, policy));
    return { cluster, pick: (): number => cluster.pick()?.address.port ?? 0 };
  };
  const ports = (count: number): Endpoint[] => Array.from({ length: count }, (_, i) => ({ port: i + 1 }));

  t.test('nobody to pick gives nobody', async (t) => {
    t.equal(make([]).pick(), 0);
  });

  t.test('a single host is picked always', async (t) => {
    const { pick } = make(ports(1));
    t.strictSame([pick(), pick(), pick()], [1, 1, 1]);
  });

  t.test('equal idle hosts get equal shares', async (t) => {
    for (const count of [2, 3, 7, 64]) {
      const { pick } = make(ports(count));
      const picks = new Map<number, number>();
      for (let i = 0; i < count * 1000; i++) {
        const port = pick();
        picks.set(port, (picks.get(port) ?? 0) + 1);
      }
      t.equal(picks.size, count);
      for (const n of picks.values()) t.ok(n > 850 && n < 1150, `${n} of 1000`);
    }
  });

  t.test('unhealthy hosts are left out, and come back', async (t) => {
    const { cluster, pick } = make(ports(3));
    const [first] = cluster.hosts.value?.hosts ?? [];
    if (first === undefined) throw new Error('no host');
    first.healthFlags = 1;
    cluster.refreshHealth();
    t.notOk(Array.from({ length: 200 }, pick).includes(1));
    first.healthFlags = 0;
    cluster.refreshHealth();
    t.ok(Array.from({ length: 200 }, pick).includes(1));
  });

  t.test('the same seed picks the same hosts', async (t) => {
    const one = make(ports(5), 42);
    const other = make(ports(5), 42);
    t.strictSame(Array.from({ length: 50 }, one.pick), Array.from({ length: 50 }, other.pick));
  });

  t.test('a shrunken host set is never left', async (t) => {
    const { cluster, pick } = make(ports(10));
    for (let i = 0; i < 20; i++) pick();
    const hosts = (cluster.hosts.value?.hosts ?? []).slice(0, 2);
    cluster.update({
      hosts: hosts.map((host) => ({ ...host, health: 'HEALTHY' })),
      overprovisioningFactor: 140,
    });
    t.strictSame(new Set(Array.from({ length: 100 }, pick)), new Set([1, 2]));
  });
}
