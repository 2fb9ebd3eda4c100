import { Agent, createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { dialWire } from '../support/wire-peer.ts';

interface Started {
  readonly inox: InoxProcess;
  readonly output: () => string;
}

async function start(
  t: Test,
  backend: number,
  args: readonly string[],
  parts: Partial<Parameters<typeof httpBootstrap>[0]> = {},
): Promise<Started> {
  const yaml = httpBootstrap({ backend, admin: true, ...parts });
  const inox = await InoxProcess.start(yaml, ['--concurrency', '2', '-l', 'info', ...args]);
  let output = '';
  for (const stream of [inox.child.stdout, inox.child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  t.teardown(() => inox.stop());
  return { inox, output: () => output };
}

/** A backend that answers after `delayMs`. */
async function slowBackend(t: Test, delayMs: number): Promise<number> {
  const server = createServer((_, response) => void setTimeout(() => response.end('ok'), delayMs).unref());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function get(port: number, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume();
      response.once('end', () => resolve(response));
      response.once('error', reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

async function readiness(inox: InoxProcess): Promise<string> {
  const answer = await fetch(`http://${inox.admin}/ready`);
  return `${answer.status} ${(await answer.text()).trim()}`;
}

t.test('SIGTERM under load fails no request of a client that honours connection: close', async (t) => {
  const backend = await slowBackend(t, 2000);
  const { inox, output } = await start(t, backend, ['--lame-duck-time-s', '1']);
  const results: (number | string)[] = [];
  let told = 0;
  // Each client keeps one connection busy until an answer asks it to leave, as one behind a balancer would.
  const client = async (delayMs: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await sleep(delayMs);
    for (;;) {
      try {
        const answer = await get(inox.port, agent);
        results.push(answer.statusCode ?? 0);
        if (answer.headers.connection !== 'close') continue;
        told++;
      } catch (error) {
        results.push(String(error));
      }
      agent.destroy();
      return;
    }
  };
  const clients = Array.from({ length: 24 }, (_, i) => client(i * 80));
  await sleep(2300);
  inox.child.kill('SIGTERM');
  await eventually('not ready', async () => (await readiness(inox)) === '503 DRAINING');
  // The lame-duck time: still served, without a word about leaving.
  const late = client(0);
  await Promise.all([...clients, late]);
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
  t.same(
    results.filter((one) => one !== 200),
    [],
  );
  t.equal(told, 25, 'every client was told');
  t.match(output(), /draining: not ready any more, takes connections for another 1\.0 s/);
  const [, finished, closed, cut] =
    /drained in [\d.]+ s, of which 1\.0 s lame duck: (\d+) requests finished, (\d+) connections closed gently, (\d+) cut/.exec(
      output(),
    ) ?? [];
  t.ok(Number(finished) >= 25, `${finished} finished`);
  t.ok(Number(closed) >= 25, `${closed} closed`);
  t.equal(cut, '0');
  t.match(output(), /listener {2}requests {2}accepted {2}closed {2}cut\n.*http +\d+ +1 +\d+ +0\n/);
});

t.test('HTTP/2 clients are told by GOAWAY, and what they have sent is answered', async (t) => {
  const backend = await slowBackend(t, 3000);
  const { inox, output } = await start(t, backend, ['--lame-duck-time-s', '0']);
  const session = connectHttp2(`http://127.0.0.1:${inox.port}`);
  t.teardown(() => session.destroy());
  const statuses: Promise<number>[] = [];
  const send = (): void => {
    const stream = session.request({ ':path': '/' });
    statuses.push(
      new Promise((resolve, reject) => {
        stream.once('response', (headers) => resolve(Number(headers[':status'])));
        stream.once('error', reject);
        stream.resume();
      }),
    );
  };
  const lastIds: number[] = [];
  session.on('goaway', (_code, lastId) => lastIds.push(lastId));
  for (let i = 0; i < 10; i++) send();
  await eventually(
    'the requests',
    async () => (await inox.stats('downstream_rq_active'))['http.test.downstream_rq_active'] === 10,
  );
  inox.child.kill('SIGTERM');
  await eventually('both phases', () => lastIds.length >= 2);
  t.equal(lastIds[0], 2 ** 31 - 1, 'first: what is on its way is still taken');
  t.same(
    await Promise.all(statuses),
    Array.from({ length: 10 }, () => 200),
  );
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
  t.match(output(), /10 requests finished, 1 connections closed gently, 0 cut/);
});

t.test('what does not end by the deadline is cut and counted', async (t) => {
  const backend = await slowBackend(t, 60_000);
  const { inox, output } = await start(t, backend, ['--lame-duck-time-s', '0', '--drain-time-s', '1']);
  const peer = await dialWire(inox.port);
  t.teardown(() => peer.socket.destroy());
  peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually(
    'the request',
    async () => (await inox.stats('downstream_rq_active'))['http.test.downstream_rq_active'] === 1,
  );
  inox.child.kill('SIGTERM');
  await peer.ended();
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
  t.match(output(), /0 connections closed gently, 1 cut at the deadline/);
});

t.test('an idle connection is answered once more during a drain, and asked to close', async (t) => {
  const backend = await slowBackend(t, 0);
  const { inox } = await start(t, backend, ['--lame-duck-time-s', '0']);
  const peer = await dialWire(inox.port);
  t.teardown(() => peer.socket.destroy());
  peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  t.equal((await peer.message()).headers.connection, undefined);
  inox.child.kill('SIGTERM');
  await eventually('no new connections', () => refused(inox.port));
  peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  const answer = await peer.message();
  t.match(answer.start, / 200 /);
  t.equal(answer.headers.connection, 'close');
  t.equal(await peer.ended(), 'end');
  peer.end();
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
});

t.test('a second SIGTERM ends at once, in the lame-duck time too', async (t) => {
  const { inox, output } = await start(t, 1, ['--lame-duck-time-s', '60', '--drain-time-s', '60']);
  inox.child.kill('SIGTERM');
  await eventually('draining', async () => (await readiness(inox)) === '503 DRAINING');
  inox.child.kill('SIGTERM');
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
  t.match(output(), /SIGTERM: exits at once/);
  t.notMatch(output(), /drained in/);
});

t.test(
  '/healthcheck/fail closes connections with their answers, and /healthcheck/ok ends that',
  async (t) => {
    const backend = await slowBackend(t, 0);
    const { inox } = await start(t, backend, []);
    const ask = async (): Promise<string | undefined> => {
      const peer = await dialWire(inox.port);
      t.teardown(() => peer.socket.destroy());
      peer.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      return (await peer.message()).headers.connection;
    };
    const post = (path: string): Promise<Response> =>
      fetch(`http://${inox.admin}${path}`, { method: 'POST' });
    t.equal(await ask(), undefined);
    await post('/healthcheck/fail');
    t.equal(await readiness(inox), '503 DRAINING');
    t.equal((await inox.stats('server'))['server.state'], 1);
    t.equal(await ask(), 'close');
    t.equal((await inox.stats('drain_close'))['http.test.downstream_cx_drain_close'], 1);
    await post('/healthcheck/ok');
    t.equal(await readiness(inox), '200 LIVE');
    t.equal(await ask(), undefined);
  },
);

t.test('/drain_listeners closes listeners at once, or asks clients to leave first', async (t) => {
  const backend = await slowBackend(t, 0);
  const parts = { listener: 'traffic_direction: INBOUND' };
  const { inox } = await start(t, backend, ['--drain-time-s', '1', '--drain-strategy', 'immediate'], parts);
  const post = (path: string): Promise<Response> => fetch(`http://${inox.admin}${path}`, { method: 'POST' });
  const kept = await dialWire(inox.port);
  t.teardown(() => kept.socket.destroy());
  const ask = async (): Promise<string | undefined> => {
    kept.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    return (await kept.message()).headers.connection;
  };
  t.equal(await ask(), undefined);
  await post('/drain_listeners?graceful&skip_exit&inboundonly');
  t.equal(await ask(), 'close');
  t.equal(await refused(inox.port), false, 'skip_exit: still open');
  t.equal(await readiness(inox), '200 LIVE');
  await post('/drain_listeners?inboundonly');
  await eventually('closed', () => refused(inox.port));
  t.equal(inox.exit, null);
});

t.test('a graceful /drain_listeners closes listeners when the drain time is over', async (t) => {
  const { inox } = await start(t, await slowBackend(t, 0), ['--drain-time-s', '1']);
  await fetch(`http://${inox.admin}/drain_listeners?graceful`, { method: 'POST' });
  t.equal(await refused(inox.port), false, 'open at first');
  await eventually('closed', () => refused(inox.port));
  t.equal(await readiness(inox), '200 LIVE');
  t.equal(inox.exit, null);
});

/** A connection attempt fails. */
function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}
