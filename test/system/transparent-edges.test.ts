/** What two sidecars in network namespaces do where something is wrong: unknown destinations, crashes, loops. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { istioBootstrap } from '../support/istio-bootstrap.ts';
import { needRootAnd } from '../support/netns.ts';
import { Cable, type Pod } from '../support/pods.ts';
import type { Answers } from './programs/app.ts';

needRootAnd('ip', 'iptables', 'ip6tables', 'curl', 'setpriv');

const program = fileURLToPath(new URL('programs/app.ts', import.meta.url));
const node = [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;
const APP = 1000;
const CONNECT_FAILED = 7;
const TIMED_OUT = 28;
const HANDSHAKE_FAILED = 35;

const cable = new Cable('e');
const client = cable.pod('edge-client');
const server = cable.pod('edge-server');
await server.start('listening', [...node, 'serve'], { uid: APP });
t.teardown(async () => {
  for (const pod of [client, server]) await pod.close();
});
client.intercept('--exclude-outbound-ports', '8082');
server.intercept('--exclude-inbound-ports', '15021,15090,8082');

function dial(from: Pod, what: string, ip: string, port: number, times = 1): readonly string[] {
  const { code, out, err } = from.run(APP, ...node, 'dial', what, ip, String(port), String(times));
  if (code !== 0) throw new Error(`${what} to ${ip} ${port}: ${err}`);
  return (JSON.parse(out) as Answers).answers;
}

/** The status that curl got, or what its exit code says. */
function status(from: Pod, ...args: string[]): string {
  const { code, out } = from.run(
    APP,
    'curl',
    '-sk',
    '-m',
    '5',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    ...args,
  );
  return code === 0 ? out : `curl: ${code}`;
}

t.test('with a registry and nothing besides, as REGISTRY_ONLY', async (t) => {
  await Promise.all([client.startProxy(istioBootstrap(server.ipv4, 'REGISTRY_ONLY')), server.startProxy()]);
  t.teardown(() => Promise.all([client.stopProxy(), server.stopProxy()]));
  const url = `http://${server.ipv4}:8080/`;
  t.equal(status(client, '-H', 'host: registered.example', url), '200', 'a host that is known');
  t.same(dial(client, 'echo', server.ipv4, 7001), ['hello'], 'a TCP service that is known');
  const inbound = (): number => server.stat('listener.[__]_15006.downstream_cx_total');
  const before = inbound();
  t.ok(before > 0);
  t.equal(status(client, url), '502', 'another host');
  t.equal(status(client, `http://[${server.ipv6}]:8080/`), '502', 'the same over IPv6');
  for (const port of [7000, 8443, 7099]) {
    const ended = `curl: ${HANDSHAKE_FAILED}`;
    t.equal(status(client, `https://${server.ipv4}:${port}/`), ended, `TCP to port ${port} ends at once`);
  }
  t.ok(client.stat('tcp.BlackHoleCluster.downstream_cx_total') >= 3, 'in the black hole');
  t.equal(inbound(), before, 'the other pod has seen none of them');
});

t.test('with the configuration that runs when nobody names one', async (t) => {
  await Promise.all([client.startProxy(), server.startProxy()]);
  t.teardown(() => Promise.all([client.stopProxy(), server.stopProxy()]));

  t.test('TLS of the application passes through as it is', async (t) => {
    for (const host of [server.ipv4, `[${server.ipv6}]`]) {
      const seen = JSON.parse(client.curl('-k', `https://${host}:8443/`));
      t.same([seen.version, `[${seen.to}]`.includes(seen.to)], ['1.1', true], host);
    }
    for (const pod of [client, server]) t.equal(pod.stat('tls_inspector.tls_found'), 2);
  });

  t.test('UDP is not touched', async (t) => {
    t.same(dial(client, 'udp', server.ipv4, 7001), [`hello from ${server.ipv4}`]);
  });

  t.test('descriptors stay as many as they were', async (t) => {
    dial(client, 'echo', server.ipv4, 7001, 20);
    const before = [client.descriptors, server.descriptors];
    dial(client, 'echo', server.ipv4, 7001, 300);
    for (let i = 0; i < 20; i++) status(client, `http://${server.ipv4}:8080/`);
    const gone = async (pod: Pod): Promise<number> => {
      for (let i = 0; i < 50 && pod.stat('http.admin.downstream_cx_active') > 1; i++) await nextTurn();
      return pod.descriptors;
    };
    const after = [await gone(client), await gone(server)];
    // Some upstream connections of the HTTP requests are kept.
    for (const i of [0, 1])
      t.ok((after[i] ?? 0) <= (before[i] ?? 0) + 6, `${before[i]} descriptors, then ${after[i]}`);
  });

  t.test(
    'when the proxy crashes its connections end, new ones are refused, and it serves again',
    async (t) => {
      for (const [pod, from] of [
        [client, client],
        [server, client],
      ] as const) {
        const held = await from.start('held', [...node, 'dial', 'hold', server.ipv4, '7001'], { uid: APP });
        const exit = once(held, 'exit');
        await pod.stopProxy('SIGKILL');
        await exit;
        t.equal(held.exitCode, 0, 'the open connection was cut');
        if (pod === client) {
          t.equal(status(client, `http://${server.ipv4}:8080/`), `curl: ${CONNECT_FAILED}`, 'outbound');
          t.equal(status(client, `http://[${server.ipv6}]:8080/`), `curl: ${CONNECT_FAILED}`, 'over IPv6');
          t.throws(() => dial(client, 'echo', server.ipv4, 7001), /ECONNREFUSED/);
        } else
          t.equal(status(client, `http://${server.ipv4}:8080/`), '503', 'inbound, as the other side says it');
        t.same(dial(client, 'grpc', server.ipv4, 8082), ['said'], 'what is excluded goes on');
        t.same(dial(client, 'udp', server.ipv4, 7001), [`hello from ${server.ipv4}`], 'UDP, too');
        await pod.startProxy();
        t.equal(status(client, `http://${server.ipv4}:8080/`), '200', 'back, with the rules that are there');
      }
    },
  );
});

t.test('a proxy whose own connections to hosts are captured sees that they come back', async (t) => {
  const looped = cable.pod('edge-looped');
  t.teardown(() => looped.close());
  looped.intercept('--proxy-uid', '4242', '--proxy-gid', '4242');
  await looped.startProxy(istioBootstrap(server.ipv4));
  const knock = (times: number): void => {
    for (let i = 0; i < times; i++) {
      const { out } = looped.run(APP, 'curl', '-s', '-m', '5', `telnet://${server.ipv4}:7001`);
      t.equal(out, '');
    }
  };
  knock(5);
  const before = looped.descriptors;
  knock(20);
  for (let i = 0; i < 50 && looped.descriptors > before + 4; i++) await nextTurn();
  t.ok(looped.descriptors <= before + 4, `${before} descriptors, then ${looped.descriptors}`);
  t.ok(looped.stat('original_dst.looped') >= 25, 'a cluster of fixed hosts');
  t.ok(looped.stat('cluster.outbound|7001||echo.upstream_cx_total') <= 100);
});

t.test('TPROXY between two sidecars', async (t) => {
  const tproxied = cable.pod('edge-tproxied');
  t.teardown(() => tproxied.close());
  await tproxied.start('listening', [...node, 'serve'], { uid: APP });
  tproxied.intercept('--mode', 'TPROXY', '--exclude-inbound-ports', '15021,15090,8082');
  await tproxied.startProxy(undefined, 0, { INOX_INTERCEPTION_MODE: 'TPROXY' });
  await client.startProxy();
  t.teardown(() => client.stopProxy());
  for (const ip of [tproxied.ipv4, tproxied.ipv6]) {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const from = ip.includes(':') ? client.ipv6 : client.ipv4;
    const seen = (...args: string[]): unknown => {
      const { version, from, to } = JSON.parse(client.curl('-k', ...args));
      return [version, from, to];
    };
    t.same(seen(`http://${host}:8080/`), ['1.1', from, ip], 'HTTP/1.1');
    t.same(seen('--http2-prior-knowledge', `http://${host}:8081/`), ['2.0', from, ip], 'HTTP/2');
    t.same(seen(`https://${host}:8443/`), ['1.1', from, ip], 'TLS');
    t.same(dial(client, 'greeting', ip, 7000), ['220 hello\r\nme too'], 'the server speaks first');
    t.same(dial(client, 'echo', ip, 7001), ['hello'], 'raw TCP');
  }
  const passed = tproxied.stat('cluster.InboundPassthroughCluster.upstream_cx_total');
  t.ok(passed >= 10);
  t.same(dial(client, 'grpc', tproxied.ipv4, 8082), ['said'], 'an excluded port');
  t.equal(tproxied.stat('cluster.InboundPassthroughCluster.upstream_cx_total'), passed);
  await tproxied.stopProxy('SIGKILL');
  const { code } = server.run(1337, 'curl', '-s', '-m', '2', `http://${tproxied.ipv4}:8080/`);
  t.ok([TIMED_OUT, CONNECT_FAILED].includes(code), `without the proxy nothing gets through: curl ${code}`);
  t.comment(`TPROXY without a proxy: curl ${code}`);
  t.same(dial(client, 'grpc', tproxied.ipv4, 8082), ['said'], 'but what is excluded');
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
