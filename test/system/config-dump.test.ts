// /config_dump and /init_dump of Envoy and inox, fed by the same files: the same but for what inox shows more.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { issue, makeCa } from '../support/certs.ts';
import { freePort } from '../support/ports.ts';
import { hasEnvoy } from './envoy-beside.ts';
import { ProxyProcess, until } from './xds/world.ts';

type Json = string | number | boolean | null | Json[] | { [field: string]: Json };
type Message = { [field: string]: Json };

const API = 'type.googleapis.com/envoy.';
const folder = mkdtempSync(join(tmpdir(), 'inox-dump-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const from = (name: string): Message => ({ path_config_source: { path: join(folder, name) } });

function put(name: string, version_info: string, ...resources: readonly Message[]): void {
  const staging = join(folder, `.${name}`);
  writeFileSync(staging, JSON.stringify({ version_info, resources }));
  renameSync(staging, join(folder, name));
}

const address = (port: number): Message => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const members = (cluster_name: string): Message => ({
  cluster_name,
  endpoints: [{ locality: { zone: 'a' }, lb_endpoints: [{ endpoint: { address: address(9) } }] }],
});
const cluster = (name: string, more: Message = {}): Message => ({
  '@type': `${API}config.cluster.v3.Cluster`,
  name,
  connect_timeout: '1s',
  ...more,
});
const ROUTER = { '@type': `${API}extensions.filters.http.router.v3.Router` };
const virtualHosts = [
  { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'eds' } }] },
];
const listener = (name: string, manager: Message, chain: Message = {}): Message => ({
  '@type': `${API}config.listener.v3.Listener`,
  name,
  address: address(0),
  filter_chains: [
    {
      filters: [
        {
          name: 'hcm',
          typed_config: {
            '@type': `${API}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: name,
            http_filters: [{ name: 'router', typed_config: ROUTER }],
            ...manager,
          },
        },
      ],
      ...chain,
    },
  ],
});
const rds = (route_config_name: string, source: Message): Message => ({
  rds: { route_config_name, config_source: source },
});
/** A management server that is never there. */
const AWAY: Message = {
  resource_api_version: 'V3',
  initial_fetch_timeout: '600s',
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'away' } }],
  },
};
const tls = (sds_config: Message): Message => ({
  transport_socket: {
    name: 'tls',
    typed_config: {
      '@type': `${API}extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
      common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'leaf', sds_config }] },
    },
  },
});
const discovered: Message = {
  http_filters: [
    {
      name: 'found',
      config_discovery: {
        config_source: from('ecds'),
        type_urls: ['type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'],
      },
    },
  ],
};
const scoped: Message = {
  scoped_routes: {
    name: 'scopes',
    scope_key_builder: {
      fragments: [{ header_value_extractor: { name: 'x', element_separator: ',', index: 0 } }],
    },
    rds_config_source: from('rds'),
    scoped_rds: { scoped_rds_config_source: from('srds') },
  },
};
const LISTENERS: readonly Message[] = [
  listener('all', { ...rds('r', from('rds')), ...discovered }, tls(from('sds'))),
  listener('inline', { route_config: { name: 'inside', virtual_hosts: virtualHosts } }),
  listener('scoped', scoped),
];

function writeWorld(): void {
  put(
    'cds',
    'c1',
    cluster('eds', { type: 'EDS', eds_cluster_config: { service_name: 'service', eds_config: from('eds') } }),
    cluster('plain', { type: 'STATIC', load_assignment: members('plain') }),
  );
  put('eds', 'e1', { '@type': `${API}config.endpoint.v3.ClusterLoadAssignment`, ...members('service') });
  put('rds', 'r1', {
    '@type': `${API}config.route.v3.RouteConfiguration`,
    name: 'r',
    virtual_hosts: virtualHosts,
  });
  put('srds', 's1', {
    '@type': `${API}config.route.v3.ScopedRouteConfiguration`,
    name: 'one',
    route_configuration_name: 'r',
    key: { fragments: [{ string_key: 'a' }] },
  });
  put('ecds', 'x1', {
    '@type': `${API}config.core.v3.TypedExtensionConfig`,
    name: 'found',
    typed_config: ROUTER,
  });
  const leaf = issue(makeCa('root'), { name: 'leaf' });
  put('sds', 't1', {
    '@type': `${API}extensions.transport_sockets.tls.v3.Secret`,
    name: 'leaf',
    tls_certificate: {
      certificate_chain: { inline_string: leaf.chain },
      private_key: { inline_bytes: Buffer.from(leaf.key).toString('base64') },
    },
  });
  const broken = { filter_chain_match: { server_names: ['*a*'] } };
  put('lds', 'l1', ...LISTENERS, listener('broken', rds('r', from('rds')), broken));
}

const bootstrap = (admin: number): object => ({
  node: { id: 'n', cluster: 'c' },
  admin: { address: address(admin) },
  dynamic_resources: { cds_config: from('cds'), lds_config: from('lds') },
  static_resources: {
    clusters: [
      cluster('away', {
        load_assignment: members('away'),
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': `${API}extensions.upstreams.http.v3.HttpProtocolOptions`,
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
      }),
    ].map(({ '@type': _, ...rest }) => rest),
  },
});

async function start(kind: 'envoy' | 'inox'): Promise<ProxyProcess> {
  const admin = await freePort();
  const own = join(folder, kind);
  mkdirSync(own);
  const proxy = ProxyProcess.start(kind, bootstrap(admin), admin, own);
  await proxy.ready();
  return proxy;
}

const json = async (proxy: ProxyProcess, path: string): Promise<Message> =>
  JSON.parse((await proxy.get(path)).body);
const sections = async (proxy: ProxyProcess, query = '') =>
  ((await json(proxy, `/config_dump${query}`)).configs as Message[] | undefined) ?? [];

/** Without what inox shows more, what is of the moment, and the order in which listeners came. */
function comparable(section: Message): Message {
  const out = strip(section) as Message;
  if ('bootstrap' in out) out.bootstrap = {};
  if (Array.isArray(out.dynamic_listeners)) {
    // Envoy has what was refused twice after a first update: once without a name.
    const all = (out.dynamic_listeners as Message[]).filter((one) => one.name !== undefined);
    out.dynamic_listeners = all.sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
  }
  const endpoints = out.dynamic_endpoint_configs;
  if (Array.isArray(endpoints)) {
    const own = (endpoints as Message[]).map(({ endpoint_config = null }) => ({ endpoint_config }));
    out.dynamic_endpoint_configs = own.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  return out;
}

/** Elements of a list; listeners by name, without those that have none. */
function named(elements: readonly Message[]): Message[] {
  if (elements[0]?.['@type'] !== `${API}admin.v3.ListenersConfigDump.DynamicListener`) return [...elements];
  return elements
    .filter((one) => one.name !== undefined)
    .sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
}

function strip(value: Json): Json {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([field]) => field !== 'client_status');
  return Object.fromEntries(
    kept.map(([field, inner]): [string, Json] => {
      if (field === 'last_updated' || field === 'last_update_attempt') return [field, 'some time'];
      if (field === 'error_state') {
        const { version_info: _, ...state } = inner as Message;
        return [field, strip({ ...state, details: 'why' })];
      }
      return [field, strip(inner)];
    }),
  );
}

const QUESTIONS = [
  '?mask=version_info',
  '?mask=dynamic_active_clusters',
  '?mask=bootstrap.node.id',
  '?resource=dynamic_active_clusters&mask=cluster.name,version_info',
  '?resource=dynamic_active_clusters&mask=cluster.name,cluster.type&name_regex=p.*',
  '?resource=dynamic_listeners&mask=name,active_state.version_info',
  '?resource=dynamic_route_configs&mask=',
  '?resource=dynamic_active_secrets',
  '?resource=dynamic_warming_clusters',
  '?resource=ecds_filters&mask=ecds_filter.name',
];
/** The answer's status counts, and its text where it is not the regular expression library's. */
const WRONG: readonly (readonly [query: string, text: boolean])[] = [
  ['?mask=dynamic_active_clusters.cluster', true],
  ['?mask=version_info,nope', true],
  ['?mask=bootstrap.node.idd', true],
  ['?resource=nope', true],
  ['?resource=version_info', true],
  ['?resource=bootstrap', true],
  ['?resource=dynamic_active_clusters&mask=cluster.nope', false],
  ['?resource=dynamic_active_clusters&mask=nope', false],
  ['?resource=dynamic_active_clusters&mask=cluster.load_assignment.endpoints.priority', false],
  ['?name_regex=(', false],
  ['?name_regex=*', false],
];

t.test('beside Envoy', { skip: hasEnvoy() ? false : 'needs Envoy' }, async (t) => {
  writeWorld();
  const [envoy, inox] = await Promise.all([start('envoy'), start('inox')]);
  t.teardown(() => Promise.all([envoy.running.stop(), inox.running.stop()]));

  await t.test('all sections, in Envoy’s order', async (t) => {
    for (const query of ['', '?include_eds']) {
      const [left, right] = [await sections(envoy, query), await sections(inox, query)];
      t.same(
        right.map((one) => one['@type']),
        left.map((one) => one['@type']),
      );
      for (const [i, section] of left.entries()) {
        const own = comparable(right[i] ?? {});
        const theirs = comparable(section);
        t.same(own, theirs, `${query} ${section['@type']}`);
        t.same(Object.keys(own), Object.keys(theirs), 'fields in the same order');
      }
    }
  });

  await t.test('masks, names and resources', async (t) => {
    for (const query of QUESTIONS) {
      const [left, right] = [await sections(envoy, query), await sections(inox, query)];
      t.same(right.map(comparable), named(left).map(comparable), query);
    }
    for (const [query, text] of WRONG) {
      const [left, right] = [await envoy.get(`/config_dump${query}`), await inox.get(`/config_dump${query}`)];
      t.equal(right.status, left.status, query);
      t.not(left.status, 200, query);
      if (text) t.equal(right.body, left.body, query);
    }
  });

  await t.test('what a listener that warms waits for', async (t) => {
    const waits = listener('waits', rds('far', AWAY), tls(AWAY));
    put('lds', 'l2', ...LISTENERS, waits);
    // Envoy's expression lets through what was refused, whatever its name.
    const query = '?resource=dynamic_listeners&name_regex=waits&mask=name,warming_state';
    const warming = async (proxy: ProxyProcess): Promise<Message | undefined> =>
      (await sections(proxy, query)).find((one) => one.warming_state !== undefined);
    const left = await until('a listener that warms in Envoy', () => warming(envoy));
    const right = await until('a listener that warms in inox', () => warming(inox));
    t.same(comparable(right), comparable(left));
    const dump = async (proxy: ProxyProcess, query: string): Promise<Json> => {
      const { unready_targets_dumps: dumps = [] } = await json(proxy, `/init_dump${query}`);
      return (dumps as { name: string; target_names: string[] }[]).map(({ name, target_names }) => ({
        // It ends with a hash.
        name: name.replace(/ \d+$/, ''),
        target_names: target_names.sort(),
      }));
    };
    for (const mask of ['', '?mask=listener', '?mask=nope']) {
      t.same(await dump(inox, mask), await dump(envoy, mask), mask);
    }
    t.equal(((await dump(inox, '')) as Json[]).length, 1);
    t.same(
      (await sections(inox, '?resource=dynamic_warming_secrets')).length,
      (await sections(envoy, '?resource=dynamic_warming_secrets')).length,
    );
  });
});
