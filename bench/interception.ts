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
import { fixedRate } from './h2load.ts';
import { withTemporary } from './own-proxy.ts';
import { envoy } from './peers/envoy.ts';
import { pinned, type Running } from './process.ts';
import { type CaseResult, caseTable, reportJson } from './report.ts';
import type { Metric, Sample } from './topology.ts';

// What interception costs: from one pod through redirect, sidecar, network, redirect and sidecar into another, beside
// the same conversation on ports that the rules of both pods leave alone. inox and Envoy take turns in the same two
// namespaces, with the same configuration in the shape of Istio's.

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '8' },
    rate: { type: 'string', default: '1000' },
    /** `table` or `json`. */
    output: { type: 'string', short: 'o', default: 'table' },
  },
});

const RUNS = Number(values.runs);
const SECONDS = Number(values.seconds);
const RATE = Number(values.rate);
/** New connections per second. */
const CONNECTION_RATE = 100;
const WARM_UP_SECONDS = 3;
/** New connections per second: so many that code is compiled as it would be after minutes. */
const WARM_UP_RATE = 600;

const METRICS: readonly Metric[] = [
  { key: 'p50Ms', label: 'p50 ms', digits: 3 },
  { key: 'p99Ms', label: 'p99 ms', digits: 3 },
  { key: 'p999Ms', label: 'p99.9 ms', digits: 3 },
  { key: 'cpuUs', label: 'CPU µs of both', digits: 0 },
  { key: 'failed', label: 'failed', digits: 0 },
];

interface Conversation {
  readonly name: string;
  readonly title: string;
  /** Captured, and left alone. */
  readonly ports: readonly [captured: number, direct: number];
  measure(pods: CapturedPods, port: number, seconds: number, dir: string): Promise<Took>;
  warmUp(pods: CapturedPods, port: number, dir: string): Promise<unknown>;
}

interface Took extends Sample {
  readonly requests: number;
  readonly failed: number;
}

const run = promisify(execFile);

function http(name: string, http2: boolean, ports: readonly [number, number]): Conversation {
  const conversation: Conversation = {
    name,
    title: `${http2 ? 'HTTP/2' : 'HTTP/1.1'}, ${RATE} requests/s over ${RATE / 10} connections that stay`,
    ports,
    warmUp: (pods, port, dir) => conversation.measure(pods, port, WARM_UP_SECONDS, dir),
    measure: async ({ client, server }, port, seconds, dir) => {
      const where = { core: OTHERS_CORE, dir, host: server.ipv4, inside: inside(client) };
      const took = await fixedRate(port, { rate: RATE, seconds, http2, ...where });
      return {
        p50Ms: took.p50Us / 1000,
        p99Ms: took.p99Us / 1000,
        p999Ms: took.p999Us / 1000,
        failed: took.failed,
        requests: took.requests,
      };
    },
  };
  return conversation;
}

const CONVERSATIONS: readonly Conversation[] = [
  http('intercepted-h1', false, [8080, 8090]),
  http('intercepted-h2', true, [8081, 8091]),
  {
    name: 'intercepted-connections',
    title: `TCP, ${CONNECTION_RATE} new connections/s: until the first bytes are back`,
    ports: [7001, 7090],
    measure: async ({ client, server }, port, seconds) => {
      const ms = await connections(inside(client), server.ipv4, port, CONNECTION_RATE, seconds);
      const times = ms.filter((one) => one !== null).sort((a, b) => a - b);
      const at = (q: number): number => times[Math.floor(times.length * q)] ?? Number.NaN;
      const failed = ms.length - times.length;
      return { p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999), failed, requests: ms.length };
    },
    warmUp: ({ client, server }, port) =>
      connections(inside(client), server.ipv4, port, WARM_UP_RATE, WARM_UP_SECONDS),
  },
];

async function connections(
  where: readonly string[],
  ip: string,
  port: number,
  rate: number,
  seconds: number,
): Promise<(number | null)[]> {
  const argv = [...where, ...PEER_COMMAND, 'echo', ip, String(port), String(rate), String(seconds)];
  const [command = '', ...args] = pinned(argv, OTHERS_CORE);
  const { stdout } = await run(command, args, { timeout: (seconds + 60) * 1000, maxBuffer: 1 << 24 });
  return JSON.parse(stdout) as (number | null)[];
}

type Samples = Map<string, Sample[]>;

const keyOf = (conversation: Conversation, peer: string): string => `${conversation.name} ${peer}`;

async function measureAll(
  pods: CapturedPods,
  peer: string,
  sidecars: readonly Running[],
  samples: Samples,
  dir: string,
): Promise<void> {
  const cpuUs = (): number => sidecars.reduce((sum, one) => sum + one.cpuUs(), 0);
  for (const one of CONVERSATIONS) {
    const port = one.ports[sidecars.length === 0 ? 1 : 0];
    await one.warmUp(pods, port, dir);
    const before = cpuUs();
    const took = await one.measure(pods, port, SECONDS, dir);
    const cost: Sample = sidecars.length === 0 ? {} : { cpuUs: (cpuUs() - before) / took.requests };
    samples.get(keyOf(one, peer))?.push({ ...took, ...cost });
  }
}

async function measurePeer(
  pods: CapturedPods,
  peer: 'direct' | SidecarKind,
  samples: Samples,
  dir: string,
): Promise<void> {
  if (peer === 'direct') return measureAll(pods, peer, [], samples, dir);
  const bootstrap = istioBootstrap(pods.server.ipv4);
  const sidecars = [pods.client, pods.server].map((pod) => startSidecar(pod, peer, bootstrap));
  await untilCurl(pods.client, `http://${pods.server.ipv4}:8080/`, `${pods.client.folder}/${peer}.log`);
  await measureAll(pods, peer, sidecars, samples, dir);
  await Promise.all(sidecars.map((one) => one.stop()));
}

await withTemporary('interception', async (dir) => {
  const absent = envoy.absent();
  const peers = absent === undefined ? (['direct', 'inox', 'envoy'] as const) : (['direct', 'inox'] as const);
  const excluded = CONVERSATIONS.map(({ ports }) => ports[1]).join(',');
  const pods = capturedPods(excluded);
  const samples: Samples = new Map(
    CONVERSATIONS.flatMap((one) => ['direct', 'inox', 'envoy'].map((peer) => [keyOf(one, peer), []])),
  );
  try {
    await startNginx(pods.server, [8080, 8090], [8081, 8091]);
    await startPeer(pods.server, '7001,7090', '');
    for (let i = 0; i < RUNS; i++) {
      for (const peer of peers) {
        process.stderr.write(`run ${i + 1} of ${RUNS}: ${peer}\n`);
        await measurePeer(pods, peer, samples, dir);
      }
    }
  } finally {
    await pods.close();
  }
  const results = CONVERSATIONS.map(
    (one): CaseResult => ({
      bench: { name: one.name, title: one.title, metrics: METRICS, ratioOf: 'cpuUs', reference: 'envoy' },
      peers: ['direct', 'inox', 'envoy'].map((peer) => {
        const taken = samples.get(keyOf(one, peer)) ?? [];
        return { peer, samples: taken, skipped: taken.length === 0 ? (absent ?? 'no run') : '' };
      }),
    }),
  );
  const options = { runs: RUNS, seconds: SECONDS, rate: RATE };
  if (values.output === 'json') process.stdout.write(reportJson(results, options));
  else process.stdout.write(`${results.map(caseTable).join('\n\n')}\n`);
});
