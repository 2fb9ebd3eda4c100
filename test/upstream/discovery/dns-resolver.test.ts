import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  createDnsResolver,
  type DnsFamily,
  type DnsResolverOptions,
  searchNames,
} from '../../../src/upstream/discovery/dns-resolver.ts';
import { startDnsServer } from '../dns-server.ts';

async function setUp(t: Test, files: { hosts?: string; resolvConf?: string } = {}) {
  const server = await startDnsServer();
  const folder = await mkdtemp(join(tmpdir(), 'dns-'));
  const hostsFile = join(folder, 'hosts');
  const resolvConf = join(folder, 'resolv.conf');
  if (files.hosts !== undefined) await writeFile(hostsFile, files.hosts);
  if (files.resolvConf !== undefined) await writeFile(resolvConf, files.resolvConf);
  const options: DnsResolverOptions = {
    servers: [`127.0.0.1:${server.port}`],
    search: true,
    getaddrinfo: false,
    hostsFile,
    resolvConf,
  };
  const resolver = createDnsResolver(options);
  t.teardown(async () => {
    resolver.close();
    server.close();
    await rm(folder, { recursive: true });
  });
  const ips = async (name: string, family: DnsFamily = 'AUTO'): Promise<string[] | string> => {
    const result = await resolver.resolve(name, family);
    return result.ok ? result.addresses.map((address) => address.ip) : result.error;
  };
  return { server, resolver, ips, hostsFile };
}

const V6 = 'fd00:0:0:0:0:0:0:1';

t.test('families ask as Envoy does', async (t) => {
  const { server, ips } = await setUp(t);
  server.zones.set('both.test', { A: ['10.0.0.1', '10.0.0.2'], AAAA: [V6] });
  server.zones.set('four.test', { A: ['10.0.0.4'] });
  t.strictSame(await ips('both.test', 'V4_ONLY'), ['10.0.0.1', '10.0.0.2']);
  t.strictSame(await ips('both.test', 'V6_ONLY'), ['fd00::1']);
  t.strictSame(await ips('both.test', 'AUTO'), ['fd00::1']);
  t.strictSame(await ips('both.test', 'V4_PREFERRED'), ['10.0.0.1', '10.0.0.2']);
  t.strictSame(await ips('both.test', 'ALL'), ['10.0.0.1', '10.0.0.2', 'fd00::1']);
  t.strictSame(await ips('four.test', 'AUTO'), ['10.0.0.4']);
  t.strictSame(await ips('four.test', 'V6_ONLY'), []);
  t.strictSame(await ips('four.test', 'ALL'), ['10.0.0.4']);
});

t.test('a name that does not exist has no addresses; a server failure is a failure', async (t) => {
  const { server, ips } = await setUp(t);
  server.zones.set('broken.test', { code: 2 });
  t.strictSame(await ips('nowhere.test'), []);
  t.match(await ips('broken.test'), /ESERVFAIL/);
});

t.test('time to live comes with the address', async (t) => {
  const { server, resolver } = await setUp(t);
  server.zones.set('a.test', { A: ['10.0.0.1'], ttl: 7 });
  t.strictSame(await resolver.resolve('a.test', 'V4_ONLY'), {
    ok: true,
    addresses: [{ ip: '10.0.0.1', ttlMs: 7000 }],
  });
});

t.test('literals and the hosts file need no server, and the file is read anew', async (t) => {
  const hosts = '127.0.0.1 localhost # here\n10.9.8.7\tWeb web.local\n';
  const { server, ips, hostsFile } = await setUp(t, { hosts });
  t.strictSame(await ips('10.1.2.3', 'V6_ONLY'), ['10.1.2.3']);
  t.strictSame(await ips('::1', 'V4_ONLY'), ['::1']);
  t.strictSame(await ips('web', 'V4_ONLY'), ['10.9.8.7']);
  t.strictSame(await ips('WEB.local.', 'V4_ONLY'), ['10.9.8.7']);
  t.strictSame(await ips('localhost', 'V4_ONLY'), ['127.0.0.1']);
  t.strictSame(await ips('localhost', 'AUTO'), ['::1'], 'as c-ares answers, whatever the file has');
  t.strictSame(await ips('x.localhost', 'V4_ONLY'), ['127.0.0.1']);
  t.strictSame(server.questions, []);
  await writeFile(hostsFile, '10.9.8.6 web\n');
  t.strictSame(await ips('web', 'V4_ONLY'), ['10.9.8.6']);
});

t.test('short names go through the search list', async (t) => {
  const { server, ips } = await setUp(t, { resolvConf: 'search ns.svc.test svc.test\noptions ndots:2\n' });
  server.zones.set('web.svc.test', { A: ['10.0.0.1'] });
  server.zones.set('a.b.c', { A: ['10.0.0.2'] });
  t.strictSame(await ips('web', 'V4_ONLY'), ['10.0.0.1']);
  t.strictSame(server.questions, ['web.ns.svc.test A', 'web.svc.test A']);
  server.questions.length = 0;
  t.strictSame(await ips('a.b.c', 'V4_ONLY'), ['10.0.0.2']);
  t.strictSame(server.questions, ['a.b.c A']);
});

t.test('resolv.conf is understood', async (t) => {
  const cases: readonly (readonly [name: string, conf: string, expected: readonly string[]])[] = [
    ['web', '', ['web']],
    ['web', 'nameserver 1.1.1.1\nsearch a b\n', ['web.a', 'web.b', 'web']],
    ['web.x', 'search a\n', ['web.x', 'web.x.a']],
    ['web.x', 'search a\noptions timeout:1 ndots:5\n', ['web.x.a', 'web.x']],
    ['web.', 'search a\n', ['web.']],
    ['web', '# search a\n; search b\ndomain c\n', ['web.c', 'web']],
    ['web', 'search .\n', ['web']],
  ];
  for (const [name, conf, expected] of cases) t.strictSame(searchNames(name, conf), expected, conf);
});

t.test('the C library can be asked instead', async (t) => {
  const resolver = createDnsResolver({ servers: [], search: true, getaddrinfo: true });
  const result = await resolver.resolve('localhost', 'V4_ONLY');
  t.match(result, { ok: true, addresses: [{ ip: '127.0.0.1' }] });
});

t.test('closing settles questions under way as failures', async (t) => {
  const { server, resolver } = await setUp(t);
  server.zones.set('silent.test', { silent: true });
  const answer = resolver.resolve('silent.test', 'V4_ONLY');
  while (server.questions.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  resolver.close();
  t.match(await answer, { ok: false });
});
