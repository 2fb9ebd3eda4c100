/**
 * go-control-plane's own integration program against inox (or, to see what it should look like, `--proxy envoy`) in
 * all its modes. The program feeds the proxy snapshot after snapshot and sends requests through every listener; its
 * exit code and the proxy's log decide. Needs Go, whose build is kept outside the repository.
 *
 *   node test/system/xds/run.ts [--mode ads,xds,…] [--proxy inox|envoy] [--tls] [--mux] [--verbose]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { goPackage } from '../../../scripts/go-program.ts';
import { freeRange } from '../../support/ports.ts';
import { envoyBinary } from '../envoy/proxy.ts';
import { bootstrap, MODES, type Mode, type Ports } from './bootstrap.ts';

const MODULE = 'github.com/envoyproxy/go-control-plane@v0.14.0';
const ROOT = resolve(import.meta.dirname, '../../..');
const MESSAGE = 'Default message';
/** Listeners that the program tests: HTTP, scoped HTTP, TCP, virtual hosts by themselves; two each. */
const LISTENERS = 8;
/** Those of the program itself, and the proxy's admin. */
const OWN_PORTS = 4;

const { values } = parseArgs({
  options: {
    mode: { type: 'string' },
    proxy: { type: 'string', default: 'inox' },
    tls: { type: 'boolean', default: false },
    mux: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const program = goPackage('go-control-plane', 'pkg/test/main', MODULE);
const echo = createServer((_, response) => response.end(MESSAGE));
await new Promise<void>((done) => echo.listen(0, '127.0.0.1', done));
const upstream = (echo.address() as AddressInfo).port;
const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

const modes =
  values.mode === undefined ? MODES : MODES.filter((mode) => values.mode?.split(',').includes(mode));
let failed = 0;
for (const mode of modes) {
  const began = performance.now();
  let problems = await runMode(mode);
  // Its clients give each request 100 ms, which a busy machine may not have.
  if (problems.length > 0) {
    console.log(`  ${mode}: once more: ${problems[0]}`);
    problems = await runMode(mode);
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  if (problems.length > 0) failed++;
  console.log(`${problems.length === 0 ? '✓' : '✗'} ${mode.padEnd(10)} ${seconds.padStart(3)} s`);
  for (const problem of problems) console.log(`  ${problem}`);
}
echo.close();
console.log(`# { total: ${modes.length}, pass: ${modes.length - failed}, fail: ${failed} }`);
process.exitCode = failed === 0 ? 0 : 1;

async function runMode(mode: Mode): Promise<string[]> {
  const first = await freeRange(OWN_PORTS + LISTENERS);
  const ports = { xds: first, gateway: first + 1, als: first + 2, admin: first + 3 };
  const base = first + OWN_PORTS;
  const folder = mkdtempSync(join(tmpdir(), 'inox-xds-'));
  const server = start(program, [
    ...['-xds', mode, '-port', `${ports.xds}`, '-gateway', `${ports.gateway}`, '-als', `${ports.als}`],
    ...['-upstream', `${upstream}`, '-message', MESSAGE, '-base', `${base}`, '-nodeID', 'test-id'],
    ...['-clusters', '4', '-http', '2', '-scopedhttp', '2', '-vhdshttp', '2', '-tcp', '2'],
    ...['-runtimes', '1', '-extension', '1', '-u', '3', '-r', '5'],
    ...(values.tls ? ['-tls'] : []),
    ...(values.mux ? ['-mux'] : []),
    ...(values.verbose ? ['-debug'] : []),
  ]);
  const proxy = startProxy(mode, ports, folder);
  const code = await server.ended;
  proxy.child.kill('SIGINT');
  await proxy.ended;
  rmSync(folder, { recursive: true, force: true });
  return judge(code, server.output(), proxy.output());
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  output(): string;
}

function start(command: string, args: readonly string[]): Running {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (values.verbose) process.stdout.write(chunk);
    });
  }
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
  return { child, ended, output: () => output };
}

function startProxy(mode: Mode, ports: Ports, folder: string): Running {
  const file = join(folder, 'bootstrap.yaml');
  writeFileSync(file, bootstrap(mode, ports));
  if (values.proxy === 'envoy') {
    return start(envoyBinary(), ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning']);
  }
  return start(join(ROOT, 'bin', 'inox'), ['run', '-c', file, '-l', 'info']);
}

/** Batches may fail while an update is on its way; the last one after each must not. */
function judge(code: number | null, server: string, proxy: string): string[] {
  const problems: string[] = [];
  if (code !== 0) problems.push(`the integration program ended with ${code}`);
  for (const update of server.split('update snapshot').slice(1)) {
    const failed = [...update.matchAll(/request batch \d+, ok \d+, failed (\d+)/g)].at(-1)?.[1] ?? 'all';
    if (failed !== '0') problems.push(`${failed} requests of the last batch after an update failed`);
  }
  const refused = proxy
    .split('\n')
    .filter((line) => /refused an update|rejected:|cannot be opened/.test(line));
  problems.push(...refused.slice(0, 5).map((line) => `the proxy says: ${line}`));
  if (problems.length === 0) return [];
  // When the program ends, every stream is cut: what the proxy says of that is the same each time and tells nothing.
  const words = proxy.split('\n').filter((line) => !/ended: .*tried again in/.test(line));
  return [
    ...problems,
    `the program said: ${lastLines(server, 60)}`,
    `the proxy said: ${lastLines(words.join('\n'), 60)}`,
  ];
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n    ');
}
