/**
 * Floods of HTTP/2 frames against the real program: each is cut off and takes no more than 20 MB, and of thousands
 * of requests that are reset at once the upstream sees no more than behind Envoy. Takes about 15 s.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { freePort } from '../support/ports.ts';
import { block, data, frame, headers, pseudo, request, rst, settings, word } from './envoy/h2-frames.ts';
import { H2Reader, type H2Seen } from './envoy/h2-reader.ts';
import { proxyKind, RunningProxy } from './envoy/proxy.ts';
import { hasEnvoy } from './envoy-beside.ts';

const PREFACE = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${settings()}`;
const ALLOWED_BYTES = 20 * 2 ** 20;
const POST = request(1, 'POST', '/', [], false);

const GOAWAY = /last \d+ ENHANCE_YOUR_CALM/;

/** What is sent, and how it has to end: by GOAWAY, or on the stream while the connection lives. */
interface Flood {
  readonly bytes: () => string;
  readonly goaway?: RegExp;
  readonly stream?: RegExp;
}

const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 * i + 1);

const floods: Readonly<Record<string, Flood>> = {
  'CONTINUATION x5000': {
    bytes: () =>
      frame('headers', 0, 1, block(pseudo('GET', '/'))) +
      frame('continuation', 0, 1, block([['x-a', 'b'.repeat(100)]])).repeat(5000),
    goaway: GOAWAY,
  },
  'hdr list 70KB': {
    bytes: () =>
      headers(
        1,
        [...pseudo('GET', '/'), ...ids(70).map((id) => [`x-${id}`, 'y'.repeat(1000)] as const)],
        true,
      ),
    stream: /:status: 431|RST/,
  },
  'HPACK bomb 3000 refs x4KB': {
    bytes: () => {
      // One field of 4,000 bytes enters the table and is then named by a byte each time.
      const big = `\x40\x01a\x7f\xa1\x1e${'x'.repeat(4000)}`;
      return frame('headers', 5, 1, `${block(pseudo('GET', '/'))}${big}${'\xbe'.repeat(3000)}`);
    },
    stream: /:status: 431|RST/,
  },
  'PING x20000': { bytes: () => frame('ping', 0, 0, '12345678').repeat(20_000), goaway: GOAWAY },
  'SETTINGS x20000': { bytes: () => settings().repeat(20_000), goaway: GOAWAY },
  'empty DATA x20000': { bytes: () => POST + data(1, '', false).repeat(20_000), goaway: GOAWAY },
  'PRIORITY x20000': { bytes: () => frame('priority', 0, 3, '\0\0\0\0\x01').repeat(20_000), goaway: GOAWAY },
  'WINDOW_UPDATE x20000': {
    bytes: () => frame('windowUpdate', 0, 0, word(1)).repeat(20_000),
    goaway: GOAWAY,
  },
  'rapid reset x5000': {
    bytes: () =>
      ids(5000)
        .map((id) => request(id, 'GET', '/') + rst(id, 8))
        .join(''),
    goaway: GOAWAY,
  },
  'made you reset x5000': {
    bytes: () =>
      ids(5000)
        .map((id) => request(id, 'GET', '/') + frame('windowUpdate', 0, id, word(0)))
        .join(''),
    goaway: GOAWAY,
  },
  'malformed requests x5000': {
    bytes: () =>
      ids(5000)
        .map((id) => request(id, 'GET', '/', [['X', 'y']]))
        .join(''),
    goaway: GOAWAY,
  },
};

t.test('every flood is cut off and keeps memory within 20 MB, other connections live', async (t) => {
  const backend = await startBackend();
  t.teardown(() => backend.close());
  const inox = await InoxProcess.start(httpBootstrap({ backend: backend.port, admin: true }), [
    '--concurrency',
    '1',
  ]);
  t.teardown(() => inox.stop());
  const bystander = new Client(inox.port);
  t.teardown(() => bystander.destroy());
  let id = 1;
  const ask = async (): Promise<void> => {
    bystander.send(request(id, 'GET', '/'));
    await bystander.until(() => bystander.reader.ended.has(id));
    id += 2;
  };
  for (let i = 0; i < 100; i++) await ask();
  for (const [name, flood] of Object.entries(floods)) {
    const before = inox.rss;
    let most = before;
    for (let round = 0; round < 3; round++) {
      const { seen, peak } = await play(inox, flood);
      most = Math.max(most, peak);
      const lines = [...(seen.streams.get(1) ?? [])].join(' | ');
      if (flood.goaway !== undefined) t.match(seen.goaways.join(), flood.goaway, name);
      if (flood.stream !== undefined) t.match(lines, flood.stream, name);
    }
    const grown = (most - before) / 2 ** 20;
    t.ok(most - before < ALLOWED_BYTES, `${name}: ${grown.toFixed(1)} MB`);
    await ask();
  }
  t.equal((await inox.stats('worker_restarts'))['server.worker_restarts'] ?? 0, 0);
});

t.test('500 streams at once: what is over the limit is refused', async (t) => {
  const backend = await startBackend(200);
  t.teardown(() => backend.close());
  const yaml = httpBootstrap({
    backend: backend.port,
    admin: true,
    hcm: 'http2_protocol_options: {max_concurrent_streams: 100}',
  });
  const inox = await InoxProcess.start(yaml, ['--concurrency', '1']);
  t.teardown(() => inox.stop());
  const client = new Client(inox.port);
  t.teardown(() => client.destroy());
  client.send(
    ids(500)
      .map((id) => request(id, 'GET', '/'))
      .join(''),
  );
  await client.until(() => client.reader.ended.size === 500);
  const all = [...client.reader.seen.streams.values()].map((lines) => lines.join());
  t.equal(all.filter((line) => line === 'RST REFUSED_STREAM').length, 400);
  t.equal(all.filter((line) => line.includes(':status: 200')).length, 100);
});

/**
 * Requests that reached the backend, of 5,000 over ten connections that were reset `pauseMs` after they were sent, 25
 * at a time; 0: in the same write.
 */
async function reachedBackend(port: number, backend: Backend, pauseMs: number): Promise<number> {
  const before = backend.requests;
  const clients = Array.from({ length: 10 }, () => new Client(port));
  await Promise.all(clients.map((client) => client.until(() => client.reader.seen.settings.length > 0)));
  for (let first = 0; first < 500; first += 25) {
    const some = ids(500).slice(first, first + 25);
    const requests = some.map((id) => request(id, 'GET', '/')).join('');
    const resets = some.map((id) => rst(id, 8)).join('');
    if (pauseMs === 0) for (const client of clients) client.send(requests + resets);
    else {
      for (const client of clients) client.send(requests);
      await sleep(pauseMs);
      for (const client of clients) client.send(resets);
    }
  }
  await sleep(500);
  for (const client of clients) client.destroy();
  return backend.requests - before;
}

const skip = hasEnvoy() ? false : 'no Envoy binary: node scripts/install-envoy.ts';

t.test('of rapidly reset requests the upstream sees no more than behind Envoy', { skip }, async (t) => {
  const backend = await startBackend(1000);
  t.teardown(() => backend.close());
  const inox = await InoxProcess.start(httpBootstrap({ backend: backend.port, admin: true }), [
    '--concurrency',
    '1',
  ]);
  t.teardown(() => inox.stop());
  const envoy = await startEnvoy(t, backend.port);
  for (const pauseMs of [0, 150]) {
    let ours = 0;
    let theirs = 0;
    // A proxy that gets no turn for that long sees requests and their resets at once, and lets fewer through.
    for (let run = 0; run === 0 || (run < 3 && ours > theirs * 1.1); run++) {
      ours = await reachedBackend(inox.port, backend, pauseMs);
      theirs = await reachedBackend(envoy, backend, pauseMs);
    }
    t.comment(`reset after ${pauseMs} ms: inox let ${ours} through, Envoy ${theirs}`);
    t.ok(ours <= theirs * 1.1, `${ours} against ${theirs}`);
  }
});

async function play(inox: InoxProcess, flood: Flood): Promise<{ seen: H2Seen; peak: number }> {
  const client = new Client(inox.port);
  await client.until(() => client.reader.seen.settings.length > 0);
  let peak = inox.rss;
  const watch = setInterval(() => {
    peak = Math.max(peak, inox.rss);
  }, 5);
  client.send(flood.bytes());
  await client.until(() =>
    flood.goaway === undefined ? client.reader.ended.has(1) : client.reader.seen.goaways.length > 0,
  );
  client.destroy();
  clearInterval(watch);
  return { seen: client.reader.seen, peak: Math.max(peak, inox.rss) };
}

/** An HTTP/2 client that acknowledges SETTINGS and PINGs and otherwise sends what it is told. */
class Client {
  readonly reader: H2Reader;
  readonly #socket: Socket;
  #wake = (): void => {};

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.reader = new H2Reader({
      acknowledge: (bytes) => {
        if (this.#socket.writable) this.#socket.write(bytes);
      },
    });
    this.#socket.on('data', (chunk: Buffer) => {
      this.reader.push(chunk);
      this.#wake();
    });
    this.#socket.on('error', () => {
      // A flood is answered by closing, which may be a reset.
    });
    this.#socket.on('close', () => this.#wake());
    this.send(PREFACE);
  }

  send(text: string): void {
    if (this.#socket.writable) this.#socket.write(text, 'latin1');
  }

  async until(holds: () => boolean): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!holds() && !this.#socket.destroyed) {
      if (performance.now() > deadline) throw new Error('what was waited for did not come');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

interface Backend {
  readonly port: number;
  /** Request heads that arrived. */
  readonly requests: number;
  close(): void;
}

async function startBackend(delayMs = 0): Promise<Backend> {
  let requests = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let tail = '';
    socket.on('data', (chunk: Buffer) => {
      const text = tail + chunk.toString('latin1');
      tail = text.slice(-3);
      const heads = text.split('\r\n\r\n').length - 1;
      requests += heads;
      setTimeout(() => {
        if (socket.writable) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'.repeat(heads));
      }, delayMs);
    });
    socket.on('error', () => {
      // The proxy gives up connections whose request was reset.
    });
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1024, resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get requests() {
      return requests;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Envoy in front of the backend; the port of its listener. */
async function startEnvoy(t: Test, backend: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-floods-'));
  const [listener, admin] = [await freePort(), await freePort()];
  const file = join(folder, 'envoy.yaml');
  const top = `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}`;
  writeFileSync(file, httpBootstrap({ backend, port: listener, top }).replaceAll('LOG', '/dev/null'));
  const proxy = await RunningProxy.start(
    proxyKind('envoy', () => false),
    file,
    admin,
  );
  t.teardown(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  return listener;
}
