/**
 * `npm start`: a sample app in the spirit of emojivoto on loopback. web calls emoji (two replicas) and voting,
 * each behind a sidecar process of its own; the sidecars know each other by certificates; a bot votes.
 *
 *   npm start -- [--duration 10s] [--proxy <command>]
 *
 * `--proxy envoy` runs the same files in Envoy, to compare.
 */
import { mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeCertificates } from './certificates.ts';
import { busyPorts, readMesh, type Service } from './mesh.ts';
import { type Guard, lastLines, type Running, start, startGuard, stopAll } from './processes.ts';

const here = import.meta.dirname;
const root = dirname(dirname(here));
const folder = relative(root, here);
const logs = join(root, '.cache', 'emojivoto');
const certs = join(logs, 'certs');
const startLimitMs = 30_000;

// The YAML files name the certificates from the root of the repository.
const from = process.cwd();
process.chdir(root);
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { duration: { type: 'string' }, proxy: { type: 'string' } } });
  const durationMs = parseDuration(values.duration);
  if (durationMs === undefined) {
    console.error(`--duration ${values.duration}: expected a number with ms, s or m, such as 10s`);
    return 2;
  }
  const services = readMesh(folder);
  const busy = await busyPorts(services);
  if (busy.length > 0) {
    console.error(`${busy.join('\n')}\nFree it, or change it in the file (see who holds it: ss -ltnp).`);
    return 1;
  }
  mkdirSync(logs, { recursive: true });
  makeCertificates(certs);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  return runMesh(services, values.proxy, durationMs, stop.signal);
}

/** Infinity when not given. */
function parseDuration(text: string | undefined): number | undefined {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] as 'ms' | 's' | 'm'];
}

async function runMesh(
  services: readonly Service[],
  proxy: string | undefined,
  durationMs: number,
  stop: AbortSignal,
): Promise<number> {
  const running: Running[] = [];
  const over = new AbortController();
  const guard = startGuard();
  try {
    for (const service of services) {
      running.push(startApp(service, guard), startSidecar(service, proxy, guard));
    }
    const ready = allReady(services, over.signal);
    const failure = await Promise.race([ready, firstExit(running), timeout(startLimitMs), aborted(stop)]);
    if (failure !== undefined) return fail(failure);
    if (stop.aborted) return 0;
    const bot = startBot(services, guard);
    running.push(bot);
    describe(services, running);
    const end = await Promise.race([aborted(stop), firstExit(running), after(durationMs)]);
    if (end !== undefined) return fail(end);
    bot.kill('SIGTERM');
    await bot.exit;
    return 0;
  } finally {
    over.abort();
    await stopAll(running);
    console.log(`\nall ${running.length} processes have stopped`);
  }
}

function startApp({ name, app }: Service, guard: Guard): Running {
  const command = [process.execPath, ...app];
  return start({ role: `the app ${name}`, command, log: join(logs, `${name}-app.log`) }, guard);
}

function startSidecar({ name, config }: Service, proxy: string | undefined, guard: Guard): Running {
  const args = ['-c', config, '--concurrency', '1', '-l', 'warning'];
  // Envoys on one machine would take each other for the next generation of one process.
  const command =
    proxy === undefined
      ? [join(root, 'bin', 'inox'), 'run', ...args]
      : [proxy, ...args, '--disable-hot-restart'];
  return start(
    {
      role: `${name}'s sidecar`,
      command,
      log: join(logs, `${name}-sidecar.log`),
      env: { INOX_LB_PEAK_EWMA: '1' },
    },
    guard,
  );
}

function startBot(services: readonly Service[], guard: Guard): Running {
  const web = services.find(({ name }) => name === 'web');
  const command = [process.execPath, join(here, 'bot.ts'), String(web?.ports.inbound)];
  return start({ role: 'the vote bot', command, log: undefined }, guard);
}

/** Resolves with what to say when one of the processes ends before its time. */
async function firstExit(running: readonly Running[]): Promise<string> {
  const one = await Promise.race(running.map(async (each) => ({ each, reason: await each.exit })));
  const said = one.each.log === '' ? '' : `; it said:\n${lastLines(one.each.log, 15)}`;
  return `${one.each.role} ended with ${one.reason}${said}`;
}

async function timeout(limitMs: number): Promise<string> {
  await sleep(limitMs, undefined, { ref: false });
  return `not every sidecar was ready within ${limitMs / 1000} s; see ${logs}`;
}

function fail(reason: string): number {
  console.error(`\n${reason}`);
  return 1;
}

async function allReady(services: readonly Service[], over: AbortSignal): Promise<undefined> {
  await Promise.all(
    services.map(async ({ ports }) => {
      while (!over.aborted && (await statusOf(ports.admin, '/ready')) !== 200) await sleep(50);
      while (!over.aborted && !(await accepts(ports.app))) await sleep(50);
    }),
  );
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** 0 when nothing answers (yet). */
function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path, timeout: 1000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(0));
  });
}

function aborted(stop: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (stop.aborted) resolve(undefined);
    else stop.addEventListener('abort', () => resolve(undefined));
  });
}

async function after(durationMs: number): Promise<undefined> {
  if (durationMs === Number.POSITIVE_INFINITY) return new Promise(() => {});
  await sleep(durationMs, undefined, { ref: false });
}

function describe(services: readonly Service[], running: readonly Running[]): void {
  const address = (port: number | undefined): string => (port === undefined ? '-' : `127.0.0.1:${port}`);
  const pid = (role: string): string => String(running.find((one) => one.role === role)?.pid);
  const rows = services.map(({ name, ports }) => [
    name,
    pid(`the app ${name}`),
    address(ports.app),
    pid(`${name}'s sidecar`),
    address(ports.inbound),
    address(ports.outbound),
    `http://127.0.0.1:${ports.admin}/stats/prometheus`,
  ]);
  console.log(
    'web calls emoji (two replicas) and voting; every service has a sidecar process of its own,\nand these speak mutual TLS with each other\n',
  );
  printTable([['service', 'app pid', 'app', 'sidecar pid', 'inbound', 'outbound', 'metrics'], ...rows]);
  const { web, ...others } = Object.fromEntries(services.map(({ name, ports }) => [name, ports]));
  const front = `http://127.0.0.1:${web?.inbound}`;
  const emoji = `127.0.0.1:${others['emoji-1']?.inbound}`;
  const voting = join(relative(from, certs), 'voting');
  const status = `-o /dev/null -w '%{http_code}'`;
  console.log('\ntry (… stands for more)');
  for (const [command, answer] of [
    [`curl -s ${front}/api/list`, '[{"shortcode":":doughnut:","unicode":"🍩"},…'],
    [`curl -s '${front}/api/vote?choice=:rocket:'`, '{"shortcode":":rocket:","votes":…'],
    [`curl -s '${front}/api/vote?choice=:doughnut:'`, '{"error":"voting for the doughnut fails on purpose"}'],
    [`curl -s '${front}/api/vote?choice=:doughnut:' ${status}`, '500'],
    [`curl -s ${front}/sidecar`, 'inox stands before web'],
    [`curl -s ${front}/index.html ${status}`, '301'],
    [
      `curl -s http://127.0.0.1:${web?.admin}/stats | grep 'VoteDoughnut.failure'`,
      'cluster.voting.grpc.emojivoto.v1.VotingService.VoteDoughnut.failure: …',
    ],
    // Between the sidecars: mutual TLS. Nobody but web may call emoji.
    [
      `curl -s http://127.0.0.1:${web?.admin}/stats | grep '^cluster.emoji.ssl.handshake'`,
      'cluster.emoji.ssl.handshake: …',
    ],
    [`curl -sk https://${emoji}/ || echo refused without a certificate`, 'refused without a certificate'],
    [
      `curl -sk --cert ${voting}.crt --key ${voting}.key https://${emoji}/ || echo voting is refused`,
      'voting is refused',
    ],
    [
      `curl -s http://127.0.0.1:${others['emoji-1']?.admin}/stats | grep 'ssl.fail_verify_san'`,
      `listener.${emoji.replace(':', '_')}.ssl.fail_verify_san: …`,
    ],
    [`curl -s -H 'host: nobody' http://127.0.0.1:${web?.outbound}/ ${status}`, '404'],
    [`curl -s http://127.0.0.1:${web?.admin}/ready`, 'LIVE'],
    // The slower replica gets less.
    [
      `curl -s http://127.0.0.1:${web?.admin}/clusters | grep '^emoji::.*::rq_total'`,
      `emoji::${emoji}::rq_total::…`,
    ],
    [
      `curl -s http://127.0.0.1:${web?.admin}/stats/prometheus | grep '^envoy_cluster_upstream_rq_xx.*voting'`,
      'envoy_cluster_upstream_rq_xx{envoy_response_code_class="…',
    ],
  ]) {
    console.log(`  $ ${command}\n    ${answer}`);
  }
  console.log(`\nin a browser: ${front}/   logs: ${relative(from, logs)}/   end: Ctrl-C\n`);
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}
