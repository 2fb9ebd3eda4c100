/** What the real program shows of configuration that came from files: all of it, and no key. */
import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { issue, makeCa } from '../support/certs.ts';
import { eventually } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';

const API = 'type.googleapis.com/envoy.';
const TLS = `${API}extensions.transport_sockets.tls.v3`;
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

const folder = mkdtempSync(join(tmpdir(), 'inox-config-dump-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const from = (name: string) => ({ path_config_source: { path: join(folder, name) } });

/** Puts resources where the proxy looks for them, as a control plane would: moved into place. */
function put(name: string, version_info: string, ...resources: readonly object[]): void {
  const staging = join(folder, `.${name}`);
  writeFileSync(staging, JSON.stringify({ version_info, resources }));
  renameSync(staging, join(folder, name));
}

const root = makeCa('root');
const leaf = issue(root, { name: 'leaf' });
const inline = issue(root, { name: 'inline' });
const refused = issue(root, { name: 'refused' });

const cluster = (name: string, more: object = {}) => ({
  '@type': `${API}config.cluster.v3.Cluster`,
  name,
  connect_timeout: '1s',
  ...more,
});
const socketOf = (context: object) => ({
  name: 'tls',
  typed_config: { '@type': `${TLS}.DownstreamTlsContext`, common_tls_context: context },
});
const certificateOf = ({ chain, key }: { chain: string; key: string }) => ({
  certificate_chain: { inline_string: chain },
  private_key: { inline_string: key },
});
const listener = (name: string, context: object, more: object = {}) => ({
  '@type': `${API}config.listener.v3.Listener`,
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
  filter_chains: [
    {
      transport_socket: socketOf(context),
      filters: [
        {
          name: 'hcm',
          typed_config: {
            '@type': `${API}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: name,
            rds: { route_config_name: 'r', config_source: from('rds') },
            http_filters: [
              { name: 'router', typed_config: { '@type': `${API}extensions.filters.http.router.v3.Router` } },
            ],
          },
        },
      ],
      ...more,
    },
  ],
});
const sds = { tls_certificate_sds_secret_configs: [{ name: 'leaf', sds_config: from('sds') }] };

function inox(...args: readonly string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...args]);
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        out += chunk.toString();
      });
    }
    child.on('close', (code) => resolve({ code, out }));
  });
}

t.test('all that came is shown, what was refused with its reason, and no private key', async (t) => {
  put(
    'cds',
    'c1',
    cluster('plain', { type: 'STATIC' }),
    cluster('members', { type: 'EDS', eds_cluster_config: { eds_config: from('eds') } }),
  );
  const address = { socket_address: { address: '10.0.0.1', port_value: 80 } };
  put('eds', 'e1', {
    '@type': `${API}config.endpoint.v3.ClusterLoadAssignment`,
    cluster_name: 'members',
    endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
  });
  put('rds', 'r1', {
    '@type': `${API}config.route.v3.RouteConfiguration`,
    name: 'r',
    virtual_hosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'plain' } }] },
    ],
  });
  const key = Buffer.from(leaf.key).toString('base64');
  put('sds', 's1', {
    '@type': `${TLS}.Secret`,
    name: 'leaf',
    tls_certificate: { certificate_chain: { inline_string: leaf.chain }, private_key: { inline_bytes: key } },
  });
  put(
    'lds',
    'l1',
    listener('by-sds', sds),
    listener('inside', { tls_certificates: [certificateOf(inline)] }),
  );
  const bootstrap = {
    node: { id: 'n', cluster: 'c' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    dynamic_resources: { cds_config: from('cds'), lds_config: from('lds') },
  };
  const proxy = await InoxProcess.start(JSON.stringify(bootstrap), ['--concurrency', '1', '-l', 'debug']);
  t.teardown(() => proxy.stop());
  let log = '';
  proxy.child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const page = async (path: string) => (await fetch(`http://${proxy.admin}/${path}`)).text();
  const before = join(folder, 'before.json');
  writeFileSync(before, await page('config_dump?include_eds'));
  const broken = { filter_chain_match: { server_names: ['*a*'] } };
  put(
    'lds',
    'l2',
    listener('by-sds', sds),
    listener('inside', { tls_certificates: [certificateOf(inline)] }),
    listener('bad', { tls_certificates: [certificateOf(refused)] }, broken),
  );
  put(
    'cds',
    'c2',
    cluster('plain', { type: 'STATIC', connect_timeout: '2s' }),
    cluster('members', { type: 'EDS', eds_cluster_config: { eds_config: from('eds') } }),
  );
  await eventually('the refusal', async () => (await page('config_dump?name_regex=bad')).includes('NACKED'));
  await eventually('the change', async () => (await page('config_dump?name_regex=plain')).includes('"2s"'));

  const { configs } = JSON.parse(await page('config_dump?resource=dynamic_listeners'));
  t.match(configs, [
    {
      name: 'bad',
      client_status: 'NACKED',
      error_state: {
        details:
          /^Listener 'bad': filter_chains\[0\]\.filter_chain_match\.server_names\[0\]: partial wildcards/,
        version_info: 'l2',
        failed_configuration: { '@type': `${API}config.listener.v3.Listener`, name: 'bad' },
      },
    },
    { name: 'by-sds', client_status: 'ACKED', active_state: { listener: { name: 'by-sds' } } },
    { name: 'inside', client_status: 'ACKED' },
  ]);
  t.match(JSON.parse(await page('config_dump?resource=dynamic_active_secrets')).configs, [
    {
      name: 'leaf',
      version_info: 's1',
      secret: { tls_certificate: { private_key: { inline_bytes: 'W3JlZGFjdGVkXQ==' } } },
    },
  ]);
  t.match(JSON.parse(await page('config_dump?mask=version_info')).configs, [
    { version_info: 'c2' },
    { version_info: 'l2' },
  ]);
  t.same(JSON.parse(await page('init_dump')), {});

  const [all, json, diff] = await Promise.all([
    inox('config', '--admin', proxy.admin),
    inox('config', '--admin', proxy.admin, '-o', 'json'),
    inox('config', 'diff', before, proxy.admin),
  ]);
  t.match(all.out, /\nbad {3,}.*rejected {3,}l2 {3,}\d+s {3,}Listener 'bad'/);
  t.match(all.out, /\n10\.0\.0\.1:80 {3,}HEALTHY {3,}1 {3,}- {3,}members {3,}active {3,}e1/);
  t.match(all.out, /\nleaf {3,}certificate {3,}true/);
  t.same(diff, { code: 1, out: '~ clusters plain\n    connect_timeout: 1s → 2s\n' });

  const paths = [
    'config_dump?include_eds',
    'certs',
    'clusters',
    'listeners',
    'server_info',
    'init_dump',
    'stats',
  ];
  const pages = await Promise.all(paths.map(page));
  t.match(pages[0], 'redacted', 'there was something to hide');
  t.match(pages.at(-1), /^control_plane\.update_applied_time: P0/m);
  const everything = [...pages, all.out, json.out, diff.out, log].join('\n');
  for (const pair of [leaf, inline, refused]) {
    // What stands before in the first line is the same in all keys.
    const part = (pair.key.split('\n')[1] ?? '').slice(48);
    t.equal(part.length, 16);
    t.notOk(everything.includes(part), 'the key');
    const bytes = Buffer.from(pair.key).toString('base64');
    t.notOk(everything.includes(bytes.slice(100, 140)), 'the same in base64');
  }
});
