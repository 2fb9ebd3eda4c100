import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { clientOf, eventually, httpSetting } from '../support/http-setting.ts';
import { httpAnswers, type WirePeer } from '../support/wire-peer.ts';

const hash = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

/** Different random bytes for each connection: a chunk that came to the wrong one cannot go unnoticed. */
const BODIES = Array.from({ length: 6 }, (_, i) => randomBytes(2_000_000 + i * 77_777));
const HASHES = BODIES.map(hash);

/** So that backpressure begins early. */
const SMALL_BUFFERS = {
  listener: 'per_connection_buffer_limit_bytes: 65536',
  cluster: 'per_connection_buffer_limit_bytes: 65536',
};

function answerBodies(): (peer: WirePeer) => Promise<void> {
  return httpAnswers((request) => {
    const body = BODIES[bodyOf(request.start)] ?? Buffer.alloc(0);
    return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`), body]);
  });
}

function bodyOf(start: string): number {
  return Number(/\/(\d)/.exec(start)?.[1] ?? 0);
}

/** Sends in pieces, slowly, with sizes that meet every alignment. */
async function sendSlowly(peer: WirePeer, data: Buffer, piece: number): Promise<void> {
  for (let at = 0; at < data.length; at += piece) {
    peer.send(data.subarray(at, at + piece));
    if (at % (piece * 8) === 0) await sleep(1);
  }
}

/** Reads no more than a little at a time. */
function readSlowly(peer: WirePeer): () => void {
  const timer = setInterval(() => {
    peer.socket.pause();
    setTimeout(() => peer.socket.resume(), 3);
  }, 5);
  return () => {
    clearInterval(timer);
    peer.socket.resume();
  };
}

t.test('large answers arrive whole on several connections at once', async (t) => {
  const { proxy } = await httpSetting(t, SMALL_BUFFERS, answerBodies());
  const got = await Promise.all(
    BODIES.map(async (_, i) => {
      const client = await clientOf(t, proxy.port);
      const stop = i % 2 === 0 ? readSlowly(client) : () => {};
      const hashes: string[] = [];
      for (let round = 0; round < 2; round++) {
        client.send(`GET /${i} HTTP/1.1\r\nhost: a\r\n\r\n`);
        hashes.push(hash((await client.message({ timeoutMs: 20_000 })).body));
      }
      stop();
      return hashes;
    }),
  );
  t.same(
    got,
    HASHES.map((h) => [h, h]),
  );
});

t.test('a client that does not read stops the backend, and gets everything later', async (t) => {
  const huge = randomBytes(32_000_000);
  let unsent = 0;
  const { proxy, client } = await httpSetting(
    t,
    SMALL_BUFFERS,
    httpAnswers((_request, peer) => {
      peer.send(
        Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${huge.length}\r\n\r\n`), huge]),
      );
      setTimeout(() => {
        unsent = peer.socket.writableLength;
      }, 500);
      return '';
    }),
  );
  const paused = 'cluster.backend.upstream_flow_control_paused_reading_total';
  const resumed = 'cluster.backend.upstream_flow_control_resumed_reading_total';
  client.socket.pause();
  client.send('GET /huge HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually('the backend is paused', () => (proxy.stat(paused) ?? 0) > 0);
  const before = process.memoryUsage().arrayBuffers;
  await eventually('the backend cannot send', () => unsent > 0);
  t.ok(process.memoryUsage().arrayBuffers - before < 3_000_000, 'nothing piles up');
  client.socket.resume();
  t.equal(hash((await client.message({ timeoutMs: 20_000 })).body), hash(huge));
  t.equal(proxy.stat(paused), proxy.stat(resumed));
});

t.test('large requests arrive whole, with a length and in chunks, at fast and slow backends', async (t) => {
  const { proxy, backend } = await httpSetting(
    t,
    {
      listener: 'per_connection_buffer_limit_bytes: 65536',
      cluster: 'per_connection_buffer_limit_bytes: 65536',
    },
    httpAnswers((request) => {
      const sum = hash(request.body);
      return `HTTP/1.1 200 OK\r\ncontent-length: ${sum.length}\r\n\r\n${sum}`;
    }),
  );
  const sums = await Promise.all(
    BODIES.map(async (body, i) => {
      const client = await clientOf(t, proxy.port);
      if (i % 2 === 0) {
        client.send(`POST /${i} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n`);
        await sendSlowly(client, body, 40_000 + i * 1111);
      } else {
        client.send(`POST /${i} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n`);
        for (let at = 0; at < body.length; ) {
          const size = Math.min(body.length - at, 1 + ((at * 7919) % 150_000));
          client.send(
            Buffer.concat([
              Buffer.from(`${size.toString(16)}\r\n`),
              body.subarray(at, at + size),
              Buffer.from('\r\n'),
            ]),
          );
          at += size;
        }
        client.send('0\r\n\r\n');
      }
      const peer = backend.connections[i];
      if (peer !== undefined) t.teardown(readSlowly(peer));
      return (await client.message({ timeoutMs: 20_000 })).body.toString();
    }),
  );
  t.same(sums, HASHES);
  t.equal(
    proxy.stat('cluster.backend.upstream_flow_control_backed_up_total'),
    proxy.stat('cluster.backend.upstream_flow_control_drained_total'),
  );
});

t.test('a body echoed while it is sent', async (t) => {
  const { proxy } = await httpSetting(t, {}, async (peer) => {
    await peer.until('the head', () => (peer.received.includes('\r\n\r\n') ? true : undefined));
    const head = peer.received.indexOf('\r\n\r\n') + 4;
    const length = /content-length: (\d+)/.exec(peer.received.subarray(0, head).toString())?.[1];
    await peer.bytes(head);
    peer.send(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`);
    peer.send(peer.received);
    peer.socket.on('data', (chunk: Buffer) => {
      if (!peer.socket.write(chunk)) peer.socket.pause();
    });
    peer.socket.on('drain', () => peer.socket.resume());
    await peer.ended(60_000);
  });
  const sums = await Promise.all(
    BODIES.slice(0, 3).map(async (body) => {
      const client = await clientOf(t, proxy.port);
      client.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n`);
      client.send(body);
      return hash((await client.message({ timeoutMs: 20_000 })).body);
    }),
  );
  t.same(sums, HASHES.slice(0, 3));
});

t.test('clients and backends that vanish in the middle of large bodies harm nobody else', async (t) => {
  const { proxy } = await httpSetting(t, {}, async (peer) => {
    for (;;) {
      const request = await peer.message({ timeoutMs: 60_000 });
      const body = BODIES[bodyOf(request.start)] ?? Buffer.alloc(0);
      peer.send(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
      if (request.start.includes('die')) {
        peer.send(body.subarray(0, 700_000));
        await sleep(5);
        peer.reset();
        return;
      }
      peer.send(body);
    }
  });
  const good = BODIES.map(async (_, i) => {
    const client = await clientOf(t, proxy.port);
    client.send(`GET /${i} HTTP/1.1\r\nhost: a\r\n\r\n`);
    return hash((await client.message({ timeoutMs: 20_000 })).body);
  });
  const bad = Array.from({ length: 12 }, async (_, i) => {
    const client = await clientOf(t, proxy.port);
    client.send(`GET /${i % 6}${i % 2 === 0 ? '' : 'die'} HTTP/1.1\r\nhost: a\r\n\r\n`);
    if (i % 2 === 0) {
      await client.until('some bytes', () => (client.length > 200_000 ? true : undefined));
      client.reset();
    } else t.not(await client.ended(), 'open');
  });
  t.same(await Promise.all(good), HASHES);
  await Promise.all(bad);
  await eventually('no request left', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  await eventually('no exchange left', () => proxy.stat('http.test.downstream_rq_active') === 0);
});
