import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/cli/validate.ts';
import { ControlPlane } from '../../src/control/serve.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { type HttpBootstrap, httpBootstrap } from '../support/http-bootstrap.ts';
import { clientOf, eventually, settle, type TestOwner } from '../support/http-setting.ts';
import { httpAnswers, startWireBackend, type WirePeer } from '../support/wire-peer.ts';

interface Mesh {
  readonly control: ControlPlane;
  readonly port: number;
  readonly log: string[];
  readonly exits: number[];
}

/** Control thread and two workers in this process. */
async function start(test: TestOwner, parts: HttpBootstrap): Promise<Mesh> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-workers-'));
  const yaml = httpBootstrap(parts).replaceAll('LOG', join(folder, 'access.log'));
  const log: string[] = [];
  const exits: number[] = [];
  const control = new ControlPlane(
    {
      config: loadConfig({ configYaml: yaml }),
      concurrency: 2,
      envoyStrict: false,
      drainMs: 100,
      lameDuckMs: 0,
      drainAtOnce: false,
      shedLagMs: 0,
      metricsAddresses: [],
      onAdminAddress: () => {},
      commandLine: {},
      log: new LevelLogger('warning', (_level, _component, message) => log.push(message)),
    },
    (code) => exits.push(code),
  );
  await control.start();
  test.teardown(async () => {
    await control.exitNow(0);
    rmSync(folder, { recursive: true, force: true });
  });
  const port = control.listeners[0]?.address?.socketAddress?.portValue ?? 0;
  return { control, port, log, exits };
}

/** A quarter of a second where nothing else runs; other tests do. */
const REPLACED_MS = 15_000;

const GET = 'GET /a HTTP/1.1\r\nhost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Asks again and again until its connection dies or `stop` says so; counts the answers. */
async function load(client: WirePeer, stop: () => boolean): Promise<number> {
  for (let answers = 0; ; answers++) {
    if (stop()) return answers;
    try {
      client.send(GET);
      await client.message();
      await settle(1);
    } catch {
      return answers;
    }
  }
}

const alive = (client: WirePeer): boolean => client.ending === 'open';

t.test('a worker that throws under load is replaced; only its own connections fail', async (t) => {
  const backend = await startWireBackend(httpAnswers(() => OK));
  t.teardown(backend.close);
  const { control, port, log } = await start(t, { backend: backend.port });
  const { aggregator, supervisor } = control;
  const clients: WirePeer[] = [];
  for (let i = 0; i < 16; i++) clients.push(await clientOf(t, port));
  let stop = false;
  const loads = clients.map((client) => load(client, () => stop));
  await settle(200);
  const began = performance.now();
  supervisor.send(0, { type: 'fail', message: 'made to fail' });
  await eventually('the death is known', () => aggregator.value('server.worker_restarts') === 1);
  // On a busy machine a new worker may start longer than a question waits for its answers.
  while ((await supervisor.query('listeners')).length < 2 && performance.now() - began < REPLACED_MS);
  const tookMs = performance.now() - began;
  t.ok(tookMs < REPLACED_MS, `both workers answer after ${tookMs.toFixed(0)} ms`);
  const left = clients.filter(alive);
  t.ok(left.length > 0 && left.length < clients.length, `${left.length} of 16 connections live on`);
  await settle(200);
  t.equal(clients.filter(alive).length, left.length, 'and stay');
  // New connections reach both workers, the new one too.
  for (let i = 0; i < 16; i++) {
    const client = await clientOf(t, port);
    client.send(GET);
    t.equal((await client.message()).body.toString(), 'ok');
    client.socket.destroy();
  }
  stop = true;
  const received = (await Promise.all(loads)).reduce((sum, n) => sum + n, 16);
  // An answer is counted after it was written.
  await eventually(
    'all are counted',
    () => (aggregator.value('http.test.downstream_rq_2xx') ?? 0) >= received,
  );
  const counted = aggregator.value('http.test.downstream_rq_2xx') ?? 0;
  t.ok(counted >= received && counted <= received + 16, `${counted} counted, ${received} received`);
  await eventually('gauges tell of the living', () => {
    return aggregator.value('http.test.downstream_cx_active') === left.length;
  });
  await eventually('no request', () => aggregator.value('cluster.backend.upstream_rq_active') === 0);
  t.match(log.join(), /worker 0 died and is replaced: Error: made to fail/);
});

t.test('what a dead worker held of a circuit breaker is released', async (t) => {
  const backend = await startWireBackend(async (peer) => void (await peer.ended(60_000)));
  t.teardown(backend.close);
  const { control, port } = await start(t, {
    backend: backend.port,
    cluster: 'circuit_breakers: {thresholds: [{max_requests: 8}]}',
  });
  const { aggregator, supervisor } = control;
  const hang = async (count: number): Promise<WirePeer[]> => {
    const clients: WirePeer[] = [];
    for (let i = 0; i < count; i++) {
      const client = await clientOf(t, port);
      client.send(GET);
      clients.push(client);
    }
    return clients;
  };
  const active = (): number | undefined => aggregator.value('cluster.backend.upstream_rq_active');
  const clients = await hang(8);
  await eventually('eight hang', () => active() === 8);
  const refused = await clientOf(t, port);
  refused.send(GET);
  t.match((await refused.message()).start, / 503 /, 'the breaker is open');
  supervisor.send(0, { type: 'fail', message: 'one' });
  await eventually('dead', () => aggregator.value('server.worker_restarts') === 1);
  if (clients.every(alive)) supervisor.send(1, { type: 'fail', message: 'the other' });
  await eventually('some died', () => !clients.every(alive));
  const dead = clients.filter((client) => !alive(client)).length;
  await eventually('gauge', () => active() === 8 - dead);
  // Not before the new worker listens: what the kernel has queued for the dead one is reset.
  const both = async (): Promise<boolean> => (await supervisor.query('listeners')).length === 2;
  await eventually('both answer', both, 15_000);
  await hang(dead);
  await eventually('room for as many', () => active() === 8);
  const again = await clientOf(t, port);
  again.send(GET);
  t.match((await again.message()).start, / 503 /, 'and no more');
});

t.test('three deaths within ten seconds end the process with 1', async (t) => {
  const { control, exits, log } = await start(t, { backend: 1 });
  const { aggregator, supervisor } = control;
  for (let death = 1; death <= 3; death++) {
    t.strictSame(exits, []);
    supervisor.send(death % 2, { type: 'fail', message: `death ${death}` });
    await eventually('dead', () => aggregator.value('server.worker_restarts') === death);
    if (death < 3) await supervisor.query('listeners');
  }
  await eventually('given up', () => exits.length > 0);
  t.strictSame(exits, [1]);
  t.match(log.join(), /3 workers died within 10 s; the last one: Error: death 3/);
});

t.test('a drain waits for workers that are slow to say what they hold, and replaces none', async (t) => {
  const backend = await startWireBackend(async (peer) => void (await peer.ended(60_000)));
  t.teardown(backend.close);
  const { control, port } = await start(t, { backend: backend.port });
  const { aggregator, supervisor } = control;
  const clients: WirePeer[] = [];
  for (let i = 0; i < 8; i++) {
    const client = await clientOf(t, port);
    client.send(GET);
    clients.push(client);
  }
  await eventually('all hang', () => aggregator.value('cluster.backend.upstream_rq_active') === 8);
  supervisor.drain();
  t.equal(supervisor.openConnections, Infinity, 'no report is not "none"');
  await eventually('reported', () => supervisor.openConnections === 8);
  supervisor.send(0, { type: 'fail', message: 'during the drain' });
  await eventually('dead', () => aggregator.value('server.worker_restarts') === 1);
  t.equal((await supervisor.query('listeners')).length, 1, 'no worker takes its place and listens again');
  t.equal(supervisor.openConnections, clients.filter(alive).length, 'what died with it is not waited for');
});
