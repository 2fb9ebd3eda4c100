/** Queries of an application that knows nothing of a proxy, captured by `inox iptables --dns-capture`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { needRootAnd } from '../support/netns.ts';
import { Cable, INOX, type Pod, PROXY_UID } from '../support/pods.ts';

needRootAnd('ip', 'iptables', 'ip6tables', 'nft', 'curl', 'setpriv');

const APP = 1000;
const program = (name: string): string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url)),
];

const cable = new Cable('d');
const client = cable.pod('client');
const server = cable.pod('server');
/** A name server that is not in /etc/resolv.conf. */
const other = cable.pod('other');
const folder = `/etc/netns/${client.namespace.name}`;
t.teardown(async () => {
  for (const pod of [client, server, other]) await pod.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What a pod's name server was asked, since the last time. */
async function nameServer(pod: Pod, address: string): Promise<() => string[]> {
  const child = await pod.start('listening', [...program('name-server'), address]);
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return () => {
    const lines = said.split('\n').filter((line) => line.includes(' from '));
    said = '';
    return lines;
  };
}

/** `ip netns exec` puts it in the place of /etc/resolv.conf. */
function resolvConf(...servers: string[]): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'resolv.conf'), servers.map((ip) => `nameserver ${ip}\n`).join(''));
}

const known = await nameServer(server, server.ipv4);
const foreign = await nameServer(other, '203.0.113.9');
await server.start('listening', [...program('app'), 'serve'], { uid: APP });

const names = join(client.folder, 'names.yaml');
writeFileSync(
  names,
  `
virtual_domains:
  - name: web.mesh
    endpoint: { address_list: { address: [${server.ipv4}] } }
  - name: web6.mesh
    endpoint: { address_list: { address: ['${server.ipv6}'] } }
`,
);

/** The addresses that the C library finds. */
function lookUp(
  name: string,
  { uid = APP, family = 'ahostsv4', options = 'timeout:1 attempts:1' } = {},
): string[] {
  const { out } = client.run(uid, 'env', `RES_OPTIONS=${options}`, 'getent', family, name);
  return [...new Set(out.split('\n').flatMap((line) => line.split(' ', 1)))].filter((ip) => ip !== '');
}

const env = { INOX_DNS_CAPTURE: 'true', INOX_DNS_NAMES: names };
const rules = (): string => client.run(0, 'nft', 'list', 'ruleset').out;
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

async function conversation(t: Test, from: string): Promise<void> {
  known();
  t.same(lookUp('web.mesh'), [server.ipv4], 'a name of the file');
  t.same(lookUp('web6.mesh', { family: 'ahostsv6' }), [server.ipv6], 'of the other family');
  t.same(lookUp('web.mesh', { options: 'use-vc' }), [server.ipv4], 'over TCP');
  await settled();
  t.same(known(), [], 'nobody else was asked');
  t.match(client.curl('http://web.mesh:8080/'), `"to":"${server.ipv4}"`, 'curl goes there');

  t.same(lookUp('a.elsewhere.test'), [server.ipv4], 'other names by the server of /etc/resolv.conf');
  t.same(lookUp('a.elsewhere.test'), [server.ipv4]);
  await settled();
  t.same(known(), [`a.elsewhere.test A udp from ${from}`], 'once: the second time from the cache');
  t.same(lookUp('b.elsewhere.test', { options: 'use-vc' }), [server.ipv4]);
  await settled();
  t.same(known(), [`b.elsewhere.test A tcp from ${from}`], 'over TCP as it was asked');
  t.equal(lookUp('big.test').length, 61, 'what is too long for UDP comes over TCP');
  await settled();
  t.same(known(), [`big.test A udp from ${from}`, `big.test A tcp from ${from}`]);
}

t.test('queries to the servers of /etc/resolv.conf are answered by the proxy', async (t) => {
  resolvConf(server.ipv4);
  client.intercept('--dns-capture');
  await client.startProxy(undefined, PROXY_UID, env);
  t.teardown(() => client.stopProxy());
  await conversation(t, client.ipv4);

  t.test('the proxy’s own user asks the server itself', async (t) => {
    t.same(lookUp('web.mesh', { uid: PROXY_UID }), [server.ipv4]);
    await settled();
    t.same(known(), [`web.mesh A udp from ${client.ipv4}`]);
  });

  t.test('another server is asked as ever', async (t) => {
    resolvConf(other.ipv4);
    t.same(lookUp('web.mesh'), ['203.0.113.9']);
    await settled();
    t.same(foreign(), [`web.mesh A udp from ${client.ipv4}`]);
    client.intercept('--dns-capture', '--capture-all-dns');
    t.same(lookUp('web.mesh'), [server.ipv4], 'unless queries to any server are captured');
    t.same(lookUp('web.mesh', { options: 'use-vc' }), [server.ipv4]);
    await settled();
    t.same(foreign(), []);
  });

  t.test('counted', async (t) => {
    const stats = client.stats('^dns\\.');
    t.ok((stats['dns.queries_tcp'] ?? 0) >= 4);
    t.ok((stats['dns.answers_local'] ?? 0) >= 5);
    t.match(stats, { 'dns.upstream_timeouts': 0, 'dns.upstream_failures': 0, 'dns.queries_malformed': 0 });
  });
});

t.test('over IPv6', async (t) => {
  resolvConf(server.ipv6);
  client.intercept('--dns-capture');
  await client.startProxy(undefined, PROXY_UID, env);
  t.teardown(() => client.stopProxy());
  await conversation(t, client.ipv6);
});

t.test('by native nft rules', async (t) => {
  t.equal(client.run(0, INOX, 'iptables', '--cleanup').code, 0);
  resolvConf(server.ipv4, server.ipv6);
  client.intercept('--dns-capture', '--backend', 'nft');
  await client.startProxy(undefined, PROXY_UID, env);
  t.teardown(() => client.stopProxy());
  await conversation(t, client.ipv4);
});

t.test('without the proxy nothing is answered, until the rules are gone', async (t) => {
  known();
  t.same(lookUp('web.mesh'), [], 'it fails closed');
  await settled();
  t.same(known(), []);
  const { code } = client.run(0, INOX, 'iptables', '--cleanup');
  t.equal(code, 0);
  t.notMatch(rules(), /inox|15053|dport 53/i, 'no rule is left');
  t.same(lookUp('a.elsewhere.test'), [server.ipv4]);
  await settled();
  t.same(known(), [`a.elsewhere.test A udp from ${client.ipv4}`]);
});

t.test('rules that do not know the user of the proxy: queries go in a circle once, and end', async (t) => {
  resolvConf(server.ipv4);
  client.intercept('--dns-capture', '--proxy-uid', '4711', '--proxy-gid', '4711');
  await client.startProxy(undefined, PROXY_UID, env);
  t.teardown(async () => {
    await client.stopProxy();
    client.run(0, INOX, 'iptables', '--cleanup');
  });
  t.same(lookUp('a.elsewhere.test'), []);
  const { 'dns.queries_udp': queries = Number.NaN } = client.stats('^dns\\.');
  t.ok(queries < 20, `${queries} queries`);
});
