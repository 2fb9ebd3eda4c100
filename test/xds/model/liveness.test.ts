import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { TYPES } from '../../../src/xds/model/model.ts';
import { rawResource } from '../../support/fake-discovery.ts';
import {
  ADS,
  createModel,
  eds,
  fixed,
  listener,
  names,
  ROUTER,
  route,
  SCOPED_ROUTES,
  scope,
  VIRTUAL_HOST,
} from '../../support/xds-model.ts';

/** Nothing waits for ever, and nothing comes that nobody waits for: orders of events that servers can bring about. */

const rds = (routeConfigName: string) => ({ rds: { configSource: ADS, routeConfigName } });

async function withCluster() {
  const model = createModel();
  await model.server.send([fixed('a')]);
  await model.settle();
  return model;
}

t.test('a listener that is replaced while it waits for a route keeps the route', async (t) => {
  const { server, steps, settle, model, isLive } = await withCluster();
  await server.send([listener('l', { ...rds('r'), statPrefix: 'one' })]);
  await settle();
  await server.send([listener('l', { ...rds('r'), statPrefix: 'two' })]);
  await settle();
  await server.send([route('r', 'a')]);
  await settle();
  t.match(JSON.stringify(steps.at(-1)?.listeners), /"statPrefix":"two"/);
  t.notOk(
    steps.some(({ listeners }) => JSON.stringify(listeners ?? []).includes('"one"')),
    'the one that was replaced never serves',
  );
  t.same(server.asked(TYPES.routes), ['r']);
  t.same(
    steps.flatMap(({ removedRoutes }) => removedRoutes ?? []),
    [],
  );
  t.equal(isLive(), true);
  t.same(model.unready(), []);
});

t.test('a listener that is removed while it waits does not come back', async (t) => {
  const { server, steps, settle } = await withCluster();
  await server.send([listener('gone', rds('r')), listener('stays', rds('r'))]);
  await settle();
  await server.send([], ['gone'], TYPES.listener);
  await settle();
  await server.send([route('r', 'a')]);
  await settle();
  t.same(
    steps.flatMap(({ listeners }) => names(listeners)),
    ['stays'],
  );
});

t.test('what moves from one listener to another is found there', async (t) => {
  const { server, steps, settle } = await withCluster();
  await server.send([listener('a', rds('r')), listener('b', rds('other'))]);
  await settle();
  await server.send([route('r', 'a'), route('other', 'a')]);
  await settle();
  // Whoever had it lets go of it before the other one asks, and the server is not asked again.
  await server.send([listener('a', { routeConfig: {} })]);
  await server.send([listener('b', rds('r'))]);
  await settle();
  t.ok(names(steps.at(-1)?.listeners).includes('b'), 'it does not wait');
  t.same(server.asked(TYPES.routes), ['r']);
});

t.test('a resource that is refused is not waited for', async (t) => {
  const { server, steps, settle, isLive } = createModel();
  await server.send([eds('e')]);
  await settle();
  const wrong = rawResource(TYPES.endpoints, {
    clusterName: 'e',
    endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path: '' } } } }] }],
  });
  t.match(await server.send([wrong]), [/ClusterLoadAssignment 'e'/]);
  await settle();
  t.same(names(steps.at(-1)?.clusters), ['e'], 'in force without members');
  await server.send([listener('l', rds('r'))]);
  await settle();
  const bad = rawResource(TYPES.routes, {
    name: 'r',
    virtualHosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: '' } }] },
    ],
  });
  t.match(await server.send([bad]), [/RouteConfiguration 'r'/]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['l'], 'without routes');
  t.equal(isLive(), true);
  await server.send([route('r', 'e')]);
  await settle();
  t.same(names(steps.at(-1)?.routes), ['r'], 'a good one is taken later');
});

t.test('a listener that is of no use without its filter does not keep the start waiting', async (t) => {
  const { server, steps, settle, isLive, model } = await withCluster();
  const typeUrls = ['type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'];
  const discovered = { name: 'fault', configDiscovery: { configSource: ADS, typeUrls } };
  await server.send([listener('l', { httpFilters: [discovered, ROUTER], routeConfig: {} })]);
  await settle();
  t.equal(isLive(), false);
  server.missing(TYPES.extension, ['fault']);
  await settle();
  t.equal(isLive(), true);
  t.same(model.unready(), []);
  t.notOk(steps.some(({ listeners }) => (listeners?.length ?? 0) > 0));
});

t.test('a scope that changes while its routes are waited for', async (t) => {
  const { server, steps, settle } = await withCluster();
  await server.send([listener('l', { scopedRoutes: SCOPED_ROUTES })]);
  await settle();
  await server.send([scope('one', 'r1'), scope('two', 'r3')]);
  await settle();
  await server.send([scope('one', 'r2')]);
  await server.send([], ['two'], 'envoy.config.route.v3.ScopedRouteConfiguration');
  await settle();
  await server.send([route('r2', 'a')]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['l']);
});

t.test('virtual hosts that were asked for before are not waited for as long again', async (t) => {
  const { server, steps, settle } = await withCluster();
  const vhds = (name: string) => rawResource(TYPES.routes, { name, vhds: { configSource: ADS } });
  await server.send([listener('first', rds('r1'))]);
  await settle();
  await server.send([vhds('r1')]);
  await settle();
  await server.send([rawResource(VIRTUAL_HOST, { name: 'r1/h', domains: ['h'] })]);
  await settle();
  await server.send([listener('second', rds('r2'))]);
  await settle();
  await server.send([vhds('r2')]);
  const began = performance.now();
  while (!steps.some(({ listeners }) => names(listeners).includes('second'))) {
    if (performance.now() - began > 10_000) break;
    await sleep(20);
  }
  t.ok(steps.some(({ listeners }) => names(listeners).includes('second')));
});
