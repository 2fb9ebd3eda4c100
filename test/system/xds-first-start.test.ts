import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort } from '../support/ports.ts';
import { cluster, endpoints } from './xds/resources.ts';
import { KIND, noneFailed, Setting, world } from './xds/setting.ts';
import { LoadClients, ManagementServer, startHosts, until } from './xds/world.ts';

// A start while the control plane is away: without anything, and with what an earlier run had saved.

const hosts = await startHosts(2);
const clients = await LoadClients.start();
t.teardown(() => Promise.all([hosts.running.stop(), clients.running.stop()]));

const [PORT_A = 0, PORT_B = 0] = hosts.ports;
const STALE = 'control_plane.last_good_config_in_use';

t.test('nothing is saved: /ready says what is missing, until the control plane is there', async (t) => {
  const [xds, port] = [await freePort(), await freePort()];
  const setting = await Setting.start(t, { clients, xds, delta: true, port });
  await until('the admin interface', () => setting.proxy.get('/ready'));
  const { status, body } = await setting.proxy.get('/ready');
  t.equal(status, 503);
  if (KIND === 'inox') t.match(body, /waits for clusters \(CDS\)/, 'says what is missing');
  const server = await ManagementServer.start({ port: xds, resources: world(port, PORT_A) });
  t.teardown(() => server.running.stop());
  await setting.proxy.ready(40_000);
  await setting.arrivesAt(PORT_A);
  noneFailed(t, await setting.load(1));
});

for (const delta of [true, false]) {
  const api = delta ? 'delta' : 'state of the world';
  const skip = KIND === 'envoy' ? 'Envoy saves nothing' : false;

  t.test(`${api}: what was saved serves until the control plane is back`, { skip }, async (t) => {
    const [xds, port] = [await freePort(), await freePort()];
    const folder = mkdtempSync(join(tmpdir(), 'inox-saved-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'last-good');
    const options = { clients, xds, delta, port, flags: ['--last-good-config', file] };
    const spare = [cluster('gone'), endpoints('gone', [PORT_B])];
    const before = await ManagementServer.start({ port: xds, resources: world(port, PORT_A, spare) });
    t.teardown(() => before.running.stop());
    const earlier = await Setting.start(t, options);
    await earlier.arrivesAt(PORT_A);
    t.equal(await earlier.proxy.stat(STALE), 0);
    await until('the file', () => Promise.resolve(existsSync(file) || undefined));
    await Promise.all([earlier.proxy.running.stop('SIGINT'), before.running.stop()]);

    const began = performance.now();
    const setting = await Setting.start(t, options);
    await setting.arrivesAt(PORT_A);
    t.comment(`serves ${Math.round(performance.now() - began)} ms after its start`);
    const { status, body } = await setting.proxy.get('/ready');
    t.equal(status, 200);
    t.match(body, /stale: the control plane is away/);
    t.equal(await setting.proxy.stat(STALE), 1);

    const loaded = setting.load(5);
    const after = await ManagementServer.start({ port: xds, versions: 'b', resources: world(port, PORT_B) });
    t.teardown(() => after.running.stop());
    await setting.arrivesAt(PORT_B);
    noneFailed(t, await loaded);
    t.notMatch((await setting.proxy.get('/ready')).body, /stale/);
    t.equal(await setting.proxy.stat(STALE), 0);
    await setting.hasNoCluster('gone');
    t.same((await after.said()).nacks ?? [], []);
  });
}
