/**
 * Endpoints of localities that come one by one (LEDS), from a server of the test. Seen of Envoy 1.40 with the same
 * server: both collections are asked for in one request; the cluster warms until each has been heard of or timed out;
 * what EDS must not say of LEDS is refused in the same places. An endpoint with a malformed address ends Envoy 1.40.
 */
import t from 'tap';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import { ConfigError } from '../../../src/core/errors.ts';
import { envoyDecoder } from '../../../src/proto/bootstrap.ts';
import { AssignmentInParts, LocalityEndpoints } from '../../../src/xds/model/locality-endpoints.ts';
import { Acceptance } from '../../../src/xds/model/resource.ts';
import { eventually, type TestOwner } from '../../support/http-setting.ts';
import { adsBootstrap, grpcApi, openClient, serverCluster } from '../../support/xds-client.ts';
import { any, type PeerStream, urlOf, XdsServer } from '../../support/xds-server.ts';

const TYPE = 'envoy.config.endpoint.v3.LbEndpoint';
const nameOf = (collection: string, name: string): string => `xdstp://test/${TYPE}/${collection}/${name}?a=b`;
const inAds = (collection: string, timeout = 0) => ({
  ledsClusterLocalityConfig: {
    ledsConfig: { ads: {}, initialFetchTimeout: timeout },
    ledsCollectionName: nameOf(collection, '*'),
  },
});

function endpoint(ip: string) {
  const socketAddress = { address: ip, portSpecifier: { case: 'portValue', value: 80 } };
  const value = { address: { address: { case: 'socketAddress', value: socketAddress } } };
  return any(TYPE, { hostIdentifier: { case: 'endpoint', value } });
}

function send(
  stream: PeerStream,
  endpoints: Record<string, string>,
  removed: readonly string[] = [],
): string {
  const resources = Object.entries(endpoints).map(([name, ip]) => ({
    name,
    version: '1',
    resource: endpoint(ip),
  }));
  return stream.send({ typeUrl: urlOf(TYPE), resources, removedResources: removed });
}

/** Each complete assignment as the addresses of its localities. */
function watch(localities: LocalityEndpoints, told: string[]): AssignmentInParts {
  return new AssignmentInParts(localities, ({ endpoints = [] }) => {
    const addresses = endpoints.map(({ lbEndpoints = [] }) =>
      lbEndpoints.map((one) => one.endpoint?.address?.socketAddress?.address).join('+'),
    );
    told.push(addresses.join(' | '));
  });
}

async function setUp(test: TestOwner, delta = true) {
  const server = await new XdsServer().listen();
  const bootstrap = adsBootstrap(delta, serverCluster([`127.0.0.1:${server.port}`]));
  const client = openClient(bootstrap);
  const localities = new LocalityEndpoints({
    bootstrap,
    open: (config) => client.sources.open(config),
    acceptance: new Acceptance(envoyDecoder(), { onUnknownFields: () => {} }, false),
  });
  test.teardown(() => {
    client.close();
    server.close();
  });
  return { server, client, localities };
}

t.test('an assignment is complete when all its collections are known', async (t) => {
  const { server, localities } = await setUp(t);
  const told: string[] = [];
  const parts = watch(localities, told);
  parts.set({ endpoints: [{ locality: { region: 'a' }, ...inAds('a') }, { lbEndpoints: [] }, inAds('b')] });
  const stream = await server.next();
  t.same((await stream.next()).resourceNamesSubscribe, [nameOf('a', '*'), nameOf('b', '*')]);
  send(stream, {
    [nameOf('a', '1')]: '10.0.0.1',
    [nameOf('a', '2')]: '10.0.0.2',
    [nameOf('other', '1')]: '9.9.9.9',
  });
  t.equal((await stream.next()).errorDetail, undefined);
  t.same(told, [], 'nothing is known of b');
  send(stream, { [nameOf('b', '1')]: '10.0.0.3' });
  await stream.next();
  t.same(told.splice(0), ['10.0.0.1+10.0.0.2 |  | 10.0.0.3']);
  send(stream, {}, [nameOf('a', '1')]);
  await stream.next();
  t.same(told.splice(0), ['10.0.0.2 |  | 10.0.0.3'], 'only what has changed is said');
  send(stream, { [nameOf('b', '2')]: 'nonsense', [nameOf('b', '3')]: '10.0.0.4' });
  t.match(
    (await stream.next()).errorDetail?.message,
    /LbEndpoint 'xdstp:.*b\/2.*malformed IP address: nonsense/,
  );
  t.same(told.splice(0), ['10.0.0.2 |  | 10.0.0.3+10.0.0.4'], 'what is good of it is in force');
  send(stream, {}, [nameOf('b', '*')]);
  await stream.next();
  t.same(told.splice(0), ['10.0.0.2 |  | '], 'a collection may go as a whole');
});

t.test('two clusters share a collection; it is let go when nobody has it', async (t) => {
  const { server, localities } = await setUp(t);
  const first: string[] = [];
  const second: string[] = [];
  const one = watch(localities, first);
  const other = watch(localities, second);
  one.set({ endpoints: [inAds('a')] });
  const stream = await server.next();
  await stream.next();
  send(stream, { [nameOf('a', '1')]: '10.0.0.1' });
  await stream.next();
  other.set({ endpoints: [inAds('a')] });
  t.same(second, ['10.0.0.1'], 'at once, without another question');
  one.set({ endpoints: [inAds('a'), inAds('b')] });
  t.same(first, ['10.0.0.1'], 'what serves stays until the new one is there');
  t.match(await stream.next(), { resourceNamesSubscribe: [nameOf('b', '*')], resourceNamesUnsubscribe: [] });
  one.close();
  t.match(await stream.next(), { resourceNamesSubscribe: [], resourceNamesUnsubscribe: [nameOf('b', '*')] });
  other.close();
  t.match(await stream.next(), { resourceNamesUnsubscribe: [nameOf('a', '*')] });
  other.set({ endpoints: [inAds('a')] });
  t.match(await stream.next(), { resourceNamesSubscribe: [nameOf('a', '*')] });
  t.equal(second.length, 1, 'what it was is forgotten');
});

t.test('a server that says nothing of a collection holds nothing up for ever', async (t) => {
  const { server, client, localities } = await setUp(t);
  const told: string[] = [];
  watch(localities, told).set({ endpoints: [inAds('a', 20), inAds('b', 20)] });
  const stream = await server.next();
  await stream.next();
  await eventually('both were given up', () => told.length > 0);
  t.same(told, [' | ']);
  t.equal(client.stats.get('cluster_manager.leds.init_fetch_timeout'), 2);
  const empty: string[] = [];
  watch(localities, empty).set({ endpoints: [inAds('c')] });
  await stream.next();
  stream.send({ typeUrl: urlOf(TYPE) });
  await eventually('an empty answer is one', () => empty.length > 0);
});

t.test('after a break the server is told what is there', async (t) => {
  const { server, localities } = await setUp(t);
  const told: string[] = [];
  watch(localities, told).set({ endpoints: [inAds('a')] });
  let stream = await server.next();
  await stream.next();
  send(stream, { [nameOf('a', '1')]: '10.0.0.1' });
  await stream.next();
  stream.end();
  stream = await server.next();
  const request = await stream.next();
  t.same(request.resourceNamesSubscribe, [nameOf('a', '*')]);
  t.same(request.initialResourceVersions, { [nameOf('a', '1')]: '1' });
});

t.test('a service of its own is asked where the source is not ADS', async (t) => {
  const { server, localities } = await setUp(t);
  const told: string[] = [];
  const ledsConfig = { apiConfigSource: grpcApi(true) };
  const config: ClusterLoadAssignment = {
    endpoints: [{ ledsClusterLocalityConfig: { ledsConfig, ledsCollectionName: nameOf('a', '*') } }],
  };
  localities.check(config);
  watch(localities, told).set(config);
  const stream = await server.next();
  t.equal(stream.path, '/envoy.service.endpoint.v3.LocalityEndpointDiscoveryService/DeltaLocalityEndpoints');
  await stream.next();
  send(stream, { [nameOf('a', '1')]: '10.0.0.1' });
  await stream.next();
  t.same(told, ['10.0.0.1']);
});

t.test('what EDS must not say is refused with the path of the field', async (t) => {
  const { localities } = await setUp(t);
  const refused = (endpoints: ClusterLoadAssignment['endpoints'], path: string, message: RegExp): void => {
    try {
      localities.check({ endpoints });
      t.fail(`taken: ${path}`);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      t.equal(error.problems[0]?.path, path);
      t.match(error.problems[0]?.message, message);
    }
  };
  const leds = 'leds_cluster_locality_config';
  localities.check({ endpoints: [inAds('a'), { lbEndpoints: [{}] }] });
  refused([{}, { ...inAds('a'), lbEndpoints: [{}] }], 'endpoints[1].lb_endpoints', /must be empty/);
  const named = (ledsCollectionName: string) => [
    { ledsClusterLocalityConfig: { ...inAds('a').ledsClusterLocalityConfig, ledsCollectionName } },
  ];
  for (const name of [
    '',
    'foo',
    `xdstp://test/${TYPE}/a`,
    'xdstp://test/envoy.config.cluster.v3.Cluster/a/*',
    `file:///${TYPE}/*`,
  ])
    refused(named(name), `endpoints[0].${leds}.leds_collection_name`, /is not of the form xdstp:/);
  localities.check({ endpoints: named(`xdstp:///${TYPE}/*`) });
  const from = (ledsConfig: object) => [
    { ledsClusterLocalityConfig: { ledsConfig, ledsCollectionName: nameOf('a', '*') } },
  ];
  const source = `endpoints[0].${leds}.leds_config`;
  refused(from({ pathConfigSource: { path: '/x' } }), source, /only ADS and gRPC in delta mode/);
  refused(from({ apiConfigSource: grpcApi(false) }), source, /only ADS and gRPC in delta mode/);
  const sotw = await setUp(t, false);
  t.throws(() => sotw.localities.check({ endpoints: [inAds('a')] }), /only ADS and gRPC in delta mode/);
});
