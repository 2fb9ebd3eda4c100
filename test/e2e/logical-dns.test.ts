/** A LOGICAL_DNS cluster whose name moves: new connections follow, open ones stay where they are. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { eventually } from '../support/http-setting.ts';
import { startPlane } from '../support/live-plane.ts';
import { dialWire } from '../support/wire-peer.ts';
import { startDnsServer } from '../upstream/dns-server.ts';

/** Two servers on one port of two addresses; each answers with its address, to `/both` once two have asked. */
async function twins(): Promise<{ port: number; close(): void }> {
  const waiting: (() => void)[] = [];
  const answer = (ip: string) =>
    createServer((request, response) => {
      waiting.push(() => response.end(ip));
      if (request.url === '/both' && waiting.length < 2) return;
      for (const release of waiting.splice(0)) release();
    });
  const [one, two] = [answer('127.0.0.1'), answer('127.0.0.2')];
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  const { port } = one.address() as AddressInfo;
  await new Promise<void>((resolve, reject) => two.on('error', reject).listen(port, '127.0.0.2', resolve));
  return {
    port,
    close: () => {
      for (const server of [one, two]) server.closeAllConnections();
      for (const server of [one, two]) server.close();
    },
  };
}

t.test('new connections follow the name, open ones are used on', async (t) => {
  const dns = await startDnsServer();
  const { port, close } = await twins();
  dns.zones.set('web.test', { A: ['127.0.0.1', '127.0.0.2'] });
  const live = await startPlane(`
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                access_log:
                  - name: file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: LOG
                      log_format: {text_format_source: {inline_string: "%UPSTREAM_HOST%\\n"}}
                http_filters:
                  - name: router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
                route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web}}]}]}
  clusters:
    - name: web
      type: LOGICAL_DNS
      dns_lookup_family: V4_ONLY
      dns_refresh_rate: 0.02s
      typed_dns_resolver_config:
        name: cares
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
          resolvers: [{socket_address: {address: 127.0.0.1, port_value: ${dns.port}}}]
      load_assignment: {cluster_name: web, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: web.test, port_value: ${port}}}}}]}]}
`);
  t.teardown(async () => {
    await live.close();
    close();
    dns.close();
  });
  const [client, other] = [await dialWire(live.port), await dialWire(live.port)];
  const ask = async (peer: typeof client, path = '/'): Promise<string> => {
    peer.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    return (await peer.message()).body.toString();
  };
  t.equal(await ask(client), '127.0.0.1', 'the first address, although there are two');
  dns.zones.set('web.test', { A: ['127.0.0.2'] });
  const host = () => live.plane.clusters.get('web')?.hosts.value?.hosts[0];
  await eventually('the host is elsewhere', () => host()?.address.ip === '127.0.0.2');
  t.equal(await ask(client), '127.0.0.1', 'by the connection that is open');
  t.equal(host()?.http.connections, 1);
  const [early, late] = await Promise.all([ask(client, '/both'), ask(other, '/both')]);
  t.same([early, late].sort(), ['127.0.0.1', '127.0.0.2'], 'a second one goes to the new address');
  const lines = await live.logLines(4);
  t.same(
    lines.sort(),
    [1, 1, 1, 2].map((n) => `127.0.0.${n}:${port}`),
    'logged is where requests went',
  );
});
