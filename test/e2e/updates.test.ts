/** Steps of the configuration of a running process: what changes, what lives on, and that no request meets a gap. */
import { Agent, createServer, get, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import type { ControlPlane } from '../../src/control/serve.ts';
import type { ConfigUpdate } from '../../src/core/config-update.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { issue, makeCa } from '../support/certs.ts';
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

/** A socket takes what the kernel holds for it already before it closes. */
function closed(port: number): Promise<void> {
  return eventually('nobody listens', () =>
    ask(port).then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    ),
  );
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

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** A listener with a filter chain each for 127.0.0.1 and 127.0.0.2, known by the statistics' prefixes. */
function twoChains(one: string, two: string): object {
  const chain = (statPrefix: string, address: string): object =>
    chainOf(
      { routeConfig: routesTo('web'), statPrefix, drainTimeout: 100 },
      { name: address, filterChainMatch: { prefixRanges: [{ addressPrefix: address, prefixLen: 32 }] } },
    );
  const everywhere = { address: { socketAddress: { address: '0.0.0.0', portValue: 0 } } };
  return listenerOf('in', [chain(one, '127.0.0.1'), chain(two, '127.0.0.2')], everywhere);
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
  await closed(port);
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
  await apply(control, {
    clusters: [clusterOf('web', backend)],
    listeners: [twoChains('one', 'two')],
  });
  const port = portOf(control, 'in');
  const kept = await dialWire(port);
  const changed = await dialWire(port, '127.0.0.2');
  t.teardown(() => {
    kept.socket.destroy();
    changed.socket.destroy();
  });
  for (const peer of [kept, changed]) {
    peer.send(GET);
    t.equal((await peer.message()).body.toString(), 'ok');
  }
  await apply(control, {
    listeners: [twoChains('one', 'new')],
  });
  t.equal(await changed.ended(), 'end', 'after the drain time');
  kept.send(GET);
  t.equal((await kept.message()).body.toString(), 'ok');
  t.equal(control.aggregator.value('listener_manager.listener_in_place_updated'), 1);
});

t.test('a connection that outlived one change of its listener is let go by the next', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, EMPTY);
  await apply(control, { clusters: [clusterOf('web', backend)], listeners: [twoChains('one', 'two')] });
  const peer = await dialWire(portOf(control, 'in'));
  t.teardown(() => peer.socket.destroy());
  for (const other of ['changed', 'once more']) {
    peer.send(GET);
    t.equal((await peer.message()).body.toString(), 'ok');
    await apply(control, { listeners: [twoChains('one', other)] });
  }
  peer.send(GET);
  t.equal((await peer.message()).body.toString(), 'ok', 'its chain is as it was');
  await apply(control, { listeners: [twoChains('new', 'once more')] });
  t.equal(await peer.ended(), 'end', 'after the drain time');
});

for (const [what, filters, counted] of [
  ['a handshake', [], 'downstream_cx_active'],
  [
    'an inspection',
    [
      {
        name: 'tls_inspector',
        typedConfig: { type: 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', value: {} },
      },
    ],
    'downstream_pre_cx_active',
  ],
] as const) {
  t.test(
    `${what} that is under way when its listener changes leads to a connection like all others`,
    async (t) => {
      const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
      const control = await startControl(t, EMPTY);
      const ca = makeCa('root');
      const { chain, key } = issue(ca, { name: 'server', dns: ['server.test'] });
      const tlsCertificates = [
        { certificateChain: { inlineString: chain }, privateKey: { inlineString: key } },
      ];
      const typedConfig = {
        type: 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        value: { commonTlsContext: { tlsCertificates } },
      };
      const step = (i: number): ConfigUpdate => {
        const other = chainOf(
          { ...RDS('routes'), statPrefix: `v${i}` },
          { filterChainMatch: { prefixRanges: [{ addressPrefix: '192.0.2.1', prefixLen: 32 }] } },
        );
        const secured = chainOf(RDS('routes'), { transportSocket: { name: 'tls', typedConfig } });
        return { listeners: [listenerOf('in', [secured, other], { listenerFilters: filters })] };
      };
      const clusters = [clusterOf('one', one), clusterOf('two', two)];
      await apply(control, { ...step(0), clusters, routes: [routesTo('one')] });
      const port = portOf(control, 'in');
      const raw = connect(port, '127.0.0.1');
      const arrived = `listener.127.0.0.1_${port}.${counted}`;
      await eventually('the connection', () => control.aggregator.value(arrived) === 1);
      await apply(control, step(1));
      const socket = connectTls({ socket: raw, ca: ca.cert, servername: 'server.test' });
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      agent.createConnection = () => socket;
      t.teardown(() => socket.destroy());
      t.same(await ask(0, {}, agent), { status: 200, body: 'one' });
      await apply(control, { routes: [routesTo('two')] });
      t.same(await ask(0, {}, agent), { status: 200, body: 'two' }, 'it follows its routes');
      t.equal(socket.destroyed, false);
    },
  );
}

t.test('connections that drain keep the routes of their listener', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, EMPTY, { drainMs: 60_000 });
  const scopedRoutes = {
    name: 'scopes',
    scopeKeyBuilder: { fragments: [{ headerValueExtractor: { name: 'host', index: 0 } }] },
    rdsConfigSource: { ads: {} },
    scopedRds: { scopedRdsConfigSource: { ads: {} } },
  };
  const scope = { name: 'a', routeConfigurationName: 'scoped', key: { fragments: [{ stringKey: 'a' }] } };
  await apply(control, {
    clusters: [clusterOf('web', backend)],
    routes: [routesTo('web', 'r1'), routesTo('web', 'scoped')],
    scopes: [{ name: 'scopes', scopes: [scope] }],
    listeners: [
      listenerOf('changes', [chainOf(RDS('r1'))]),
      listenerOf('goes', [chainOf(RDS('r1'))]),
      listenerOf('scoped', [chainOf({ scopedRoutes })]),
    ],
  });
  const port = portOf(control, 'changes');
  const peers = await Promise.all(
    ['changes', 'goes', 'scoped'].map((name) => dialWire(portOf(control, name))),
  );
  t.teardown(() => {
    for (const peer of peers) peer.socket.destroy();
  });
  for (const peer of peers) {
    peer.send(GET);
    t.equal((await peer.message()).body.toString(), 'ok');
  }
  await apply(control, {
    routes: [routesTo('elsewhere', 'r2')],
    listeners: [listenerOf('changes', [chainOf(RDS('r2'))])],
    removedListeners: ['goes', 'scoped'],
    removedRoutes: ['r1', 'scoped'],
  });
  await apply(control, { scopes: [{ name: 'scopes', scopes: [] }] });
  t.equal((await ask(port)).status, 503, 'new connections have the new routes');
  for (const peer of peers) {
    peer.send(GET);
    t.equal((await peer.message()).body.toString(), 'ok');
  }
});

t.test('a listener takes an address that another one gives up in the same step', async (t) => {
  const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
  const control = await startControl(t, EMPTY);
  const [p, q] = [await freePort(), await freePort()];
  const at = (name: string, cluster: string, portValue: number, address = '127.0.0.1'): object =>
    listenerOf(name, [chainOf({ routeConfig: routesTo(cluster) })], {
      address: { socketAddress: { address, portValue } },
    });
  const answers = (port: number, body: string): Promise<void> =>
    eventually(`${body} on ${port}`, () =>
      ask(port).then(
        (answer) => answer.body === body,
        // The kernel resets what waits at a socket that closes.
        () => false,
      ),
    );
  await apply(control, {
    clusters: [clusterOf('one', one), clusterOf('two', two)],
    listeners: [at('a', 'one', p), at('b', 'two', q)],
  });
  await apply(control, { listeners: [at('a', 'one', q), at('b', 'two', p)] });
  await answers(p, 'two');
  await answers(q, 'one');
  await apply(control, { listeners: [at('renamed', 'one', p)], removedListeners: ['b'] });
  await answers(p, 'one');
  await apply(control, { listeners: [at('a', 'two', q, '0.0.0.0')] });
  await answers(q, 'two');
  const { failedListeners } = await control.apply({ listeners: [at('third', 'two', p)] });
  t.match(failedListeners, [{ name: 'third', message: /listener 'renamed' has this address/ }]);
  t.equal((await ask(p)).body, 'one');

  for (const first of [true, false]) {
    // One that cannot move keeps its address.
    const stuck = at('renamed', 'two', one);
    const greedy = at('third', 'two', p);
    const outcome = await control.apply({ listeners: first ? [stuck, greedy] : [greedy, stuck] });
    t.same(outcome.failedListeners.map(({ name }) => name).sort(), ['renamed', 'third']);
    t.equal((await ask(p)).body, 'one');
  }
});

t.test('a listener that cannot have its address is reported, and its old version serves on', async (t) => {
  const [one, two] = [await namedBackend(t, 'one'), await namedBackend(t, 'two')];
  const control = await startControl(t, EMPTY);
  const clusters = [clusterOf('one', one), clusterOf('two', two)];
  await apply(control, {
    clusters,
    routes: [routesTo('one')],
    listeners: [listenerOf('in', [chainOf(RDS('routes'))])],
  });
  const port = portOf(control, 'in');
  const taken = { address: { socketAddress: { address: '127.0.0.1', portValue: two } } };
  const moved = listenerOf('in', [chainOf({ routeConfig: routesTo('two') })], taken);
  const { failedListeners } = await control.apply({ listeners: [moved], removedRoutes: ['routes'] });
  t.match(failedListeners, [{ name: 'in', message: /in use|EADDRINUSE/ }]);
  t.same(await ask(port), { status: 200, body: 'one' });
  t.equal(portOf(control, 'in'), port);

  const free = await freePort();
  const there = { address: { socketAddress: { address: '127.0.0.1', portValue: free } } };
  await apply(control, { listeners: [listenerOf('in', [chainOf({ routeConfig: routesTo('two') })], there)] });
  t.same(await ask(free), { status: 200, body: 'two' });
  await closed(port);
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
  for (const [cluster, body] of [
    ['one', 'one'],
    ['two', 'two'],
  ] as const) {
    const inline = { ...scope('c', ''), routeConfiguration: routesTo(cluster) };
    await apply(control, { scopes: [{ name: 'scopes', scopes: [inline] }] });
    t.equal(await of('c'), body, 'with routes of its own');
  }
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

/** Answers health checks once it is told to, and everything else at once. */
async function checkedBackend(
  test: TestOwner,
): Promise<{ port: number; checks: ServerResponse[]; let(): void }> {
  const checks: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/healthz') checks.push(response);
    else response.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const letThrough = (): void => {
    for (const response of checks.splice(0)) response.end();
  };
  return { port: (server.address() as AddressInfo).port, checks, let: letThrough };
}

const checked = (port: number, connectTimeout: number): object =>
  clusterOf('web', port, {
    connectTimeout,
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    healthChecks: [
      {
        timeout: 60_000,
        interval: 60_000,
        unhealthyThreshold: 1,
        healthyThreshold: 1,
        httpHealthCheck: { path: '/healthz' },
      },
    ],
  });

t.test('the version that serves keeps its health while the next one is checked', async (t) => {
  const backend = await checkedBackend(t);
  const control = await startControl(t, EMPTY);
  const wanted = (): Promise<void> => eventually('a check', () => backend.checks.length === 1);
  await apply(control, {
    clusters: [checked(backend.port, 1000)],
    routes: [routesTo('web')],
    listeners: [listenerOf('in', [chainOf(RDS('routes'))])],
  });
  const port = portOf(control, 'in');
  await wanted();
  backend.let();
  await eventually('the first version', async () => (await ask(port)).status === 200);
  await apply(control, { clusters: [checked(backend.port, 2000)] });
  await wanted();
  for (let i = 0; i < 20; i++) {
    t.equal((await ask(port)).status, 200);
    await settle(5);
  }
  t.notOk('web' in control.live.seed().health, 'nor does a new worker hear of it');
  t.equal(control.live.isWarming('web'), true);
  backend.let();
  await eventually('the second version', () => !control.live.isWarming('web'));
  t.equal((await ask(port)).status, 200);
});

t.test('a cluster that is removed when its first check is over stays away', async (t) => {
  const backend = await checkedBackend(t);
  const control = await startControl(t, EMPTY);
  await apply(control, { clusters: [checked(backend.port, 1000)] });
  await eventually('a check', () => backend.checks.length === 1);
  let go = (): void => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  const { supervisor } = control;
  const update = supervisor.update.bind(supervisor);
  supervisor.update = (step) => held.then(() => update(step));
  const steps = [apply(control, { routes: [routesTo('web')] }), apply(control, { removedClusters: ['web'] })];
  backend.let();
  const passed = (): boolean => control.aggregator.value('cluster.web.health_check.success') === 1;
  await eventually('the check', passed);
  await settle();
  go();
  await Promise.all(steps);
  // Whatever it put behind these steps is done before this one.
  await apply(control, {});
  t.notOk(control.live.clusters.has('web'));
});

t.test('a worker that takes the place of a dead one in the midst of a step has that step', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, EMPTY);
  const listeners = [
    listenerOf('stays', [chainOf(RDS('routes'))]),
    listenerOf('goes', [chainOf(RDS('routes'))]),
  ];
  await apply(control, { clusters: [clusterOf('web', backend)], routes: [routesTo('none')], listeners });
  const { supervisor } = control;
  const update = supervisor.update.bind(supervisor);
  const seeds: ReturnType<typeof control.live.seed>[] = [];
  supervisor.update = (step) => {
    seeds.push(control.live.seed());
    return update(step);
  };
  await apply(control, { routes: [routesTo('web')], removedListeners: ['goes'] });
  t.match(seeds, [{ routes: [routesTo('web')] }]);
  t.same(
    seeds[0]?.listeners.map((one) => (one as { name?: string }).name),
    ['stays'],
  );
});
