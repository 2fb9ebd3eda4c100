import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createNamespace, needRootAnd, run } from '../support/netns.ts';
import { freePort } from '../support/ports.ts';
import { cluster, endpoints, listener, routes } from './xds/resources.ts';
import { noneFailed, Setting, world } from './xds/setting.ts';
import { LoadClients, ManagementServer, startHosts, until } from './xds/world.ts';

// What requests notice of a control plane that is killed, cut off, or goes back to what it said before: nothing.
// INOX_TEST_PROXY=envoy runs the same with Envoy.

needRootAnd('ip');

const hosts = await startHosts(3);
const clients = await LoadClients.start();
t.teardown(() => Promise.all([hosts.running.stop(), clients.running.stop()]));

const [PORT_A = 0, PORT_B = 0, PORT_C = 0] = hosts.ports;
/** Garbage that is not collected yet is no leak; a stream or timer kept for each cycle is far less than this. */
const RSS_SLACK = 60 * 2 ** 20;

interface Footprint {
  readonly descriptors: number;
  readonly rss: number;
}

const footprint = ({ descriptors, proxy }: Setting): Footprint => ({ descriptors, rss: proxy.running.rss });

/** Descriptors come back to what they were, whatever happened in between; memory does not grow with it. */
async function nothingLeaked(t: Test, setting: Setting, before: Footprint): Promise<void> {
  const few = () => Promise.resolve(setting.descriptors <= before.descriptors + 5 || undefined);
  await until('descriptors to be closed', few, 15_000).catch(() => undefined);
  const after = footprint(setting);
  t.ok(
    after.descriptors <= before.descriptors + 5,
    `${before.descriptors} descriptors before, ${after.descriptors} after`,
  );
  const mb = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  t.ok(after.rss <= before.rss + RSS_SLACK, `${mb(before.rss)} before, ${mb(after.rss)} after`);
}

for (const delta of [true, false]) {
  const api = delta ? 'delta' : 'state of the world';

  t.test(`${api}: killed and started again with another state`, async (t) => {
    const [xds, port] = [await freePort(), await freePort()];
    const spare = [cluster('gone'), endpoints('gone', [PORT_C])];
    const first = await ManagementServer.start({
      port: xds,
      versions: 'a',
      resources: world(port, PORT_A, spare),
    });
    t.teardown(() => first.running.stop());
    const setting = await Setting.start(t, { clients, xds, delta, port });
    await setting.proxy.ready();
    await setting.arrivesAt(PORT_A);
    const loaded = setting.load(5);
    await first.running.stop();
    await setting.isConnected(false);
    const second = await ManagementServer.start({ port: xds, versions: 'b', resources: world(port, PORT_B) });
    t.teardown(() => second.running.stop());
    await setting.arrivesAt(PORT_B);
    noneFailed(t, await loaded);
    await setting.isConnected(true);
    await setting.hasNoCluster('gone');
    t.same((await second.said()).nacks ?? [], []);
  });

  t.test(`${api}: rolled back to what it said before`, async (t) => {
    const [xds, port] = [await freePort(), await freePort()];
    const server = await ManagementServer.start({ port: xds, resources: world(port, PORT_A) });
    t.teardown(() => server.running.stop());
    const setting = await Setting.start(t, { clients, xds, delta, port });
    await setting.proxy.ready();
    await setting.arrivesAt(PORT_A);
    await server.save('old');
    const loaded = setting.load(4);
    await server.set(
      ...[cluster('other'), endpoints('other', [PORT_B]), routes('r', [['/', 'other']])],
      listener('in', port, 'r', 'another_prefix'),
    );
    await setting.arrivesAt(PORT_B);
    await server.restore('old');
    await setting.arrivesAt(PORT_A);
    noneFailed(t, await loaded);
    await setting.hasNoCluster('other');
    t.same((await server.said()).nacks ?? [], []);
  });
}

t.test('killed and started again twenty times, each time with other endpoints', async (t) => {
  const [xds, port] = [await freePort(), await freePort()];
  const start = (i: number): Promise<ManagementServer> =>
    ManagementServer.start({
      port: xds,
      versions: `v${i}.`,
      resources: world(port, i % 2 === 0 ? PORT_A : PORT_B),
    });
  let server = await start(0);
  t.teardown(() => server.running.stop());
  const setting = await Setting.start(t, { clients, xds, delta: true, port });
  await setting.proxy.ready();
  await setting.arrivesAt(PORT_A);
  await setting.load(1);
  const before = footprint(setting);
  let over = false;
  const loads = (async () => {
    while (!over) noneFailed(t, await setting.load(2));
  })();
  for (let i = 1; i <= 20; i++) {
    await server.running.stop();
    server = await start(i);
    await setting.arrivesAt(i % 2 === 0 ? PORT_A : PORT_B);
  }
  over = true;
  await loads;
  const { streams, nacks } = await server.said();
  t.equal(streams, 1);
  t.same(nacks ?? [], []);
  await nothingLeaked(t, setting, before);
});

t.test('connections cut twenty times, then quiet', async (t) => {
  const [xds, port] = [await freePort(), await freePort()];
  const server = await ManagementServer.start({ port: xds, resources: world(port, PORT_A) });
  t.teardown(() => server.running.stop());
  const setting = await Setting.start(t, { clients, xds, delta: false, port });
  await setting.proxy.ready();
  await setting.arrivesAt(PORT_A);
  await setting.load(1);
  const before = footprint(setting);
  const loaded = setting.load(5);
  for (let i = 0; i < 20; i++) {
    await server.cut();
    await server.set(endpoints('main', [i % 2 === 0 ? PORT_B : PORT_C]));
    await sleep(150);
  }
  await server.set(endpoints('main', [PORT_A]));
  await setting.arrivesAt(PORT_A, 40_000);
  noneFailed(t, await loaded);
  const { streams, nacks } = await server.said();
  t.equal(streams, 1, 'one stream is left');
  t.same(nacks ?? [], []);
  await nothingLeaked(t, setting, before);
});

t.test('cut off by the network, and back again', async (t) => {
  const remote = createNamespace('control-plane');
  t.teardown(() => remote.delete());
  // Two links: what is xDS goes down with one, the test speaks over the other.
  const net = `10.${64 + (process.pid % 128)}`;
  const links = [link(remote, 'x', `${net}.1`), link(remote, 'c', `${net}.2`)] as const;
  const port = await freePort();
  const server = await ManagementServer.start({
    port: 18000,
    resources: world(port, PORT_A),
    inside: ['ip', 'netns', 'exec', remote.name],
    host: `${net}.2.2`,
    listen: '',
  });
  t.teardown(() => server.running.stop());
  const where = { xds: 18000, host: `${net}.1.2`, keepaliveS: 2 };
  const setting = await Setting.start(t, { clients, delta: true, port, ...where });
  await setting.proxy.ready();
  await setting.arrivesAt(PORT_A);
  const loaded = setting.load(10);
  run('ip', ['link', 'set', links[0], 'down']);
  await server.set(endpoints('main', [PORT_B]), cluster('new'), endpoints('new', [PORT_C]));
  await server.set(routes('r', [['/', 'new']]));
  await setting.isConnected(false);
  await setting.arrivesAt(PORT_A, 1000);
  run('ip', ['link', 'set', links[0], 'up']);
  await setting.arrivesAt(PORT_C, 60_000);
  await setting.isConnected(true);
  noneFailed(t, await loaded);
  t.same((await server.said()).nacks ?? [], []);
});

/** A link into the namespace: `.1` is here, `.2` there. Returns its name here. */
function link(remote: ReturnType<typeof createNamespace>, label: string, net: string): string {
  const name = `ix${label}${process.pid}`;
  run('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', `eth${label}`, 'netns', remote.name]);
  run('ip', ['addr', 'add', `${net}.1/24`, 'dev', name]);
  run('ip', ['link', 'set', name, 'up']);
  remote.run('ip', 'addr', 'add', `${net}.2/24`, 'dev', `eth${label}`);
  remote.run('ip', 'link', 'set', `eth${label}`, 'up');
  return name;
}
