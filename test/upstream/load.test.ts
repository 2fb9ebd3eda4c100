/** What a worker tells of the load of its hosts, seen on real requests. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { HostLoad } from '../../src/upstream/load.ts';
import { takeLoads } from '../../src/worker/loads.ts';
import { eventually } from '../support/http-setting.ts';
import { startPlane } from '../support/live-plane.ts';

const MANAGER =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

t.test('what hosts did since they were asked last, and what they do now', async (t) => {
  const held: ServerResponse[] = [];
  const backend = createServer((request, response) => {
    if (request.url === '/held') held.push(response);
    else response.writeHead(request.url === '/bad' ? 500 : 200).end();
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    backend.closeAllConnections();
    backend.close();
  });
  const { port } = backend.address() as AddressInfo;
  const endpoint = `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}`;
  const plane = await startPlane(`
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": ${MANAGER}
          stat_prefix: s
          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - {match: {prefix: /full}, route: {cluster: full}}
              - {match: {prefix: /}, route: {cluster: web}}
          http_filters: [{name: router, typed_config: {"@type": ${ROUTER}}}]
  clusters:
  - name: web
    load_assignment:
      cluster_name: web
      endpoints: [{priority: 0, locality: {region: r, zone: z, sub_zone: s}, lb_endpoints: [${endpoint}]}]
  - name: full
    circuit_breakers: {thresholds: [{max_requests: 0, max_pending_requests: 0}]}
    load_assignment: {cluster_name: full, endpoints: [{lb_endpoints: [${endpoint}]}]}
  - name: idle
    load_assignment: {cluster_name: idle, endpoints: [{lb_endpoints: [${endpoint}]}]}
`);
  t.teardown(() => plane.close());
  const ask = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${plane.port}${path}`, { headers: { connection: 'close' } })).status;
  const host: HostLoad = {
    address: { ip: '127.0.0.1', port, path: '' },
    region: 'r',
    zone: 'z',
    subZone: 's',
    priority: 0,
    issued: 0,
    succeeded: 0,
    failed: 0,
    active: 0,
  };
  t.same(await takeLoads(plane.plane, null), [], 'nothing was done');
  t.same([await ask('/'), await ask('/bad'), await ask('/'), await ask('/full')], [200, 500, 200, 503]);
  const waiting = ask('/held');
  await eventually('the request is there', () => held.length === 1);
  t.same(await takeLoads(plane.plane, null), [
    { name: 'web', dropped: 0, hosts: [{ ...host, issued: 4, succeeded: 2, failed: 1, active: 1 }] },
    { name: 'full', dropped: 1, hosts: [] },
  ]);
  t.same(await takeLoads(plane.plane, ['full', 'unknown']), [], 'each thing is said once');
  t.same(await takeLoads(plane.plane, ['web']), [
    { name: 'web', dropped: 0, hosts: [{ ...host, active: 1 }] },
  ]);
  held[0]?.end();
  t.equal(await waiting, 200);
  t.same(await takeLoads(plane.plane, ['web']), [
    { name: 'web', dropped: 0, hosts: [{ ...host, succeeded: 1 }] },
  ]);
  t.same(await takeLoads(plane.plane, null), []);

  // As of gRPC, whose trailers say that a call failed after its success was told.
  const [of] = plane.plane.clusters.get('web')?.hosts.value?.hosts ?? [];
  of?.onLateFailure();
  t.same(await takeLoads(plane.plane, null), [{ name: 'web', dropped: 0, hosts: [{ ...host, failed: 1 }] }]);
  t.equal(await ask('/'), 200);
  t.equal(await ask('/'), 200);
  t.same(
    await takeLoads(plane.plane, null),
    [{ name: 'web', dropped: 0, hosts: [{ ...host, issued: 2, succeeded: 1 }] }],
    'a success that was told and is none is made up for by the next',
  );
});
