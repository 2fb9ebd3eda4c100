import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { dialWire, type WireMessage } from '../support/wire-peer.ts';

const MONITORS = 'type.googleapis.com/envoy.extensions.resource_monitors';
const DIRECT = '[{match: {prefix: "/"}, direct_response: {status: 200, body: {inline_string: hello}}}]';

async function start(t: Test, top: string, hcm = '', args: readonly string[] = []): Promise<InoxProcess> {
  const yaml = httpBootstrap({ backend: 1, admin: true, routes: DIRECT, top, hcm });
  const inox = await InoxProcess.start(yaml, ['--concurrency', '2', ...args]);
  t.teardown(() => inox.stop());
  return inox;
}

async function ask(t: Test, inox: InoxProcess, path = '/'): Promise<WireMessage> {
  const peer = await dialWire(inox.port);
  t.teardown(() => peer.socket.destroy());
  peer.send(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
  const answer = await peer.message();
  peer.socket.destroy();
  return answer;
}

t.test('requests are refused while the pressure is high, by every worker', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-pressure-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'pressure');
  writeFileSync(file, '0.1');
  const inox = await start(
    t,
    `overload_manager: {refresh_interval: 0.02s, resource_monitors: [{name: file, typed_config: {"@type": ${MONITORS}.injected_resource.v3.InjectedResourceConfig, filename: ${file}}}], actions: [{name: envoy.overload_actions.stop_accepting_requests, triggers: [{name: file, threshold: {value: 0.9}}]}]}`,
  );
  const active = async (): Promise<number | undefined> =>
    (await inox.stats('stop_accepting_requests.active'))[
      'overload.envoy.overload_actions.stop_accepting_requests.active'
    ];
  t.match((await ask(t, inox)).start, / 200 /);
  writeFileSync(file, '0.95');
  await eventually('active', async () => (await active()) === 1);
  for (let i = 0; i < 12; i++) {
    const { start, body } = await ask(t, inox);
    t.match(start, / 503 /);
    t.equal(body.toString(), 'envoy overloaded');
  }
  t.equal((await inox.stats('overload_close'))['http.test.downstream_rq_overload_close'], 12);
  writeFileSync(file, '0.5');
  await eventually('inactive', async () => (await active()) === 0);
  t.match((await ask(t, inox)).start, / 200 /);
});

t.test('a limit of connections holds over all workers together', async (t) => {
  const inox = await start(
    t,
    `overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {"@type": ${MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 6}}]}`,
  );
  const kept = [];
  for (let i = 0; i < 6; i++) {
    const peer = await dialWire(inox.port);
    t.teardown(() => peer.socket.destroy());
    peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    t.match((await peer.message()).start, / 200 /);
    kept.push(peer);
  }
  for (let i = 0; i < 6; i++) {
    const refused = await dialWire(inox.port);
    t.teardown(() => refused.socket.destroy());
    t.not(await refused.ended(), 'open', 'one more is closed');
  }
  const stats = await inox.stats('downstream_global_cx_overflow');
  t.same(Object.values(stats), [6]);
  kept[0]?.socket.destroy();
  await eventually('room again', async () => {
    const peer = await dialWire(inox.port);
    t.teardown(() => peer.socket.destroy());
    peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    return (await peer.message().catch(() => undefined)) !== undefined;
  });
});

const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http';
const HEALTH = `http_filters: [{name: h, typed_config: {"@type": ${FILTERS}.health_check.v3.HealthCheck, pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /hc}}]}}, {name: r, typed_config: {"@type": ${FILTERS}.router.v3.Router}}]`;

t.test('the health check filter fails with the process, and says so with every answer', async (t) => {
  const yaml = httpBootstrap({ backend: 1, admin: true, routes: DIRECT, hcm: '' }).replace(
    /http_filters:\n.*\n.*Router"?\}/,
    HEALTH,
  );
  const inox = await InoxProcess.start(yaml, [
    '--concurrency',
    '1',
    '--lame-duck-time-s',
    '60',
    '--drain-time-s',
    '60',
  ]);
  t.teardown(() => inox.stop());
  const post = (path: string): Promise<Response> => fetch(`http://${inox.admin}${path}`, { method: 'POST' });
  t.match((await ask(t, inox, '/hc')).start, / 200 /);
  t.equal((await ask(t, inox)).headers['x-envoy-immediate-health-check-fail'], undefined);
  await post('/healthcheck/fail');
  t.match((await ask(t, inox, '/hc')).start, / 503 /);
  t.equal((await ask(t, inox)).headers['x-envoy-immediate-health-check-fail'], 'true');
  await post('/healthcheck/ok');
  t.match((await ask(t, inox, '/hc')).start, / 200 /);
  inox.child.kill('SIGTERM');
  await eventually('draining', async () => (await fetch(`http://${inox.admin}/ready`)).status === 503);
  t.match((await ask(t, inox, '/hc')).start, / 503 /, 'the lame-duck time');
  const answer = await ask(t, inox);
  t.match(answer.start, / 200 /);
  t.equal(answer.headers.connection, undefined, 'still served without a word');
});
