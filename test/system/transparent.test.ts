/**
 * Two applications that know nothing of a proxy talk through two sidecars: namespaces as pods, a bridge as the network,
 * rules by `inox iptables`.
 */
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { istioBootstrap } from '../support/istio-bootstrap.ts';
import { needRootAnd } from '../support/netns.ts';
import { Cable, type Pod, PROXY_UID } from '../support/pods.ts';
import type { Answers } from './programs/app.ts';

needRootAnd('ip', 'iptables', 'ip6tables', 'curl', 'setpriv');

const program = fileURLToPath(new URL('programs/app.ts', import.meta.url));
const node = [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;

const cable = new Cable('t');
const client = cable.pod('client');
const server = cable.pod('server');
/** No rules, no proxy. */
const stranger = cable.pod('stranger');
await server.start('listening', [...node, 'serve'], { uid: 1000 });
await client.start('listening', [...node, 'serve'], { uid: 1000 });
await stranger.start('listening', [...node, 'serve'], { uid: 1000 });
t.teardown(async () => {
  for (const pod of [client, server, stranger]) await pod.close();
});

client.intercept('--exclude-outbound-ports', '7099,15099', '--exclude-outbound-cidrs', '10.99.0.0/16');
server.intercept('--exclude-inbound-ports', '15021,15090,7099');

function dial(from: Pod, what: string, ip: string, port: number, times = 1): Answers {
  const { code, out, err } = from.run(1000, ...node, 'dial', what, ip, String(port), String(times));
  if (code !== 0) throw new Error(`${what} to ${ip} ${port}: ${err}`);
  return JSON.parse(out) as Answers;
}

interface Passed {
  readonly outbound: number;
  readonly inbound: number;
}

const passed = (): Passed => ({
  outbound: client.stat('cluster.PassthroughCluster.upstream_cx_total'),
  inbound: server.stat('cluster.InboundPassthroughCluster.upstream_cx_total'),
});

async function startBoth(config?: string): Promise<void> {
  await Promise.all([client.startProxy(config), server.startProxy(config)]);
}

async function stopBoth(): Promise<void> {
  await Promise.all([client.stopProxy(), server.stopProxy()]);
}

/** What applications say to each other, over both IP versions. */
function conversations(t: Test): void {
  for (const ip of [server.ipv4, server.ipv6]) {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const own = ip.includes(':') ? '::6' : '127.0.0.6';
    t.test(`to ${ip}`, async (t) => {
      const before = passed();
      t.same(
        JSON.parse(client.curl(`http://${host}:8080/`)),
        { version: '1.1', host: `${host}:8080`, from: own, to: ip },
        'HTTP/1.1',
      );
      t.same(
        JSON.parse(client.curl('--http2-prior-knowledge', `http://${host}:8081/`)),
        { version: '2.0', host: `${host}:8081`, from: own, to: ip },
        'HTTP/2',
      );
      t.same(dial(client, 'grpc', ip, 8082).answers, ['said'], 'gRPC');
      t.same(dial(client, 'echo', ip, 7001).answers, ['hello'], 'raw TCP');
      t.same(dial(client, 'greeting', ip, 7000).answers, ['220 hello\r\nme too'], 'the server speaks first');
      // Open meanwhile: who has no connections is forgotten after 5 s.
      const held = await client.start('held', [...node, 'dial', 'hold', ip, '7000'], { uid: 1000 });
      for (const [pod, cluster] of [
        [client, 'PassthroughCluster'],
        [server, 'InboundPassthroughCluster'],
      ] as const) {
        const { out } = pod.run(PROXY_UID, 'curl', '-s', 'http://127.0.0.1:15000/clusters');
        t.ok(out.includes(`\n${cluster}::${host}:7000::`), `${cluster} knows where it was going`);
      }
      held.kill();
      const after = passed();
      t.ok(after.outbound - before.outbound >= 4, 'all of them through the proxy of the client');
      t.ok(after.inbound - before.inbound >= 5, 'and through that of the server');
    });
  }
}

t.test('with the configuration that runs when nobody names one', async (t) => {
  await startBoth();
  t.teardown(stopBoth);
  conversations(t);

  t.test('requests are counted on both sides, by their kind', async (t) => {
    t.ok(client.stat('http.outbound.downstream_rq_2xx') >= 4);
    t.ok(server.stat('http.inbound.downstream_rq_2xx') >= 4);
    t.ok(server.stat('http_inspector.http2_found') >= 4);
    t.equal(server.stat('server.internal_errors'), 0);
    t.equal(client.stat('server.internal_errors'), 0);
  });

  t.test('a request is forwarded to where its connection went, whatever its host says', async (t) => {
    const seen = JSON.parse(client.curl('-H', 'host: elsewhere.example', `http://${server.ipv4}:8080/`));
    t.equal(seen.host, 'elsewhere.example');
  });

  t.test('a server that speaks first waits for nobody’s inspection', async (t) => {
    const { ms } = dial(client, 'greeting', server.ipv4, 7000, 12);
    t.comment(`ms until both sides have spoken: ${ms.map((one) => one.toFixed(1)).join(' ')}`);
    t.ok(Math.max(...ms) < 1000, 'far below the 5 s of the inspection');
    t.ok(client.stat('server_first.learned') > 0, 'the destination is known after a while');
    t.ok(server.stat('server_first.detected') >= 12);
  });

  t.test('what is excluded, and what the proxy itself sends, goes past it', async (t) => {
    const before = passed();
    const status = (...args: string[]): string =>
      client.curl('-o', '/dev/null', '-w', '%{http_code}', ...args);
    const inside = await server.start('listening', [...node, 'serve-http', '7099'], { uid: 1000 });
    const seen = JSON.parse(client.curl(`http://${server.ipv4}:7099/`));
    t.same([seen.from, seen.to], [client.ipv4, server.ipv4], 'a port that neither side captures');
    inside.kill();
    client.namespace.run('ip', 'address', 'add', '10.99.0.1/16', 'dev', 'eth0');
    stranger.namespace.run('ip', 'address', 'add', '10.99.0.3/16', 'dev', 'eth0');
    t.equal(
      JSON.parse(client.curl('http://10.99.0.3:8080/')).from,
      '10.99.0.1',
      'a range that is not captured',
    );
    t.equal(passed().outbound, before.outbound, 'none of them by the proxy');
    const direct = client.run(PROXY_UID, 'curl', '-sS', `http://${stranger.ipv4}:8080/`).out;
    t.equal(JSON.parse(direct).from, client.ipv4, "the proxy's own user");
    t.equal(passed().outbound, before.outbound);
    t.equal(status(`http://${stranger.ipv4}:8080/`), '200');
    t.equal(passed().outbound, before.outbound + 1, 'what is not excluded does');
  });

  t.test('traffic to itself, to the proxy and to nobody', async (t) => {
    const code = (pod: Pod, url: string): number => pod.run(1000, 'curl', '-sS', '-m', '8', url).code;
    t.equal(JSON.parse(client.curl('http://127.0.0.1:8080/')).to, '127.0.0.1', 'the loopback is left alone');
    t.equal(JSON.parse(client.curl(`http://${client.ipv4}:8080/`)).to, client.ipv4, 'its own address');
    const EMPTY_REPLY = 52;
    const RESET = 56;
    const refused = [EMPTY_REPLY, RESET];
    t.ok(refused.includes(code(client, `http://${client.ipv4}:15001/`)), 'its own outbound listener');
    t.ok(refused.includes(code(client, `http://127.0.0.1:15006/`)), 'its own inbound listener');
    t.ok(
      refused.includes(code(stranger, `http://${server.ipv4}:15006/`)),
      'the inbound listener of another pod',
    );
    const outbound = stranger.curl('-o', '/dev/null', '-w', '%{http_code}', `http://[${server.ipv6}]:15001/`);
    t.equal(outbound, '503', 'the outbound one');
    t.equal(
      client.curl('-o', '/dev/null', '-w', '%{http_code}', 'http://10.78.0.99:8080/'),
      '503',
      'an address that nobody has',
    );
    t.equal(
      client.curl('-o', '/dev/null', '-w', '%{http_code}', `http://${server.ipv4}:8099/`),
      '503',
      'a port without a listener',
    );
  });

  t.test('a proxy that is gone lets nothing through', async (t) => {
    const CONNECT_FAILED = 7;
    await client.stopProxy('SIGKILL');
    t.equal(client.run(1000, 'curl', '-sS', `http://${server.ipv4}:8080/`).code, CONNECT_FAILED, 'outbound');
    await server.stopProxy('SIGKILL');
    t.equal(stranger.run(1000, 'curl', '-sS', `http://${server.ipv4}:8080/`).code, CONNECT_FAILED, 'inbound');
  });
});

t.test('with a configuration in the shape of Istio’s', async (t) => {
  await startBoth(istioBootstrap(server.ipv4));
  t.teardown(stopBoth);
  conversations(t);

  t.test('connections are counted where they were handed over to', async (t) => {
    t.ok(client.stat('listener.[__]_8080.downstream_cx_total') > 0);
    t.equal(client.stat('cluster.outbound|7001||echo.upstream_cx_total'), 1, 'the service by its address');
    t.equal(client.stat(`listener.${server.ipv4}_7001.downstream_cx_total`), 1);
    t.ok(client.stat('listener.[__]_15001.downstream_cx_total') > 0, 'what no listener is for');
  });

  t.test('direct connections end in the black hole', async (t) => {
    t.not(client.run(1000, 'curl', '-sS', '-m', '8', `http://${client.ipv4}:15001/`).code, 0);
    t.not(stranger.run(1000, 'curl', '-sS', '-m', '8', `http://${server.ipv4}:15006/`).code, 0);
    t.equal(client.stat('tcp.BlackHoleCluster.downstream_cx_total'), 1);
  });
});

t.test('a proxy whose own traffic is captured sees that it goes in circles', async (t) => {
  const looped = cable.pod('looped');
  t.teardown(() => looped.close());
  looped.intercept('--proxy-uid', '4242', '--proxy-gid', '4242');
  await looped.startProxy();
  const codes = new Set<string>();
  const knock = (times: number): void => {
    for (let i = 0; i < times; i++)
      codes.add(looped.curl('-o', '/dev/null', '-w', '%{http_code}', `http://${server.ipv4}:8080/`));
  };
  knock(5);
  const before = looped.descriptors;
  knock(30);
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.ok(looped.descriptors <= before + 4, `${before} descriptors, then ${looped.descriptors}`);
  t.same([...codes], ['503']);
  t.ok(looped.stat('original_dst.looped') > 0);
});

t.test('with TPROXY the application sees the address of its client', async (t) => {
  const tproxied = cable.pod('tproxied');
  t.teardown(() => tproxied.close());
  await tproxied.start('listening', [...node, 'serve'], { uid: 1000 });
  tproxied.intercept('--mode', 'TPROXY', '--exclude-inbound-ports', '15021,15090');
  await tproxied.startProxy(undefined, 0, { INOX_INTERCEPTION_MODE: 'TPROXY' });
  for (const ip of [tproxied.ipv4, tproxied.ipv6]) {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const from = ip.includes(':') ? stranger.ipv6 : stranger.ipv4;
    t.same(
      JSON.parse(stranger.curl(`http://${host}:8080/`)),
      { version: '1.1', host: `${host}:8080`, from, to: ip },
      `HTTP/1.1 to ${ip}`,
    );
    const http2 = JSON.parse(stranger.curl('--http2-prior-knowledge', `http://${host}:8081/`));
    t.same([http2.version, http2.from, http2.to], ['2.0', from, ip], 'HTTP/2');
    t.same(dial(stranger, 'greeting', ip, 7000).answers, ['220 hello\r\nme too'], 'the server speaks first');
    t.same(dial(stranger, 'echo', ip, 7001).answers, ['hello'], 'raw TCP');
  }
  t.ok(tproxied.stat('cluster.InboundPassthroughCluster.upstream_cx_total') >= 8);
  t.same(
    JSON.parse(tproxied.curl(`http://${stranger.ipv4}:8080/`)).from,
    tproxied.ipv4,
    'outbound connections are redirected as ever',
  );
  t.ok(tproxied.stat('cluster.PassthroughCluster.upstream_cx_total') > 0);
  const code = stranger.run(1000, 'curl', '-sS', '-m', '8', `http://${tproxied.ipv4}:15006/`).code;
  t.not(code, 0, 'a connection to the proxy itself leads nowhere');
});
