/** What came from control planes, as /config_dump and /init_dump show it. */
import t, { type Test } from 'tap';
import { BadField, type DynamicConfig, type FileSecret } from '../../../src/control/admin/context.ts';
import { startAdmin } from '../../../src/control/admin/server.ts';
import type { XdsQuery, XdsResource, XdsStatus } from '../../../src/core/xds-protocol.ts';
import { type Answer, ask, fakeCluster, fakeContext, fakeHost } from './support.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const LISTENER = 'envoy.config.listener.v3.Listener';
const ROUTES = 'envoy.config.route.v3.RouteConfiguration';
const SCOPE = 'envoy.config.route.v3.ScopedRouteConfiguration';
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const ENDPOINTS = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
const EPOCH = '1970-01-01T00:00:00.000Z';
const ADMIN = 'type.googleapis.com/envoy.admin.v3.';

const STATUS: XdsStatus = {
  streams: [],
  waitsFor: [],
  unready: [
    { name: 'init manager Server', targets: ['target LDS'] },
    { name: 'init manager Listener-local-init-manager l 1', targets: ['shared target SdsApi s'] },
  ],
  versions: { [CLUSTER]: 'c1', [LISTENER]: '' },
};

const version = (type: string, name: string, more: object = {}) => ({
  version: 'v',
  updatedAt: 0,
  config: { '@type': `type.googleapis.com/${type}`, name, ...more },
});
const active = (type: string, name: string, more: object = {}): XdsResource => ({
  type,
  name,
  clientStatus: 'ACKED',
  active: version(type, name, more),
});

class FakeDynamic implements DynamicConfig {
  readonly queries: XdsQuery[] = [];
  readonly warming = new Set<string>();
  all: XdsResource[] = [];
  badField = '';
  ended = 0;

  async status(): Promise<XdsStatus> {
    return STATUS;
  }

  async *resources(query: XdsQuery): AsyncGenerator<readonly XdsResource[]> {
    this.queries.push(query);
    if (query.fields?.includes(this.badField)) throw new BadField(this.badField);
    try {
      for (const one of this.all) {
        const there = query.states === undefined || query.states.some((state) => one[state] !== undefined);
        if (one.type === query.type && there && (query.after === undefined || one.name > query.after))
          yield [one];
      }
    } finally {
      this.ended++;
    }
  }

  warms(cluster: string): boolean {
    return this.warming.has(cluster);
  }
}

interface Setting {
  readonly dynamic: FakeDynamic;
  readonly files: FileSecret[];
  readonly get: (path: string) => Promise<Answer>;
  readonly configs: (query: string) => Promise<Record<string, unknown>[]>;
}

async function setUp(t: Test): Promise<Setting> {
  const dynamic = new FakeDynamic();
  const files: FileSecret[] = [];
  const context = { ...fakeContext(), dynamic: () => dynamic, fileSecrets: () => files };
  context.clusterList = [
    { ...fakeCluster('api', [fakeHost(1)]), addedViaApi: true, edsServiceName: 'svc' },
    fakeCluster('web', []),
  ];
  const admin = await startAdmin({ ip: '127.0.0.1', port: 0, path: '' }, context, (error) =>
    t.fail(String(error)),
  );
  t.teardown(() => admin.close());
  const get = (path: string) => ask(admin.address, path);
  return {
    dynamic,
    files,
    get,
    configs: async (query) => JSON.parse((await get(`/config_dump${query}`)).body).configs ?? [],
  };
}

/** The section with that field. */
const sectionWith = (configs: Record<string, unknown>[], field: string) =>
  configs.find((one) => field in one)?.[field];

t.test('clusters are where they are in their lives, with what went wrong', async (t) => {
  const { dynamic, configs, get } = await setUp(t);
  dynamic.warming.add('dns');
  dynamic.all = [
    active(CLUSTER, 'a'),
    {
      type: CLUSTER,
      name: 'b',
      clientStatus: 'NACKED',
      active: version(CLUSTER, 'b'),
      warming: version(CLUSTER, 'b', { type: 'EDS' }),
      error: { version: 'v2', message: 'no', at: 0, config: { name: 'b' } },
    },
    { type: CLUSTER, name: 'bad', clientStatus: 'NACKED', error: { version: 'v2', message: 'never', at: 0 } },
    active(CLUSTER, 'dns'),
  ];
  const all = await configs('');
  t.equal(sectionWith(all, 'version_info'), 'c1');
  const error_state = { last_update_attempt: EPOCH, version_info: 'v2' };
  const cluster = (name: string) => ({ '@type': `type.googleapis.com/${CLUSTER}`, name });
  t.same(sectionWith(all, 'dynamic_active_clusters'), [
    { version_info: 'v', cluster: cluster('a'), last_updated: EPOCH, client_status: 'ACKED' },
    {
      version_info: 'v',
      cluster: cluster('b'),
      last_updated: EPOCH,
      error_state: { failed_configuration: { name: 'b' }, ...error_state, details: 'no' },
      client_status: 'NACKED',
    },
    { error_state: { ...error_state, details: 'never' }, client_status: 'NACKED' },
  ]);
  t.match(sectionWith(all, 'dynamic_warming_clusters'), [
    { cluster: { name: 'b', type: 'EDS' } },
    { cluster: { name: 'dns' } },
  ]);
  const { body } = await get('/config_dump');
  t.equal(body, `${JSON.stringify(JSON.parse(body), undefined, 1)}\n`, 'printed as Envoy does');
});

t.test('a listener shows all its versions, and what stands inside it', async (t) => {
  const { dynamic, configs } = await setUp(t);
  const scoped_routes = {
    name: 'scopes',
    scoped_route_configurations_list: { scoped_route_configurations: [{ name: 's' }] },
  };
  const inside = [
    {
      filters: [{ typed_config: { route_config: { name: 'inline' } } }, { typed_config: { scoped_routes } }],
    },
  ];
  dynamic.all = [
    {
      ...active(LISTENER, 'l', { filter_chains: inside }),
      warming: version(LISTENER, 'l'),
      draining: version(LISTENER, 'l'),
    },
    active(ROUTES, 'r'),
    { ...active(SCOPE, 'one'), group: 'g' },
    { ...active(SCOPE, 'two'), group: 'g' },
  ];
  const all = await configs('');
  t.match(sectionWith(all, 'dynamic_listeners'), [
    {
      name: 'l',
      active_state: { version_info: 'v', listener: { name: 'l' }, last_updated: EPOCH },
      warming_state: { version_info: 'v' },
      draining_state: { version_info: 'v' },
      client_status: 'ACKED',
    },
  ]);
  t.match(sectionWith(all, 'static_route_configs'), [
    { route_config: { name: 'local_route' } },
    { route_config: { '@type': `type.googleapis.com/${ROUTES}`, name: 'inline' }, last_updated: EPOCH },
  ]);
  t.match(sectionWith(all, 'dynamic_route_configs'), [{ version_info: 'v', route_config: { name: 'r' } }]);
  t.match(sectionWith(all, 'inline_scoped_route_configs'), [
    { name: 'scopes', scoped_route_configs: [{ '@type': `type.googleapis.com/${SCOPE}`, name: 's' }] },
  ]);
  t.match(sectionWith(all, 'dynamic_scoped_route_configs'), [
    {
      name: 'g',
      version_info: 'v',
      scoped_route_configs: [{ name: 'one' }, { name: 'two' }],
      client_status: 'ACKED',
    },
  ]);
});

t.test('secrets are active or warming; endpoints say where they came from', async (t) => {
  const { dynamic, configs } = await setUp(t);
  dynamic.all = [
    active(SECRET, 'there'),
    { type: ENDPOINTS, name: 'svc', clientStatus: 'ACKED', active: { version: 'e', updatedAt: 0 } },
  ];
  const all = await configs('?include_eds');
  t.match(sectionWith(all, 'dynamic_active_secrets'), [
    { name: 'there', version_info: 'v', secret: { name: 'there' } },
  ]);
  t.match(sectionWith(all, 'static_endpoint_configs'), [{ endpoint_config: { cluster_name: 'web' } }]);
  t.match(sectionWith(all, 'dynamic_endpoint_configs'), [
    {
      endpoint_config: { cluster_name: 'svc' },
      version_info: 'e',
      last_updated: EPOCH,
      client_status: 'ACKED',
    },
  ]);
  t.ok(dynamic.queries.some(({ type, withConfig }) => type === ENDPOINTS && !withConfig));
});

t.test('secrets from files of the bootstrap are active ones, without their keys', async (t) => {
  const { dynamic, get, files } = await setUp(t);
  const bytes = (text: string) => ({ filename: '/f', inlineBytes: new Uint8Array(Buffer.from(text)) });
  const tlsCertificate = { certificateChain: bytes('CHAIN'), privateKey: bytes('KEY') };
  for (const name of ['file 1', 'file 2'])
    files.push({ name, updatedAt: new Date(0), secret: { name, tlsCertificate } });
  dynamic.all = [active(SECRET, 'a'), active(SECRET, 'b'), active(SECRET, 'file 2')];
  const query = '/config_dump?resource=dynamic_active_secrets';
  const { configs } = JSON.parse((await get(query)).body);
  t.same(configs[0], {
    '@type': `${ADMIN}SecretsConfigDump.DynamicSecret`,
    name: 'file 1',
    last_updated: EPOCH,
    secret: {
      '@type': `type.googleapis.com/${SECRET}`,
      name: 'file 1',
      tls_certificate: {
        certificate_chain: { inline_bytes: Buffer.from('CHAIN').toString('base64') },
        private_key: { inline_bytes: 'W3JlZGFjdGVkXQ==' },
      },
    },
    client_status: 'ACKED',
  });
  const names: string[] = [];
  for (let token = ''; ; ) {
    const page = JSON.parse((await get(`${query}&page_size=1${token && `&page_token=${token}`}`)).body);
    names.push(page.configs[0].name);
    token = page.next_page_token;
    if (token === undefined) break;
  }
  t.same(names, ['file 1', 'file 2', 'a', 'b'], 'each once, also page by page');
});

t.test('pages of a resource lead to the next one until there is none', async (t) => {
  const { dynamic, get } = await setUp(t);
  dynamic.all = ['a', 'b', 'c', 'd', 'e'].map((name) => active(CLUSTER, name));
  const names: string[] = [];
  let token = '';
  let pages = 0;
  do {
    const query = `resource=dynamic_active_clusters&page_size=2${token === '' ? '' : `&page_token=${token}`}`;
    const { configs, next_page_token = '' } = JSON.parse((await get(`/config_dump?${query}`)).body);
    names.push(...configs.map(({ cluster }: { cluster: { name: string } }) => cluster.name));
    token = next_page_token;
    pages++;
  } while (token !== '');
  t.same(names, ['a', 'b', 'c', 'd', 'e']);
  t.equal(pages, 3);
  t.equal(dynamic.ended, dynamic.queries.length, 'what was not read is given up');
  const first = JSON.parse((await get('/config_dump?resource=static_clusters&page_size=1')).body);
  const second = JSON.parse(
    (await get(`/config_dump?resource=static_clusters&page_size=1&page_token=${first.next_page_token}`)).body,
  );
  t.match([first.configs, second.configs], [[{ cluster: { name: 'db' } }], [{ cluster: { name: 'web' } }]]);
  t.equal(second.next_page_token, undefined);
  t.match(await get('/config_dump?resource=static_clusters&page_size=none'), {
    status: 400,
    body: /whole number/,
  });
  t.match(await get('/config_dump?page_size=1'), { status: 400, body: /is for one resource/ });
});

t.test('masks that lead nowhere are refused in the words of Envoy', async (t) => {
  const { dynamic, get, configs } = await setUp(t);
  dynamic.all = [active(CLUSTER, 'a', { type: 'EDS' })];
  dynamic.badField = 'nope';
  const masked = '?resource=dynamic_active_clusters&mask=';
  t.same(await configs(`${masked}cluster.name,client_status`), [
    {
      '@type': `${ADMIN}ClustersConfigDump.DynamicCluster`,
      cluster: { '@type': `type.googleapis.com/${CLUSTER}`, name: 'a' },
      client_status: 'ACKED',
    },
  ]);
  t.same(dynamic.queries.at(-1)?.fields, ['name']);
  t.equal((await configs(masked)).length, 1, 'an empty mask is none');
  for (const mask of ['cluster.nope', 'nope']) {
    t.match(await get(`/config_dump${masked}${mask}`), {
      status: 400,
      body: `FieldMask paths: "${mask}"\n could not be successfully used.`,
    });
  }
  for (const mask of [
    'dynamic_active_clusters.cluster',
    'dynamic_active_clusters,nope',
    'bootstrap.node.idd',
  ]) {
    t.match(await get(`/config_dump?mask=${mask}`), {
      status: 400,
      body: `FieldMask ${mask} could not be successfully applied to any configs.`,
    });
  }
  t.match(await configs('?mask=dynamic_active_clusters'), [
    { dynamic_active_clusters: [{ cluster: { name: 'a' } }] },
  ]);
  t.match(await get('/config_dump?name_regex=('), {
    status: 400,
    body: /^INVALID_ARGUMENT: Error while parsing name_regex from \(: missing/,
  });
});

t.test('the init dump says what listeners wait for, and everything else without a mask', async (t) => {
  const { get } = await setUp(t);
  const dumps = async (query: string) =>
    JSON.parse((await get(`/init_dump${query}`)).body).unready_targets_dumps;
  t.same(await dumps('?mask=listener'), [
    { name: 'init manager Listener-local-init-manager l 1', target_names: ['shared target SdsApi s'] },
  ]);
  t.equal((await dumps('')).length, 2);
  t.same(JSON.parse((await get('/init_dump?mask=other')).body), {});
});

t.test('a dump of thousands of resources is made in slices: others are answered in between', async (t) => {
  const { dynamic, get } = await setUp(t);
  const more = { metadata: Array.from({ length: 50 }, (_, i) => ({ number: i })) };
  dynamic.all = Array.from({ length: 5000 }, (_, i) => active(CLUSTER, `cluster ${i}`, more));
  const order: string[] = [];
  const note = (what: string) => (answer: Answer) => {
    order.push(what);
    return answer;
  };
  const dump = get('/config_dump').then(note('dump'));
  for (let i = 0; i < 3; i++)
    t.match(await get('/ready').then(note('ready')), { status: 200, body: 'LIVE\n' });
  t.equal(JSON.parse((await dump).body).configs[1].dynamic_active_clusters.length, 5000);
  t.same(order, ['ready', 'ready', 'ready', 'dump']);
});
