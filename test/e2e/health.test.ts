import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { loadConfig } from '../../src/cli/validate.ts';
import { createAdminContext } from '../../src/control/admin-context.ts';
import { ControlPlane } from '../../src/control/serve.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';

const WORKERS = 4;

/** A host that answers with the status it is told and counts. */
async function startHost(test: TestOwner) {
  const state = { status: 200, headers: {}, requests: 0, checks: 0, healthy: true };
  const server = createServer((request, response) => {
    const check = request.url === '/health';
    if (check) state.checks++;
    else state.requests++;
    response.writeHead(check ? (state.healthy ? 200 : 503) : state.status, check ? {} : state.headers);
    response.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return { state, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

/** The control thread and its workers in this process, with a cluster `backend` of one host. */
async function start(test: TestOwner, backend: number, cluster: string, concurrency = WORKERS) {
  const folder = mkdtempSync(join(tmpdir(), 'inox-health-'));
  const top = 'cluster_manager: {outlier_detection: {event_log_path: "EVENTS"}}';
  const yaml = httpBootstrap({ backend, cluster, top })
    .replaceAll('LOG', join(folder, 'access.log'))
    .replaceAll('EVENTS', join(folder, 'events.log'));
  const control = new ControlPlane(
    {
      config: loadConfig({ configYaml: yaml }),
      concurrency,
      envoyStrict: false,
      drainMs: 100,
      lameDuckMs: 0,
      drainAtOnce: false,
      shedLagMs: 0,
      metricsAddresses: [],
      onAdminAddress: () => {},
      commandLine: {},
      log: new LevelLogger('warning', () => {}),
    },
    () => {},
  );
  await control.start();
  test.teardown(async () => {
    await control.exitNow(0);
    rmSync(folder, { recursive: true, force: true });
  });
  const port = control.listeners[0]?.address?.socketAddress?.portValue ?? 0;
  const url = `http://127.0.0.1:${port}/`;
  return {
    control,
    /** A connection of its own, so that the kernel spreads the requests over the workers. */
    ask: async (): Promise<number> => {
      const response = await fetch(url, { headers: { connection: 'close' } });
      await response.text();
      return response.status;
    },
    stat: (name: string): number => control.aggregator.value(`cluster.backend.${name}`) ?? 0,
    flags: async () => {
      const [status] = await createAdminContext(control).clusters();
      return status?.hosts[0]?.healthFlags;
    },
    events: (): Record<string, unknown>[] =>
      readFileSync(join(folder, 'events.log'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

const NO_PANIC = 'common_lb_config: {healthy_panic_threshold: {value: 0}}';

t.test('consecutive_5xx: 5 ejects after five failures in total, with four workers', async (t) => {
  const host = await startHost(t);
  const mesh = await start(
    t,
    host.port,
    `outlier_detection: {max_ejection_percent: 100, interval: 0.1s, base_ejection_time: 6s}\n    ${NO_PANIC}`,
  );
  host.state.status = 500;
  const statuses: number[] = [];
  for (let i = 0; i < 4; i++) statuses.push(await mesh.ask());
  await sleep(50);
  t.same(await mesh.flags(), [], 'four are not enough');
  statuses.push(await mesh.ask());
  await eventually('the ejection', async () => String(await mesh.flags()) === 'failed_outlier_check');
  for (let i = 0; i < 7; i++) statuses.push(await mesh.ask());
  t.same(statuses, [500, 500, 500, 500, 500, 503, 503, 503, 503, 503, 503, 503]);
  t.equal(host.state.requests, 5);
  const used = (await mesh.control.supervisor.query('clusters')) as {
    hosts: { stats: { rq_total: number } }[];
  }[][];
  t.equal(used.length, WORKERS);
  t.same(await mesh.flags(), ['failed_outlier_check']);
  t.equal(mesh.stat('outlier_detection.ejections_active'), 1);
  host.state.status = 200;
  await eventually('flags ', async () => String(await mesh.flags()) === '');
  t.equal(await mesh.ask(), 200);
  t.equal(mesh.stat('outlier_detection.ejections_active'), 0);
  await eventually(
    'both events',
    () =>
      mesh
        .events()
        .map((event) => event.action)
        .join() === 'EJECT,UNEJECT',
  );
});

t.test('a host gets one check per interval, whatever the number of workers', async (t) => {
  const host = await startHost(t);
  const check =
    'timeout: 1s, interval: 0.1s, no_traffic_interval: 0.1s, unhealthy_threshold: 2, healthy_threshold: 2';
  const mesh = await start(
    t,
    host.port,
    `health_checks: [{${check}, http_health_check: {path: /health}}]\n    ${NO_PANIC}`,
  );
  t.ok(host.state.checks >= 1, 'checked before anything is served');
  const before = host.state.checks;
  const attempts = mesh.stat('health_check.attempt');
  const began = performance.now();
  await sleep(1000);
  const most = Math.ceil((performance.now() - began) / 100) + 1;
  t.ok(host.state.checks - before <= most, `${host.state.checks - before} checks, at most ${most}`);
  t.ok(host.state.checks - before >= 3);
  t.ok(Math.abs(mesh.stat('health_check.attempt') - attempts - (host.state.checks - before)) <= 1);
  host.state.healthy = false;
  await eventually('flags failed_active_hc', async () => String(await mesh.flags()) === 'failed_active_hc');
  t.equal(await mesh.ask(), 503);
  t.equal(host.state.requests, 0);
  host.state.healthy = true;
  await eventually('flags ', async () => String(await mesh.flags()) === '');
  t.equal(await mesh.ask(), 200);
});

t.test('a response may take its host out at once', async (t) => {
  const host = await startHost(t);
  const check = 'timeout: 1s, interval: 60s, unhealthy_threshold: 2, healthy_threshold: 2';
  const mesh = await start(
    t,
    host.port,
    `health_checks: [{${check}, http_health_check: {path: /health}}]\n    ${NO_PANIC}`,
    1,
  );
  host.state.headers = { 'x-envoy-immediate-health-check-fail': 'true' };
  t.equal(await mesh.ask(), 200);
  await eventually(
    'flags failed_active_hc, excluded_via_immediate_hc_fail',
    async () => String(await mesh.flags()) === 'failed_active_hc,excluded_via_immediate_hc_fail',
  );
  t.equal(await mesh.ask(), 503);
  t.equal(mesh.stat('health_check.passive_failure'), 1);
});

t.test('failure accrual: one probe for all workers decides', async (t) => {
  const host = await startHost(t);
  const monitor =
    '{name: accrual, typed_config: {"@type": type.googleapis.com/inox.outlier_detection_monitors.failure_accrual.v1.FailureAccrual, max_failures: 3, min_penalty: 2s, max_penalty: 2s, jitter_ratio: 0}}';
  const mesh = await start(
    t,
    host.port,
    `outlier_detection: {max_ejection_percent: 100, consecutive_5xx: 0, monitors: [${monitor}]}\n    ${NO_PANIC}`,
  );
  host.state.status = 500;
  for (let i = 0; i < 6; i++) {
    await mesh.ask();
    await sleep(5);
  }
  t.equal(host.state.requests, 3);
  await eventually(
    'outlier_detection.failure_accrual_probes is 1',
    () => mesh.stat('outlier_detection.failure_accrual_probes') === 1,
  );
  await sleep(20);
  const statuses = await Promise.all(Array.from({ length: 12 }, () => mesh.ask()));
  t.equal(statuses.filter((status) => status === 500).length, 1, 'one of twelve requests is the probe');
  t.equal(host.state.requests, 4);
  host.state.status = 200;
  await eventually(
    'outlier_detection.failure_accrual_probes is 2',
    () => mesh.stat('outlier_detection.failure_accrual_probes') === 2,
  );
  await sleep(20);
  t.equal(await mesh.ask(), 200);
  await eventually('flags ', async () => String(await mesh.flags()) === '');
  t.equal(await mesh.ask(), 200);
  t.equal(mesh.stat('outlier_detection.ejections_active'), 0);
});

t.test('a TCP check with bytes, over a connection that is kept', async (t) => {
  let connections = 0;
  let pings = 0;
  const server = createTcpServer((socket) => {
    connections++;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (chunk.toString() === 'ping') pings++;
      socket.write('pong');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const check =
    'timeout: 1s, interval: 0.05s, no_traffic_interval: 0.05s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {send: {text: "70696e67"}, receive: [{text: "706f6e67"}]}';
  const mesh = await start(t, port, `health_checks: [{${check}}]`, 1);
  await eventually('four checks', () => pings >= 4);
  t.equal(connections, 1);
  t.same(await mesh.flags(), []);
});
