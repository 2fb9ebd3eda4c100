/**
 * HTTP/2 clients of others through the program: nghttp, curl, h2load and Chromium, in clear text and over TLS with ALPN.
 * What is not installed is skipped: apt install nghttp2-client curl chromium.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { type Browser, chromium } from 'playwright-core';
import t from 'tap';
import { findCommand } from '../../bench/process.ts';
import { issue, makeCa } from '../../scripts/certificates.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { InoxProcess } from '../support/inox-process.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const PAGE = '<!doctype html><title>inox</title><p id="said">hello</p>';
const LARGE = Buffer.alloc(1 << 20, 'x');

/** A page, a large file, what it was sent (/echo), and a WebSocket that echoes short texts. */
async function startBackend(): Promise<{ readonly port: number; readonly stop: () => void }> {
  const server = createServer((request, response) => {
    if (request.url === '/echo') request.pipe(response);
    else if (request.url === '/large') response.end(LARGE);
    else response.setHeader('content-type', 'text/html').end(PAGE);
  });
  server.on('upgrade', (request, socket: Socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    // One masked frame of less than 126 bytes at a time.
    socket.on('data', (frame: Buffer) => {
      const length = (frame[1] ?? 0) & 0x7f;
      const mask = frame.subarray(2, 6);
      const text = frame.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i & 3] ?? 0));
      socket.write(Buffer.concat([Buffer.from([frame[0] ?? 0, length]), text]));
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const backend = await startBackend();
t.teardown(() => backend.stop());

async function startInox(tls: boolean, hcm = ''): Promise<InoxProcess> {
  const { chain, key } = issue(makeCa(), { dns: ['localhost'], ip: ['127.0.0.1'] });
  const text = (pem: string): string => `{inline_string: ${JSON.stringify(pem)}}`;
  const transport =
    `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.DownstreamTlsContext, common_tls_context: ` +
    `{alpn_protocols: [h2, http/1.1], tls_certificates: [{certificate_chain: ${text(chain)}, private_key: ${text(key)}}]}}}`;
  const yaml = httpBootstrap({ backend: backend.port, admin: true, hcm });
  return InoxProcess.start(
    tls ? yaml.replace('    - filters:\n', `    - ${transport}\n      filters:\n`) : yaml,
    ['--concurrency', '1'],
  );
}

/** Null as long as the program refuses upgrades. */
async function startWithUpgrades(more: string): Promise<InoxProcess | null> {
  try {
    return await startInox(true, `upgrade_configs: [{upgrade_type: websocket}]\n          ${more}`);
  } catch (error) {
    if (/upgrade_configs.*: not supported|allow_connect.*: not supported/.test(String(error))) return null;
    throw error;
  }
}

const clear = await startInox(false);
t.teardown(() => clear.stop());
const secure = await startInox(true);
t.teardown(() => secure.stop());
const WAYS = [
  ['in clear text', `http://127.0.0.1:${clear.port}`, ['--http2-prior-knowledge']],
  ['over TLS', `https://127.0.0.1:${secure.port}`, ['--http2', '-k']],
] as const;

const missing = (command: string, packageName: string): string | false =>
  findCommand(command) === undefined ? `apt install ${packageName}` : false;

async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(command, args, {
    timeout: 30_000,
    maxBuffer: 16 << 20,
  });
  return stdout + stderr;
}

t.test('curl', { skip: missing('curl', 'curl') }, async (t) => {
  for (const [name, url, flags] of WAYS) {
    const page = await run('curl', '-s', ...flags, '-w', '\n%{http_version} %{http_code}', `${url}/`);
    t.equal(page, `${PAGE}\n2 200`, `a page ${name}`);
    const body = 'y'.repeat(100_000);
    const echo = await run('curl', '-s', ...flags, '--data', body, `${url}/echo`);
    t.equal(echo, body, `a body there and back ${name}`);
    // curl 7.88 fails at several transfers by prior knowledge, whatever the server.
    if (!url.startsWith('https')) continue;
    const sizes = await run(
      'curl',
      ...['-s', ...flags, '-Z', '--parallel-max', '8', '-w', '%{http_version} %{size_download}\n'],
      ...Array.from({ length: 8 }, () => ['-o', '/dev/null', `${url}/large`]).flat(),
    );
    t.match(sizes, `2 ${LARGE.length}\n`.repeat(8), 'eight large answers at once');
  }
});

t.test('nghttp', { skip: missing('nghttp', 'nghttp2-client') }, async (t) => {
  for (const [name, url] of WAYS) {
    const said = await run('nghttp', '-nv', `${url}/`, `${url}/large`);
    t.equal(said.match(/:status: 200/g)?.length, 2, `both answered ${name}`);
    t.notMatch(said, /RST_STREAM|GOAWAY frame <.*recv|PROTOCOL_ERROR/, 'and nothing is wrong');
    const echo = await run('nghttp', '--data', import.meta.filename, `${url}/echo`);
    t.match(echo, 'HTTP/2 clients of others', `a file there and back ${name}`);
  }
});

t.test('h2load', { skip: missing('h2load', 'nghttp2-client') }, async (t) => {
  for (const [name, url] of WAYS) {
    const said = await run('h2load', '-n2000', '-c4', '-m16', `${url}/`);
    t.match(said, '2000 succeeded, 0 failed, 0 errored, 0 timeout', name);
    t.match(said, url.startsWith('https') ? 'Application protocol: h2\n' : 'Application protocol: h2c\n');
  }
});

t.test('Chromium', { skip: missing('chromium', 'chromium') }, async (t) => {
  const browser: Browser = await chromium.launch({
    executablePath: findCommand('chromium') ?? '',
    args: ['--no-sandbox', '--ignore-certificate-errors'],
  });
  t.teardown(() => browser.close());

  t.test('fetches a page over HTTP/2, and more at once', async (t) => {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    const answer = await page.goto(`https://127.0.0.1:${secure.port}/`);
    t.equal(answer?.status(), 200);
    t.equal(await page.title(), 'inox');
    t.equal(await page.evaluate('performance.getEntriesByType("navigation")[0].nextHopProtocol'), 'h2');
    const lengths = await page.evaluate(
      'Promise.all(Array.from({ length: 20 }, () => fetch("/large").then((answer) => answer.text())))' +
        '.then((texts) => texts.map((text) => text.length))',
    );
    t.same(lengths, new Array(20).fill(LARGE.length));
    const stats = await secure.stats('downstream_(cx_http2_total|rq_http2_total)');
    t.ok((stats['http.test.downstream_rq_http2_total'] ?? 0) >= 21);
    await page.close();
  });

  t.test('speaks to a WebSocket that echoes', async (t) => {
    for (const [name, connect] of [
      ['by an upgrade of HTTP/1.1', ''],
      ['by extended CONNECT of HTTP/2', 'http2_protocol_options: {allow_connect: true}'],
    ] as const) {
      const proxy = await startWithUpgrades(connect);
      if (proxy === null) {
        t.pass(name, { skip: 'this build takes no upgrade_configs' });
        continue;
      }
      const page = await browser.newPage({ ignoreHTTPSErrors: true });
      await page.goto(`https://127.0.0.1:${proxy.port}/`);
      const said = await page.evaluate(`new Promise((resolve) => {
        const socket = new WebSocket("wss://127.0.0.1:${proxy.port}/socket");
        const texts = [];
        socket.onopen = () => socket.send("one");
        socket.onmessage = ({ data }) => {
          texts.push(data);
          if (texts.length === 3) { socket.close(); resolve(texts); }
          else socket.send(data + "!");
        };
        socket.onerror = () => resolve("the socket failed");
      })`);
      t.same(said, ['one', 'one!', 'one!!'], name);
      const stats = await proxy.stats('downstream_cx_http1_total');
      t.equal(stats['http.test.downstream_cx_http1_total'], connect === '' ? 1 : 0, 'as it was to be');
      await page.close();
      await proxy.stop();
    }
  });
});
