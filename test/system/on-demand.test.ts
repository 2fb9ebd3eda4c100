/** Requests that wait for clusters and virtual hosts: the real program and Envoy must answer and ask alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { namedBackend } from '../support/control-plane.ts';
import { rawResource } from '../support/fake-discovery.ts';
import type { TestOwner } from '../support/http-setting.ts';
import { freePort } from '../support/ports.ts';
import {
  type AnyMessage,
  CLUSTER,
  type PeerStream,
  ROUTES,
  urlOf,
  VIRTUAL_HOST,
  type XdsRequest,
  XdsServer,
} from '../support/xds-server.ts';
import { hasEnvoy } from './envoy-beside.ts';
import { ProxyProcess } from './xds/world.ts';

const API = 'type.googleapis.com/envoy.';
const ADS = { ads: {}, resourceApiVersion: 'V3' };
const HTTP2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': `${API}extensions.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
};
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const packed = (type: string, json: Record<string, unknown>): AnyMessage => ({
  typeUrl: urlOf(type),
  value: rawResource(type, json).bytes,
});

/** Tells what requests got, in the order they were made, and which names were asked for. */
async function run(test: TestOwner, kind: 'inox' | 'envoy'): Promise<string[]> {
  const backend = await namedBackend(test, 'ok');
  const server = await new XdsServer().listen();
  const [port, admin] = [await freePort(), await freePort()];
  const seen: string[] = [];
  const clusterOf = (name: string): object => ({
    name,
    version: '1',
    resource: packed(CLUSTER, {
      name,
      connectTimeout: '1s',
      loadAssignment: {
        clusterName: name,
        endpoints: [
          {
            lbEndpoints: [
              { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: backend } } } },
            ],
          },
        ],
      },
    }),
  });
  const hostOf = (host: string): object => ({
    name: `routes/of-${host}`,
    version: '1',
    aliases: [`routes/${host}`],
    resource: packed(VIRTUAL_HOST, {
      name: `routes/of-${host}`,
      domains: [host],
      routes: [{ match: { prefix: '/' }, route: { clusterHeader: 'x-cluster' } }],
    }),
  });
  const routes = {
    name: 'routes',
    vhds: { configSource: ADS },
    responseHeadersToAdd: [
      { header: { key: 'x-about', value: '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER%' } },
    ],
    virtualHosts: [
      {
        name: 'known',
        domains: ['known.test'],
        routes: [{ match: { prefix: '/' }, route: { clusterHeader: 'x-cluster' } }],
      },
    ],
  };
  const says = (type: string, names: readonly string[]): object | undefined => {
    if (type === ROUTES)
      return { resources: [{ name: 'routes', version: '1', resource: packed(ROUTES, routes) }] };
    if (names.includes('silent')) return undefined;
    const found = names.filter((name) => /late|found/.test(name));
    const others = names.filter((name) => !found.includes(name));
    if (type === CLUSTER) return { resources: found.map(clusterOf), removedResources: others };
    // Envoy wants to hear of a virtual host that does not exist in this way.
    const nothing = others.map((name) => ({ name, version: '1', aliases: [name] }));
    return { resources: [...found.map((name) => hostOf(name.slice('routes/'.length))), ...nothing] };
  };
  const answer = (stream: PeerStream, { typeUrl, ...question }: XdsRequest): void => {
    const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
    const names = question.resourceNamesSubscribe.filter((name) => name !== '*');
    if (type !== ROUTES && names.length > 0) seen.push(`asked for ${names.join()}`);
    if (question.responseNonce !== '' && names.length === 0) return;
    const said = says(type, names);
    if (said !== undefined) stream.send({ typeUrl, systemVersionInfo: '1', ...said });
  };
  server.onStream = (stream) => {
    void (async () => {
      for (;;) answer(stream, await stream.next());
    })().catch(() => {
      // The stream has ended.
    });
  };
  const service = {
    api_type: 'DELTA_GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'server' } }],
  };
  const onDemand = {
    '@type': `${API}extensions.filters.http.on_demand.v3.OnDemand`,
    odcds: { timeout: '2s', source: { resource_api_version: 'V3', api_config_source: service } },
  };
  const manager = {
    '@type': `${API}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    rds: { route_config_name: 'routes', config_source: { ads: {}, resource_api_version: 'V3' } },
    http_filters: [
      { name: 'envoy.filters.http.on_demand', typed_config: onDemand },
      { name: 'router', typed_config: { '@type': `${API}extensions.filters.http.router.v3.Router` } },
    ],
  };
  const bootstrap = {
    node: { id: 'me', cluster: 'c' },
    admin: { address: address(admin) },
    dynamic_resources: { ads_config: service },
    static_resources: {
      listeners: [
        { address: address(port), filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }] },
      ],
      clusters: [
        {
          name: 'server',
          typed_extension_protocol_options: HTTP2,
          load_assignment: {
            cluster_name: 'server',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(server.port) } }] }],
          },
        },
      ],
    },
  };
  const folder = mkdtempSync(join(tmpdir(), 'inox-on-demand-'));
  const proxy = ProxyProcess.start(kind, bootstrap, admin, folder);
  test.teardown(async () => {
    await proxy.running.stop();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await proxy.ready();
  const ask = (host: string, cluster: string, body = ''): Promise<void> =>
    new Promise((resolve, reject) => {
      const headers = { host, ...(cluster === '' ? {} : { 'x-cluster': cluster }) };
      const sent = request({ host: '127.0.0.1', port, method: 'POST', agent: false, headers }, (response) => {
        const about = response.headers['x-about'] ?? '';
        seen.push(`${host} ${cluster}: ${response.statusCode} ${about}`);
        response.resume().on('end', resolve);
      });
      sent.on('error', reject).end(body);
    });
  await ask('known.test', 'late', 'a body');
  await ask('known.test', 'late');
  await ask('known.test', 'gone');
  await ask('known.test', 'silent', 'a body');
  await ask('known.test', '');
  await ask('found.test', 'late');
  await ask('found-too.test', 'late-too', 'a body');
  await ask('Found.Test', 'late');
  await ask('missing.test', 'late');
  return seen;
}

t.test(
  'answers and questions are those of Envoy',
  { skip: !hasEnvoy() && 'Envoy is not installed' },
  async (t) => {
    const envoy = await run(t, 'envoy');
    const inox = await run(t, 'inox');
    t.same(inox, envoy);
    t.equal(inox.length > 12, true);
  },
);
