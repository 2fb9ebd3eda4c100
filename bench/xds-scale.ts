/**
 * A control plane that says everything at once: how long until it is in force, what that costs the requests that are
 * served meanwhile, and what each cluster costs in memory. Envoy and inox on the same control plane, one after the
 * other, one worker each; with `--peers inox` or `envoy` one alone.
 *
 *   node bench/xds-scale.ts [--clusters 10000] [--runs 3] [--peers envoy,inox] [--json FILE]
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '../test/support/ports.ts';
import { adsBootstrap, cluster, endpoints, listener, virtualHosts } from '../test/system/xds/resources.ts';
import { ManagementServer, ProxyProcess, startHosts, until } from '../test/system/xds/world.ts';
import { stopAllOnSignals } from './process.ts';
import { median } from './report.ts';
import { ask, type Seen, Watch } from './scale/watch.ts';

const { values } = parseArgs({
  options: {
    clusters: { type: 'string', default: '10000' },
    runs: { type: 'string', default: '3' },
    peers: { type: 'string', default: 'envoy,inox' },
    json: { type: 'string' },
  },
});
const COUNT = Number(values.clusters);
const ENDPOINTS = 5;
const HEALTH_INTERVAL_MS = 500;
/** What a quiet proxy needs after the last change until its memory says something. */
const SETTLE_MS = 5000;

type Kind = 'envoy' | 'inox';

interface Sample extends Seen {
  /** From the first byte that is sent until a request by the last route is answered and all clusters are active. */
  readonly appliedMs: number;
  /** From the change of one endpoint until a request reaches it, median of ten. */
  readonly endpointMs: number;
  /** CPU of the longest turn of a data thread; NaN for Envoy. */
  readonly turnMs: number;
  /** The longest time between two health checks of a host. */
  readonly healthGapMs: number;
  readonly kbPerCluster: number;
  readonly cpuSeconds: number;
}

const hosts = await startHosts(2, '0.0.0.0');
const [FIRST = 0, SECOND = 0] = hosts.ports;
const peers = values.peers.split(',') as Kind[];
const samples: Record<Kind, Sample[]> = { envoy: [], inox: [] };

async function measure(kind: Kind): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-scale-'));
  const health = await startHealthHost();
  const [port, admin, xds] = [await freePort(), await freePort(), await freePort()];
  const server = await ManagementServer.start({
    port: xds,
    resources: [...some(0, 1), listener('in', port, 'r'), virtualHosts('r', hostsAndClusters(1))],
  });
  process.env.INOX_TURN_METER = folder;
  process.env.NODE_OPTIONS = `--import ${join(import.meta.dirname, 'scale/turn-meter.mjs')}`;
  const proxy = ProxyProcess.start(kind, bootstrap(admin, xds, health.port), admin, folder);
  delete process.env.NODE_OPTIONS;
  try {
    await proxy.ready();
    await until('the first route', async () => (await ask(port, nameOf(0))).status === 200 || undefined);
    await sleep(2000);
    const before = await quietRss(proxy, kind, folder, 1);
    const watch = new Watch({ admin, port });
    await watch.begun;
    const cpuBefore = cpuSeconds(proxy.running.pid);
    health.gaps.length = 0;
    const fromMs = Date.now();
    const resources = [...some(1, COUNT), virtualHosts('r', hostsAndClusters(COUNT))];
    const { began } = await server.set(...resources);
    await until(
      'the last route',
      async () => (await ask(port, nameOf(COUNT - 1))).status === 200 || undefined,
      300_000,
    );
    await until(
      'all clusters',
      async () => (await proxy.stat('cluster_manager.active_clusters')) >= COUNT || undefined,
      300_000,
    );
    const appliedMs = performance.timeOrigin + performance.now() - began;
    await sleep(1000);
    const seen = await watch.stop();
    const used = cpuSeconds(proxy.running.pid) - cpuBefore;
    const healthGapMs = Math.max(0, ...health.gaps);
    const turnMs = kind === 'envoy' ? Number.NaN : longestTurn(folder, fromMs);
    const after = await quietRss(proxy, kind, folder, 2);
    const endpointMs = await changeEndpoints(server, port);
    return {
      appliedMs,
      endpointMs,
      turnMs,
      ...seen,
      healthGapMs,
      kbPerCluster: (after - before) / 1024 / (COUNT - 1),
      cpuSeconds: used,
    };
  } finally {
    await proxy.running.stop();
    await server.running.stop();
    health.close();
    if (process.env.INOX_SCALE_KEEP === undefined) rmSync(folder, { recursive: true, force: true });
    else process.stderr.write(`${folder}\n${proxy.running.output.slice(-2000)}\n`);
  }
}

function some(from: number, to: number) {
  const all = [];
  for (let i = from; i < to; i++) {
    // Addresses of loopback, so that no two endpoints are the same.
    all.push(cluster(`c${i}`), endpoints(`c${i}`, Array(ENDPOINTS).fill(FIRST), hostOf(i)));
  }
  return all;
}

function hostOf(i: number): (endpoint: number) => string {
  return (endpoint) => `127.${1 + (i >> 12)}.${(i >> 4) & 255}.${1 + ((i & 15) * ENDPOINTS + endpoint)}`;
}

const nameOf = (route: number): string => `h${route}.test`;

function hostsAndClusters(count: number): [string, string][] {
  return Array.from({ length: count }, (_, i) => [nameOf(i), `c${i}`]);
}

function bootstrap(admin: number, xds: number, healthPort: number): object {
  const base = adsBootstrap({ admin, xds, delta: true }) as { static_resources: { clusters: object[] } };
  base.static_resources.clusters.push({
    name: 'checked',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: 'checked',
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: {
                address: { socket_address: { address: '127.0.0.1', port_value: healthPort } },
              },
            },
          ],
        },
      ],
    },
    health_checks: [
      {
        timeout: '1s',
        interval: `${HEALTH_INTERVAL_MS / 1000}s`,
        no_traffic_interval: `${HEALTH_INTERVAL_MS / 1000}s`,
        unhealthy_threshold: 2,
        healthy_threshold: 1,
        http_health_check: { path: '/' },
      },
    ],
  });
  return base;
}

/** A host that notes the time between health checks. */
async function startHealthHost() {
  const gaps: number[] = [];
  let last = 0;
  const server = createServer((_, response) => {
    const now = performance.now();
    if (last > 0) gaps.push(now - last);
    last = now;
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    gaps,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function changeEndpoints(server: ManagementServer, port: number): Promise<number> {
  const took: number[] = [];
  for (let i = 0; i < 10; i++) {
    const which = 100 + i;
    await ask(port, nameOf(which));
    const { began } = await server.set(endpoints(`c${which}`, [SECOND]));
    await until(
      'the new endpoint',
      async () => (await ask(port, nameOf(which))).body === String(SECOND) || undefined,
      10_000,
      1,
    );
    took.push(performance.timeOrigin + performance.now() - began);
    await sleep(50);
  }
  return median(took);
}

async function quietRss(proxy: ProxyProcess, kind: Kind, folder: string, round: number): Promise<number> {
  if (kind === 'inox') {
    writeFileSync(join(folder, `gc-${round}`), '');
    const log = join(folder, `collected-${round}`);
    // The main thread, the xds thread and a worker.
    await until(
      'garbage collections',
      async () => (existsSync(log) && readFileSync(log, 'utf8').trim().split('\n').length >= 3) || undefined,
      30_000,
    );
  }
  await sleep(SETTLE_MS);
  return proxy.running.rss;
}

function longestTurn(folder: string, fromMs: number): number {
  const log = join(folder, 'turns');
  if (!existsSync(log)) return 0;
  const turns = readFileSync(log, 'utf8').trim().split('\n');
  const used = turns.map((line) => line.split(' ').map(Number)).filter(([at = 0]) => at >= fromMs);
  return Math.max(0, ...used.map(([, ms = 0]) => ms));
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function report(): void {
  const rows: [string, keyof Sample, number][] = [
    ['whole state applied, ms', 'appliedMs', 0],
    ['CPU used for it, s', 'cpuSeconds', 1],
    ['one endpoint changed → in use, ms', 'endpointMs', 0],
    ['longest turn of a data thread, ms CPU', 'turnMs', 1],
    ['slowest request meanwhile, ms', 'requestMs', 0],
    ['slowest /ready meanwhile, ms', 'readyMs', 0],
    ['slowest /stats meanwhile, ms', 'statsMs', 0],
    [`longest gap of health checks every ${HEALTH_INTERVAL_MS} ms`, 'healthGapMs', 0],
    ['RSS per added cluster, KB', 'kbPerCluster', 1],
  ];
  process.stdout.write(
    `${COUNT} clusters of ${ENDPOINTS} endpoints, ${COUNT} virtual hosts, one worker, delta ADS; median of ${values.runs}\n\n`,
  );
  process.stdout.write(
    `| |${peers.map((peer) => ` ${peer} |`).join('')}\n|---|${peers.map(() => '---:|').join('')}\n`,
  );
  for (const [label, key, digits] of rows) {
    const cells = peers.map((peer) => {
      const value = median(samples[peer].map((sample) => sample[key]));
      return ` ${Number.isNaN(value) ? '–' : value.toFixed(digits)} |`;
    });
    process.stdout.write(`| ${label} |${cells.join('')}\n`);
  }
}

stopAllOnSignals();
for (let run = 0; run < Number(values.runs); run++) {
  for (const kind of peers) {
    process.stderr.write(`run ${run + 1} of ${values.runs}: ${kind}\n`);
    samples[kind].push(await measure(kind));
    process.stderr.write(`  ${JSON.stringify(samples[kind].at(-1))}\n`);
  }
}
await hosts.running.stop();
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(samples, null, 2));
report();
process.exit(0);
