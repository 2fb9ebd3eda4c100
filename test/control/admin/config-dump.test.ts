import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startAdmin } from '../../../src/control/admin/server.ts';
import { redactSecrets, SENSITIVE } from '../../../src/core/redact.ts';
import { type Answer, ask, type FakeContext, fakeCluster, fakeContext, fakeHost } from './support.ts';

async function setUp(t: Test): Promise<{ context: FakeContext; get: (path: string) => Promise<Answer> }> {
  const context = fakeContext();
  const admin = await startAdmin({ ip: '127.0.0.1', port: 0, path: '' }, context, (error) =>
    t.fail(String(error)),
  );
  t.teardown(() => admin.close());
  return { context, get: (path) => ask(admin.address, path) };
}

const EPOCH = '1970-01-01T00:00:00.000Z';
const ADMIN = 'type.googleapis.com/envoy.admin.v3.';

t.test('the dump has all sections, typed, with clusters by name', async (t) => {
  const { get } = await setUp(t);
  const { configs } = JSON.parse((await get('/config_dump')).body);
  t.strictSame(configs, [
    { '@type': `${ADMIN}BootstrapConfigDump`, bootstrap: { node: { id: 'n1' } }, last_updated: EPOCH },
    {
      '@type': `${ADMIN}ClustersConfigDump`,
      static_clusters: [
        {
          cluster: {
            '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
            name: 'db',
            type: 'STRICT_DNS',
          },
          last_updated: EPOCH,
        },
        {
          cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'web' },
          last_updated: EPOCH,
        },
      ],
    },
    {
      '@type': `${ADMIN}ListenersConfigDump`,
      static_listeners: [
        {
          listener: {
            '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
            name: 'in',
            filter_chains: [{ filters: [{ typed_config: { route_config: { name: 'local_route' } } }] }],
          },
          last_updated: EPOCH,
        },
      ],
    },
    { '@type': `${ADMIN}ScopedRoutesConfigDump` },
    {
      '@type': `${ADMIN}RoutesConfigDump`,
      static_route_configs: [
        {
          route_config: {
            '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
            name: 'local_route',
          },
          last_updated: EPOCH,
        },
      ],
    },
    { '@type': `${ADMIN}SecretsConfigDump` },
  ]);
});

t.test('one resource is shown typed, masked and by name', async (t) => {
  const { get } = await setUp(t);
  const masked = JSON.parse((await get('/config_dump?resource=static_clusters&mask=cluster.name')).body);
  t.strictSame(masked.configs[0], {
    '@type': `${ADMIN}ClustersConfigDump.StaticCluster`,
    cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'db' },
  });
  t.equal(
    JSON.parse((await get('/config_dump?resource=static_clusters&name_regex=w.*')).body).configs.length,
    1,
  );
  t.strictSame(
    JSON.parse((await get('/config_dump?resource=static_clusters&name_regex=we')).body),
    {},
    'whole names',
  );
  t.strictSame(JSON.parse((await get('/config_dump?resource=dynamic_listeners')).body), {});
  t.match(await get('/config_dump?resource=bad'), { status: 404, body: 'bad not found in config dump' });
  t.match(await get('/config_dump?resource=bootstrap'), { status: 400, body: /not a repeated field/ });
});

t.test('a mask keeps the sections that it applies to', async (t) => {
  const { get } = await setUp(t);
  t.strictSame(JSON.parse((await get('/config_dump?mask=bootstrap.node.id')).body), {
    configs: [{ '@type': `${ADMIN}BootstrapConfigDump`, bootstrap: { node: { id: 'n1' } } }],
  });
  t.equal((await get('/config_dump?mask=foo.bar')).status, 400);
});

t.test('endpoints come with include_eds, grouped by locality', async (t) => {
  const { context, get } = await setUp(t);
  context.clusterList = [fakeCluster('web', [fakeHost(1), fakeHost(2, { zone: 'z2' }), fakeHost(3)])];
  const { configs } = JSON.parse((await get('/config_dump?include_eds')).body);
  t.equal(configs[2]['@type'], `${ADMIN}EndpointsConfigDump`);
  const { endpoints } = configs[2].static_endpoint_configs[0].endpoint_config;
  t.strictSame(
    endpoints.map((group: { lb_endpoints: unknown[] }) => group.lb_endpoints.length),
    [2, 1],
  );
});

t.test('settings without effect can be listed', async (t) => {
  const { get, context } = await setUp(t);
  const { inert_settings } = JSON.parse((await get('/config_dump?resource=inert_settings')).body);
  t.strictSame(inert_settings, context.dump.inert);
});

t.test('secrets never leave', async (t) => {
  const { context, get } = await setUp(t);
  const certificate = {
    certificate_chain: { filename: 'c.pem' },
    private_key: { inline_string: 'SECRET-KEY' },
  };
  const tls = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    common_tls_context: { tls_certificates: [certificate] },
    session_ticket_keys: { keys: [{ inline_bytes: 'U0VDUkVU' }, { filename: 'SECRET-FILE' }] },
  };
  const listener = { name: 'in', filter_chains: [{ transport_socket: { typed_config: tls } }] };
  context.dump = {
    ...context.dump,
    bootstrap: {
      static_resources: {
        listeners: [listener],
        secrets: [{ generic_secret: { secret: { inline_string: 'SECRET' } } }],
      },
    },
    staticListeners: [listener],
  };
  const { body } = await get('/config_dump');
  t.notMatch(body, /SECRET|U0VDUkVU/);
  t.match(body, '[redacted]');
  t.match(body, 'c.pem');
});

t.test('redaction keeps the shape and drops what is not text', async (t) => {
  t.strictSame(
    redactSecrets({ password: { inline_string: 'a', n: 1, list: ['b', 2] }, keys: ['kept'], secret: 'kept' }),
    {
      password: { inline_string: '[redacted]', n: undefined, list: ['[redacted]', null] },
      keys: ['kept'],
      secret: 'kept',
    },
  );
});

t.test('every field that the protos mark as sensitive is redacted', async (t) => {
  const deps = join(import.meta.dirname, '../../../node_modules/@grpc/grpc-js-xds/deps/envoy-api/envoy');
  const known = new Set([...SENSITIVE].map((field) => field.slice(field.lastIndexOf('.') + 1)));
  const missing = new Set<string>();
  let marked = 0;
  for (const file of globSync('{config,extensions}/**/v3/*.proto', { cwd: deps })) {
    const text = readFileSync(join(deps, file), 'utf8');
    if (!text.includes('sensitive) = true')) continue;
    for (const [, field = ''] of text.matchAll(
      /(\w+) = \d+\s*\[[^\]]*udpa\.annotations\.sensitive\) = true/g,
    )) {
      marked++;
      if (!known.has(field)) missing.add(`${field} (${file})`);
    }
  }
  t.ok(marked > 8, 'fields were found');
  t.strictSame([...missing], []);
});
