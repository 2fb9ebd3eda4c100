/**
 * Load reports (LRS). What the messages hold, and what is counted when, was seen of Envoy 1.40 with the same server:
 * every request has the node; the first has nothing else; localities without load are left out, clusters are not; what
 * was refused by a limit counts as dropped and as nothing else; after a new stream the first request has what came
 * together meanwhile; a stream that ends without an error is opened again and is none.
 */
import t from 'tap';
import type { ApiConfigSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../src/core/errors.ts';
import type { LoadedCluster } from '../../src/core/xds-protocol.ts';
import type { ClusterLoad, HostLoad } from '../../src/upstream/load.ts';
import { LOAD_FEATURES, LoadReports } from '../../src/xds/load-reports.ts';
import { nodeMessage } from '../../src/xds/node.ts';
import type { TestOwner } from '../support/http-setting.ts';
import { type Json, ReportServer } from '../support/report-server.ts';
import { grpcApi, openClient, serverCluster } from '../support/xds-client.ts';

const host = (port: number, more: Partial<HostLoad> = {}): HostLoad => ({
  address: { ip: '127.0.0.1', port, path: '' },
  region: 'r',
  zone: 'z',
  subZone: '',
  priority: 0,
  issued: 1,
  succeeded: 1,
  failed: 0,
  active: 0,
  ...more,
});

/** Reports of two workers whose loads a test sets; each is handed out once, as workers do. */
async function setUp(test: TestOwner, answerMs = 0) {
  const server = await new ReportServer().listen();
  const client = openClient({ staticResources: { clusters: [serverCluster([`127.0.0.1:${server.port}`])] } });
  let clusters: LoadedCluster[] = [
    { name: 'a', serviceName: '' },
    { name: 'b', serviceName: 'service-b' },
  ];
  const loads: [ClusterLoad[], ClusterLoad[]] = [[], []];
  const asked: (readonly string[] | null)[] = [];
  let silent = false;
  const reports = new LoadReports({
    config: grpcApi(false),
    channelOf: (api) => client.sources.channelOf(api),
    node: nodeMessage({ node: { id: 'me', cluster: 'c' } }, LOAD_FEATURES),
    stats: client.stats.scope(),
    log: { enabled: () => true, log: (_level, _component, text) => client.logs.push(text) },
    backoff: { baseMs: 20, maxMs: 20 },
    patienceMs: 100,
    take: (id, names) => {
      asked.push(names);
      const answer = (): void => {
        const there = clusters.filter(({ name }) => names === null || names.includes(name));
        reports.onClusters(id, 2, there);
        reports.onLoads(id, loads[0].splice(0));
        if (!silent) reports.onLoads(id, loads[1].splice(0));
      };
      if (answerMs === 0) answer();
      else setTimeout(answer, answerMs);
    },
  });
  test.teardown(() => {
    reports.close();
    client.close();
    server.close();
  });
  reports.start();
  return {
    server,
    client,
    reports,
    loads,
    asked,
    setClusters: (...names: string[]) => {
      clusters = names.map((name) => ({ name, serviceName: '' }));
    },
    silence: (now: boolean) => {
      silent = now;
    },
  };
}

/** The clusters of a report, without what depends on the clock. */
function statsOf(request: Json): Json[] {
  return ((request.cluster_stats ?? []) as Json[]).map(({ load_report_interval: _, ...rest }) => rest);
}

function intervalsOf(request: Json): number[] {
  return ((request.cluster_stats ?? []) as Json[]).map((one) =>
    Number.parseFloat(`${one.load_report_interval}`),
  );
}

t.test('says who it is, then what the hosts of each locality did since the report before', async (t) => {
  const { server, client, loads, asked } = await setUp(t);
  const stream = await server.next();
  t.equal(stream.path, '/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats');
  const first = await stream.next();
  t.same(Object.keys(first), ['node']);
  t.match(first.node, { id: 'me', cluster: 'c', user_agent_name: 'envoy' });
  t.ok((first.node as { client_features: string[] }).client_features.includes(LOAD_FEATURES[0] ?? ''));
  loads[0].push({ name: 'a', dropped: 7, hosts: [host(1, { issued: 100 })] });
  stream.send({ clusters: ['b', 'a', 'a', 'unknown'], loadReportingInterval: '0.1s' });
  const empty = await stream.next();
  t.match(empty.node, { id: 'me' }, 'Envoy says it each time');
  t.same(asked[0], ['b', 'a', 'unknown']);
  t.same(
    statsOf(empty),
    [{ cluster_name: 'a' }, { cluster_name: 'b', cluster_service_name: 'service-b' }],
    'what was done before the server asked does not count',
  );
  for (const interval of intervalsOf(empty)) t.ok(interval > 0.09, `measured: ${interval}`);
  loads[0].push({
    name: 'a',
    dropped: 2,
    hosts: [
      host(3, { priority: 1 }),
      host(1, { issued: 5, succeeded: 3, failed: 1, active: 1 }),
      host(2, { region: 'a', issued: 0, succeeded: 0, active: 4 }),
    ],
  });
  loads[1].push({ name: 'a', dropped: 1, hosts: [host(1, { failed: 1 }), host(4)] });
  const full = await stream.until((request) => statsOf(request)[0]?.total_dropped_requests !== undefined);
  t.same(statsOf(full)[0], {
    cluster_name: 'a',
    total_dropped_requests: '3',
    upstream_locality_stats: [
      { locality: { region: 'a', zone: 'z' }, total_requests_in_progress: '4' },
      {
        locality: { region: 'r', zone: 'z' },
        total_successful_requests: '5',
        total_requests_in_progress: '1',
        total_error_requests: '2',
        total_issued_requests: '7',
      },
      {
        locality: { region: 'r', zone: 'z' },
        priority: 1,
        total_successful_requests: '1',
        total_issued_requests: '1',
      },
    ],
  });
  t.same(statsOf(await stream.next())[0], { cluster_name: 'a' }, 'everything was said');
  t.equal(client.stats.get('load_reporter.requests'), 1);
  t.ok(client.stats.get('load_reporter.responses') >= 4);
});

t.test('all clusters, and each endpoint by itself, where the server asks for that', async (t) => {
  const { server, loads, asked, setClusters } = await setUp(t);
  const stream = await server.next();
  await stream.next();
  stream.send({ sendAllClusters: true, reportEndpointGranularity: true, loadReportingInterval: '0.1s' });
  t.same(
    statsOf(await stream.next()).map((one) => one.cluster_name),
    ['a', 'b'],
  );
  t.equal(asked[0], null);
  const pipe = { address: { ip: '', port: 0, path: '/run/a.sock' } };
  loads[0].push({ name: 'a', dropped: 0, hosts: [host(1), host(2, { ...pipe, active: 1 })] });
  loads[1].push({ name: 'a', dropped: 0, hosts: [host(1, { active: 2 })] });
  const report = await stream.until((request) => 'upstream_locality_stats' in (statsOf(request)[0] ?? {}));
  const [locality] = (statsOf(report)[0]?.upstream_locality_stats ?? []) as Json[];
  t.same(locality?.upstream_endpoint_stats, [
    {
      address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
      total_successful_requests: '2',
      total_requests_in_progress: '2',
      total_issued_requests: '2',
    },
    {
      address: { pipe: { path: '/run/a.sock' } },
      total_successful_requests: '1',
      total_requests_in_progress: '1',
      total_issued_requests: '1',
    },
  ]);
  t.equal(locality?.total_issued_requests, '3');
  setClusters('b', 'new');
  loads[0].push({ name: 'new', dropped: 0, hosts: [host(9)] });
  await stream.until((request) => statsOf(request).every((one) => one.cluster_name !== 'a'));
  loads[0].push({ name: 'new', dropped: 0, hosts: [host(9, { issued: 3 })] });
  const later = await stream.until((request) => 'upstream_locality_stats' in (statsOf(request)[1] ?? {}));
  t.same(
    statsOf(later).map((one) => one.cluster_name),
    ['b', 'new'],
  );
});

t.test('what a worker says too late is in the next report', async (t) => {
  const { server, loads, reports, silence } = await setUp(t);
  const stream = await server.next();
  await stream.next();
  stream.send({ clusters: ['a'], loadReportingInterval: '0.1s' });
  await stream.next();
  silence(true);
  loads[0].push({ name: 'a', dropped: 0, hosts: [host(1)] });
  const without = await stream.until((request) => 'upstream_locality_stats' in (statsOf(request)[0] ?? {}));
  t.match(statsOf(without)[0], { upstream_locality_stats: [{ total_issued_requests: '1' }] });
  silence(false);
  reports.onLoads(0, [{ name: 'a', dropped: 0, hosts: [host(1, { issued: 8 })] }]);
  const then = await stream.until((request) => 'upstream_locality_stats' in (statsOf(request)[0] ?? {}));
  t.match(statsOf(then)[0], { upstream_locality_stats: [{ total_issued_requests: '8' }] });
});

t.test('after a new stream the first report has what came together meanwhile', async (t) => {
  const { server, client, loads } = await setUp(t);
  let stream = await server.next();
  await stream.next();
  stream.send({ clusters: ['a'], loadReportingInterval: '0.1s' });
  await stream.next();
  stream.fail(14, 'gone');
  loads[0].push({ name: 'a', dropped: 0, hosts: [host(1, { issued: 6 })] });
  stream = await server.next();
  t.match(statsOf(await stream.next())[0], { upstream_locality_stats: [{ total_issued_requests: '6' }] });
  t.match(
    await stream.next(),
    { cluster_stats: [{ cluster_name: 'a' }] },
    'it goes on, though nobody asked anew',
  );
  t.equal(client.stats.get('load_reporter.errors'), 1);
  stream.end();
  await server.next();
  t.equal(client.stats.get('load_reporter.errors'), 1, 'an end is no error');
  t.equal(client.stats.get('load_reporter.retries'), 2);
  t.match(client.logs[0], /load reports: stream to cluster 'xds' ended: .*gone/);
});

t.test('a server that asks for no pause gets a tenth of a second', async (t) => {
  const { server } = await setUp(t);
  const stream = await server.next();
  await stream.next();
  stream.send({ clusters: ['a'], loadReportingInterval: '0.000001s' });
  await stream.next();
  // Measured between two reports, not by this test.
  for (let i = 0; i < 3; i++) for (const interval of intervalsOf(await stream.next())) t.ok(interval > 0.09);
  stream.send({ clusters: ['a'] });
  for (const interval of intervalsOf(await stream.next())) t.ok(interval > 0.09);
});

t.test('of many wishes at once the newest counts', async (t) => {
  const { server, client, asked } = await setUp(t, 50);
  const stream = await server.next();
  await stream.next();
  for (let i = 0; i < 50; i++) stream.send({ clusters: [`c${i}`], loadReportingInterval: '600s' });
  stream.send({ clusters: ['b'], loadReportingInterval: '0.1s' });
  const report = await stream.next();
  t.same(statsOf(report), [{ cluster_name: 'b', cluster_service_name: 'service-b' }]);
  t.equal(client.stats.get('load_reporter.requests'), 51);
  t.ok(asked.length < 50, `workers were asked ${asked.length} times`);
});

t.test('what cannot be done is said with the path of the field', async (t) => {
  const client = openClient({ staticResources: { clusters: [serverCluster(['127.0.0.1:1'])] } });
  t.teardown(() => client.close());
  const refused = (more: Partial<ApiConfigSource>, message: RegExp): void => {
    try {
      new LoadReports({
        config: grpcApi(false, more),
        channelOf: (api) => client.sources.channelOf(api),
        node: {},
        stats: client.stats.scope(),
        log: { enabled: () => false, log: () => {} },
        take: () => {},
      });
      t.fail('it was taken');
    } catch (error) {
      t.match(error instanceof ConfigError ? error.problems[0]?.message : error, message);
    }
  };
  refused({ apiType: 'REST' }, /REST is not for a stream/);
  refused({ transportApiVersion: 'V2' }, /V3 is the only version/);
  refused({ grpcServices: [] }, /exactly one is needed/);
  refused({ grpcServices: [{ envoyGrpc: { clusterName: 'nobody' } }] }, /'nobody' does not exist/);
});
