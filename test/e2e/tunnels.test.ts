/** Raw TCP through two sidecars: one asks for a tunnel (`tunneling_config`), the other ends it (`connect_config`). */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { InoxProcess } from '../support/inox-process.ts';

const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER =
  '{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}';
const TCP = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const ADMIN = 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}';

function bootstrap(filter: string, clusterPort: number, cluster = ''): string {
  return `${ADMIN}
static_resources:
  listeners:
  - {name: in, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [{name: f, typed_config: ${filter}}]}]}
  clusters:
  - {name: next, ${cluster}load_assignment: {cluster_name: next, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${clusterPort}}}}}]}]}}
`;
}

const ender = (port: number): string =>
  bootstrap(
    `{"@type": ${HCM}, stat_prefix: in, http2_protocol_options: {allow_connect: true}, upgrade_configs: [{upgrade_type: CONNECT}], http_filters: [${ROUTER}], route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {connect_matcher: {}}, route: {cluster: next, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}]}]}}`,
    port,
  );
const asker = (port: number, http2: boolean): string =>
  bootstrap(
    `{"@type": ${TCP}, stat_prefix: in, cluster: next, tunneling_config: {hostname: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:443", headers_to_add: [{header: {key: x-from, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}}`,
    port,
    http2 ? 'http2_protocol_options: {allow_connect: true}, ' : '',
  );

/** Echoes; when the client has ended its side it says how much it got. */
async function startEcho(): Promise<{ port: number; stop: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      if (!socket.write(chunk)) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    });
    socket.on('end', () => socket.end(`got ${bytes}`));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

/** Sends so many bytes, ends its side when `halfClose`, and counts what comes back until the peer ends. */
async function exchange(
  port: number,
  bytes: number,
  halfClose: boolean,
): Promise<{ received: number; tail: string }> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let received = 0;
  let tail = '';
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const over = new Promise<void>((resolve, reject) => {
    socket.on('data', (data: Buffer) => {
      received += data.length;
      tail = (tail + data.subarray(-64).toString('latin1')).slice(-64);
      if (!halfClose && received >= bytes) resolve();
    });
    socket.on('end', resolve);
    socket.on('error', reject);
  });
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    const piece = chunk.subarray(0, Math.min(chunk.length, bytes - sent));
    if (!socket.write(piece)) await once(socket, 'drain');
  }
  if (halfClose) socket.end();
  await over;
  socket.destroy();
  return { received, tail };
}

for (const http2 of [true, false]) {
  t.test(`over HTTP/${http2 ? 2 : 1}`, async (t) => {
    const echo = await startEcho();
    t.teardown(() => echo.stop());
    const far = await InoxProcess.start(ender(echo.port), ['--concurrency', '1']);
    t.teardown(() => far.stop());
    const near = await InoxProcess.start(asker(far.port, http2), ['--concurrency', '1']);
    t.teardown(() => near.stop());

    t.same((await exchange(near.port, 10_000, false)).received, 10_000, 'bytes come back');
    if (http2) {
      const { received, tail } = await exchange(near.port, 300_000, true);
      t.match(tail, /got 300000$/, 'a side that has ended hears the rest');
      t.equal(received, 300_000 + 'got 300000'.length);
    }
    const idle = [near.rss, far.rss];
    t.equal((await exchange(near.port, 50_000_000, false)).received, 50_000_000, '50 MB');
    const grown = [near.rss - (idle[0] ?? 0), far.rss - (idle[1] ?? 0)].map((bytes) =>
      Math.round(bytes / 1e6),
    );
    t.ok(Math.max(...grown) < 60, `memory grew by ${grown.join(' and ')} MB`);

    const many = await Promise.all(Array.from({ length: 50 }, () => exchange(near.port, 20_000, false)));
    t.ok(
      many.every((one) => one.received === 20_000),
      'fifty tunnels at once',
    );
    const stats = await near.stats('cluster.next.upstream_cx_http[12]_total');
    if (http2) t.equal(stats['cluster.next.upstream_cx_http2_total'], 1, 'on one connection');
    else t.ok((stats['cluster.next.upstream_cx_http1_total'] ?? 0) >= 50, 'each on its own');
    const upgrades = await far.stats('downstream_cx_upgrades_total');
    t.ok((upgrades['http.in.downstream_cx_upgrades_total'] ?? 0) >= 52);
  });
}

t.test('a tunnel that is refused closes the connection', async (t) => {
  const far = await InoxProcess.start(ender(1), ['--concurrency', '1']);
  t.teardown(() => far.stop());
  const near = await InoxProcess.start(asker(far.port, true), ['--concurrency', '1']);
  t.teardown(() => near.stop());
  const socket = connect(near.port, '127.0.0.1');
  socket.resume();
  await once(socket, 'close');
  const stats = await far.stats('cluster.next.upstream_cx_connect_fail$');
  t.equal(stats['cluster.next.upstream_cx_connect_fail'], 1, 'nobody listens behind it');
});

t.test('what a client sent before it left arrives', async (t) => {
  // More than the kernel holds for a host that does not read yet.
  const bytes = 8_000_000;
  const ends: Promise<string>[] = [];
  const server = createServer((socket) => {
    let got = 0;
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    socket.pause();
    setTimeout(() => socket.resume(), 200);
    const end = new Promise<string>((resolve) => {
      socket.on('error', (error) => resolve(`${got} ${error.message}`));
      socket.on('close', () => resolve(`${got}`));
    });
    ends.push(end);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const far = await InoxProcess.start(ender((server.address() as AddressInfo).port), ['--concurrency', '1']);
  t.teardown(() => far.stop());
  for (let i = 0; i < 3; i++) {
    const socket = connect(far.port, '127.0.0.1');
    socket.write('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n');
    await once(socket, 'data');
    socket.end(Buffer.alloc(bytes, 'x'));
    await once(socket, 'close');
  }
  t.same(await Promise.all(ends), Array(3).fill(`${bytes}`), 'all of it, and then the end');
});
