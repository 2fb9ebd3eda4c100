/** Of what a control plane knows, a proxy uses little: clusters and virtual hosts are compiled at their first request. */
import { get } from 'node:http';
import t from 'tap';
import { packRoutes } from '../../src/config/late-routes.ts';
import type { ControlPlane } from '../../src/control/serve.ts';
import type { ClusterStatus } from '../../src/upstream/status.ts';
import {
  assignmentOf,
  chainOf,
  clusterOf,
  listenerOf,
  namedBackend,
  portOf,
  RDS,
  startControl,
} from '../support/control-plane.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';

const EMPTY = 'static_resources: {}';
const HOSTS = 300;

function ask(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, headers: { host }, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve(response.statusCode === 200 ? body : String(response.statusCode)));
    }).on('error', reject);
  });
}

const eds = (name: string): object => ({
  name,
  type: 'EDS',
  connectTimeout: 1000,
  edsClusterConfig: { edsConfig: { ads: {} } },
});

/** A virtual host for each cluster, too many to be compiled before somebody asks. */
const routes = (broken?: number): object => ({
  name: 'routes',
  virtualHosts: Array.from({ length: HOSTS }, (_, i) => ({
    name: `v${i}`,
    domains: [`v${i}.test`],
    routes: [
      { match: i === broken ? { safeRegex: { regex: '(' } } : { prefix: '/' }, route: { cluster: `c${i}` } },
    ],
  })),
});

const statsOf = (control: ControlPlane, name: string): number =>
  control.aggregator.series().filter((series) => series.name.startsWith(`cluster.${name}.`)).length;

async function setting(
  test: TestOwner,
): Promise<{ control: ControlPlane; port: number; backends: number[] }> {
  const backends = [await namedBackend(test, 'one'), await namedBackend(test, 'two')];
  const control = await startControl(test, EMPTY, { concurrency: 1 });
  const names = Array.from({ length: HOSTS }, (_, i) => `c${i}`);
  await control.apply({
    clusters: names.map(eds),
    endpoints: names.map((cluster) => ({ cluster, assignment: assignmentOf(cluster, backends[0] ?? 0) })),
  });
  await control.apply({ routes: [packRoutes(routes())] });
  await control.apply({ listeners: [listenerOf('in', [chainOf(RDS('routes'))])] });
  return { control, port: portOf(control, 'in'), backends };
}

t.test('what nobody asks for has no statistics, and is there for the first request', async (t) => {
  const { control, port, backends } = await setting(t);
  t.equal(statsOf(control, 'c7'), 0);
  t.equal(await ask(port, 'v7.test'), 'one');
  await eventually('statistics', () => (control.aggregator.value('cluster.c7.upstream_rq_200') ?? 0) === 1);
  t.equal(statsOf(control, 'c8'), 0);
  t.equal(await ask(port, 'other.test'), '404');

  const assignment = assignmentOf('c8', backends[1] ?? 0);
  await control.apply({ endpoints: [{ cluster: 'c8', assignment }] });
  await eventually('the members it has now', async () => (await ask(port, 'v8.test')) === 'two');
  await control.apply({ clusters: [clusterOf('c9', backends[1] ?? 0)] });
  t.equal(await ask(port, 'v9.test'), 'two', 'a version that nobody had asked for either');
  await control.apply({ removedClusters: ['c7', 'c10'] });
  t.equal(await ask(port, 'v7.test'), '503', 'one that was in use is gone');
  t.equal(await ask(port, 'v10.test'), '503', 'and one that was not');
});

t.test('/clusters shows what nobody has asked for', async (t) => {
  const { control } = await setting(t);
  const [clusters = []] = (await control.supervisor.query('clusters')) as ClusterStatus[][];
  t.equal(clusters.length, HOSTS);
  const shown = clusters.find(({ name }) => name === 'c20');
  t.match(shown, { addedViaApi: true, hosts: [{ address: { ip: '127.0.0.1' } }] });
  t.equal(statsOf(control, 'c20'), 0, 'and looking at it is no use of it');
});

t.test('a worker that is started again begins with all of it', async (t) => {
  const { control, port } = await setting(t);
  control.supervisor.send(0, { type: 'fail', message: 'as asked' });
  await eventually('the death', () => (control.aggregator.value('server.worker_restarts') ?? 0) === 1);
  await eventually('the next worker', () =>
    ask(port, 'v3.test').then(
      (body) => body === 'one',
      () => false,
    ),
  );
  t.equal(statsOf(control, 'c4'), 0);
  const [clusters = []] = (await control.supervisor.query('clusters')) as ClusterStatus[][];
  t.same(new Set(clusters.map(({ addedViaApi }) => addedViaApi)), new Set([true]));
});

t.test('a cluster with health checks is made at once', async (t) => {
  const backend = await namedBackend(t, 'one');
  const control = await startControl(t, EMPTY, { concurrency: 1 });
  const healthChecks = [
    {
      timeout: 1000,
      interval: 50,
      unhealthyThreshold: 1,
      healthyThreshold: 1,
      httpHealthCheck: { path: '/' },
    },
  ];
  await control.apply({ clusters: [clusterOf('watched', backend, { healthChecks })] });
  await eventually('membership', () => control.aggregator.value('cluster.watched.membership_healthy') === 1);
});

t.test(
  'a virtual host that cannot be compiled after all has no routes; the others have theirs',
  async (t) => {
    const { control, port } = await setting(t);
    await control.apply({ routes: [packRoutes(routes(11))] });
    t.equal(await ask(port, 'v11.test'), '404');
    t.equal(await ask(port, 'v12.test'), 'one');
    await eventually('it is counted', () => (control.aggregator.value('server.internal_errors') ?? 0) > 0);
  },
);
