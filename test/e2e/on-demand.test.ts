/** Requests that wait for what a control plane gives when it is asked by name: clusters, virtual hosts. */
import { request } from 'node:http';
import t from 'tap';
import type { ControlPlane } from '../../src/control/serve.ts';
import { clusterOf, namedBackend, portOf, startControl } from '../support/control-plane.ts';
import { rawResource } from '../support/fake-discovery.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';
import {
  type AnyMessage,
  CLUSTER,
  LISTENER,
  type PeerStream,
  ROUTES,
  urlOf,
  VIRTUAL_HOST,
  type XdsRequest,
  XdsServer,
} from '../support/xds-server.ts';

const ADS = { ads: {}, resourceApiVersion: 'V3' };
const EXTENSION = 'type.googleapis.com/envoy.extensions.filters';
const MANAGER = `${EXTENSION}.network.http_connection_manager.v3.HttpConnectionManager`;
const packed = (type: string, json: Record<string, unknown>): AnyMessage => ({
  typeUrl: urlOf(type),
  value: rawResource(type, json).bytes,
});

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly flags: string;
}

function ask(
  port: number,
  host: string,
  headers: Record<string, string> = {},
  body = '',
  path = '/',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      agent: false,
      headers: { host, ...headers },
    };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      const flags = String(response.headers['x-flags'] ?? '');
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, flags }));
    });
    sent.on('error', reject).end(body);
  });
}

/** What it has to say to a question for names of a type; nothing at all for undefined. */
type Say = (names: readonly string[]) => { resources?: object[]; removedResources?: string[] } | undefined;

interface World {
  readonly control: ControlPlane;
  readonly port: number;
  /** Names that were asked for, by type. */
  readonly asked: Map<string, string[]>;
  readonly streams: PeerStream[];
}

/** A proxy whose only listener asks for clusters and virtual hosts as requests need them. */
async function world(t: TestOwner, clusters: Say, hosts: Say): Promise<World> {
  const server = await new XdsServer().listen();
  t.teardown(() => server.close());
  const route = { match: { prefix: '/' }, route: { clusterHeader: 'x-cluster' } };
  const off = {
    'envoy.filters.http.on_demand': { '@type': `${EXTENSION}.http.on_demand.v3.PerRouteConfig` },
  };
  const routes = {
    name: 'routes',
    vhds: { configSource: ADS },
    responseHeadersToAdd: [{ header: { key: 'x-flags', value: '%RESPONSE_FLAGS%' } }],
    virtualHosts: [
      {
        name: 'known',
        domains: ['known.test'],
        routes: [{ ...route, match: { prefix: '/off' }, typedPerFilterConfig: off }, route],
      },
    ],
  };
  const onDemand = {
    name: 'envoy.filters.http.on_demand',
    typedConfig: {
      '@type': `${EXTENSION}.http.on_demand.v3.OnDemand`,
      odcds: { source: ADS, timeout: '3s' },
    },
  };
  const router = { name: 'router', typedConfig: { '@type': `${EXTENSION}.http.router.v3.Router` } };
  const manager = {
    '@type': MANAGER,
    statPrefix: 'in',
    httpFilters: [onDemand, router],
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    rds: { routeConfigName: 'routes', configSource: ADS },
  };
  const listener = {
    name: 'in',
    address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
    filterChains: [{ filters: [{ name: 'http', typedConfig: manager }] }],
  };
  const one = (type: string, name: string, json: Record<string, unknown>): Say => {
    const resource = { name, version: '1', resource: packed(type, json) };
    return () => ({ resources: [resource] });
  };
  const says: Record<string, Say> = {
    [CLUSTER]: clusters,
    [VIRTUAL_HOST]: hosts,
    [LISTENER]: one(LISTENER, 'in', listener),
    [ROUTES]: one(ROUTES, 'routes', routes),
  };
  const asked = new Map<string, string[]>();
  const answer = (stream: PeerStream, question: XdsRequest): void => {
    const type = question.typeUrl.slice(question.typeUrl.lastIndexOf('/') + 1);
    const names = question.resourceNamesSubscribe.filter((name) => name !== '*');
    const before = asked.get(type);
    if (before !== undefined && names.length === 0) return;
    asked.set(type, [...(before ?? []), ...names]);
    const said = says[type]?.(names);
    if (said !== undefined) stream.send({ typeUrl: question.typeUrl, systemVersionInfo: '1', ...said });
  };
  const streams: PeerStream[] = [];
  server.onStream = (stream) => {
    streams.push(stream);
    void (async () => {
      for (;;) answer(stream, await stream.next());
    })().catch(() => {
      // The stream has ended.
    });
  };
  const control = await startControl(
    t,
    `
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
node: {id: n, cluster: c}
static_resources:
  clusters:
    - name: xds
      typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}
      load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${server.port}}}}}]}]}
`,
    { dynamic: true },
  );
  await eventually('the listener is there', () => portOf(control, 'in') > 0 && control.state === 'LIVE');
  return { control, port: portOf(control, 'in'), asked, streams };
}

const nothing: Say = () => ({});

t.test('a request waits for its cluster; those behind it find it', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const { port, asked } = await world(
    t,
    (names) => {
      const resources = names
        .filter((name) => name === 'late')
        .map((name) => ({
          name,
          version: '1',
          resource: packed(CLUSTER, { ...clusterOf(name, backend), connectTimeout: '1s' }),
        }));
      return names.includes('silent')
        ? undefined
        : { resources, removedResources: names.filter((name) => name === 'gone') };
    },
    nothing,
  );
  const late = { 'x-cluster': 'late' };
  const all = await Promise.all([1, 2, 3].map(() => ask(port, 'known.test', late, 'a body')));
  for (const answer of all) t.same([answer.status, answer.body], [200, 'ok']);
  t.same(asked.get(CLUSTER), ['late'], 'asked for once');
  t.same(await ask(port, 'known.test', late), { status: 200, body: 'ok', flags: '-' });
  t.same(asked.get(CLUSTER), ['late']);

  t.match(await ask(port, 'known.test', { 'x-cluster': 'gone' }), { status: 503, flags: 'NC' });
  const began = performance.now();
  t.match(await ask(port, 'known.test', { 'x-cluster': 'silent' }), { status: 503, flags: 'NC' });
  t.ok(performance.now() - began >= 2900, 'no sooner than the timeout');
  t.match(await ask(port, 'known.test'), { status: 503, flags: 'NC' }, 'without a name nobody is asked');
  t.same(asked.get(CLUSTER), ['late', 'gone', 'silent']);
});

/** A virtual host for requests to `host`, under a name that the server chose. */
function hostFor(host: string, cluster: string, action: object = {}): object {
  const json = {
    name: `routes/of ${host}`,
    domains: [host],
    routes: [{ match: { prefix: '/' }, route: { cluster, ...action } }],
  };
  return {
    name: json.name,
    version: '1',
    aliases: [`routes/${host}`],
    resource: packed(VIRTUAL_HOST, json),
  };
}

t.test('a request waits for its virtual host, and then for the cluster that this leads to', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const { port, asked } = await world(
    t,
    (names) => ({
      resources: names.map((name) => ({
        name,
        version: '1',
        resource: packed(CLUSTER, { ...clusterOf(name, backend), connectTimeout: '1s' }),
      })),
    }),
    (names) => ({
      resources: [
        ...names.filter((name) => name === 'routes/found.test').map(() => hostFor('found.test', 'behind')),
        ...names
          .filter((name) => name === 'routes/plain.test')
          .map(() =>
            hostFor('plain.test', 'behind', {
              upgradeConfigs: [{ upgradeType: 'websocket', enabled: false }],
            }),
          ),
        // Envoy's servers say so by an empty resource, others by a removal.
        ...names
          .filter((name) => name === 'routes/empty.test')
          .map((name) => ({ name, version: '1', aliases: [name] })),
      ],
      removedResources: names.filter((name) => name === 'routes/missing.test'),
    }),
  );
  const all = await Promise.all([1, 2].map(() => ask(port, 'Found.Test', {}, 'a body')));
  for (const { status, body } of all) t.same([status, body], [200, 'ok']);
  t.same(asked.get(VIRTUAL_HOST), ['routes/found.test'], 'asked for once');
  t.same(asked.get(CLUSTER), ['behind']);
  t.match(await ask(port, 'missing.test'), { status: 404 });
  t.match(await ask(port, 'empty.test'), { status: 404 });
  t.match(await ask(port, 'found.test'), { status: 200 }, 'what was found stays');
  t.match(await ask(port, 'known.test', { 'x-cluster': 'known' }), { status: 200 });
  t.same(asked.get(VIRTUAL_HOST), ['routes/found.test', 'routes/missing.test', 'routes/empty.test']);
  const upgrade = { connection: 'upgrade', upgrade: 'websocket' };
  t.match(await ask(port, 'plain.test', upgrade), { status: 403 }, 'what was found allows no upgrade');
});

t.test('a cluster that its server removes is asked for again by the next request', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const { port, asked, streams } = await world(
    t,
    (names) => ({
      resources: names.map((name) => ({
        name,
        version: '1',
        resource: packed(CLUSTER, { ...clusterOf(name, backend), connectTimeout: '1s' }),
      })),
    }),
    nothing,
  );
  const headers = { 'x-cluster': 'web' };
  t.match(await ask(port, 'known.test', headers), { status: 200 });
  for (const stream of streams)
    stream.send({ typeUrl: urlOf(CLUSTER), systemVersionInfo: '2', removedResources: ['web'] });
  await eventually('it is asked for again', async () => {
    t.match(await ask(port, 'known.test', headers), { status: 200 });
    return asked.get(CLUSTER)?.length === 2;
  });
});

t.test('a client that leaves waits no more; a route without the filter does not wait', async (t) => {
  const { port, control, asked } = await world(
    t,
    (names) => (names.length > 0 ? undefined : {}),
    (names) => (names.length > 0 ? undefined : {}),
  );
  const sent = request({ host: '127.0.0.1', port, agent: false, headers: { host: 'nobody.test' } }).end();
  sent.on('error', () => {});
  const active = (): number => control.aggregator.value('http.in.downstream_rq_active') ?? 0;
  await eventually('it waits', () => active() === 1);
  sent.destroy();
  await eventually('it is gone', () => active() === 0);
  const waiting = ask(port, 'known.test', { 'x-cluster': 'web' });
  await eventually('it waits', () => active() === 1);
  t.match(await waiting, { status: 503, flags: 'NC' });
  const before = asked.get(CLUSTER)?.length;
  t.match(await ask(port, 'known.test', { 'x-cluster': 'other' }, '', '/off'), { status: 503, flags: 'NC' });
  t.equal(asked.get(CLUSTER)?.length, before, 'nobody was asked');
});
