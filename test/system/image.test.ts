/**
 * The container image: built from Debian's packages as the Dockerfile says, without an engine, and run as a runtime would run it
 * in a pod: init container, sidecar and application. Needs root, buildah, apt-get and dpkg-deb; takes some 30 s.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { buildImage } from '../../scripts/build-image.ts';
import { Container, type ContainerOptions, unpackImage } from '../support/containers.ts';
import { createNamespace, type Namespace, needRootAnd } from '../support/netns.ts';

needRootAnd('ip', 'iptables', 'curl', 'setpriv', 'buildah');

// What builds it waits for compressors on two cores.

const MAX_COMPRESSED = 60e6;
const MAX_UNPACKED = 150e6;

const folder = mkdtempSync(join(tmpdir(), 'inox-image-test-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const archive = join(folder, 'image.tar');
const built = buildImage({ tag: 'inox:test', output: archive });
const image = unpackImage(archive, folder);
const { config } = image;
const HEALTHCHECK = config.Healthcheck.Test.slice(1);
addFiles();

/** What Kubernetes would mount: a configuration, and an application's own shell. */
function addFiles(): void {
  const add = (path: string): string => {
    mkdirSync(join(image.root, path, '..'), { recursive: true });
    return join(image.root, path);
  };
  writeFileSync(add('etc/inox/bootstrap.json'), JSON.stringify(slowBootstrap()));
  for (const name of ['dash', 'sleep']) copyFileSync(`/bin/${name}`, add(`app/${name}`));
  chmodSync(image.root, 0o755);
}

function pod(t: Test, label: string): Namespace {
  const namespace = createNamespace(label);
  t.teardown(() => namespace.delete());
  return namespace;
}

async function start(
  t: Test,
  pod: Namespace,
  command: readonly string[],
  options?: ContainerOptions,
): Promise<Container> {
  const container = await Container.start(pod, image, [...config.Entrypoint, ...command], options);
  t.teardown(() => container.remove());
  return container;
}

async function untilHealthy(container: Container): Promise<void> {
  let ended = false;
  container.exit.then(() => {
    ended = true;
  });
  while ((await container.execute(HEALTHCHECK)) !== 0) {
    if (ended) throw new Error(`ended: ${container.said}`);
  }
}

t.test('the image is small, and says who runs what', async (t) => {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  t.comment(`${megabytes(built.compressed)} compressed, ${megabytes(built.unpacked)} unpacked`);
  t.ok(built.compressed < MAX_COMPRESSED, 'compressed');
  t.ok(built.unpacked < MAX_UNPACKED, 'unpacked');
  t.match(config, {
    User: '1337:1337',
    Entrypoint: ['inox'],
    Cmd: ['run'],
    StopSignal: 'SIGTERM',
    Healthcheck: { Test: ['CMD', 'inox', 'ready'] },
  });
  const programs = ['bin', 'usr/bin', 'sbin', 'usr/local/bin'].flatMap((path) => {
    try {
      return readdirSync(join(image.root, path)).map((name) => `${path}/${name}`);
    } catch {
      return []; // Not in this image.
    }
  });
  t.same(programs, ['bin/ip', 'usr/local/bin/inox'], 'no shell');
  const writable = execFileSync(
    'find',
    [image.root, '-xdev', '(', '-uid', '1337', '-o', '-perm', '-2', ')', '!', '-type', 'l'],
    {
      encoding: 'utf8',
    },
  );
  t.equal(writable, `${join(image.root, 'tmp')}\n`, 'nothing else could be written by the proxy');
});

t.test('as process 1 with a read-only root it is healthy and drains at SIGTERM', async (t) => {
  const network = pod(t, 'image');
  const proxy = await startSlowProxy(t, network);
  const status = readFileSync(`/proc/${proxy.pid}/status`, 'latin1');
  t.match(status, /^Uid:\t1337\t1337\t1337\t1337$/m);
  t.match(status, /^NSpid:\t\d+\t1$/m);
  t.match(status, /^CapEff:\t0{16}$/m);
  t.match(status, /^NoNewPrivs:\t1$/m);

  const slow = ask(network, 3000);
  await untilRequests(network, 1);
  proxy.kill('SIGTERM');
  while (!proxy.said.includes('not ready any more')) await sleep(5);
  t.equal(await proxy.execute(HEALTHCHECK), 1, 'not ready any more');
  t.equal(await slow, '200', 'what was under way is answered');
  t.same(await proxy.exit, [0, null], proxy.said);
});

t.test('as process 1 it ends at the second SIGTERM, whatever is under way', async (t) => {
  const network = pod(t, 'image');
  const proxy = await startSlowProxy(t, network);
  const hanging = ask(network, 600_000);
  await untilRequests(network, 1);
  proxy.kill('SIGTERM');
  while (!proxy.said.includes('not ready any more')) await sleep(5);
  proxy.kill('SIGTERM');
  t.same(await proxy.exit, [0, null], proxy.said);
  t.equal(await hanging, '000', 'cut');
});

t.test('as process 1 it ends at a SIGTERM that comes while it starts', async (t) => {
  const network = pod(t, 'image');
  const proxy = await start(t, network, config.Cmd);
  let ended = false;
  proxy.exit.then(() => {
    ended = true;
  });
  // The kernel keeps from process 1 what it does not handle: in its first moments nothing comes of it.
  while (!ended) {
    proxy.kill('SIGTERM');
    await sleep(10);
  }
  t.same(await proxy.exit, [0, null]);
  t.notMatch(proxy.said, 'started');
});

t.test('init container, sidecar and application of a pod', async (t) => {
  const network = pod(t, 'image');
  for (const backend of ['iptables-nft', 'iptables-legacy']) {
    const rules = `${backend}-save`;
    const init = async (...flags: string[]): Promise<void> => {
      const command = ['iptables', '--backend', backend, ...flags];
      const capabilities = ['net_admin', 'net_raw'];
      const container = await start(t, network, command, { user: '0:0', capabilities });
      t.same(await container.exit, [0, null], container.said);
    };
    await init('--yes', '--mode', 'TPROXY');
    t.match(network.run(rules), /-j TPROXY --on-port 15006/);
    t.match(network.run('ip', 'rule'), /fwmark/);
    await init('--yes', '--cleanup');
    t.notMatch(network.run(rules), /INOX/i, 'no trace');
  }

  // The application waits for the sidecar, which is not there yet.
  const script =
    'for i in 1 2 3 4 5; do (/app/sleep 0.0$i &); done; echo started; /app/sleep 2; echo over; exit 6';
  const app = await start(t, network, ['exec', '--', '/app/dash', '-c', script]);
  const proxy = await start(t, network, config.Cmd);
  await untilHealthy(proxy);
  while (!app.said.includes('started')) await sleep(5);
  const children = (): string[] =>
    readFileSync(`/proc/${app.pid}/task/${app.pid}/children`, 'latin1').trim().split(' ');
  // Those who were adopted are gone when they have ended: the shell is left.
  while (children().length > 1) await sleep(20);
  t.notMatch(app.said, 'over', 'and not because the shell has ended');
  t.same(await app.exit, [6, null], app.said);
});

/** Ready, with requests that take as long as they say. */
async function startSlowProxy(t: Test, network: Namespace): Promise<Container> {
  const times = ['--drain-time-s', '600', '--lame-duck-time-s', '1'];
  const proxy = await start(t, network, ['run', '-c', '/etc/inox/bootstrap.json', ...times], {
    env: { INOX_METRICS_ADDRESS: '127.0.0.1:15021' },
  });
  await untilHealthy(proxy);
  return proxy;
}

async function untilRequests(network: Namespace, active: number): Promise<void> {
  const url = 'http://127.0.0.1:15000/stats?filter=in.downstream_rq_active';
  while (!network.run('curl', '-s', url).includes(`_rq_active: ${active}\n`)) await sleep(5);
}

/** The status of a request that takes so many milliseconds; '000' when there is none. */
function ask(network: Namespace, delayMs: number): Promise<string> {
  const curl = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:8080/'];
  const args = ['netns', 'exec', network.name, ...curl, '-H', `x-envoy-fault-delay-request: ${delayMs}`];
  return new Promise((resolve) => execFile('ip', args, (_, out) => resolve(out)));
}

function slowBootstrap(): object {
  const local = (port: number): object => ({
    socket_address: { address: '127.0.0.1', port_value: port },
  });
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const fault = {
    '@type': type('http.fault.v3.HTTPFault'),
    delay: { header_delay: {}, percentage: { numerator: 100 } },
  };
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    http_filters: [
      { name: 'fault', typed_config: fault },
      { name: 'router', typed_config: { '@type': type('http.router.v3.Router') } },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
        },
      ],
    },
  };
  const filter_chains = [{ filters: [{ name: 'hcm', typed_config: manager }] }];
  return {
    admin: { address: local(15_000) },
    static_resources: { listeners: [{ name: 'in', address: local(8080), filter_chains }] },
  };
}
