import t from 'tap';
import {
  type LateRoutes,
  prepareRoutes,
  prepareRoutesNow,
  unpackHost,
} from '../../../src/config/late-routes.ts';
import { Slices } from '../../../src/core/slices.ts';
import { TYPES } from '../../../src/xds/model/model.ts';
import { MAX_DEMANDS } from '../../../src/xds/model/on-demand.ts';
import { rawResource } from '../../support/fake-discovery.ts';
import {
  ADS,
  createModel,
  DYNAMIC,
  eds,
  endpoints,
  fixed,
  listener,
  MANAGER,
  names,
  ROUTER,
  route,
  SCOPED_ROUTES,
  scope,
  VIRTUAL_HOST,
} from '../../support/xds-model.ts';

t.test(
  'clusters come with their endpoints, then listeners with their routes, then the process is live',
  async (t) => {
    const { server, steps, settle, isLive } = createModel();
    t.equal(server.asked(TYPES.listener), null, 'listeners are not asked for before there are clusters');
    t.same(await server.send([eds('a'), fixed('b')]), []);
    await settle();
    t.same(server.asked(TYPES.endpoints), ['a']);
    t.same(names(steps[0]?.clusters), ['b'], 'what needs nothing is in force, what needs endpoints waits');
    t.equal(server.asked(TYPES.listener), null);
    await server.send([endpoints('a', 1)]);
    await settle();
    t.same(names(steps[1]?.clusters), ['a']);
    t.same(
      steps[1]?.endpoints?.map((one) => one.cluster),
      ['a'],
    );
    t.same(server.asked(TYPES.listener), ['*']);
    await server.send([listener('l', { rds: { configSource: ADS, routeConfigName: 'r' } })]);
    await settle();
    t.same(server.asked(TYPES.routes), ['r']);
    t.equal(steps.length, 2, 'the listener waits for its routes');
    t.equal(isLive(), false);
    await server.send([route('r', 'a')]);
    await settle();
    t.same(names(steps[2]?.routes), ['r']);
    t.same(names(steps[3]?.listeners), ['l'], 'what leads to routes comes behind them');
    t.equal(isLive(), true);
  },
);

t.test('a large state: one question for all endpoints, and steps in parts', async (t) => {
  const { server, steps, settle } = createModel();
  const all = Array.from({ length: 1000 }, (_, i) => `c${i}`);
  await server.send(all.map((name) => eds(name)));
  await settle();
  t.equal(server.asked(TYPES.endpoints)?.length, 1000);
  t.equal(server.questions(TYPES.endpoints), 1, 'not one for each of the slices in which clusters were read');
  await server.send(all.map((name, i) => endpoints(name, 1 + i)));
  while (steps.flatMap((step) => step.clusters ?? []).length < 1000) await settle();
  t.ok(
    steps.every(({ clusters = [] }) => clusters.length <= 200),
    'no thread receives thousands in one turn',
  );
  for (const step of steps) {
    t.same(
      step.endpoints?.map((one) => one.cluster),
      names(step.clusters),
      'clusters and their endpoints go together',
    );
  }
});

t.test('a route configuration with many virtual hosts goes packed', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  await server.send([listener('l', { rds: { configSource: ADS, routeConfigName: 'r' } })]);
  await settle();
  const virtualHosts = Array.from({ length: 450 }, (_, i) => ({
    name: `v${i}`,
    domains: [`v${i}.test`],
    routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }],
  }));
  await server.send([rawResource(TYPES.routes, { name: 'r', virtualHosts })]);
  await settle();
  const packed = steps.at(-2)?.routes?.[0] ?? {};
  t.match(packed, { name: 'r', virtualHosts: undefined });
  const routes = await prepareRoutes(structuredClone(packed), new Slices(0));
  if (!('hosts' in routes)) throw new Error('it is not packed');
  for (const known of [routes, prepareRoutesNow(packed) as LateRoutes]) {
    const host = known.hosts.find('v321.test');
    t.same(host === undefined ? undefined : unpackHost(host), virtualHosts[321]);
    t.equal(host?.index, 321);
    t.equal(known.hosts.find('v450.test'), undefined);
  }
});

t.test('what has not changed is not sent again', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await server.send([fixed('a')]);
  await settle();
  t.equal(steps.length, 1);
});

t.test('good resources of a bad update are in force, and all mistakes are told', async (t) => {
  const { server, steps, settle } = createModel();
  const mistakes = await server.send([
    fixed('good'),
    rawResource(TYPES.cluster, { name: 'bad', type: 'EDS' }),
    rawResource(TYPES.cluster, { name: 'worse', lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: '10' } }),
  ]);
  await settle();
  t.same(names(steps[0]?.clusters), ['good']);
  t.equal(mistakes.length, 2);
  t.match(mistakes[0], /^Cluster 'bad': eds_cluster_config/);
  t.match(mistakes[1], /^Cluster 'worse': /);
});

t.test('a changed cluster keeps its endpoints when the server does not send them again', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([eds('a')]);
  await settle();
  await server.send([endpoints('a', 1)]);
  await settle();
  await server.send([eds('a', { connectTimeout: '2s' })]);
  await settle();
  const last = steps.at(-1);
  t.same(names(last?.clusters), ['a']);
  t.equal(last?.endpoints?.length, 1);
});

t.test('endpoints that do not come in time leave a cluster without members; later they count', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([eds('a')]);
  await settle();
  server.missing(TYPES.endpoints, ['a']);
  await settle();
  t.same(steps.at(-1)?.endpoints, [{ cluster: 'a', assignment: { clusterName: 'a' } }]);
  await server.send([endpoints('a', 7)]);
  await settle();
  t.equal(steps.at(-1)?.clusters, undefined);
  t.match(steps.at(-1)?.endpoints, [{ cluster: 'a', assignment: { endpoints: [{}] } }]);
});

t.test('a removed cluster goes at once, and later when routes still lead to it', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a'), fixed('b')]);
  await settle();
  await server.send([listener('l', { rds: { configSource: ADS, routeConfigName: 'r' } })]);
  await settle();
  await server.send([route('r', 'a')]);
  await settle();
  await server.send([], ['a', 'b'], TYPES.cluster);
  await settle();
  t.same(steps.at(-1)?.removedClusters, ['b']);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await settle();
  t.same(steps.at(-1)?.removedClusters, ['a']);
});

t.test('a listener whose routes are missing serves without them', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  await server.send([listener('l', { rds: { configSource: ADS, routeConfigName: 'r' } })]);
  await settle();
  server.missing(TYPES.routes, ['r']);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['l']);
});

t.test('virtual hosts by themselves join the route whose name they begin with', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  await server.send([listener('l', { rds: { configSource: ADS, routeConfigName: 'r' } })]);
  await settle();
  await server.send([rawResource(TYPES.routes, { name: 'r', vhds: { configSource: ADS } })]);
  await settle();
  t.same(server.asked(VIRTUAL_HOST), ['*']);
  const host = (name: string) =>
    rawResource(VIRTUAL_HOST, {
      name,
      domains: [name],
      routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }],
    });
  await server.send([host('r/x'), host('other/y')]);
  await settle();
  t.match(steps.at(-2)?.routes, [{ name: 'r', virtualHosts: [{ name: 'r/x' }] }]);
  t.same(names(steps.at(-1)?.listeners), ['l']);
  await server.send([], ['r/x'], VIRTUAL_HOST);
  await settle();
  t.match(steps.at(-1)?.routes, [{ name: 'r', vhds: {} }]);
});

t.test('scopes wait for the routes they lead to', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  await server.send([listener('l', { scopedRoutes: SCOPED_ROUTES })]);
  await settle();
  await server.send([scope('one', 'r1')]);
  await settle();
  t.same(server.asked(TYPES.routes), ['r1']);
  t.equal(steps.at(-1)?.listeners, undefined);
  await server.send([route('r1', 'a')]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['l']);
});

t.test('who asks later for scopes that a server has given gets them all the same', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  await server.send([listener('first', { scopedRoutes: SCOPED_ROUTES })]);
  await settle();
  await server.send([scope('one', 'r1')]);
  await settle();
  await server.send([route('r1', 'a')]);
  await settle();
  await server.send([listener('second', { scopedRoutes: SCOPED_ROUTES })]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['second'], 'another listener');
  await server.send([listener('first', { scopedRoutes: SCOPED_ROUTES, statPrefix: 'other' })]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['first'], 'another version of a listener');
  await server.send([scope('two', 'r2')]);
  await settle();
  t.same(server.asked(TYPES.routes), ['r1', 'r2']);
  await server.send([], ['first', 'second'], TYPES.listener);
  await settle();
  await server.send([listener('third', { scopedRoutes: SCOPED_ROUTES })]);
  await settle();
  await server.send([route('r1', 'a'), route('r2', 'a')]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['third'], 'also when there was nobody meanwhile');
});

t.test('routes inside a listener lead to clusters that came before it', async (t) => {
  const { server, steps, settle } = createModel();
  const inside = (cluster: string) => ({
    routeConfig: {
      virtualHosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
    },
  });
  await server.send([fixed('there')]);
  await settle();
  const mistakes = await server.send([listener('good', inside('there')), listener('bad', inside('nowhere'))]);
  t.match(mistakes, [/^Listener 'bad': .*unknown cluster 'nowhere'/]);
  await settle();
  t.same(names(steps.at(-1)?.listeners), ['good']);
});

t.test('a filter that comes by its name is put in its place; another version replaces it', async (t) => {
  const { server, steps, settle } = createModel();
  await server.send([fixed('a')]);
  await settle();
  const discovered = {
    name: 'fault',
    configDiscovery: {
      configSource: ADS,
      typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'],
    },
  };
  t.same(await server.send([listener('l', { httpFilters: [discovered, ROUTER], routeConfig: {} })]), []);
  await settle();
  t.same(server.asked(TYPES.extension), ['fault']);
  const fault = (status: number) =>
    rawResource(TYPES.extension, {
      name: 'fault',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
        abort: { httpStatus: status, percentage: { numerator: 100 } },
      },
    });
  await server.send([fault(503)]);
  await settle();
  t.match(JSON.stringify(steps.at(-1)?.listeners), /"httpStatus":503/);
  await server.send([fault(504)]);
  await settle();
  t.match(JSON.stringify(steps.at(-1)?.listeners), /"httpStatus":504/);
});

t.test('runtime layers come first, and later layers win', async (t) => {
  const { server, steps, settle } = createModel({
    ...DYNAMIC,
    layeredRuntime: {
      layers: [
        { name: 'base', staticLayer: { a: 1, b: 1 } },
        { name: 'far', rtdsLayer: { name: 'far', rtdsConfig: ADS } },
      ],
    },
  });
  await settle();
  t.same(server.asked(TYPES.runtime), ['far']);
  t.equal(server.asked(TYPES.cluster), null);
  await server.send([rawResource(TYPES.runtime, { name: 'far', layer: { b: 2 } })]);
  await settle();
  t.same(steps[0]?.runtime, { a: 1, b: 2 });
  t.same(server.asked(TYPES.cluster), ['*']);
});

const LISTENER_WITH_SECRET = {
  name: 'l',
  address: { socketAddress: { address: '127.0.0.1', portValue: 1 } },
  filterChains: [
    {
      filters: [],
      transportSocket: {
        name: 'tls',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: 'leaf', sdsConfig: ADS }] },
        },
      },
    },
  ],
};

t.test(
  'secrets are fetched before a listener serves, and given up with the last one that names them',
  async (t) => {
    const { server, steps, settle } = createModel();
    await server.send([fixed('a')]);
    await settle();
    const raw = rawResource(TYPES.listener, LISTENER_WITH_SECRET);
    t.same(await server.send([raw]), []);
    await settle();
    t.same(server.asked(TYPES.secret), ['leaf']);
    t.equal(steps.at(-1)?.listeners, undefined);
    await server.send([
      rawResource(TYPES.secret, {
        name: 'leaf',
        tlsCertificate: { certificateChain: { inlineString: 'x' } },
      }),
    ]);
    await settle();
    t.equal(steps.at(-2)?.secrets?.length, 1);
    t.same(names(steps.at(-1)?.listeners), ['l']);

    await server.send([rawResource(TYPES.listener, { ...LISTENER_WITH_SECRET, name: 'm' })]);
    await settle();
    await server.send([], ['l'], TYPES.listener);
    await settle();
    t.equal(steps.at(-1)?.removedSecrets, undefined, 'somebody else names it');
    await server.send([], ['m'], TYPES.listener);
    await settle();
    t.same(steps.at(-1)?.removedSecrets, ['{"ads":{}}#leaf']);
    t.same(server.asked(TYPES.secret), []);
  },
);

t.test('what is known is told: active, warming, refused', async (t) => {
  const { server, model, settle } = createModel();
  await server.send([eds('a'), fixed('b'), rawResource(TYPES.cluster, { name: 'bad', type: 'EDS' })]);
  await settle();
  const known = Object.fromEntries(
    model
      .status()
      .filter((one) => one.type === TYPES.cluster)
      .map((one) => [one.name, one]),
  );
  t.equal(known.a?.state, 'warming');
  t.equal(known.b?.state, 'active');
  t.match(known.bad?.refused?.message, /eds_cluster_config/);
  t.same(model.waitsFor(), ['1 clusters that warm']);
  t.same(model.unready(), [{ name: 'init manager Cluster a', targets: ['target EDS a'] }]);
  t.equal(model.versions()[TYPES.cluster], '1');
});

t.test('versions of a listener are told apart: the one that serves, warms, drains', async (t) => {
  const { server, model, settle } = createModel();
  const rds = (name: string, port: number) => ({
    ...listener('l', { rds: { configSource: ADS, routeConfigName: name } }),
    version: String(port),
  });
  const versionsOf = () => {
    const [one] = model.status(TYPES.listener);
    const { active, warming, draining } = one?.versions ?? {};
    return [one?.state, active?.version, warming?.version, draining?.version];
  };
  await server.send([], [], TYPES.cluster);
  await server.send([rds('r', 1)]);
  await settle();
  t.same(versionsOf(), ['warming', undefined, '1', undefined]);
  const [unready] = model.unready();
  t.match(unready?.name, /^init manager Listener-local-init-manager l \d+$/);
  t.same(unready?.targets, ['shared target RdsRouteConfigSubscription RDS init r']);
  await server.send([rawResource(TYPES.routes, { name: 'r' })]);
  await settle();
  t.same(versionsOf(), ['active', '1', undefined, undefined]);
  t.same(model.unready(), []);
  await server.send([rds('r2', 2)]);
  await settle();
  t.same(versionsOf(), ['warming', '1', '2', undefined]);
  const typedConfig = { '@type': MANAGER, statPrefix: 'x', routeConfig: {}, httpFilters: [ROUTER] };
  const elsewhere = {
    address: { socketAddress: { address: '127.0.0.1', portValue: 2 } },
    filterChains: [{ filters: [{ name: 'hcm', typedConfig }] }],
  };
  await server.send([rawResource(TYPES.listener, { name: 'l', ...elsewhere }, '3')]);
  await settle();
  t.same(versionsOf(), ['active', '3', undefined, '1'], 'the one before drains');
  await server.send([], ['l'], TYPES.listener);
  await settle();
  const [gone] = model.status(TYPES.listener);
  t.same([gone?.state, gone?.held], ['draining', null]);
  t.equal(gone?.versions?.draining?.version, '3');
});

t.test(
  'a cluster that a request waits for comes like all others; when there is none that is told',
  async (t) => {
    const { server, steps, model, publisher, settle, settled } = createModel();
    const ask = (name: string): void => model.onDemand.ask({ kind: 'cluster', name, source: ADS });
    await server.send([fixed('there')]);
    await settle();
    ask('there');
    await settle();
    t.same(settled.splice(0), ['cluster there'], 'it was there before');
    ask('a');
    ask('a');
    ask('gone');
    await settle();
    t.same(server.asked(TYPES.cluster), ['*', 'a', 'gone']);
    await server.send([fixed('a')]);
    await settle();
    t.same(names(steps.at(-1)?.clusters), ['a'], 'once, although two have asked');
    t.same(settled.splice(0), [], 'its coming is the answer');
    await server.missing(TYPES.cluster, ['gone']);
    await settle();
    t.same(settled.splice(0), ['cluster gone']);
    t.same(server.asked(TYPES.cluster), ['*', 'a'], 'what does not exist is forgotten');

    await server.send([], ['a'], TYPES.cluster);
    await settle();
    t.same(settled.splice(0), [], 'nobody waits for what was there; who finds it gone asks anew');
    ask('a');
    await settle();
    t.same(server.asked(TYPES.cluster), ['*', 'a']);

    ask('slow');
    await settle();
    await server.send([
      rawResource(TYPES.cluster, {
        name: 'slow',
        type: 'LOGICAL_DNS',
        connectTimeout: '1s',
        loadAssignment: {
          clusterName: 'slow',
          endpoints: [
            { lbEndpoints: [{ endpoint: { address: { socketAddress: { address: 'a', portValue: 1 } } } }] },
          ],
        },
      }),
    ]);
    await settle();
    ask('slow');
    await settle();
    t.same(settled.splice(0), [], 'it waits for its name');
    publisher.warmed('slow');
    ask('slow');
    await settle();
    t.same(settled.splice(0), ['cluster slow']);
  },
);

t.test('clients that make up names do not make the proxy ask for all of them at once', async (t) => {
  const { server, model, settle, settled } = createModel();
  await server.send([fixed('there')]);
  await settle();
  for (let i = 0; i < MAX_DEMANDS + 5; i++)
    model.onDemand.ask({ kind: 'cluster', name: `made-up-${i}`, source: ADS });
  await settle();
  t.equal(server.asked(TYPES.cluster)?.length, MAX_DEMANDS + 1);
  t.equal(settled.length, 5);
});

t.test('what was saved answers until the server has', async (t) => {
  const { server, steps, settle } = createModel(DYNAMIC, [endpoints('a', 1), endpoints('b', 1)]);
  const inForce = (): unknown => steps.splice(0).flatMap((step) => [...names(step.clusters)]);
  await server.send([eds('a')]);
  await settle();
  t.same(inForce(), ['a']);
  await server.send([endpoints('a', 2)]);
  await server.send([eds('b')]);
  await settle();
  t.same(inForce(), [], 'its members may be others by now');
  await server.send([endpoints('b', 2)]);
  await settle();
  t.same(inForce(), ['b']);
});
