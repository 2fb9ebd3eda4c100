import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type HttpBootstrap, httpBootstrap } from '../support/http-bootstrap.ts';
import { freePorts } from '../support/ports.ts';

const INOX = join(import.meta.dirname, '../../bin/inox');
const LOOPS = 8;

interface Teardown {
  teardown(stop: () => unknown): unknown;
}

interface Pod {
  readonly proxy: (...args: string[]) => ChildProcess;
  readonly app: (script: string, ...flags: string[]) => ChildProcess;
  /** Where the proxy listens for the application. */
  readonly port: number;
  /** Of readiness. */
  readonly ready: string;
}

async function pod(t: Teardown, parts: Partial<HttpBootstrap> = {}): Promise<Pod> {
  const [port = 0, appPort = 0, adminPort = 0, readyPort = 0] = await freePorts(4);
  const folder = mkdtempSync(join(tmpdir(), 'inox-exec-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'bootstrap.yaml');
  const top = `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${adminPort}}}}`;
  const yaml = httpBootstrap({ port, backend: appPort, top, ...parts });
  writeFileSync(config, yaml.replaceAll('LOG', join(folder, 'access.log')));
  const start = (args: readonly string[]): ChildProcess => {
    const child = spawn(INOX, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  };
  const ready = `127.0.0.1:${readyPort}`;
  return {
    port,
    ready,
    proxy: (...args) =>
      start(['run', '-c', config, '-l', 'error', '--metrics-address', ready, '--concurrency', '1', ...args]),
    app: (script, ...flags) =>
      start([
        'exec',
        '--address',
        ready,
        '--admin',
        `127.0.0.1:${adminPort}`,
        ...flags,
        '--',
        process.execPath,
        '-e',
        script,
        String(appPort),
        String(port),
      ]),
  };
}

async function code(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function said(child: ChildProcess): Promise<string> {
  let out = '';
  for await (const chunk of child.stdout ?? []) out += String(chunk);
  return out;
}

// The application answers on its port, and at once asks through the proxy, as one that needs the network to start.
const ASKS_ITSELF = `const http = require('node:http'); const [, appPort, port] = process.argv;
const server = http.createServer((_, r) => r.end('hello')).listen(+appPort, '127.0.0.1', () =>
  http.get({ port: +port, host: '127.0.0.1' }, (r) => { console.log(r.statusCode); r.resume(); server.close(); })
    .on('error', (e) => { console.log(e.code); process.exit(9); }));`;

t.test(
  'startup order: the application reaches the network from its first moment on, whoever starts first',
  async (t) => {
    const { app, proxy } = await pod(t);
    const application = app(ASKS_ITSELF);
    const output = said(application);
    proxy();
    t.equal(await code(application), 0);
    t.equal(await output, '200\n');
  },
);

t.test('a Job completes: the proxy ends after the application, with 0', async (t) => {
  const { app, proxy } = await pod(t);
  const sidecar = proxy('--lame-duck-time-s', '0', '--drain-time-s', '1');
  const job = app(ASKS_ITSELF, '--quit-proxy');
  t.equal(await code(job), 0);
  t.equal(await code(sidecar), 0);
});

t.test(
  'SIGTERM before the proxy is ready ends both at once, and the application was never started',
  async (t) => {
    // The first health check has no answer yet, and the proxy waits for it.
    const silent = net.createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    t.teardown(() => silent.close());
    const check =
      '{timeout: 60s, interval: 60s, healthy_threshold: 1, unhealthy_threshold: 1, http_health_check: {path: /}}';
    await once(silent, 'listening');
    const { app, proxy, ready } = await pod(t, {
      cluster: `health_checks: [${check}]`,
      backend: (silent.address() as net.AddressInfo).port,
    });
    const asked = once(silent, 'connection');
    const sidecar = proxy('--drain-time-s', '60');
    const application = app(ASKS_ITSELF);
    const output = said(application);
    const [socket] = (await asked) as [net.Socket];
    t.teardown(() => socket.destroy());
    t.equal((await fetch(`http://${ready}/ready`)).status, 503);
    await running(application);
    application.kill('SIGTERM');
    t.equal(await code(application), 143);
    sidecar.kill('SIGTERM');
    t.equal(await code(sidecar), 0, 'at once, without a drain');
    t.equal(await output, '');
  },
);

/** When it catches SIGTERM: bit 15 of SigCgt. */
async function running({ pid }: ChildProcess): Promise<void> {
  for (;;) {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
    if ((BigInt(`0x${caught}`) >> 14n) & 1n) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const SERVES = `const http = require('node:http'); const [, appPort] = process.argv;
const server = http.createServer((_, r) => setTimeout(() => r.end('hello'), 20)).listen(+appPort, '127.0.0.1', () => console.log('up'));
process.on('SIGTERM', () => { console.log('ends'); server.close(() => process.exit(5)); server.closeIdleConnections(); });`;

t.test('SIGTERM under load: no request fails, and the application ends after the last one', async (t) => {
  const { app, proxy, port } = await pod(t);
  const sidecar = proxy('--lame-duck-time-s', '1', '--drain-time-s', '4');
  // Longer than the proxy takes requests.
  const application = app(SERVES, '--term-delay', '3s');
  await once(application.stdout ?? application, 'data');
  const seen = { ok: 0, after: 0, reset: 0, failures: [] as string[] };
  let terminated = false;
  const loops = Array.from({ length: LOOPS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (;;) {
      const answer = await get(port, agent);
      if (answer === 'refused' && terminated) break;
      // Connections that nobody has accepted when a listening socket closes are reset by the kernel.
      if (terminated && /ECONNRESET.*\(new connection\)$/.test(answer)) {
        seen.reset++;
        break;
      }
      if (answer === '200') {
        seen.ok++;
        if (terminated) seen.after++;
      } else if (answer !== 'again') seen.failures.push(answer);
      if (seen.failures.length > 100) break;
    }
    agent.destroy();
  });
  while (seen.ok < 50) await new Promise((resolve) => setImmediate(resolve));
  terminated = true;
  sidecar.kill('SIGTERM');
  application.kill('SIGTERM');
  await Promise.all(loops);
  t.same(seen.failures, []);
  t.ok(seen.reset <= 2, `${seen.reset} came as the listener closed`);
  t.ok(seen.after > 20, `${seen.after} requests were answered after SIGTERM, in the lame-duck time`);
  t.equal(await code(sidecar), 0);
  t.equal(await code(application), 5, 'its own exit code');
});

/** The status, `refused` when nobody listens any more, `again`, or what went wrong. */
function get(port: number, agent: Agent): Promise<string> {
  return new Promise((resolve) => {
    const call = request({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.statusCode)));
      response.on('error', (error) => resolve(`answer cut off: ${error.message}`));
    });
    call.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve('refused');
      // The connection was closed while it was idle; RFC 9112, 9.3.1: clients ask again.
      else if (call.reusedSocket && error.code === 'ECONNRESET') resolve('again');
      else resolve(`${error.message} (${call.reusedSocket ? 'used' : 'new'} connection)`);
    });
    call.end();
  });
}
