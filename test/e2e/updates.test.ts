/** Steps of the configuration of a running process: what changes, what lives on, and that no request meets a gap. */
import { Agent, get } from 'node:http';
import t from 'tap';
import type { ControlPlane } from '../../src/control/serve.ts';
import type { ConfigUpdate } from '../../src/core/config-update.ts';
import { LevelLogger } from '../../src/core/log.ts';
import {
  assignmentOf,
  chainOf,
  clusterOf,
  listenerOf,
  namedBackend,
  portOf,
  RDS,
  routesTo,
  startControl,
} from '../support/control-plane.ts';
import { eventually, settle, type TestOwner } from '../support/http-setting.ts';
import { freePort } from '../support/ports.ts';
import { dialWire } from '../support/wire-peer.ts';

const EMPTY = 'static_resources: {}';
const silent = (): LevelLogger => new LevelLogger('off', () => {});

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(
  port: number,
  headers: Record<string, string> = {},
  agent: Agent | false = false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, headers, agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject);
  });
}

async function apply(control: ControlPlane, update: ConfigUpdate): Promise<void> {
  const { failedListeners } = await control.apply(update);
  t.same(failedListeners, []);
}

/** Eight keep-alive clients that ask as fast as answers come; `stop` gives the answers by body and all failures. */
function load(
  test: TestOwner,
  port: number,
): { stop(): Promise<{ bodies: Set<string>; failures: unknown[]; count: number }> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  test.teardown(() => agent.destroy());
  const bodies = new Set<string>();
  const failures: unknown[] = [];
  let running = true;
  let count = 0;
  const client = async (): Promise<void> => {
    while (running) {
      try {
        const { status, body } = await ask(port, {}, agent);
        if (status === 200) bodies.add(body);
        else failures.push(`${status} ${body}`);
      } catch (error) {
        failures.push(error);
      }
      count++;
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  return {
    stop: async () => {
      running = false;
      await clients;
      return { bodies, failures, count };
    },
  };
}

t.test('a process without anything gets clusters, endpoints, routes and listeners', async (t) => {
  const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
  const control = await startControl(t, EMPTY);
  await apply(control, {
    clusters: [
      { name: 'web', type: 'EDS', connectTimeout: 1000, edsClusterConfig: { edsConfig: { ads: {} } } },
    ],
    endpoints: [{ cluster: 'web', assignment: assignmentOf('web', one) }],
    routes: [routesTo('web')],
    listeners: [listenerOf('in', [chainOf(RDS('routes'))])],
  });
  const port = portOf(control, 'in');
  t.same(await ask(port), { status: 200, body: 'one' });

  await apply(control, { endpoints: [{ cluster: 'web', assignment: assignmentOf('web', two) }] });
  await eventually('the other member', async () => (await ask(port)).body === 'two');
  await apply(control, { routes: [routesTo('elsewhere')] });
  t.equal((await ask(port)).status, 503, 'no such cluster');
  await apply(control, { removedRoutes: ['routes'] });
  t.equal((await ask(port)).status, 404, 'no such routes');
  await apply(control, { clusters: [clusterOf('elsewhere', one)], routes: [routesTo('elsewhere')] });
  t.same(await ask(port), { status: 200, body: 'one' });
  await apply(control, { removedClusters: ['elsewhere'] });
  t.equal((await ask(port)).status, 503, 'its cluster is gone');
  await apply(control, { removedListeners: ['in'] });
  await t.rejects(ask(port), { code: 'ECONNREFUSED' });
});

t.test('replacing everything under load fails no request', async (t) => {
  const backends = [await namedBackend(t, 'a'), await namedBackend(t, 'b')];
  const control = await startControl(t, EMPTY);
  const step = (i: number): ConfigUpdate => ({
    clusters: [clusterOf(`web`, backends[i % 2] ?? 0, { altStatName: `web${i % 3}` })],
    routes: [routesTo('web')],
    listeners: [listenerOf('in', [chainOf({ ...RDS('routes'), serverName: `v${i}` })])],
  });
  await apply(control, step(0));
  const port = portOf(control, 'in');
  const clients = load(t, port);
  for (let i = 1; i <= 20; i++) {
    await apply(control, step(i));
    t.equal(portOf(control, 'in'), port, 'on its port');
    await settle(25);
  }
  const { bodies, failures, count } = await clients.stop();
  t.same(failures, []);
  t.ok(count > 100, `${count} requests`);
  t.same([...bodies].sort(), ['a', 'b']);
});

t.test('connections of unchanged chains live on, those of changed ones are let go', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, EMPTY);
  const chain = (statPrefix: string, address: string): object =>
    chainOf(
      { routeConfig: routesTo('web'), statPrefix, drainTimeout: 100 },
      { name: address, filterChainMatch: { prefixRanges: [{ addressPrefix: address, prefixLen: 32 }] } },
    );
  const everywhere = { address: { socketAddress: { address: '0.0.0.0', portValue: 0 } } };
  await apply(control, {
    clusters: [clusterOf('web', backend)],
    listeners: [listenerOf('in', [chain('one', '127.0.0.1'), chain('two', '127.0.0.2')], everywhere)],
  });
  const port = portOf(control, 'in');
  const kept = await dialWire(port);
  const changed = await dialWire(port, '127.0.0.2');
  t.teardown(() => {
    kept.socket.destroy();
    changed.socket.destroy();
  });
  const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  for (const peer of [kept, changed]) {
    peer.send(GET);
    t.equal((await peer.message()).body.toString(), 'ok');
  }
  await apply(control, {
    listeners: [listenerOf('in', [chain('one', '127.0.0.1'), chain('new', '127.0.0.2')], everywhere)],
  });
  t.equal(await changed.ended(), 'end', 'after the drain time');
  kept.send(GET);
  t.equal((await kept.message()).body.toString(), 'ok');
  t.equal(control.aggregator.value('listener_manager.listener_in_place_updated'), 1);
});

t.test('a listener that cannot have its address is reported, and its old version serves on', async (t) => {
  const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
  const control = await startControl(t, EMPTY);
  const clusters = [clusterOf('one', one), clusterOf('two', two)];
  await apply(control, {
    clusters,
    listeners: [listenerOf('in', [chainOf({ routeConfig: routesTo('one') })])],
  });
  const port = portOf(control, 'in');
  const taken = { address: { socketAddress: { address: '127.0.0.1', portValue: two } } };
  const moved = listenerOf('in', [chainOf({ routeConfig: routesTo('two') })], taken);
  const { failedListeners } = await control.apply({ listeners: [moved] });
  t.match(failedListeners, [{ name: 'in', message: /in use|EADDRINUSE/ }]);
  t.same(await ask(port), { status: 200, body: 'one' });
  t.equal(portOf(control, 'in'), port);

  const free = await freePort();
  const there = { address: { socketAddress: { address: '127.0.0.1', portValue: free } } };
  await apply(control, { listeners: [listenerOf('in', [chainOf({ routeConfig: routesTo('two') })], there)] });
  t.same(await ask(free), { status: 200, body: 'two' });
  await t.rejects(ask(port), { code: 'ECONNREFUSED' });
});

t.test('scopes come, change and go', async (t) => {
  const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
  const control = await startControl(t, EMPTY);
  const scopedRoutes = {
    name: 'scopes',
    scopeKeyBuilder: { fragments: [{ headerValueExtractor: { name: 'x-tenant', index: 0 } }] },
    rdsConfigSource: { ads: {} },
    scopedRds: { scopedRdsConfigSource: { ads: {} } },
  };
  const scope = (tenant: string, routeConfigurationName: string): object => ({
    name: `for ${tenant}`,
    routeConfigurationName,
    key: { fragments: [{ stringKey: tenant }] },
  });
  await apply(control, {
    clusters: [clusterOf('one', one), clusterOf('two', two)],
    routes: [routesTo('one', 'r1'), routesTo('two', 'r2')],
    scopes: [{ name: 'scopes', scopes: [scope('a', 'r1')] }],
    listeners: [listenerOf('in', [chainOf({ scopedRoutes })])],
  });
  const port = portOf(control, 'in');
  const of = async (tenant: string): Promise<string> => (await ask(port, { 'x-tenant': tenant })).body;
  t.equal(await of('a'), 'one');
  t.equal((await ask(port, { 'x-tenant': 'b' })).status, 404);
  t.equal((await ask(port)).status, 404);
  await apply(control, { scopes: [{ name: 'scopes', scopes: [scope('a', 'r2'), scope('b', 'r1')] }] });
  t.equal(await of('a'), 'two');
  t.equal(await of('b'), 'one');
  await apply(control, { routes: [routesTo('two', 'r1')] });
  t.equal(await of('b'), 'two');
  await apply(control, { scopes: [{ name: 'scopes', scopes: [scope('b', 'r1')] }] });
  t.equal((await ask(port, { 'x-tenant': 'a' })).status, 404);
});

t.test('a worker that takes the place of a dead one has what is in force', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, EMPTY, { concurrency: 1, log: silent() });
  await apply(control, {
    clusters: [
      { name: 'web', type: 'EDS', connectTimeout: 1000, edsClusterConfig: { edsConfig: { ads: {} } } },
    ],
    endpoints: [{ cluster: 'web', assignment: assignmentOf('web', backend) }],
    routes: [routesTo('web')],
    listeners: [listenerOf('in', [chainOf(RDS('routes'))])],
  });
  const port = portOf(control, 'in');
  control.supervisor.send(0, { type: 'fail', message: 'as asked' });
  await eventually('the death', () => (control.aggregator.value('server.worker_restarts') ?? 0) === 1);
  await eventually('an answer', () =>
    ask(port).then(
      ({ body }) => body === 'ok',
      () => false,
    ),
  );
  await apply(control, { routes: [routesTo('none')] });
  t.equal((await ask(port)).status, 503);
});
