/** What a management server sees on its streams, rule by rule (docs/xds.md), with servers that are wrong. */
import { status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import type { ApiConfigSource, ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { turn } from '../../conformance/discovery-source.ts';
import { adsBootstrap, type Client, grpcApi, openClient, serverCluster } from '../../support/xds-client.ts';
import {
  Cable,
  CLUSTER,
  ENDPOINTS,
  LISTENER,
  ROUTES,
  resource,
  urlOf,
  VIRTUAL_HOST,
  wrapped,
  type XdsRequest,
  XdsServer,
} from '../../support/xds-server.ts';

interface Setting {
  readonly server: XdsServer;
  readonly client: Client;
  readonly config: ConfigSource;
}

interface Options {
  readonly ads: boolean;
  readonly api?: Partial<ApiConfigSource>;
  /** Where the client connects to, if not to the server itself. */
  readonly port?: (server: XdsServer) => Promise<number>;
}

async function setUp(t: Test, delta: boolean, options: Options): Promise<Setting> {
  const server = await new XdsServer().listen();
  const port = (await options.port?.(server)) ?? server.port;
  const cluster = serverCluster([`127.0.0.1:${port}`]);
  const client = openClient(
    options.ads ? adsBootstrap(delta, cluster, options.api) : { staticResources: { clusters: [cluster] } },
  );
  t.teardown(() => {
    client.close();
    server.close();
  });
  const config = options.ads ? { ads: {} } : { apiConfigSource: grpcApi(delta, options.api) };
  return { server, client, config };
}

/** Names as the first request of either protocol says them. */
function namesOf(request: XdsRequest): readonly string[] {
  return request.resourceNames ?? request.resourceNamesSubscribe;
}

function typeOf({ typeUrl }: XdsRequest): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

for (const delta of [false, true]) {
  const protocol = delta ? 'incremental' : 'state of the world';

  t.test(`${protocol}: each response is answered at once, by its nonce (1)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    const first = await stream.next();
    t.equal(first.responseNonce, '');
    t.equal(first.errorDetail, undefined);
    events.judge = ({ version }) => (version === '2' ? ['one', 'two'] : []);
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    const ack = await stream.next();
    t.equal(ack.responseNonce, 'n1');
    t.equal(ack.errorDetail, undefined);
    if (!delta) t.equal(ack.versionInfo, '1');
    stream.sendAll(CLUSTER, '2', [resource(CLUSTER, 'a', 'x')]);
    const nack = await stream.next();
    t.equal(nack.responseNonce, 'n2');
    t.match(nack.errorDetail, { code: 3, message: 'one\ntwo' });
    if (!delta) t.equal(nack.versionInfo, '1', 'the last good version');
    stream.sendAll(CLUSTER, '3', [resource(CLUSTER, 'a', 'y')]);
    const again = await stream.next();
    t.equal(again.responseNonce, 'n3');
    t.equal(again.errorDetail, undefined);
    if (!delta) t.equal(again.versionInfo, '3');
  });

  t.test(`${protocol}: responses in a row are taken one after the other`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const gates: (() => void)[] = [];
    events.judge = async () => {
      await new Promise<void>((resolve) => gates.push(resolve));
      return [];
    };
    const stream = await server.next();
    await stream.next();
    for (const version of ['1', '2', '3']) stream.sendAll(CLUSTER, version, [resource(CLUSTER, version)]);
    const nonces: string[] = [];
    for (let i = 0; i < 3; i++) {
      while (gates.length === 0) await turn();
      t.equal(gates.length, 1);
      gates.pop()?.();
      nonces.push((await stream.next()).responseNonce);
    }
    t.same(nonces, ['n1', 'n2', 'n3']);
    t.equal(events.mostAtOnce, 1);
  });

  t.test(`${protocol}: what changes within a turn is one request (2, 3, 8)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const first = client.subscribe(config, { type: ENDPOINTS, names: new Set(['b', 'a']) });
    const second = client.subscribe(config, { type: ENDPOINTS, names: new Set(['c']) });
    const stream = await server.next();
    const request = await stream.next();
    t.same(namesOf(request), ['a', 'b', 'c'], 'all names of all users');
    stream.sendAll(
      ENDPOINTS,
      '1',
      ['a', 'b', 'c'].map((name) => resource(ENDPOINTS, name)),
    );
    t.equal((await stream.next()).responseNonce, 'n1');
    first.setNames('a', 'd');
    first.setNames('a', 'd', 'e');
    second.setNames('b');
    const change = await stream.next();
    if (delta) {
      t.same(change.resourceNamesSubscribe, ['d', 'e']);
      t.same(change.resourceNamesUnsubscribe, ['c']);
      t.equal(change.responseNonce, '', 'it answers nothing');
    } else {
      t.same(change.resourceNames, ['a', 'b', 'd', 'e'], 'everything that is wanted');
      t.equal(change.responseNonce, 'n1');
      t.equal(change.versionInfo, '1');
    }
    await turn();
    t.same(stream.unread, []);
  });

  t.test(`${protocol}: names that change while a response is looked at`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const watching = client.subscribe(config, { type: ENDPOINTS, names: new Set(['a']) });
    let release = (): void => {};
    watching.events.judge = () =>
      new Promise((resolve) => {
        release = () => resolve([]);
      });
    const stream = await server.next();
    await stream.next();
    stream.sendAll(ENDPOINTS, '1', [resource(ENDPOINTS, 'a')]);
    await watching.events.next();
    watching.setNames('a', 'b');
    await turn();
    if (!delta) t.same(stream.unread, [], 'a request with that nonce would be its answer');
    release();
    const requests = [await stream.next()];
    if (delta) requests.push(await stream.next());
    const subscribed = requests.flatMap((request) =>
      delta ? request.resourceNamesSubscribe : request.resourceNames,
    );
    t.same(subscribed, delta ? ['b'] : ['a', 'b']);
    const ack = requests.find((request) => request.responseNonce === 'n1');
    t.equal(ack?.errorDetail, undefined);
    if (!delta) t.equal(ack?.versionInfo, '1');
  });

  t.test(`${protocol}: a wildcard asks for no names, and nothing is asked for no names (4)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const none = client.subscribe(config, { type: ENDPOINTS, names: new Set() });
    client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    const request = await stream.next();
    t.equal(typeOf(request), 'Cluster');
    t.same(namesOf(request), []);
    await turn();
    t.same(stream.unread, [], 'an empty first request would mean everything');
    none.setNames('a');
    t.same(namesOf(await stream.next()), ['a']);
    none.setNames();
    const last = await stream.next();
    t.same(delta ? last.resourceNamesUnsubscribe : last.resourceNames, delta ? ['a'] : []);
  });

  t.test(`${protocol}: types are asked for in the order in which they need each other (8)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    client.subscribe(config, { type: ROUTES, names: new Set(['r']) });
    client.subscribe(config, { type: LISTENER });
    client.subscribe(config, { type: ENDPOINTS, names: new Set(['e']) });
    client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    const asked: string[] = [];
    for (let i = 0; i < 4; i++) asked.push(typeOf(await stream.next()));
    t.same(asked, ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration']);
    t.equal(server.streams.length, 1, 'one stream for the process');
  });

  t.test(`${protocol}: a stream for each type uses its service`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: false });
    client.subscribe(config, { type: CLUSTER });
    client.subscribe(config, { type: ROUTES, names: new Set(['r']) });
    const paths = [(await server.next()).path, (await server.next()).path].sort();
    const method = delta ? 'Delta' : 'Stream';
    t.same(paths, [
      `/envoy.service.cluster.v3.ClusterDiscoveryService/${method}Clusters`,
      `/envoy.service.route.v3.RouteDiscoveryService/${method}Routes`,
    ]);
  });

  t.test(`${protocol}: a new stream says what is held, and the node again (10, 11)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, {
      ads: true,
      api: { setNodeOnFirstMessageOnly: true },
    });
    const all = client.subscribe(config, { type: CLUSTER });
    const some = client.subscribe(config, { type: ENDPOINTS, names: new Set(['a', 'b']) });
    const stream = await server.next();
    const first = await stream.next();
    t.match(first.node, { id: 'test-id', userAgentName: 'envoy' });
    t.equal((await stream.next()).node, undefined, 'only in the first message');
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'x'), resource(CLUSTER, 'y')]);
    stream.sendAll(ENDPOINTS, '2', [resource(ENDPOINTS, 'a')]);
    await stream.next();
    t.equal((await stream.next()).node, undefined);
    stream.end();
    const second = await server.next();
    const clusters = await second.next();
    const endpoints = await second.next();
    t.match(clusters.node, { id: 'test-id' });
    t.equal(clusters.responseNonce, '');
    t.same(namesOf(endpoints), ['a', 'b']);
    if (delta) {
      t.same(clusters.initialResourceVersions, { x: '1', y: '1' });
      t.same(endpoints.initialResourceVersions, { a: '2' });
    } else {
      t.equal(clusters.versionInfo, '1');
      t.equal(endpoints.versionInfo, '2');
    }
    await all.events.next();
    await some.events.next();
    t.same([...all.events.unread, ...some.events.unread], [], 'nothing changed meanwhile');
    t.equal(client.stats.get('control_plane.connected_state'), 0);
    second.sendAll(CLUSTER, '3', [resource(CLUSTER, 'x')], ['y']);
    t.equal(await all.events.next(), '3: x -y');
    t.equal(client.stats.get('control_plane.connected_state'), 1);
  });

  t.test(`${protocol}: the node is in every message otherwise (11)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    t.equal((await stream.next()).node?.id, 'test-id');
    stream.sendAll(CLUSTER, '1', []);
    t.equal((await stream.next()).node?.id, 'test-id');
  });

  t.test(`${protocol}: nothing of a stream that ended is said on the next one (1)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    let release = (): void => {};
    events.judge = () =>
      new Promise((resolve) => {
        release = () => resolve([]);
      });
    const stream = await server.next();
    await stream.next();
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    await events.next();
    stream.end();
    const second = await server.next();
    t.equal((await second.next()).responseNonce, '');
    events.judge = () => [];
    second.sendAll(CLUSTER, '2', [resource(CLUSTER, 'a', 'x')]);
    await turn();
    t.equal(events.unread.length, 0, 'one update at a time');
    release();
    const ack = await second.next();
    t.equal(ack.responseNonce, 'n1', 'of the second stream');
    if (!delta) t.equal(ack.versionInfo, '2');
    t.equal(events.mostAtOnce, 1);
  });

  t.test(`${protocol}: an answer for a type that nobody asked for is passed over`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    stream.sendAll(LISTENER, '1', [resource(LISTENER, 'l')]);
    stream.send({ typeUrl: 'type.googleapis.com/nobody.knows.This' });
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    t.equal(await events.next(), '1: a');
    t.equal((await stream.next()).responseNonce, 'n3');
    t.match(client.logs, [/Listener', which nobody asked for/, /nobody\.knows\.This/]);
  });

  t.test(`${protocol}: resources that cannot be read are refused, all of them named (13)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    const bad = [
      { typeUrl: urlOf(CLUSTER), value: Uint8Array.of(0x0a, 0x7f, 1) },
      { typeUrl: 'no-url', value: new Uint8Array() },
    ];
    if (delta) {
      stream.send({
        typeUrl: urlOf(CLUSTER),
        resources: [{ resource: bad[0] }, { name: 'n', resource: bad[1] }, { name: 'empty' }],
      });
    } else {
      stream.send({
        typeUrl: urlOf(CLUSTER),
        versionInfo: '1',
        resources: [...bad, wrapped({ name: 'empty' })],
      });
    }
    const nack = await stream.next();
    t.match(
      nack.errorDetail?.message,
      /cannot be decoded.*\n'no-url' is no type URL\nresource 'empty' is empty/s,
    );
    t.equal(await events.next(), 'missing *');
    t.equal(client.stats.get('test.sub.update_rejected'), 1);
  });

  t.test(`${protocol}: a message that is none ends the stream; the next one is tried`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    await stream.next();
    stream.sendBytes(Uint8Array.of(0x12, 0xff, 0xff, 0x03, 1, 2, 3));
    const second = await server.next();
    await second.next();
    second.sendAll(CLUSTER, '2', [resource(CLUSTER, 'a'), resource(CLUSTER, 'b')]);
    t.equal(await events.next(), '1: a');
    t.equal(await events.next(), '2: a b');
    t.equal(client.stats.get('test.sub.update_failure'), 1);
  });

  t.test(`${protocol}: the connection breaks in the middle of a message`, async (t) => {
    let cable: Cable | null = null;
    const { server, client, config } = await setUp(t, delta, {
      ads: true,
      port: (peer) => {
        cable = new Cable(peer.port);
        return cable.listen();
      },
    });
    t.teardown(() => cable?.close());
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    await stream.next();
    if (cable !== null) (cable as Cable).budget = 100_000;
    stream.sendAll(CLUSTER, '2', [resource(CLUSTER, 'half', 'x'.repeat(1_000_000))]);
    const second = await server.next();
    const request = await second.next();
    if (!delta) t.equal(request.versionInfo, '1');
    second.sendAll(CLUSTER, '3', [resource(CLUSTER, 'b')], ['a']);
    t.equal(await events.next(), '1: a');
    t.equal(await events.next(), '3: b -a');
  });

  t.test(`${protocol}: a server that ends every stream is asked less and less often (10)`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    client.subscribe(config, { type: CLUSTER });
    for (let i = 0; i < 5; i++) {
      const stream = await server.next();
      await stream.next();
      stream.fail(status.RESOURCE_EXHAUSTED, 'too many streams');
    }
    while (client.logs.length < 5) await turn();
    t.match(client.logs[0], /stream to cluster 'xds' ended: .*too many streams; tried again in \d+ ms/);
    const waits = client.logs.map((line) => Number(/in (\d+) ms/.exec(line)?.[1]));
    t.ok(
      waits.every((ms) => ms >= 5 && ms <= 20),
      waits.join(),
    );
    t.equal(client.stats.get('test.sub.update_failure'), 5);
  });

  t.test(`${protocol}: a response of 50 MB`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    const many = Array.from({ length: 50 }, (_, i) => resource(CLUSTER, `big${i}`, 'x'.repeat(1_000_000)));
    stream.sendAll(CLUSTER, '1', many);
    t.equal((await stream.next()).responseNonce, 'n1');
    t.equal(events.updates[0]?.resources.length, 50);
  });

  t.test(`${protocol}: a sink that throws is answered, and the stream goes on`, async (t) => {
    const { server, client, config } = await setUp(t, delta, { ads: true });
    const { events } = client.subscribe(config, { type: CLUSTER });
    events.judge = ({ version }) => {
      if (version === '1') throw new TypeError('a bug');
      return [];
    };
    const stream = await server.next();
    await stream.next();
    stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
    const nack = await stream.next();
    t.match(nack, { responseNonce: 'n1', errorDetail: { message: 'internal error' } });
    stream.sendAll(CLUSTER, '2', [resource(CLUSTER, 'a')]);
    t.equal((await stream.next()).errorDetail, undefined);
  });

  t.test(`${protocol}: rate_limit_settings hold requests back`, async (t) => {
    const { server, client, config } = await setUp(t, delta, {
      ads: true,
      api: { rateLimitSettings: { maxTokens: 2, fillRate: 20 } },
    });
    client.subscribe(config, { type: CLUSTER });
    client.subscribe(config, { type: LISTENER });
    client.subscribe(config, { type: ROUTES, names: new Set(['r']) });
    client.subscribe(config, { type: ENDPOINTS, names: new Set(['e']) });
    const stream = await server.next();
    for (let i = 0; i < 4; i++) await stream.next();
    t.ok(client.stats.get('control_plane.rate_limit_enforced') >= 1);
    t.equal(client.stats.get('control_plane.pending_requests'), 0);
  });
}

t.test('incremental: names that are removed are missing at once, also ones never known (5, 6)', async (t) => {
  const { server, client, config } = await setUp(t, true, { ads: true });
  const { events } = client.subscribe(config, {
    type: ENDPOINTS,
    names: new Set(['a', 'b']),
    initialFetchTimeoutMs: 60_000,
  });
  const stream = await server.next();
  await stream.next();
  stream.sendAll(ENDPOINTS, '1', [resource(ENDPOINTS, 'a')], ['b', 'never-heard-of']);
  t.equal(await events.next(), '1: a -b');
  t.equal(await events.next(), 'missing b');
  t.equal((await stream.next()).errorDetail, undefined);
  stream.sendAll(ENDPOINTS, '2', [], ['a']);
  t.equal(await events.next(), '2: -a');
});

t.test('incremental: everything below a name (15)', async (t) => {
  const { server, client, config } = await setUp(t, true, { ads: true });
  const { events } = client.subscribe(config, {
    type: VIRTUAL_HOST,
    names: new Set(['route']),
    byNamespace: true,
  });
  const stream = await server.next();
  t.same((await stream.next()).resourceNamesSubscribe, ['route']);
  stream.sendAll(VIRTUAL_HOST, '1', [
    resource(VIRTUAL_HOST, 'route/a'),
    resource(VIRTUAL_HOST, 'route/b'),
    resource(VIRTUAL_HOST, 'other/c'),
  ]);
  t.equal(await events.next(), '1: route/a route/b');
  stream.sendAll(VIRTUAL_HOST, '2', [], ['route/a']);
  t.equal(await events.next(), '2: -route/a');
});

t.test('incremental: what was refused is asked for again after a break (10)', async (t) => {
  const { server, client, config } = await setUp(t, true, { ads: true });
  const { events } = client.subscribe(config, { type: CLUSTER });
  const stream = await server.next();
  await stream.next();
  stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
  await stream.next();
  events.judge = () => ['wrong'];
  stream.sendAll(CLUSTER, '2', [resource(CLUSTER, 'a', 'x'), resource(CLUSTER, 'b')]);
  await stream.next();
  stream.end();
  t.same((await (await server.next()).next()).initialResourceVersions, { a: '', b: '' });
});

t.test('incremental: nonces of others, twice or none at all are echoed as they come (1)', async (t) => {
  const { server, client, config } = await setUp(t, true, { ads: true });
  client.subscribe(config, { type: CLUSTER });
  const stream = await server.next();
  await stream.next();
  for (const nonce of ['x', 'x', '']) {
    stream.send({ nonce, typeUrl: urlOf(CLUSTER), systemVersionInfo: nonce });
    t.equal((await stream.next()).responseNonce, nonce);
  }
});

t.test('the status of streams names what was said last', async (t) => {
  const { server, client, config } = await setUp(t, false, { ads: true });
  const { events } = client.subscribe(config, { type: CLUSTER });
  const stream = await server.next();
  await stream.next();
  events.judge = () => ['wrong'];
  t.equal(client.texts.get('control_plane.identifier'), '');
  stream.send({ typeUrl: urlOf(CLUSTER), versionInfo: '7', controlPlane: { identifier: 'cp-1' } });
  await stream.next();
  t.match(client.sources.status(), [
    {
      source: 'ads',
      server: "cluster 'xds'",
      connected: true,
      identifier: 'cp-1',
      types: [{ type: CLUSTER, names: ['*'], version: '', nonce: 'n1', error: 'wrong' }],
    },
  ]);
  t.same([...client.texts], [['control_plane.identifier', 'cp-1']]);
  const [before] = client.sources.status();
  t.ok(Math.abs(Date.now() - (before?.types[0]?.updatedAt ?? 0)) < 60_000, 'in milliseconds since 1970');
  stream.end();
  await server.next();
  t.match(client.sources.status(), [
    { connected: false, identifier: 'cp-1', lastEnd: 'the server ended it', types: [{ error: 'wrong' }] },
  ]);
});
