import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileHashPolicy } from '../../../src/config/hash-policy.ts';
import type { RequestHead } from '../../../src/http/stream.ts';
import { hashText } from '../../../src/upstream/lb/hash.ts';
import { ANY_HOST } from '../../../src/upstream/lb/load-balancer.ts';
import { createWorld, type Endpoint, staticCluster } from '../fakes.ts';

const KEYS = 3000;

/** The port that each of many keys is sent to. */
function owners(endpoints: readonly Endpoint[], policy: ClusterConfig, seed = 1): (number | undefined)[] {
  const cluster = createWorld(seed).cluster(staticCluster(endpoints, policy));
  return Array.from(
    { length: KEYS },
    (_, i) => cluster.pick({ ...ANY_HOST, hash: hashText(`key ${i}`) })?.address.port,
  );
}

const ten = (weight = 1): Endpoint[] =>
  Array.from({ length: 10 }, (_, i) => ({ port: i + 1, weight: i === 0 ? weight : 1 }));
const share = (ports: readonly (number | undefined)[], port: number): number =>
  ports.filter((one) => one === port).length / ports.length;

for (const lbPolicy of ['RING_HASH', 'MAGLEV'] as const) {
  t.test(`${lbPolicy}: a key has one host, in every worker`, async (t) => {
    t.strictSame(owners(ten(), { lbPolicy }, 1), owners(ten(), { lbPolicy }, 2));
  });

  t.test(`${lbPolicy}: few keys move when a host leaves`, async (t) => {
    const before = owners(ten(), { lbPolicy });
    const after = owners(ten().slice(0, 9), { lbPolicy });
    const moved = before.filter((port, i) => port !== 10 && port !== after[i]).length;
    t.ok(moved < 0.1 * KEYS, `${moved} moved without need`);
    t.notOk(after.includes(10));
  });

  t.test(`${lbPolicy}: hosts get keys by their weights`, async (t) => {
    const even = owners(ten(), { lbPolicy });
    for (let port = 1; port <= 10; port++)
      t.ok(Math.abs(share(even, port) - 0.1) < 0.05, `${share(even, port)}`);
    t.ok(Math.abs(share(owners(ten(3), { lbPolicy }), 1) - 3 / 12) < 0.06);
  });

  t.test(`${lbPolicy}: without a hash any host will do`, async (t) => {
    const cluster = createWorld().cluster(staticCluster(ten(), { lbPolicy }));
    t.equal(new Set(Array.from({ length: 500 }, () => cluster.pick()?.address.port)).size, 10);
  });
}

function head(path: string, headers: string[] = []): RequestHead {
  return { method: 'GET', path, authority: 'a', headers } as unknown as RequestHead;
}

t.test('a hash policy reads headers, cookies, parameters and the source', async (t) => {
  const hash = (policies: Parameters<typeof compileHashPolicy>[0], ...request: Parameters<typeof head>) =>
    compileHashPolicy(policies, 'p')?.(head(...request), '1.2.3.4');
  t.equal(hash([{ header: { headerName: 'X-Key' } }], '/', ['x-key', 'v']), hashText('v'));
  t.equal(hash([{ header: { headerName: 'x-key' } }], '/'), undefined);
  t.equal(hash([{ cookie: { name: 'c' } }], '/', ['cookie', 'b=1; c=v']), hashText('v'));
  t.equal(hash([{ queryParameter: { name: 'q' } }], '/?a=1&q=v'), hashText('v'));
  t.equal(hash([{ connectionProperties: { sourceIp: true } }], '/'), hashText('1.2.3.4'));
  const both = [{ header: { headerName: 'x' }, terminal: true }, { queryParameter: { name: 'q' } }];
  t.equal(hash(both, '/?q=1', ['x', 'v']), hashText('v'), 'the first is enough');
  t.equal(hash(both, '/?q=1'), hashText('1'), 'and is passed over when it has nothing');
  t.equal(compileHashPolicy([], 'p'), null);
});
