import t from 'tap';
import { RequestHead } from '../../src/http/stream.ts';
import { serverNameOf } from '../../src/upstream/pools/host-pools.ts';
import type { AutoNames } from '../../src/upstream/pools/pool-shared.ts';
import { createWorld, FakeRequest, onlyHost, staticCluster } from './fakes.ts';

const names = (header: string, verify: boolean): AutoNames => ({ header, ask: true, verify });

t.test('the server name is the host that a request is for, never an address', async (t) => {
  const cases: readonly (readonly [authority: string, name: string])[] = [
    ['a.example', 'a.example'],
    ['a.example:8443', 'a.example'],
    ['10.0.0.1', ''],
    ['10.0.0.1:80', ''],
    ['[::1]:80', ''],
    ['', ''],
  ];
  for (const [authority, name] of cases) {
    t.equal(serverNameOf(new RequestHead('GET', '/', authority, []), names('', false)), name, authority);
  }
  const head = new RequestHead('GET', '/', 'a.example', ['x-sni', 'b.example:1']);
  t.equal(serverNameOf(head, names('x-sni', false)), 'b.example');
  t.equal(serverNameOf(head, names('x-other', false)), 'a.example');
});

t.test('requests share connections only with those for the same server, version and priority', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const options = { autoSni: true };
  const host = onlyHost(
    world.cluster(staticCluster([{ port: 1 }], { upstreamHttpProtocolOptions: options })),
  );
  const pool = (authority: string, priority: 'DEFAULT' | 'HIGH' = 'DEFAULT') =>
    host.httpForRequest(new RequestHead('GET', '/', authority, []), priority);
  t.equal(pool('a.example'), pool('a.example:443'));
  t.not(pool('a.example'), pool('b.example'));
  t.not(pool('a.example'), pool('a.example', 'HIGH'));
  t.equal(pool('10.0.0.1'), host.http, 'an address is no server name');
  pool('a.example').open(new FakeRequest());
  t.equal(world.dials[0]?.options.serverName, 'a.example');
});

t.test(
  'auto_san_validation: certificates must be for whom requests are for, and nobody is not good enough',
  async (t) => {
    const world = createWorld();
    t.teardown(world.close);
    const options = { autoSanValidation: true };
    const host = onlyHost(
      world.cluster(staticCluster([{ port: 1 }], { upstreamHttpProtocolOptions: options })),
    );
    const cases: readonly (readonly [authority: string, name: string])[] = [
      ['a.example:1', 'a.example'],
      ['10.0.0.1:80', '10.0.0.1'],
      ['[::1]:80', '::1'],
      ['', ''],
    ];
    const source = { ipv4: '127.0.0.9', ipv6: '', port: 0, freebind: false, transparent: false, options: [] };
    for (const [authority, name] of cases) {
      for (const from of [null, source]) {
        const head = new RequestHead('GET', '/', authority, []);
        host.httpForRequest(head, 'DEFAULT', from).open(new FakeRequest());
        t.equal(world.dials.at(-1)?.options.verifyName, name, authority);
        t.equal(world.dials.at(-1)?.options.serverName, undefined, 'auto_sni was not asked for');
      }
    }
  },
);

t.test('names that clients make up leave no pools behind', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }])));
  const used = host.httpFor('HTTP/1.1', 'DEFAULT', 'used.example');
  const request = new FakeRequest();
  used.open(request);
  for (let i = 0; i < 100; i++) host.httpFor('HTTP/1.1', 'DEFAULT', `n${i}.example`);
  t.equal(host.httpFor('HTTP/1.1', 'DEFAULT', 'used.example'), used);
  host.close();
  t.ok(request.failure, 'it belongs to the host like the others');
  t.ok(world.dials[0]?.cancelled);
});
