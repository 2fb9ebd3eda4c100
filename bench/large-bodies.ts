import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { claim, megabytes, startInox, withTemporary } from './own-proxy.ts';
import { envoyConfig } from './peers/envoy-config.ts';
import type { Running } from './process.ts';
import { PLAIN_HTTP } from './topology.ts';

// Bodies of `--bytes` with one slow side: the proxy has to slow the other side down, not to store what it sends.

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: String(2 ** 30) },
    'mb-per-second': { type: 'string', default: '60' },
    'base-port': { type: 'string', default: '27420' },
  },
});

const BYTES = Number(values.bytes);
const BYTES_PER_MS = (Number(values['mb-per-second']) * 2 ** 20) / 1000;
const ALLOWED_BYTES = 50 * 2 ** 20;
const CHUNK = Buffer.alloc(256 * 1024, 'x');
const PORT = Number(values['base-port']);

await withTemporary('large-bodies', async (dir) => {
  const backend = http.createServer(answer).listen(PORT, '127.0.0.1');
  const place = { dir, port: PORT + 1, adminPort: PORT + 2, backendPort: PORT };
  const bootstrap = JSON.parse(envoyConfig(PLAIN_HTTP, place));
  // A slow gigabyte takes longer than the default 15 s.
  const [filter] = bootstrap.static_resources.listeners[0].filter_chains[0].filters;
  filter.typed_config.route_config.virtual_hosts[0].routes[0].route.timeout = '0s';
  const proxy = await startInox(bootstrap, PORT + 1, dir);
  for (let i = 0; i < 200; i++) await download('/small', false);
  await sleep(1000);
  const idle = proxy.rssBytes();
  process.stdout.write(`idle: ${megabytes(idle)} MB\n`);
  await measured('response, slow reader (client)', proxy, idle, () => download('/fast', true));
  await measured('response, slow writer (backend)', proxy, idle, () => download('/slow', false));
  await measured('request, slow reader (backend)', proxy, idle, () => upload('/slow', false));
  await measured('request, slow writer (client)', proxy, idle, () => upload('/fast', true));
  await proxy.stop();
  backend.closeAllConnections();
  backend.close();
});

async function measured(
  name: string,
  proxy: Running,
  idle: number,
  transfer: () => Promise<number>,
): Promise<void> {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, proxy.rssBytes());
  }, 50);
  const startMs = performance.now();
  const bytes = await transfer();
  clearInterval(timer);
  const seconds = (performance.now() - startMs) / 1000;
  const grown = peak - idle;
  claim(
    `${name}: ${bytes} bytes in ${seconds.toFixed(1)} s, memory at most ${megabytes(grown)} MB above idle (50 allowed)`,
    bytes === BYTES && grown <= ALLOWED_BYTES,
  );
}

/** The backend: GET /fast and /slow send the body, POST counts it and answers with the count. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  if (request.method === 'POST') {
    void receive(request, request.url === '/slow').then((bytes) => response.end(String(bytes)));
    return;
  }
  if (request.url !== '/fast' && request.url !== '/slow') {
    response.end('small');
    return;
  }
  response.setHeader('content-length', BYTES);
  void send(response, request.url === '/slow');
}

function download(path: string, slow: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port: PORT + 1, host: '127.0.0.1', path }, (response) => {
      receive(response, slow).then(resolve, reject);
    });
    request.on('error', reject);
  });
}

function upload(path: string, slow: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': BYTES };
    const request = http.request({ port: PORT + 1, host: '127.0.0.1', path, method: 'POST', headers });
    request.on('error', reject);
    request.on('response', (response) => {
      response.setEncoding('latin1');
      response.on('data', (text: string) => resolve(Number(text)));
    });
    void send(request, slow);
  });
}

async function receive(from: http.IncomingMessage, slow: boolean): Promise<number> {
  let bytes = 0;
  const startMs = performance.now();
  for await (const chunk of from) {
    bytes += chunk.length;
    if (slow) await keepPace(startMs, bytes);
  }
  return bytes;
}

async function send(to: http.ServerResponse | http.ClientRequest, slow: boolean): Promise<void> {
  const startMs = performance.now();
  for (let sent = 0; sent < BYTES && !to.destroyed; ) {
    const chunk = CHUNK.subarray(0, Math.min(CHUNK.length, BYTES - sent));
    sent += chunk.length;
    if (!to.write(chunk)) await new Promise((resolve) => to.once('drain', resolve));
    if (slow) await keepPace(startMs, sent);
  }
  to.end();
}

async function keepPace(startMs: number, bytes: number): Promise<void> {
  const aheadMs = bytes / BYTES_PER_MS - (performance.now() - startMs);
  if (aheadMs > 2) await sleep(aheadMs);
}
