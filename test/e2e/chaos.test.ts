import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createRandom, type Random } from '../../src/core/random.ts';
import { tcpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, httpSetting } from '../support/http-setting.ts';
import { type LivePlane, startPlane } from '../support/live-plane.ts';
import { dialWire, startWireBackend, type WirePeer } from '../support/wire-peer.ts';

/** `FUZZ_RUNS=100000 node test/e2e/chaos.test.ts` for a long one. */
const RUNS = Math.ceil(Number(process.env.FUZZ_RUNS ?? 4000) / 10);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const PARALLEL = 24;

/** Bytes that tell their own place, so that a shift or a stranger's chunk shows. */
function pattern(seed: number, length: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  const base = createHash('sha256').update(String(seed)).digest();
  for (let at = 0; at < length; at++) out[at] = (base[at & 31] ?? 0) ^ (at >> 5) ^ (at >> 13);
  return out;
}

const below = (random: Random, n: number): number => random.uint32() % n;

/** Mostly small, sometimes several read buffers. */
function bodySize(random: Random): number {
  return below(random, 4) === 0 ? below(random, 400_000) : below(random, 3000);
}

async function misbehave(peer: WirePeer, random: Random): Promise<void> {
  if (below(random, 3) === 0) await sleep(below(random, 4));
  if (below(random, 2) === 0) peer.reset();
  else peer.socket.destroy();
}

async function lag(peer: WirePeer, random: Random): Promise<void> {
  if (below(random, 6) !== 0) return;
  peer.socket.pause();
  await sleep(below(random, 10));
  peer.socket.resume();
}

/** The path says what to answer: `/<seed>/<size>/<what to do>`. */
function backendOf(random: Random): (peer: WirePeer) => Promise<void> {
  return async (peer) => {
    for (;;) {
      const head = await peer.until(
        'a head',
        () => (peer.received.includes('\r\n\r\n') ? peer.received : undefined),
        60_000,
      );
      const act = below(random, 12);
      const [, seed = '0', size = '0'] = head.toString('latin1').split(' ', 2)[1]?.split('/') ?? [];
      if (act === 0) return misbehave(peer, random);
      if (act === 1) peer.send('HTTP/1.1 413 Early\r\ncontent-length: 0\r\n\r\n');
      const request = await peer.message({ timeoutMs: 60_000 });
      await lag(peer, random);
      const body = pattern(Number(seed), Number(size));
      const sum = createHash('sha256').update(request.body).digest('hex');
      if (act === 1) continue;
      const close = act === 2 ? 'connection: close\r\n' : '';
      peer.send(`HTTP/1.1 200 OK\r\nx-sum: ${sum}\r\n${close}content-length: ${body.length}\r\n\r\n`);
      if (act === 3) {
        peer.send(body.subarray(0, body.length / 2));
        return misbehave(peer, random);
      }
      peer.send(body);
      if (act === 2) return peer.end();
    }
  };
}

/** One client connection with a few requests; returns what is wrong with a complete answer. */
async function converse(port: number, random: Random): Promise<string | undefined> {
  const client = await dialWire(port);
  try {
    for (let left = 1 + below(random, 4); left > 0; left--) {
      const seed = random.uint32();
      const size = bodySize(random);
      const body = below(random, 2) === 0 ? pattern(seed + 1, bodySize(random)) : Buffer.alloc(0);
      client.send(`POST /${seed}/${size} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n`);
      const act = below(random, 10);
      if (act === 0) {
        client.send(body.subarray(0, body.length / 2));
        await misbehave(client, random);
        return undefined;
      }
      client.send(body);
      if (act === 1) {
        await misbehave(client, random);
        return undefined;
      }
      await lag(client, random);
      const answer = await client.message({ timeoutMs: 15_000 });
      if (!answer.start.includes(' 200 ')) continue;
      if (answer.headers['x-sum'] !== createHash('sha256').update(body).digest('hex'))
        return 'another request body';
      if (!answer.body.equals(pattern(seed, size))) return 'another response body';
    }
  } catch (error) {
    // An answer that was cut short is part of the game; one that never comes is not.
    if (error instanceof Error && error.message.startsWith('timeout')) return error.message.slice(0, 200);
  } finally {
    client.socket.destroy();
  }
  return undefined;
}

async function runAll(random: Random, one: () => Promise<string | undefined>): Promise<string[]> {
  const problems: string[] = [];
  let left = RUNS;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      while (left-- > 0) {
        const problem = await one();
        if (problem !== undefined) problems.push(problem);
        if (below(random, 8) === 0) await sleep(below(random, 3));
      }
    }),
  );
  return problems;
}

/** Everything that traffic took was given back. */
async function leavesNothing(
  t: { equal: (a: unknown, b: unknown, m: string) => void; ok: (a: unknown, m: string) => void },
  proxy: LivePlane,
  gauges: readonly string[],
): Promise<void> {
  for (const gauge of gauges)
    await eventually(`${gauge}: ${proxy.stat(gauge)}`, () => proxy.stat(gauge) === 0, 5000);
  await eventually('no connection', () => proxy.plane.connections.size === 0);
  const breaker = proxy.plane.clusters.get('backend')?.breaker;
  t.equal(breaker?.requests.held, 0, 'no request held');
  t.equal(breaker?.pendingRequests.held, 0, 'no pending request held');
  t.equal(breaker?.connections.held, proxy.stat('cluster.backend.upstream_cx_active'), 'connections held');
  t.ok(proxy.plane.wheel.size <= 1, `${proxy.plane.wheel.size} timers; the pool may have one`);
}

t.test(`${RUNS} HTTP connections that fail in every way leave nothing behind`, async (t) => {
  const random = createRandom(SEED);
  const { proxy, client } = await httpSetting(
    t,
    {
      listener: 'per_connection_buffer_limit_bytes: 32768',
      cluster: 'per_connection_buffer_limit_bytes: 32768',
    },
    backendOf(random),
  );
  client.socket.destroy();
  t.strictSame(await runAll(random, () => converse(proxy.port, random)), []);
  t.ok((proxy.stat('cluster.backend.upstream_rq_200') ?? 0) > RUNS / 2, 'most were answered');
  await leavesNothing(t, proxy, [
    'http.test.downstream_rq_active',
    'http.test.downstream_cx_active',
    'cluster.backend.upstream_rq_active',
    'cluster.backend.upstream_rq_pending_active',
  ]);
});

t.test(`${RUNS} TCP sessions that end in every way leave nothing behind`, async (t) => {
  const random = createRandom(SEED + 1);
  const echo = await startWireBackend(async (peer) => {
    if (below(random, 10) === 0) return misbehave(peer, random);
    peer.socket.on('data', (chunk: Buffer) => {
      if (!peer.socket.write(chunk)) peer.socket.pause();
    });
    peer.socket.on('drain', () => peer.socket.resume());
    await peer.ended(60_000);
    peer.end();
  });
  t.teardown(echo.close);
  const proxy = await startPlane(tcpBootstrap(echo.port));
  t.teardown(proxy.close);
  const session = async (): Promise<string | undefined> => {
    const client = await dialWire(proxy.port);
    const data = pattern(random.uint32(), bodySize(random));
    try {
      client.send(data);
      if (below(random, 8) === 0) {
        await misbehave(client, random);
        return undefined;
      }
      if (below(random, 2) === 0) client.end();
      await lag(client, random);
      if (!(await client.bytes(data.length, 15_000)).equals(data)) return 'other bytes';
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('timeout') && client.ending === 'open')
        return error.message.slice(0, 100);
    } finally {
      client.socket.destroy();
    }
    return undefined;
  };
  t.strictSame(await runAll(random, session), []);
  await leavesNothing(t, proxy, ['cluster.backend.upstream_cx_active', 'cluster.backend.upstream_rq_active']);
});
