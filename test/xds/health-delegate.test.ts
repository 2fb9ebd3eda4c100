/**
 * Health discovery (HDS). Seen of Envoy 1.40 with the same server: the first message has the node and the protocols;
 * health is said at the interval of the specifier (a second without one), as a list and by cluster and locality; the
 * same specifier once more is no update; one with mistakes is counted as an error and changes nothing, not even the
 * interval; every end of a stream is an error, and the next stream says nothing of health before it is asked. Envoy
 * 1.40 ends with a segmentation fault when a locality has no endpoints.
 */
import t from 'tap';
import type { DelegatedCluster, DelegatedStatus } from '../../src/core/xds-protocol.ts';
import { HealthDelegate } from '../../src/xds/health-delegate.ts';
import { nodeMessage } from '../../src/xds/node.ts';
import type { TestOwner } from '../support/http-setting.ts';
import { type Json, ReportServer } from '../support/report-server.ts';
import { grpcApi, openClient, serverCluster } from '../support/xds-client.ts';

async function setUp(test: TestOwner) {
  const server = await new ReportServer().listen();
  const client = openClient({ staticResources: { clusters: [serverCluster([`127.0.0.1:${server.port}`])] } });
  const checked: (readonly DelegatedCluster[])[] = [];
  const state: { statuses: DelegatedStatus[][]; silent: boolean; asked: number[] } = {
    statuses: [],
    silent: false,
    asked: [],
  };
  const delegate = new HealthDelegate({
    config: grpcApi(false),
    channelOf: (api) => client.sources.channelOf(api),
    node: nodeMessage({ node: { id: 'me', cluster: 'c' } }),
    stats: client.stats.scope(),
    log: { enabled: () => true, log: (_level, _component, text) => client.logs.push(text) },
    backoff: { baseMs: 20, maxMs: 20 },
    check: (clusters) => checked.push(clusters),
    take: (id) => {
      state.asked.push(id);
      if (!state.silent) delegate.onHealth(id, state.statuses);
    },
  });
  test.teardown(() => {
    delegate.close();
    client.close();
    server.close();
  });
  delegate.start();
  const stream = await server.next();
  return { server, client, delegate, checked, state, stream };
}

const at = (port: number, more: object = {}) => ({
  address: { socketAddress: { address: '127.0.0.1', portValue: port } },
  ...more,
});
const HTTP = {
  timeout: '1s',
  interval: '1s',
  unhealthyThreshold: 1,
  healthyThreshold: 1,
  httpHealthCheck: { path: '/healthz' },
};
const { httpHealthCheck: _, ...REST } = HTTP;
const TCP = { ...REST, tcpHealthCheck: {} };
const one = (clusterName: string, ...ports: number[]) => ({
  clusterName,
  healthChecks: [HTTP],
  localityEndpoints: [{ locality: { region: 'r' }, endpoints: ports.map((port) => at(port)) }],
});
const health = (port: number, status: string) => ({
  endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  health_status: status,
});
const responseOf = (request: Json): Json => (request.endpoint_health_response ?? {}) as Json;

t.test('offers itself, hands over what is to be checked, and says how it is', async (t) => {
  const { client, checked, state, stream } = await setUp(t);
  t.equal(stream.path, '/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck');
  t.match(await stream.next(), {
    health_check_request: {
      node: { id: 'me', cluster: 'c', user_agent_name: 'envoy' },
      capability: { health_check_protocols: ['HTTP', 'TCP'] },
    },
  });
  state.statuses = [['HEALTHY', 'TIMEOUT', 'UNHEALTHY'], ['DEGRADED']];
  stream.send({
    interval: '0.1s',
    clusterHealthChecks: [
      {
        ...one('a', 1, 2),
        localityEndpoints: [
          ...one('a', 1, 2).localityEndpoints,
          { locality: { region: 'nobody' } },
          { endpoints: [{ address: { pipe: { path: '/run/a' } } }] },
        ],
      },
      { ...one('b', 3), healthChecks: [HTTP, TCP] },
    ],
  });
  const pipe = { endpoint: { address: { pipe: { path: '/run/a' } } }, health_status: 'UNHEALTHY' };
  t.same(responseOf(await stream.next()), {
    endpoints_health: [health(1, 'HEALTHY'), health(2, 'TIMEOUT'), pipe, health(3, 'DEGRADED')],
    cluster_endpoints_health: [
      {
        cluster_name: 'a',
        locality_endpoints_health: [
          { locality: { region: 'r' }, endpoints_health: [health(1, 'HEALTHY'), health(2, 'TIMEOUT')] },
          { locality: { region: 'nobody' } },
          { locality: {}, endpoints_health: [pipe] },
        ],
      },
      {
        cluster_name: 'b',
        locality_endpoints_health: [{ locality: { region: 'r' }, endpoints_health: [health(3, 'DEGRADED')] }],
      },
    ],
  });
  t.equal(checked.length, 1);
  t.match(checked[0]?.[1]?.checks, [
    { name: 'b', healthChecks: [{ httpHealthCheck: { path: '/healthz' } }] },
    { name: 'b', healthChecks: [{ tcpHealthCheck: {} }] },
  ]);
  state.statuses = [['UNHEALTHY', 'HEALTHY', 'HEALTHY'], ['HEALTHY']];
  await stream.until((request) =>
    JSON.stringify(request).includes('"port_value":2}}},"health_status":"HEALTHY"'),
  );
  t.equal(client.stats.get('hds_delegate.requests'), 1);
  t.equal(client.stats.get('hds_delegate.updates'), 1);
  t.ok(client.stats.get('hds_delegate.responses') >= 3);
  t.equal(client.stats.get('hds_delegate.errors'), 0);
});

t.test('what is the same is no update, what is wrong changes nothing', async (t) => {
  const { client, checked, stream } = await setUp(t);
  await stream.next();
  const specifier = { interval: '0.1s', clusterHealthChecks: [one('a', 1)] };
  stream.send(specifier);
  await stream.next();
  stream.send(specifier);
  await stream.next();
  await stream.next();
  t.equal(checked.length, 1);
  t.equal(client.stats.get('hds_delegate.requests'), 2);
  const wrong: [object, RegExp][] = [
    [
      { healthChecks: [{ timeout: '1s' }] },
      /cluster_health_checks\[0\]\.health_checks\[0\]\.interval: value is required/,
    ],
    [
      {
        localityEndpoints: [{ endpoints: [{ address: { socketAddress: { address: 'x', portValue: 1 } } }] }],
      },
      /malformed IP address: x/,
    ],
    [
      { healthChecks: [{ ...HTTP, eventLogPath: '/etc/passwd' }] },
      /health_checks\[0\]\.event_log_path: is not for checks of a management server/,
    ],
    [{ healthChecks: [{ ...REST, grpcHealthCheck: {} }] }, /must support HTTP\/2/],
    [
      { upstreamBindConfig: { sourceAddress: { address: '127.0.0.1', portValue: 0 } } },
      /upstream_bind_config/,
    ],
    [one('a', ...Array.from({ length: 10_001 }, (_, i) => 1 + i)), /more than 10000 endpoints/],
  ];
  for (const [i, [more, message]] of wrong.entries()) {
    client.logs.length = 0;
    stream.send({ interval: '300s', clusterHealthChecks: [{ ...one('a', 1), ...more }] });
    const answer = await stream.until(() => client.stats.get('hds_delegate.errors') === i + 1);
    t.match(client.logs[0], message);
    t.same(responseOf(answer).endpoints_health, [health(1, 'UNHEALTHY')]);
  }
  t.equal(checked.length, 1);
  t.equal(client.stats.get('hds_delegate.updates'), 1);
});

t.test('a server that asks for no pause gets a tenth of a second, in checks as well', async (t) => {
  const { checked, stream } = await setUp(t);
  await stream.next();
  const fast = { ...HTTP, interval: '0.001s', unhealthyInterval: '0.002s', noTrafficInterval: '7s' };
  stream.send({ interval: '0.001s', clusterHealthChecks: [{ ...one('a', 1), healthChecks: [fast] }] });
  await stream.next();
  t.match(checked[0]?.[0]?.checks, [
    { healthChecks: [{ interval: 100, unhealthyInterval: 100, noTrafficInterval: 7000 }] },
  ]);
});

t.test(
  'an answer about other endpoints is not sent, and one that never comes is asked for again',
  async (t) => {
    const { delegate, state, stream } = await setUp(t);
    await stream.next();
    state.silent = true;
    stream.send({ interval: '0.1s', clusterHealthChecks: [one('a', 1)] });
    while (state.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    const old = state.asked[0] ?? 0;
    stream.send({ interval: '0.1s', clusterHealthChecks: [one('b', 2)] });
    while (!state.asked.some((id) => id > old + 3)) await new Promise((resolve) => setTimeout(resolve, 10));
    delegate.onHealth(old, [['HEALTHY']]);
    delegate.onHealth(Math.max(...state.asked), [['TIMEOUT']]);
    t.same(responseOf(await stream.next()).endpoints_health, [health(2, 'TIMEOUT')]);
  },
);

t.test('a new stream begins anew; the checks are not begun anew', async (t) => {
  const { server, client, checked, state, stream } = await setUp(t);
  await stream.next();
  const specifier = { interval: '0.1s', clusterHealthChecks: [one('a', 1)] };
  stream.send(specifier);
  await stream.next();
  stream.fail(14, 'gone');
  const second = await server.next();
  t.match(await second.next(), { health_check_request: {} });
  const before = state.asked.length;
  second.end();
  const third = await server.next();
  t.match(await third.next(), { health_check_request: {} });
  t.equal(state.asked.length, before, 'nobody has asked on the second stream');
  t.equal(client.stats.get('hds_delegate.errors'), 2);
  third.send(specifier);
  t.same(responseOf(await third.next()).endpoints_health, [health(1, 'UNHEALTHY')]);
  t.equal(checked.length, 1);
});
