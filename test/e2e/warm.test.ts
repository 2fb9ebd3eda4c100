import t from 'tap';
import { tcpBootstrap } from '../support/http-bootstrap.ts';
import { clientOf, httpSetting } from '../support/http-setting.ts';
import { startPlane } from '../support/live-plane.ts';
import { httpAnswers, startWireBackend } from '../support/wire-peer.ts';

const ROUTES = `[
  {match: {prefix: "/weighted"}, route: {weighted_clusters: {clusters: [{name: backend, weight: 1}, {name: backend, weight: 2}]}}},
  {match: {safe_regex: {regex: "/re/.*"}}, route: {cluster: backend, prefix_rewrite: "/new", timeout: 3s}},
  {match: {path: "/gone"}, redirect: {path_redirect: "/there"}},
  {match: {prefix: "/"}, route: {cluster: backend}}]`.replaceAll('\n', ' ');
const PATHS = ['/', '/weighted', '/re/x', '/gone', '/?q=1'];

t.test('a thousand requests on a warm worker look nothing up by name', async (t) => {
  let n = 0;
  const { proxy, client } = await httpSetting(
    t,
    { routes: ROUTES, hcm: 'use_remote_address: true' },
    httpAnswers(() => `HTTP/1.1 ${n++ % 5 === 0 ? 404 : 200} OK\r\nx: y\r\ncontent-length: 2\r\n\r\nok`),
  );
  const ask = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      client.send(`GET ${PATHS[i % PATHS.length]} HTTP/1.1\r\nhost: a\r\n\r\n`);
      await client.message();
    }
  };
  await ask(100);
  const stats = proxy.store.lookups;
  const clusters = proxy.plane.resources.clusterLookups;
  t.ok(stats > 0 && clusters > 0, 'compiling looked them up, so the counters count');
  await ask(1000);
  t.equal(proxy.store.lookups - stats, 0, 'no statistic');
  t.equal(proxy.plane.resources.clusterLookups - clusters, 0, 'no cluster');
  t.equal(proxy.stat('http.test.downstream_rq_total'), 1100);
});

t.test('nor do new connections, failures and TCP sessions', async (t) => {
  const { proxy, backend } = await httpSetting(t, { cluster: 'connect_timeout: 1s' });
  const http = async (): Promise<void> => {
    const client = await clientOf(t, proxy.port);
    client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const upstream = await backend.accept();
    await upstream.message();
    upstream.reset();
    t.match((await client.message()).start, / 503 /);
    client.send('bad\r\n\r\n');
    t.match((await client.message()).start, / 400 /);
  };
  await http();
  const before = proxy.store.lookups;
  for (let i = 0; i < 20; i++) await http();
  t.equal(proxy.store.lookups - before, 0);

  const echo = await startWireBackend();
  const tcp = await startPlane(tcpBootstrap(echo.port));
  t.teardown(async () => {
    echo.close();
    await tcp.close();
  });
  const session = async (): Promise<void> => {
    const client = await clientOf(t, tcp.port);
    client.send('x');
    client.end();
    const upstream = await echo.accept();
    await upstream.bytes(1);
    upstream.end();
    await client.ended();
  };
  await session();
  const warm = [tcp.store.lookups, tcp.plane.resources.clusterLookups];
  for (let i = 0; i < 20; i++) await session();
  t.strictSame([tcp.store.lookups, tcp.plane.resources.clusterLookups], warm);
});
