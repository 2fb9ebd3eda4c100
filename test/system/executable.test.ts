/**
 * The single executable on a root filesystem of Debian that has no Node and little else: it starts, serves and stops
 * there. Needs root, apt-get and dpkg-deb; says so where they are missing. Builds the executable first.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { makeDebianRoot, missingTools } from '../../scripts/debian-root.ts';
import { freePorts } from '../support/ports.ts';
import { fetchText } from '../support/processes.ts';

const CLUSTERS = 100;
const STARTS = 5;
const repository = join(import.meta.dirname, '..', '..');
const reason = process.getuid?.() === 0 ? missingTools() : 'changing the root directory needs root';

t.test('the executable on a bare root filesystem of Debian', { skip: reason ?? false }, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'inox-root-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  execFileSync(process.execPath, [join(repository, 'scripts', 'build-sea.ts')], { cwd: repository });
  makeDebianRoot(root);
  copyFileSync(join(repository, 'dist', 'inox'), join(root, 'inox'));
  t.same(globSync('**/{node,nodejs,libatomic*,libnode*}', { cwd: root }), [], 'there is no Node');

  const backend = createServer((_request, response) => response.end('from the backend'));
  await once(backend.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => backend.close());
  const [port = 0, admin = 0] = await freePorts(2);
  const { port: behind } = backend.address() as AddressInfo;
  writeFileSync(join(root, 'bootstrap.json'), JSON.stringify(bootstrap(port, admin, behind)));

  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const began = performance.now();
    const child = spawn('/usr/sbin/chroot', [root, '/inox', 'run', '-c', '/bootstrap.json'], {
      env: {},
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk;
      });
    }
    const exit = once(child, 'exit');
    while (child.exitCode === null && (await fetchText(admin, '/ready')) !== 'LIVE\n') {
      await new Promise((done) => setTimeout(done, 2));
    }
    times.push(Math.round(performance.now() - began));
    t.equal(child.exitCode, null, said);
    t.equal(await fetchText(port, '/', { host: `s${i}.example` }), 'from the backend');
    child.kill('SIGINT');
    t.same(await exit, [0, null], said);
  }
  times.sort((a, b) => a - b);
  t.comment(`ready with ${CLUSTERS} clusters after ${times.join(', ')} ms`);
});

function bootstrap(port: number, admin: number, backend: number): object {
  const local = (portValue: number): object => ({
    socket_address: { address: '127.0.0.1', port_value: portValue },
  });
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const each = <T>(make: (i: number) => T): T[] => Array.from({ length: CLUSTERS }, (_, i) => make(i));
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    http_filters: [{ name: 'router', typed_config: { '@type': type('http.router.v3.Router') } }],
    route_config: {
      virtual_hosts: each((i) => ({
        name: `s${i}`,
        domains: [`s${i}.example`],
        routes: [{ match: { prefix: '/' }, route: { cluster: `c${i}` } }],
      })),
    },
  };
  return {
    admin: { address: local(admin) },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: local(port),
          filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }],
        },
      ],
      clusters: each((i) => ({
        name: `c${i}`,
        load_assignment: {
          cluster_name: `c${i}`,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: local(backend) } }] }],
        },
      })),
    },
  };
}
