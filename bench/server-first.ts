import { execFile } from 'node:child_process';
import { parseArgs, promisify } from 'node:util';
import { istioBootstrap } from '../test/support/istio-bootstrap.ts';
import {
  type CapturedPods,
  capturedPods,
  inside,
  OTHERS_CORE,
  PEER_COMMAND,
  type SidecarKind,
  startNginx,
  startPeer,
  startSidecar,
  untilCurl,
} from './captured-pods.ts';
import { withTemporary } from './own-proxy.ts';
import { envoy } from './peers/envoy.ts';
import { pinned } from './process.ts';

// How long a client waits for a server that speaks first, through two sidecars that detect protocols: on the first
// connections to destinations that nobody has seen before, and on later ones to the same. Each port is a destination.

const { values } = parseArgs({
  options: {
    /** `table` or `json`. */
    output: { type: 'string', short: 'o', default: 'table' },
    /** Connections to each learned destination. */
    times: { type: 'string', default: '10' },
    /** Envoy waits for 5 s on each of its connections. */
    'envoy-connections': { type: 'string', default: '3' },
  },
});

const FIRST_PORT = 7100;
const PORTS = 40;
const DIRECT_PORT = 7090;
const SETTLED_WITHIN_MS = { first: 100, learned: 5 } as const;

const run = promisify(execFile);

interface Row {
  readonly what: string;
  readonly connections: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly failed: number;
}

async function hear(
  { client, server }: CapturedPods,
  ports: string,
  times: number,
): Promise<(number | null)[]> {
  const argv = [...inside(client), ...PEER_COMMAND, 'hear', server.ipv4, ports, String(times)];
  const [command = '', ...args] = pinned(argv, OTHERS_CORE);
  const { stdout } = await run(command, args, { timeout: 300_000 });
  return JSON.parse(stdout) as (number | null)[];
}

function row(what: string, took: readonly (number | null)[]): Row {
  const times = took.filter((one) => one !== null).sort((a, b) => a - b);
  const at = (q: number): number => times[Math.floor((times.length - 1) * q)] ?? Number.NaN;
  const failed = took.length - times.length;
  return { what, connections: took.length, medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1), failed };
}

const lastPort = (count: number): number => FIRST_PORT + count - 1;

async function throughPair(pods: CapturedPods, kind: SidecarKind, bootstrap: string | null): Promise<Row[]> {
  const sidecars = [pods.client, pods.server].map((pod) => startSidecar(pod, kind, bootstrap));
  const label = `${kind}, ${bootstrap === null ? 'built-in bootstrap' : 'shape of Istio’s'}`;
  try {
    const log = `${pods.client.folder}/${kind}.log`;
    await untilCurl(pods.client, `http://${pods.server.ipv4}:8080/`, log);
    if (kind === 'envoy') {
      const count = Number(values['envoy-connections']);
      return [row(`${label}: first`, await hear(pods, `${FIRST_PORT}-${lastPort(count)}`, 1))];
    }
    const ports = `${FIRST_PORT}-${lastPort(PORTS)}`;
    // The very first one compiles code as well, as it does in a pod that has just started.
    const first = await hear(pods, ports, 1);
    const learned = await hear(pods, ports, Number(values.times));
    return [row(`${label}: first`, first), row(`${label}: learned`, learned)];
  } finally {
    await Promise.all(sidecars.map((one) => one.stop()));
  }
}

function print(rows: readonly Row[], directMs: number): void {
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(36) : cell.padStart(13))).join('');
  const head = ['', 'connections', 'median ms', 'p99 ms', 'max ms', 'added median', 'failed'];
  const lines = rows.map(({ what, connections, medianMs, p99Ms, maxMs, failed }) => {
    const added = (medianMs - directMs).toFixed(2);
    const numbers = [medianMs, p99Ms, maxMs].map((ms) => ms.toFixed(2));
    return line([what, String(connections), ...numbers, added, String(failed)]);
  });
  process.stdout.write(`${[line(head), ...lines].join('\n')}\n`);
}

await withTemporary('server-first', async () => {
  const pods = capturedPods(String(DIRECT_PORT));
  try {
    await startNginx(pods.server, [8080], []);
    await startPeer(pods.server, '', `${DIRECT_PORT},${FIRST_PORT}-${lastPort(PORTS)}`);
    const config = istioBootstrap(pods.server.ipv4);
    await hear(pods, String(DIRECT_PORT), 50);
    const direct = row('direct', await hear(pods, String(DIRECT_PORT), 400));
    const rows = [
      direct,
      ...(await throughPair(pods, 'inox', null)),
      ...(await throughPair(pods, 'inox', config)),
      ...(envoy.absent() === undefined ? await throughPair(pods, 'envoy', config) : []),
    ];
    if (values.output === 'json') process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    else print(rows, direct.medianMs);
    for (const { what, medianMs } of rows.filter((one) => one.what.startsWith('inox'))) {
      const limit = what.endsWith('first') ? SETTLED_WITHIN_MS.first : SETTLED_WITHIN_MS.learned;
      if (medianMs - direct.medianMs <= limit) continue;
      process.stderr.write(`${what}: more than ${limit} ms\n`);
      process.exitCode = 1;
    }
  } finally {
    await pods.close();
  }
});
