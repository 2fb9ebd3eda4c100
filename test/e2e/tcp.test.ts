import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { tcpBootstrap } from '../support/http-bootstrap.ts';
import { clientOf, eventually, settle, type TestOwner } from '../support/http-setting.ts';
import { type LivePlane, startPlane } from '../support/live-plane.ts';
import { freePort } from '../support/ports.ts';
import { startWireBackend, type WireBackend, type WirePeer } from '../support/wire-peer.ts';

interface TcpSetting {
  readonly proxy: LivePlane;
  readonly backend: WireBackend;
  readonly client: WirePeer;
}

async function setUp(test: TestOwner, tcp = '', port?: number): Promise<TcpSetting> {
  const backend = await startWireBackend();
  const proxy = await startPlane(tcpBootstrap(port ?? backend.port, tcp));
  test.teardown(async () => {
    backend.close();
    await proxy.close();
  });
  return { proxy, backend, client: await clientOf(test, proxy.port) };
}

/** Nothing is open, held or waiting any more. */
async function isQuiet(proxy: LivePlane): Promise<void> {
  await eventually('no session left', () => proxy.plane.connections.size === 0);
  await eventually('no downstream', () => {
    const listener = `listener.127.0.0.1_${proxy.port}.downstream_cx_active`;
    return proxy.stat(listener) === 0;
  });
  await eventually('no upstream', () => proxy.stat('cluster.backend.upstream_cx_active') === 0);
}

const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

t.test('bytes both ways, whoever speaks first', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  const upstream = await backend.accept();
  upstream.send('220 hello\r\n');
  t.equal((await client.bytes(11)).toString(), '220 hello\r\n');
  client.send('EHLO');
  t.equal((await upstream.bytes(4)).toString(), 'EHLO');
  client.end();
  t.equal(await upstream.ended(), 'end');
  upstream.end();
  t.equal(await client.ended(), 'end');
  t.same(await proxy.logLines(1), ['- 4 11']);
  await isQuiet(proxy);
});

t.test('the client half-closes first: the answer still comes', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  client.send('question');
  client.end();
  const upstream = await backend.accept();
  t.equal((await upstream.bytes(8)).toString(), 'question');
  t.equal(await upstream.ended(), 'end');
  await settle(50);
  upstream.send('late answer');
  upstream.end();
  t.equal((await client.bytes(11)).toString(), 'late answer');
  t.equal(await client.ended(), 'end');
  await isQuiet(proxy);
  t.equal(proxy.stat('cluster.backend.upstream_cx_destroy_remote'), 1, 'the upstream had the last word');
  t.equal(proxy.stat('cluster.backend.upstream_cx_destroy_local'), 0);
});

t.test('the upstream half-closes first: the client may go on', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  const upstream = await backend.accept();
  upstream.send('bye');
  upstream.end();
  t.equal((await client.bytes(3)).toString(), 'bye');
  t.equal(await client.ended(), 'end');
  client.send('still here');
  t.equal((await upstream.bytes(10)).toString(), 'still here');
  client.end();
  t.equal(await upstream.ended(), 'end');
  await isQuiet(proxy);
  t.equal(proxy.stat('cluster.backend.upstream_cx_destroy_local'), 1, 'our FIN was the last word');
  t.same(await proxy.logLines(1), ['- 10 3']);
});

t.test('RST is passed on in both directions', async (t) => {
  const first = await setUp(t);
  first.client.send('x');
  const upstream = await first.backend.accept();
  await upstream.bytes(1);
  first.client.reset();
  t.equal(await upstream.ended(), 'reset');
  t.match(await first.proxy.logLines(1), ['- 1 0']);
  await isQuiet(first.proxy);

  const second = await setUp(t);
  const other = await second.backend.accept();
  other.send('y');
  await second.client.bytes(1);
  other.reset();
  t.equal(await second.client.ended(), 'reset');
  t.match(await second.proxy.logLines(1), ['UR 0 1']);
  await isQuiet(second.proxy);
});

t.test('bulk both ways at once on several connections, unharmed', async (t) => {
  const { proxy, backend, client: unused } = await setUp(t);
  unused.end();
  (await backend.accept()).end();
  const pairs: [client: WirePeer, upstream: WirePeer][] = [];
  for (let i = 0; i < 4; i++) pairs.push([await clientOf(t, proxy.port), await backend.accept()]);
  const sums = await Promise.all(
    pairs.map(async ([client, upstream], i) => {
      const up = randomBytes(6_000_000 + i * 1234);
      const down = randomBytes(5_000_000 + i * 4321);
      client.send(up);
      client.end();
      upstream.send(down);
      upstream.end();
      // One of the two is slow: it reads when everything that fits is under way.
      const slow = i % 2 === 0 ? client : upstream;
      slow.socket.pause();
      await settle(60);
      slow.socket.resume();
      const [atUpstream, atClient] = await Promise.all([
        upstream.bytes(up.length, 20_000),
        client.bytes(down.length, 20_000),
      ]);
      t.equal(await client.ended(), 'end');
      t.equal(await upstream.ended(), 'end');
      return sha(atUpstream) === sha(up) && sha(atClient) === sha(down);
    }),
  );
  t.same(sums, [true, true, true, true]);
  await isQuiet(proxy);
});

t.test('a reader that stops, stops the sender', async (t) => {
  const { proxy, backend, client } = await setUp(t);
  const upstream = await backend.accept();
  const data = randomBytes(32_000_000);
  client.socket.pause();
  upstream.send(data);
  upstream.end();
  await settle(300);
  const stuck = upstream.socket.writableLength;
  await settle(100);
  t.ok(stuck > 10_000_000 && upstream.socket.writableLength === stuck, 'the sender waits');
  client.socket.resume();
  t.equal(sha(await client.bytes(data.length, 20_000)), sha(data));
  client.end();
  await isQuiet(proxy);
});

t.test('idle timeout ends both sides', async (t) => {
  const { proxy, backend, client } = await setUp(t, 'idle_timeout: 0.2s');
  const upstream = await backend.accept();
  client.send('x');
  await upstream.bytes(1);
  t.not(await client.ended(2000), 'open');
  t.not(await upstream.ended(), 'open');
  t.equal(proxy.stat('tcp.test.idle_timeout'), 1);
  t.equal((await proxy.logLines(1)).length, 1);
  await isQuiet(proxy);
});

t.test('traffic keeps a connection from being idle', async (t) => {
  const { backend, client } = await setUp(t, 'idle_timeout: 2s');
  const upstream = await backend.accept();
  for (let i = 0; i < 30; i++) {
    await settle(80);
    if (i % 2 === 0) client.send('x');
    else upstream.send('y');
  }
  t.equal((await upstream.bytes(15)).toString(), 'x'.repeat(15));
  t.equal((await client.bytes(15)).toString(), 'y'.repeat(15));
  t.equal(client.ending, 'open');
});

t.test('connect failure closes the client, after as many attempts as the configuration allows', async (t) => {
  const { proxy, client } = await setUp(t, 'max_connect_attempts: 3', await freePort());
  t.not(await client.ended(), 'open');
  t.equal(proxy.stat('cluster.backend.upstream_cx_connect_fail'), 3);
  t.match(await proxy.logLines(1), [/UF,URX|URX,UF/]);
  await isQuiet(proxy);
});

t.test('destroying a plane ends its sessions', async (t) => {
  const { proxy, backend, client } = await setUp(t);
  const upstream = await backend.accept();
  for (const connection of [...proxy.plane.connections]) connection.destroy();
  t.not(await client.ended(), 'open');
  t.not(await upstream.ended(), 'open');
  await isQuiet(proxy);
  t.equal(proxy.stat('cluster.backend.upstream_cx_destroy_local'), 1);
});
