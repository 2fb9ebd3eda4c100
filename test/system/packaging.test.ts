/**
 * The ways in which inox reaches a machine: checkout, npm package, single executable. Each starts two workers,
 * becomes ready, proxies and stops. Needs no root; builds dist/ first, which takes about 15 s.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../support/ports.ts';
import { fetchText } from '../support/processes.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'inox-packaging-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const backend = createServer((_request, response) => response.end('from the backend'));
await once(backend.listen(0, '127.0.0.1'), 'listening');
t.teardown(() => backend.close());

for (const script of ['build-dist.ts', 'build-sea.ts']) {
  execFileSync(process.execPath, [join(root, 'scripts', script)], { cwd: root });
}

/** A package as npm lays it out: the files of package.json, the command as a link, Node beside it. */
function install(): string {
  const modules = join(folder, 'node_modules');
  const home = join(modules, 'inox-proxy');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  for (const part of ['bin', 'dist', 'package.json']) {
    const skipExecutable = (path: string): boolean => path !== join(root, 'dist', 'inox');
    cpSync(join(root, part), join(home, part), { recursive: true, filter: skipExecutable });
  }
  mkdirSync(join(home, 'node_modules', '.bin'), { recursive: true });
  symlinkSync(process.execPath, join(home, 'node_modules', '.bin', 'node'));
  symlinkSync('../inox-proxy/bin/inox', join(modules, '.bin', 'inox'));
  return join(modules, '.bin', 'inox');
}

/** The executable alone in a folder of its own. */
function extract(): string {
  const path = join(folder, 'inox');
  copyFileSync(join(root, 'dist', 'inox'), path);
  return path;
}

const ways: readonly [name: string, command: string][] = [
  ['a checkout', join(root, 'bin', 'inox')],
  ['an installed package', install()],
  ['the single executable', extract()],
];

const git = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' });
t.test('what was built says of which commit', { skip: git.status !== 0 && 'no checkout' }, (t) => {
  for (const [name, command] of ways.slice(1)) {
    const said = execFileSync(command, ['--version'], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
    t.match(said, new RegExp(`version: ${git.stdout.trim()}/`), name);
  }
  t.end();
});

for (const [name, command] of ways) {
  t.test(`${name} starts two workers, proxies and stops`, async (t) => {
    const [port = 0, admin = 0] = await freePorts(2);
    const config = join(folder, 'bootstrap.json');
    writeFileSync(config, JSON.stringify(bootstrap(port, admin)));
    const began = performance.now();
    const child = spawn(command, ['run', '-c', config, '--concurrency', '2'], {
      cwd: folder,
      env: { PATH: '/usr/bin:/bin' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk));
    const exit = once(child, 'exit');
    let ended = false;
    exit.then(() => {
      ended = true;
    });
    while (!ended && (await fetchText(admin, '/ready')) !== 'LIVE\n')
      await new Promise((done) => setTimeout(done, 20));
    t.notOk(ended, said);
    t.comment(`ready after ${Math.round(performance.now() - began)} ms`);
    t.equal(await fetchText(port, '/'), 'from the backend');
    t.match(await fetchText(admin, '/stats'), /^server\.concurrency: 2$/m);
    child.kill('SIGINT');
    t.same(await exit, [0, null], said);
  });
}

t.test('the executable says its version, and what is wrong with a configuration', async (t) => {
  const inox = join(folder, 'inox');
  t.match(execFileSync(inox, ['--version'], { encoding: 'utf8' }), /inox|version/);
  const config = join(folder, 'wrong.yaml');
  writeFileSync(config, 'static_resources: { clusters: [{ name: a, connect_timeout: soon }] }\n');
  t.throws(() => execFileSync(inox, ['validate', '-c', config], { stdio: 'pipe' }), /connect_timeout/);
});

function bootstrap(port: number, admin: number): object {
  const local = (portValue: number): object => ({
    socket_address: { address: '127.0.0.1', port_value: portValue },
  });
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    http_filters: [
      { name: 'envoy.filters.http.router', typed_config: { '@type': type('http.router.v3.Router') } },
    ],
    route_config: {
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'backend' } }] },
      ],
    },
  };
  const endpoint = { endpoint: { address: local((backend.address() as AddressInfo).port) } };
  return {
    admin: { address: local(admin) },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: local(port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'backend',
          load_assignment: { cluster_name: 'backend', endpoints: [{ lb_endpoints: [endpoint] }] },
        },
      ],
    },
  };
}
