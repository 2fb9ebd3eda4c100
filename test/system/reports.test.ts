/**
 * What management servers are told about hosts: load reports (LRS), health (HDS), and endpoints that come one by one
 * (LEDS). The real program and Envoy are each asked the same by a server of the test and must say the same. Known to
 * differ, and left out here: Envoy's own streams count as load of the cluster they go to; of several checks of an
 * endpoint the one that spoke last decides in Envoy.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import {
  connect,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { TestOwner } from '../support/http-setting.ts';
import { freePort } from '../support/ports.ts';
import { type Json, ReportServer, type ReportStream } from '../support/report-server.ts';
import { any, type PeerStream, urlOf, XdsServer } from '../support/xds-server.ts';
import { hasEnvoy } from './envoy-beside.ts';
import { ProxyProcess, until } from './xds/world.ts';

t.setTimeout(180_000);

type Kind = 'inox' | 'envoy';

const API = 'type.googleapis.com/envoy.';
const HTTP2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': `${API}extensions.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
};
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const cluster = (name: string, port: number, more: object = {}, locality: object = {}) => ({
  name,
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ locality, lb_endpoints: [{ endpoint: { address: address(port) } }] }],
  },
  ...more,
});
const api = (api_type: string) => ({
  api_type,
  transport_api_version: 'V3',
  grpc_services: [{ envoy_grpc: { cluster_name: 'server' } }],
});
const route = (prefix: string, name: string) => ({ match: { prefix }, route: { cluster: name } });
const listener = (port: number) => ({
  address: address(port),
  filter_chains: [
    {
      filters: [
        {
          name: 'http',
          typed_config: {
            '@type': `${API}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: 'h',
            route_config: {
              validate_clusters: false,
              virtual_hosts: [
                {
                  name: 'v',
                  domains: ['*'],
                  routes: [route('/full', 'full'), route('/grpc', 'grpc'), route('/', 'web')],
                },
              ],
            },
            http_filters: [
              {
                name: 'router',
                typed_config: { '@type': `${API}extensions.filters.http.router.v3.Router` },
              },
            ],
          },
        },
      ],
    },
  ],
});

/** A backend that fails at /bad and holds what asks for /held. */
class Backend {
  readonly held: ServerResponse[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(test: TestOwner): Promise<Backend> {
    const server = createServer();
    const backend = new Backend(server);
    server.on('request', (request, response) => {
      if (request.url === '/held') backend.held.push(response);
      else response.writeHead(request.url === '/bad' ? 500 : 200).end(String(backend.port));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    test.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
}

/** A gRPC server whose answers begin well; returns its port. The path says how they end. */
async function startGrpc(test: TestOwner): Promise<number> {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const path = `${headers[':path']}`;
    stream.on('error', () => {});
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: path !== '/grpc/cut' },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': path.slice('/grpc/'.length) }));
    if (path === '/grpc/reset') stream.write('x', () => stream.close(2));
    else stream.end('x');
  });
  server.on('session', (session) => test.teardown(() => session.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Calls each path, one after the other, whatever comes of it. */
async function callGrpc(port: number, paths: readonly string[]): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  for (const path of paths) {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end('x');
    stream.resume();
    await new Promise<void>((resolve) => stream.on('close', resolve));
  }
  session.destroy();
}

async function start(test: TestOwner, kind: Kind, more: object, port: number): Promise<ProxyProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-reports-'));
  const admin = await freePort();
  const bootstrap = { node: { id: 'me', cluster: 'c' }, admin: { address: address(admin) }, ...more };
  const proxy = ProxyProcess.start(kind, bootstrap, admin, folder);
  test.teardown(async () => {
    await proxy.running.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await proxy.ready(60_000);
  await until('the listener', async () => (await fetch(`http://127.0.0.1:${port}/`)).status);
  return proxy;
}

const countOf = (value: unknown): number => Number(value ?? 0);
const listOf = (value: unknown): readonly Json[] => (value ?? []) as readonly Json[];

/** What came of one cluster, over as many reports as it takes until `done`. */
async function gather(stream: ReportStream, name: string, done: (total: Json) => boolean): Promise<Json> {
  const total = { dropped: 0, issued: 0, succeeded: 0, failed: 0, localities: '' };
  for (;;) {
    const report = await stream.next();
    const found = listOf(report.cluster_stats).find((one) => one.cluster_name === name);
    total.dropped += countOf(found?.total_dropped_requests);
    for (const locality of listOf(found?.upstream_locality_stats)) {
      total.localities = JSON.stringify(locality.locality);
      total.issued += countOf(locality.total_issued_requests);
      total.succeeded += countOf(locality.total_successful_requests);
      total.failed += countOf(locality.total_error_requests);
    }
    if (done(total)) return { ...total };
  }
}

async function loadReports(test: TestOwner, kind: Kind): Promise<Json> {
  const server = await new ReportServer().listen();
  test.teardown(() => server.close());
  const backend = await Backend.start(test);
  const port = await freePort();
  const limits = { circuit_breakers: { thresholds: [{ max_requests: 0, max_pending_requests: 0 }] } };
  const locality = { region: 'r', zone: 'z', sub_zone: 's' };
  const bootstrap = {
    cluster_manager: { load_stats_config: api('GRPC') },
    static_resources: {
      listeners: [listener(port)],
      clusters: [
        cluster('server', server.port, { typed_extension_protocol_options: HTTP2 }),
        cluster('web', backend.port, {}, locality),
        cluster('full', backend.port, limits),
        cluster('grpc', await startGrpc(test), { typed_extension_protocol_options: HTTP2 }),
      ],
    },
  };
  const proxy = await start(test, kind, bootstrap, port);
  const ask = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } })).status;
  const stream = await server.next();
  const first = Object.keys(await stream.next());
  stream.send({ clusters: ['web', 'full', 'grpc', 'absent'], loadReportingInterval: '0.2s' });
  const begun = listOf((await stream.next()).cluster_stats).map((one) => Object.keys(one).join());
  const statuses: number[] = [];
  for (const path of ['/', '/bad', '/', '/full', '/']) statuses.push(await ask(path));
  const web = await gather(stream, 'web', ({ issued }) => issued === 4);
  await ask('/full');
  const full = await gather(stream, 'full', ({ dropped }) => countOf(dropped) >= 1);
  await callGrpc(port, ['/grpc/0', '/grpc/5', '/grpc/13', '/grpc/14', '/grpc/cut', '/grpc/reset']);
  const grpc = await gather(
    stream,
    'grpc',
    ({ succeeded, failed }) => countOf(succeeded) + countOf(failed) === 6,
  );
  const held = ask('/held');
  await until('the held request', async () => backend.held.length === 1 || undefined);
  await gather(stream, 'web', ({ issued }) => issued === 1);
  const running = listOf((await stream.next()).cluster_stats).find((one) => one.cluster_name === 'web');
  for (const response of backend.held.splice(0)) response.end();
  await held;
  stream.send({ sendAllClusters: true, reportEndpointGranularity: true, loadReportingInterval: '0.2s' });
  const all = await stream.until((report) => listOf(report.cluster_stats).length === 4);
  await ask('/');
  const single = await stream.until((report) =>
    JSON.stringify(report).includes(
      'upstream_endpoint_stats":[{"address":{"socket_address":{"address":"127.0.0.1","port_value":' +
        String(backend.port),
    ),
  );
  const perHost = JSON.stringify(listOf(single.cluster_stats).find((one) => one.cluster_name === 'web'));
  stream.fail(14, 'gone');
  await ask('/');
  const again = await server.next();
  const resumed = listOf((await again.next()).cluster_stats).find((one) => one.cluster_name === 'web');
  const counters: Json = {
    requests: await proxy.stat('load_reporter.requests'),
    errors: await proxy.stat('load_reporter.errors'),
    retries: await proxy.stat('load_reporter.retries'),
  };
  return {
    first,
    begun: begun.sort(),
    statuses,
    web,
    full,
    grpc,
    running: listOf(running?.upstream_locality_stats),
    all: listOf(all.cluster_stats)
      .map((one) => one.cluster_name)
      .sort(),
    perHost: perHost.replaceAll(String(backend.port), 'PORT').replace(/"[\d.]+s"/, '"INTERVAL"'),
    resumed: Object.keys(resumed ?? {}),
    counters,
  };
}

const CHECK = {
  timeout: '0.5s',
  interval: '0.2s',
  noTrafficInterval: '0.2s',
  unhealthyThreshold: 1,
  healthyThreshold: 1,
};

async function healthReports(test: TestOwner, kind: Kind): Promise<Json> {
  const server = await new ReportServer().listen();
  test.teardown(() => server.close());
  const backend = await Backend.start(test);
  const [port, nobody] = [await freePort(), await freePort()];
  const bootstrap = {
    hds_config: api('GRPC'),
    static_resources: {
      listeners: [listener(port)],
      clusters: [
        cluster('server', server.port, { typed_extension_protocol_options: HTTP2 }),
        cluster('web', backend.port),
      ],
    },
  };
  const proxy = await start(test, kind, bootstrap, port);
  const stream = await server.next();
  const { capability } = ((await stream.next()).health_check_request ?? {}) as Json;
  const endpoint = (of: number) => ({ address: { socketAddress: { address: '127.0.0.1', portValue: of } } });
  const http = (path: string) => ({ ...CHECK, httpHealthCheck: { path } });
  const specifier = {
    interval: '0.2s',
    clusterHealthChecks: [
      {
        clusterName: 'a',
        healthChecks: [http('/')],
        localityEndpoints: [
          { locality: { region: 'r' }, endpoints: [endpoint(backend.port), endpoint(nobody)] },
          { endpoints: [endpoint(backend.port)] },
        ],
      },
      {
        clusterName: 'b',
        healthChecks: [http('/bad')],
        localityEndpoints: [{ endpoints: [endpoint(backend.port)] }],
      },
      {
        clusterName: 'c',
        healthChecks: [http('/held')],
        localityEndpoints: [{ endpoints: [endpoint(backend.port)] }],
      },
      {
        clusterName: 'd',
        healthChecks: [{ ...CHECK, tcpHealthCheck: {} }],
        localityEndpoints: [{ endpoints: [endpoint(backend.port)] }],
      },
      { clusterName: 'e', localityEndpoints: [{ endpoints: [endpoint(backend.port)] }] },
    ],
  };
  const plain = (request: Json): string =>
    JSON.stringify(request.endpoint_health_response)
      .replaceAll(String(backend.port), 'UP')
      .replaceAll(String(nobody), 'DOWN');
  stream.send(specifier);
  const settled = plain(await stream.until((request) => JSON.stringify(request).includes('TIMEOUT')));
  stream.send(specifier);
  stream.send({
    ...specifier,
    clusterHealthChecks: [{ clusterName: 'a', healthChecks: [{ timeout: '1s' }] }],
  });
  await until('the refusal', async () => (await proxy.stat('hds_delegate.errors')) === 1 || undefined);
  while (stream.unread.length > 0) await stream.next();
  const after = plain(await stream.next());
  stream.send({ ...specifier, clusterHealthChecks: specifier.clusterHealthChecks.slice(0, 1) });
  const fewer = plain(await stream.until((request) => !JSON.stringify(request).includes('"b"')));
  const counters = async () => ({
    requests: await proxy.stat('hds_delegate.requests'),
    updates: await proxy.stat('hds_delegate.updates'),
    errors: await proxy.stat('hds_delegate.errors'),
  });
  const before = await counters();
  stream.end();
  const again = await server.next();
  const hello = Object.keys(await again.next());
  return { capability, settled, same: settled === after, fewer, before, hello, afterwards: await counters() };
}

const LEDS = 'envoy.config.endpoint.v3.LbEndpoint';

async function localityEndpoints(test: TestOwner, kind: Kind): Promise<Json> {
  const server = await new XdsServer().listen();
  test.teardown(() => server.close());
  const hosts = [await Backend.start(test), await Backend.start(test)] as const;
  const port = await freePort();
  const bootstrap = {
    dynamic_resources: {
      ads_config: api('DELTA_GRPC'),
      cds_config: { ads: {}, resource_api_version: 'V3' },
    },
    static_resources: {
      listeners: [listener(port)],
      clusters: [cluster('server', server.port, { typed_extension_protocol_options: HTTP2 })],
    },
  };
  const asked: string[] = [];
  const source = { configSourceSpecifier: { case: 'ads', value: {} }, resourceApiVersion: 2 };
  const collection = (name: string): string => `xdstp://test/${LEDS}/${name}/*`;
  const send = (stream: PeerStream, type: string, name: string, fields: Record<string, unknown>): string =>
    stream.send({
      typeUrl: urlOf(type),
      resources: [{ name, version: '1', resource: any(type, fields) }],
    });
  const assignment = (stream: PeerStream): string =>
    send(stream, 'envoy.config.endpoint.v3.ClusterLoadAssignment', 'web', {
      clusterName: 'web',
      endpoints: ['a', 'b'].map((name) => ({
        locality: { region: name },
        loadBalancingWeight: 1,
        lbConfig: {
          case: 'ledsClusterLocalityConfig',
          value: { ledsConfig: source, ledsCollectionName: collection(name) },
        },
      })),
    });
  const endpoint = (stream: PeerStream, name: string, of: number): string => {
    const value = { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: of } };
    return send(stream, LEDS, `xdstp://test/${LEDS}/${name}`, {
      hostIdentifier: { case: 'endpoint', value: { address: { address: { case: 'socketAddress', value } } } },
    });
  };
  const errors: unknown[] = [];
  const serve = async (stream: PeerStream): Promise<void> => {
    for (;;) {
      const request = await stream.next();
      if (request.errorDetail !== undefined) errors.push(request.errorDetail.message);
      const type = request.typeUrl.split('.').at(-1);
      if (request.responseNonce !== '') continue;
      asked.push(`${type}: ${request.resourceNamesSubscribe.join(' ')}`);
      if (type === 'Cluster')
        send(stream, 'envoy.config.cluster.v3.Cluster', 'web', {
          name: 'web',
          clusterDiscoveryType: { case: 'type', value: 3 },
          edsClusterConfig: { edsConfig: source },
        });
      else if (type === 'ClusterLoadAssignment') assignment(stream);
      else if (type === 'LbEndpoint') {
        endpoint(stream, 'a/1', hosts[0].port);
        endpoint(stream, 'b/1', hosts[1].port);
      }
    }
  };
  const streams: PeerStream[] = [];
  server.onStream = (stream) => {
    streams.push(stream);
    serve(stream).catch((error: unknown) => {
      if (!stream.ended) errors.push(error);
    });
  };
  await start(test, kind, bootstrap, port);
  const seen = async (): Promise<string> => {
    const bodies = new Set<string>();
    for (let i = 0; i < 8; i++) bodies.add(await (await fetch(`http://127.0.0.1:${port}/`)).text());
    return hosts.map((one) => bodies.has(String(one.port))).join();
  };
  const both = await until('both endpoints', async () => ((await seen()) === 'true,true' ? true : undefined));
  streams[0]?.send({ typeUrl: urlOf(LEDS), removedResources: [`xdstp://test/${LEDS}/a/1`] });
  const one = await until('one endpoint', async () => ((await seen()) === 'false,true' ? true : undefined));
  return { asked, both, one, errors };
}

/** The same of both proxies; of inox alone where there is no Envoy. */
function beside(
  name: string,
  scenario: (test: TestOwner, kind: Kind) => Promise<Json>,
  expected: Json,
): void {
  t.test(name, async (t) => {
    const kinds: Kind[] = hasEnvoy() ? ['inox', 'envoy'] : ['inox'];
    const [inox, envoy = inox] = await Promise.all(kinds.map((kind) => scenario(t, kind)));
    t.match(inox, expected);
    t.same(inox, envoy, 'as Envoy');
  });
}

beside('load reports', loadReports, {
  first: ['node'],
  statuses: [200, 500, 200, 503, 200],
  web: { issued: 4, succeeded: 3, failed: 1 },
  running: [{ total_requests_in_progress: '1' }],
  all: ['full', 'grpc', 'server', 'web'],
  grpc: { issued: 6, succeeded: 2, failed: 4 },
  counters: { requests: 2, errors: 1, retries: 1 },
});
beside('health checks for a management server', healthReports, {
  same: true,
  hello: ['health_check_request'],
  before: { requests: 4, updates: 2, errors: 1 },
  afterwards: { errors: 2 },
});
beside('endpoints of localities, one by one', localityEndpoints, { both: true, one: true, errors: [] });
