import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { clientOf, eventually } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';
import type { WirePeer } from '../support/wire-peer.ts';

const WORKERS = 4;
const LIMIT = 100;
const CLIENTS = 400;
const LIMITS = `{max_requests: ${LIMIT}, max_connections: 5000, max_pending_requests: 5000}`;
const ROUTES =
  '[{match: {prefix: "/high"}, route: {cluster: backend, priority: HIGH}}, {match: {prefix: "/"}, route: {cluster: backend}}]';

/** A backend that answers nobody until it is told to. */
async function startHeldBackend() {
  const held: ServerResponse[] = [];
  let most = 0;
  const server = createServer((_request, response) => {
    held.push(response);
    most = Math.max(most, held.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    held,
    most: () => most,
    release(): void {
      for (const response of held.splice(0)) response.end('ok');
    },
    close(): void {
      server.close();
      server.closeAllConnections();
    },
  };
}

t.test('max_requests is a limit over all workers, for each priority its own', async (t) => {
  const backend = await startHeldBackend();
  t.teardown(backend.close);
  const inox = await InoxProcess.start(
    httpBootstrap({
      backend: backend.port,
      admin: true,
      routes: ROUTES,
      cluster: `circuit_breakers: {thresholds: [${LIMITS}, ${LIMITS.replace('{', '{priority: HIGH, ')}]}`,
    }),
    ['--concurrency', String(WORKERS)],
  );
  t.teardown(() => inox.stop());
  const clients: WirePeer[] = [];
  for (let i = 0; i < CLIENTS; i++) clients.push(await clientOf(t, inox.port));

  for (const path of ['/', '/high', '/']) {
    for (const client of clients) client.send(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    // Who is not refused is held: afterwards everybody's fate is known.
    await eventually('all decided', () => backend.held.length + refused(clients) === CLIENTS, 20_000);
    t.ok(backend.held.length >= LIMIT, `${path}: ${backend.held.length} were let through`);
    t.ok(backend.most() <= LIMIT + WORKERS - 1, `${path}: ${backend.most()} at once`);
    const open = await inox.stats('circuit_breakers.*rq_open');
    t.equal(open[`cluster.backend.circuit_breakers.${path === '/' ? 'default' : 'high'}.rq_open`], 1);
    backend.release();
    for (const client of clients) {
      const { start, headers } = await client.message();
      if (start.includes('200')) continue;
      t.match(start, /503/);
      t.equal(headers['x-envoy-overloaded'], 'true');
    }
  }
});

t.test('max_requests holds while requests come and go on all workers', async (t) => {
  let running = 0;
  let most = 0;
  let served = 0;
  const server = createServer((_request, response) => {
    running++;
    served++;
    most = Math.max(most, running);
    // A few of these at a time are what all workers fight for.
    setTimeout(() => {
      running--;
      response.end('ok');
    }, 5);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const inox = await InoxProcess.start(
    httpBootstrap({
      backend: (server.address() as AddressInfo).port,
      admin: true,
      cluster: `circuit_breakers: {thresholds: [${LIMITS.replace('{', '{track_remaining: true, ')}]}`,
    }),
    ['--concurrency', String(WORKERS)],
  );
  t.teardown(() => inox.stop());
  const clients: WirePeer[] = [];
  for (let i = 0; i < CLIENTS / 2; i++) clients.push(await clientOf(t, inox.port));
  await Promise.all(
    clients.map(async (client) => {
      for (let left = 15; left > 0; left--) {
        client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        t.match((await client.message({ timeoutMs: 20_000 })).start, /^HTTP\/1.1 (200|503)/);
      }
    }),
  );
  t.ok(most >= LIMIT / 2, `${most} at once: there was something to limit`);
  t.ok(most <= LIMIT + WORKERS - 1, `${most} at once`);
  const stats = async (): Promise<Record<string, number>> => inox.stats('cluster.backend.');
  const at = (all: Record<string, number>, name: string): number | undefined =>
    all[`cluster.backend.${name}`];
  await eventually('nothing is held', async () => {
    const all = await stats();
    const parts = [
      'circuit_breakers.default.rq_open',
      'circuit_breakers.default.remaining_rq',
      'upstream_rq_active',
    ];
    return parts.map((part) => at(all, part)).join() === `0,${LIMIT},0`;
  });
  const all = await stats();
  t.equal(at(all, 'upstream_rq_total'), served);
  t.equal((at(all, 'upstream_rq_200') ?? 0) + (at(all, 'upstream_rq_503') ?? 0), clients.length * 15);
});

/** Answers that came already: only refusals come before the backend answers. */
function refused(clients: readonly WirePeer[]): number {
  return clients.reduce((sum, client) => sum + (client.length > 0 ? 1 : 0), 0);
}
