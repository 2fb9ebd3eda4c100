import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type DelayedBackend, startDelayedBackend } from './delayed-backend.ts';
import { fixedRateLog, type RateOptions, type RateRow, summary } from './h2load.ts';
import { claim, startInox, withTemporary } from './own-proxy.ts';
import { balancedConfig, type Policy } from './peers/balanced-config.ts';

// Three backends behind one cluster, over real sockets at a fixed rate. One backend turns 50 ms slower for a
// while; in a second run one answers 503 at once. Peak-EWMA beside ROUND_ROBIN and LEAST_REQUEST.

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '600' },
    decay: { type: 'string', default: '10' },
    quick: { type: 'boolean', default: false },
    'base-port': { type: 'string', default: '27440' },
  },
});

const RATE = Number(values.rate);
const DECAY_SECONDS = values.quick ? 2 : Number(values.decay);
const BASE_PORT = Number(values['base-port']);
const BASE_DELAY_MS = 5;
const SLOWER_MS = 50;
const BEFORE_SECONDS = 5;
const SLOW_SECONDS = values.quick ? 5 : 10;
const FAILING_SECONDS = values.quick ? 4 : 10;
const STEP_MS = 250;
const POLICIES: readonly Policy[] = ['PEAK_EWMA', 'ROUND_ROBIN', 'LEAST_REQUEST'];

/** Share of the third backend in one step, of everything that was begun in it. */
interface Step {
  readonly endSeconds: number;
  readonly share: number;
}

interface Outcome {
  readonly policy: Policy;
  readonly steps: readonly Step[];
  readonly rows: readonly RateRow[];
  readonly startUs: number;
  readonly slowAt: number;
  readonly normalAt: number;
  readonly failingShare: number;
}

await withTemporary('peak-ewma', async (dir) => {
  const outcomes: Outcome[] = [];
  for (const [index, policy] of POLICIES.entries()) {
    process.stderr.write(`${policy} …\n`);
    outcomes.push(await observe(policy, join(dir, policy), BASE_PORT + index * 10));
  }
  printShares(outcomes);
  printLatency(outcomes);
  for (const { policy, rows } of outcomes) {
    const failed = rows.filter((row) => row.status !== 200).length;
    claim(`${policy}: ${rows.length} requests while one backend was slow, ${failed} failed`, failed === 0);
  }
  const [peak] = outcomes;
  if (peak !== undefined) judge(peak);
});

async function observe(policy: Policy, dir: string, port: number): Promise<Outcome> {
  const delays = [BASE_DELAY_MS, BASE_DELAY_MS, BASE_DELAY_MS];
  const backends = await Promise.all(delays.map((delay, i) => startDelayedBackend(port + 2 + i, delay)));
  const ports = backends.map((backend) => backend.port);
  const proxy = await startInox(balancedConfig(policy, DECAY_SECONDS, ports, port, port + 1), port, dir);
  try {
    const slowed = await slowOne(policy, backends, port, dir);
    const failingShare = await failOne(backends, port, dir);
    return { policy, ...slowed, failingShare };
  } finally {
    await proxy.stop();
    for (const backend of backends) backend.close();
  }
}

async function slowOne(
  policy: Policy,
  backends: readonly DelayedBackend[],
  port: number,
  dir: string,
): Promise<Omit<Outcome, 'policy' | 'failingShare'>> {
  // Only Peak-EWMA remembers; the others need no long look at the recovery.
  const after = policy === 'PEAK_EWMA' ? 5 * DECAY_SECONDS + 2 : 5;
  const load = fixedRateLog(port, options(BEFORE_SECONDS + SLOW_SECONDS + after, dir));
  const [, , third] = backends;
  const startMs = Date.now();
  const steps: Step[] = [];
  const seconds = (): number => (Date.now() - startMs) / 1000;
  const follow = async (until: number): Promise<void> => {
    while (seconds() < until)
      steps.push({ share: await shareDuring(backends, STEP_MS), endSeconds: seconds() });
  };
  await follow(BEFORE_SECONDS);
  const slowAt = seconds();
  if (third !== undefined) third.delayMs += SLOWER_MS;
  await follow(slowAt + SLOW_SECONDS);
  const normalAt = seconds();
  if (third !== undefined) third.delayMs = BASE_DELAY_MS;
  await follow(normalAt + after - 0.5);
  return { steps, rows: await load, startUs: startMs * 1000, slowAt, normalAt };
}

/** Share of a backend that fails at once, while the others take their time. */
async function failOne(backends: readonly DelayedBackend[], port: number, dir: string): Promise<number> {
  const [, , third] = backends;
  if (third !== undefined) third.status = 503;
  const load = fixedRateLog(port, options(FAILING_SECONDS, dir));
  await sleep(500);
  const share = await shareDuring(backends, FAILING_SECONDS * 1000 - 1000);
  await load;
  return share;
}

function options(seconds: number, dir: string): RateOptions {
  return {
    rate: RATE,
    seconds,
    core: availableParallelism() > 1 ? 1 : 0,
    dir,
  };
}

async function shareDuring(backends: readonly DelayedBackend[], ms: number): Promise<number> {
  const before = backends.map((backend) => backend.requests);
  await sleep(ms);
  const counts = backends.map((backend, i) => backend.requests - (before[i] ?? 0));
  const all = counts.reduce((sum, count) => sum + count, 0);
  return all === 0 ? Number.NaN : (counts[2] ?? 0) / all;
}

function printShares(outcomes: readonly Outcome[]): void {
  process.stdout.write('Share of the third backend (fair: 33.3 %), seconds since it turned 50 ms slower:\n');
  const times = [-1, 0.25, 0.5, 1, 2, SLOW_SECONDS];
  const header = [
    ...times.map((time) => `${time} s`),
    'back +1 s',
    'back +1 decay',
    'back +5 decay',
    '503 at once',
  ];
  process.stdout.write(`  ${''.padEnd(14)}${header.map((text) => text.padStart(14)).join('')}\n`);
  for (const outcome of outcomes) {
    const cells = times.map((time) => shareAt(outcome, outcome.slowAt + time));
    for (const time of [1, DECAY_SECONDS, 5 * DECAY_SECONDS])
      cells.push(shareAt(outcome, outcome.normalAt + time));
    cells.push(percent(outcome.failingShare));
    process.stdout.write(
      `  ${outcome.policy.padEnd(14)}${cells.map((text) => text.padStart(14)).join('')}\n`,
    );
  }
  process.stdout.write('\n');
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)} %`;
}

/** The step that ends nearest to `seconds`, when there is one. */
function shareAt(outcome: Outcome, seconds: number): string {
  const step = outcome.steps.find((one) => Math.abs(one.endSeconds - seconds) <= STEP_MS / 1000);
  return percent(step?.share ?? Number.NaN);
}

function printLatency(outcomes: readonly Outcome[]): void {
  process.stdout.write(`Latency seen by the client at ${RATE} requests/s, ms:\n`);
  const header = ['before p50', 'before p99', 'slow p50', 'slow p99', 'slow p99 (after 1 s)', 'back p99'];
  process.stdout.write(`  ${''.padEnd(14)}${header.map((text) => text.padStart(21)).join('')}\n`);
  for (const outcome of outcomes) {
    const { slowAt, normalAt } = outcome;
    const before = phase(outcome, 1, slowAt);
    const slow = phase(outcome, slowAt, normalAt);
    const settled = phase(outcome, slowAt + 1, normalAt);
    const back = phase(outcome, normalAt + 0.1, Number.POSITIVE_INFINITY);
    const cells = [before.p50Us, before.p99Us, slow.p50Us, slow.p99Us, settled.p99Us, back.p99Us];
    const text = cells.map((us) => (us / 1000).toFixed(1).padStart(21)).join('');
    process.stdout.write(`  ${outcome.policy.padEnd(14)}${text}\n`);
  }
  process.stdout.write('\n');
}

function phase(outcome: Outcome, fromSeconds: number, toSeconds: number): ReturnType<typeof summary> {
  const rows = outcome.rows.filter((row) => {
    const at = (row.startUs - outcome.startUs) / 1e6;
    return at >= fromSeconds && at < toSeconds;
  });
  return summary(rows, 0);
}

function judge(outcome: Outcome): void {
  const fair = 1 / 3;
  // The first whole step that ends a second after the change.
  const fallen = outcome.steps.find((step) => step.endSeconds >= outcome.slowAt + 1);
  claim(
    `PEAK_EWMA: a second after one backend turned 50 ms slower it gets ${percent(fallen?.share ?? Number.NaN)} (under ${percent(fair / 5)})`,
    fallen !== undefined && fallen.share < fair / 5,
  );
  // A single step at this rate holds about fifty requests of a fair share: five steps make it steady.
  const backAt = outcome.steps.findIndex(
    (step, i) => step.endSeconds > outcome.normalAt && mean(outcome.steps.slice(i, i + 5)) >= fair * 0.8,
  );
  const took = (outcome.steps[backAt]?.endSeconds ?? Number.NaN) - outcome.normalAt;
  claim(
    `PEAK_EWMA: it is back at 80 % of a fair share after ${took.toFixed(1)} s (5 × decay: ${5 * DECAY_SECONDS} s)`,
    took <= 5 * DECAY_SECONDS,
  );
  claim(
    `PEAK_EWMA: a backend that answers 503 at once gets ${percent(outcome.failingShare)} (no more than a fair share)`,
    outcome.failingShare <= fair,
  );
}

function mean(steps: readonly Step[]): number {
  return steps.reduce((sum, step) => sum + step.share, 0) / Math.max(1, steps.length);
}
