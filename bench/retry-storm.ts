import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom } from '../src/core/random.ts';
import { fixedRateLog, type RateRow } from './h2load.ts';
import { claim, withTemporary } from './own-proxy.ts';
import { envoyPath } from './peers/envoy.ts';
import { inoxPath } from './peers/inox.ts';
import { start } from './process.ts';
import { assertFree, untilAnswers } from './ready.ts';

// A retry storm over real sockets: three hosts fail half of their requests, clients send at a fixed rate, and
// `retry_on: 5xx, num_retries: 3` asks for more. What matters is how many requests the hosts get.

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '30' },
    'base-port': { type: 'string', default: '27470' },
  },
});

const RATE = Number(values.rate);
const SECONDS = Number(values.seconds);
const BASE_PORT = Number(values['base-port']);
const HOSTS = 3;
const ANSWER_MS = 5;
/** By then the budget of the time before is used up. */
const STEADY_FROM = Math.min(10, Math.floor(SECONDS / 2));
const ALLOWED = 1.22;

interface Contender {
  readonly name: string;
  readonly program: 'inox' | 'envoy';
  /** `max_retries` of the cluster; undefined leaves it out. */
  readonly maxRetries?: number;
}

const CONTENDERS: readonly Contender[] = [
  { name: 'inox, its default', program: 'inox' },
  { name: 'Envoy, its default (3 at once)', program: 'envoy' },
  { name: 'Envoy, max_retries raised (as Istio sets it)', program: 'envoy', maxRetries: 4_294_967_295 },
];

interface Outcome {
  readonly name: string;
  /** Requests that the hosts got and clients sent, by second. */
  readonly upstream: readonly number[];
  readonly downstream: readonly number[];
  readonly rows: readonly RateRow[];
}

async function observe(contender: Contender, dir: string, port: number): Promise<Outcome> {
  mkdirSync(dir, { recursive: true });
  const hosts = await FailingHosts.start(port + 2);
  await assertFree(port);
  const file = join(dir, 'config.json');
  writeFileSync(file, JSON.stringify(config(contender, port)));
  const argv =
    contender.program === 'inox'
      ? [inoxPath(), 'run', '-c', file, '--concurrency', '1', '-l', 'error']
      : [envoyPath() ?? '', '-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
  const running = start(argv, 0, join(dir, 'log'));
  try {
    await untilAnswers(port, running, join(dir, 'log'));
    hosts.failing = true;
    hosts.times.length = 0;
    const core = availableParallelism() > 1 ? 1 : 0;
    const rows = await fixedRateLog(port, { rate: RATE, seconds: SECONDS, core, dir });
    const beginMs = (rows[0]?.startUs ?? 0) / 1000;
    return {
      name: contender.name,
      upstream: bySecond(hosts.times.map((ms) => ms - beginMs)),
      downstream: bySecond(rows.map((row) => row.startUs / 1000 - beginMs)),
      rows,
    };
  } finally {
    await running.stop();
    hosts.close();
  }
}

/** Answers after a few milliseconds, half of the time with 503, and notes when it was asked. */
class FailingHosts {
  failing = false;
  readonly times: number[] = [];
  readonly #servers: http.Server[] = [];

  static async start(port: number): Promise<FailingHosts> {
    const hosts = new FailingHosts();
    const random = createRandom(1);
    for (let i = 0; i < HOSTS; i++) {
      const server = http.createServer({ noDelay: true, keepAliveTimeout: 300_000 }, (_request, response) => {
        hosts.times.push(performance.timeOrigin + performance.now());
        const status = hosts.failing && random.uint32() % 2 === 0 ? 503 : 200;
        setTimeout(() => response.writeHead(status, { 'content-length': 0 }).end(), ANSWER_MS);
      });
      hosts.#servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port + i, '127.0.0.1', resolve);
      });
    }
    return hosts;
  }

  close(): void {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

function bySecond(afterMs: readonly number[]): number[] {
  const out = Array.from({ length: SECONDS }, () => 0);
  for (const ms of afterMs) {
    const second = Math.floor(ms / 1000);
    if (second >= 0 && second < SECONDS) out[second] = (out[second] ?? 0) + 1;
  }
  return out;
}

function printTable(outcomes: readonly Outcome[]): void {
  const line = (cells: readonly string[]): void => void process.stdout.write(`| ${cells.join(' | ')} |\n`);
  process.stdout.write('Requests at the hosts per request of a client, by second:\n\n');
  line(['second', ...outcomes.map((outcome) => outcome.name)]);
  line(['---:', ...outcomes.map(() => '---:')]);
  for (let second = 0; second < SECONDS; second++)
    line([String(second + 1), ...outcomes.map((one) => ratio(one, second, second + 1).toFixed(2))]);
  line(['steady', ...outcomes.map((one) => `**${ratio(one, STEADY_FROM, SECONDS).toFixed(3)}**`)]);
  line(['answered 200', ...outcomes.map((one) => `${(100 * success(one)).toFixed(1)} %`)]);
  process.stdout.write('\n');
}

function judge(outcome: Outcome): void {
  const steady = ratio(outcome, STEADY_FROM, SECONDS);
  const sent = sum(outcome.downstream, STEADY_FROM, SECONDS) / (SECONDS - STEADY_FROM);
  const text = `${outcome.name}: ${sent.toFixed(0)} requests/s from clients, ${steady.toFixed(3)} times as many at the hosts`;
  if (outcome.name.startsWith('inox'))
    claim(`${text} (${ALLOWED} allowed)`, steady <= ALLOWED && sent > RATE * 0.9);
  else process.stdout.write(`       ${text}\n`);
}

const success = (outcome: Outcome): number =>
  outcome.rows.filter((row) => row.status === 200).length / outcome.rows.length;

const ratio = (outcome: Outcome, from: number, to: number): number =>
  sum(outcome.upstream, from, to) / Math.max(1, sum(outcome.downstream, from, to));

const sum = (counts: readonly number[], from: number, to: number): number =>
  counts.slice(from, to).reduce((a, b) => a + b, 0);

function config(contender: Contender, port: number): object {
  const address = (at: number): object => ({ socket_address: { address: '127.0.0.1', port_value: at } });
  const { maxRetries } = contender;
  // Envoy's other limits are far away at this rate; only retries differ.
  const breakers =
    maxRetries === undefined ? {} : { circuit_breakers: { thresholds: [{ max_retries: maxRetries }] } };
  const route = {
    match: { prefix: '/' },
    route: { cluster: 'failing', retry_policy: { retry_on: '5xx', num_retries: 3 } },
  };
  const extensions = 'type.googleapis.com/envoy.extensions.filters';
  const manager = {
    '@type': `${extensions}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: { name: 'local', virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [{ name: 'router', typed_config: { '@type': `${extensions}.http.router.v3.Router` } }],
  };
  return {
    admin: { address: address(port + 1) },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: address(port),
          filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          name: 'failing',
          connect_timeout: '1s',
          ...breakers,
          load_assignment: {
            cluster_name: 'failing',
            endpoints: [
              {
                lb_endpoints: Array.from({ length: HOSTS }, (_, i) => ({
                  endpoint: { address: address(port + 2 + i) },
                })),
              },
            ],
          },
        },
      ],
    },
  };
}

await withTemporary('retry-storm', async (dir) => {
  const outcomes: Outcome[] = [];
  for (const [index, contender] of CONTENDERS.entries()) {
    if (contender.program === 'envoy' && envoyPath() === undefined) {
      process.stdout.write(`${contender.name}: no Envoy here, see bench/README.md\n`);
      continue;
    }
    process.stderr.write(`${contender.name} …\n`);
    outcomes.push(await observe(contender, join(dir, String(index)), BASE_PORT + index * 10));
  }
  printTable(outcomes);
  for (const outcome of outcomes) judge(outcome);
});
