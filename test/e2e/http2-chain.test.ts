import { createHash, randomBytes } from 'node:crypto';
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import t, { type Test } from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually } from '../support/http-setting.ts';
import { type LivePlane, startPlane } from '../support/live-plane.ts';

// Client, two inox in a row and a server, all over h2c; the ends are node:http2, an implementation of its own.

interface Chain {
  readonly front: LivePlane;
  readonly back: LivePlane;
  readonly client: ClientHttp2Session;
}

/** Of the ends: by default they refuse streams when much waits to be sent. */
const MEMORY_MB = 200;

async function chain(t: Test, serve: (stream: ServerHttp2Stream, path: string) => void): Promise<Chain> {
  const server = createServer({ maxSessionMemory: MEMORY_MB, settings: { maxConcurrentStreams: 1000 } });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    serve(stream, String(headers[':path']));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const back = await startPlane(httpBootstrap({ backend: port, cluster: 'http2_protocol_options: {}' }));
  const front = await startPlane(
    httpBootstrap({ backend: back.port, cluster: 'http2_protocol_options: {}' }),
  );
  const client = connect(`http://127.0.0.1:${front.port}`, { maxSessionMemory: MEMORY_MB });
  client.on('error', () => {});
  t.teardown(async () => {
    client.destroy();
    server.close();
    await front.close();
    await back.close();
  });
  return { front, back, client };
}

interface Answer {
  readonly status: number;
  readonly bytes: number;
  readonly sum: string;
  readonly trailers: Record<string, unknown>;
}

function ask(client: ClientHttp2Session, path: string, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = client.request(
      { ':path': path, ':method': body === undefined ? 'GET' : 'POST' },
      { endStream: body === undefined },
    );
    const hash = createHash('sha256');
    let status = 0;
    let bytes = 0;
    let trailers: Record<string, unknown> = {};
    stream.on('response', (head) => {
      status = head[':status'] ?? 0;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    stream.on('end', () => resolve({ status, bytes, sum: hash.digest('hex'), trailers }));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

const sumOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

t.test('100 parallel streams share one connection at each hop', async (t) => {
  const { front, back, client } = await chain(t, (stream, path) => {
    stream.respond({ ':status': 200 });
    stream.end(path);
  });
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(client, `/p${i}`)));
  for (const [i, answer] of answers.entries()) {
    t.equal(answer.status, 200);
    t.equal(answer.sum, sumOf(Buffer.from(`/p${i}`)));
  }
  for (const plane of [front, back]) {
    t.equal(plane.stat('cluster.backend.upstream_cx_http2_total'), 1);
    t.equal(plane.stat('cluster.backend.upstream_rq_total'), 100);
    t.equal(plane.stat('cluster.backend.upstream_rq_active'), 0);
  }
});

t.test('large bodies both ways keep their checksums, and trailers come through', async (t) => {
  const { client } = await chain(t, (stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
    stream.pipe(stream);
  });
  const body = randomBytes(5_000_000);
  const answers = await Promise.all([1, 2, 3, 4].map((i) => ask(client, `/${i}`, body)));
  for (const answer of answers) {
    t.equal(answer.bytes, body.length);
    t.equal(answer.sum, sumOf(body));
    t.equal(answer.trailers['x-end'], 'yes');
  }
});

t.test('a client that does not read stops the server through both proxies', async (t) => {
  let written = 0;
  const piece = Buffer.alloc(64 * 1024);
  const { client } = await chain(t, (stream, path) => {
    stream.respond({ ':status': 200 });
    if (path === '/other') {
      stream.end('x');
      return;
    }
    const more = (): void => {
      while (!stream.destroyed && written < 400_000_000) {
        written += piece.length;
        if (!stream.write(piece)) return;
      }
    };
    stream.on('drain', more);
    more();
  });
  const stream = client.request({ ':path': '/endless' });
  stream.on('error', () => {});
  stream.pause();
  await new Promise((resolve) => stream.once('response', resolve));
  let seen = -1;
  await eventually('the server is stopped', async () => {
    const before = seen;
    seen = written;
    await new Promise((resolve) => setTimeout(resolve, 60));
    return written === before;
  });
  t.ok(written < 20_000_000, `${written} bytes were taken`);
  t.equal((await ask(client, '/other')).status, 200, 'other streams go on');
  stream.close();
});

t.test('a server that does not read stops the client through both proxies', async (t) => {
  const { client } = await chain(t, (stream, path) => {
    stream.respond({ ':status': 200 });
    if (path === '/other') stream.end('x');
    else stream.pause();
  });
  const stream = client.request({ ':path': '/stuck', ':method': 'POST' });
  stream.on('error', () => {});
  const piece = Buffer.alloc(64 * 1024);
  let taken = 0;
  const more = (): void => {
    if (stream.destroyed || taken > 400_000_000) return;
    stream.write(piece, () => {
      taken += piece.length;
      more();
    });
  };
  more();
  let seen = -1;
  await eventually('the client is stopped', async () => {
    const before = seen;
    seen = taken;
    await new Promise((resolve) => setTimeout(resolve, 60));
    return taken === before && taken > 0;
  });
  t.ok(taken < 20_000_000, `${taken} bytes were taken`);
  t.equal((await ask(client, '/other')).status, 200, 'other streams go on');
  stream.close();
});

t.test('a cancel by the client resets the one stream upstream', async (t) => {
  const open: ServerHttp2Stream[] = [];
  const codes: number[] = [];
  const { front, back, client } = await chain(t, (stream, path) => {
    if (path !== '/hangs') {
      stream.respond({ ':status': 200 });
      stream.end('ok');
      return;
    }
    open.push(stream);
    stream.on('close', () => codes.push(stream.rstCode ?? -1));
  });
  const doomed = client.request({ ':path': '/hangs' });
  doomed.on('error', () => {});
  const kept = client.request({ ':path': '/hangs' });
  kept.on('error', () => {});
  await eventually('both are at the server', () => open.length === 2);
  doomed.close(8);
  await eventually('one was reset', () => codes.length === 1);
  t.strictSame(codes, [8]);
  t.equal((await ask(client, '/next')).status, 200);
  for (const plane of [front, back]) {
    t.equal(plane.stat('cluster.backend.upstream_cx_destroy'), 0);
    t.equal(plane.stat('cluster.backend.upstream_rq_active'), 1);
    t.equal(plane.stat('cluster.backend.upstream_rq_tx_reset'), 1);
  }
});
