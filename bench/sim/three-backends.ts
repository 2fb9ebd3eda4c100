/**
 * Load balancing under a virtual clock: three backends, one of which turns bad for a while. The real balancers
 * pick; only time, the backends and the clients are simulated, so that a run is repeatable to the last request.
 *
 *   node bench/sim/run.ts three-backends
 */
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import type { Clock } from '../../src/core/clock.ts';
import { createRandom, type Random } from '../../src/core/random.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import { StatStore } from '../../src/stats/store.ts';
import type { Cluster } from '../../src/upstream/cluster.ts';
import { createLocalHoldings } from '../../src/upstream/holdings.ts';
import type { Host } from '../../src/upstream/host.ts';

export type Policy = 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'PEAK_EWMA';
export const POLICIES: readonly Policy[] = ['ROUND_ROBIN', 'LEAST_REQUEST', 'PEAK_EWMA'];

/** What becomes of the first backend between `badFromMs` and `badToMs`. */
export type Trouble =
  | { readonly kind: 'slower'; readonly byMs: number }
  | { readonly kind: 'answers 503 at once' };

export interface Scenario {
  readonly policy: Policy;
  readonly trouble: Trouble;
  readonly backends: number;
  readonly requestsPerSecond: number;
  /** Mean of the time that a well backend takes; half of it is fixed, half exponentially distributed. */
  readonly serviceMs: number;
  readonly badFromMs: number;
  readonly badToMs: number;
  readonly endMs: number;
  readonly decayMs: number;
  readonly seed: number;
}

export const DEFAULT_SCENARIO: Scenario = {
  policy: 'PEAK_EWMA',
  trouble: { kind: 'slower', byMs: 50 },
  backends: 3,
  requestsPerSecond: 600,
  serviceMs: 5,
  badFromMs: 20_000,
  badToMs: 40_000,
  endMs: 100_000,
  decayMs: 10_000,
  seed: 1,
};

/** One request of a run. */
export interface Sample {
  readonly sentMs: number;
  readonly latencyMs: number;
  /** Index of the backend. */
  readonly backend: number;
  readonly failed: boolean;
}

interface Completion {
  readonly atMs: number;
  readonly sentMs: number;
  readonly host: Host;
  readonly failed: boolean;
}

class VirtualClock implements Clock {
  ms = 0;
  now(): number {
    return this.ms;
  }
  wall(): number {
    return this.ms;
  }
}

/** Runs a scenario: open-loop Poisson arrivals, each sent to the host that the policy picks. */
export function simulate(scenario: Scenario): Sample[] {
  const clock = new VirtualClock();
  const cluster = createCluster(scenario, clock);
  // Its own generator: all policies see the same arrivals.
  const arrivals = createRandom(scenario.seed + 1);
  const service = createRandom(scenario.seed + 2);
  const samples: Sample[] = [];
  const running: Completion[] = [];
  let nextMs = 0;
  for (;;) {
    const first = running[0];
    if (first !== undefined && first.atMs <= nextMs) {
      clock.ms = first.atMs;
      running.shift();
      samples.push(complete(first));
      continue;
    }
    if (nextMs >= scenario.endMs) break;
    clock.ms = nextMs;
    insert(running, send(scenario, cluster, clock.ms, service));
    nextMs += exponential(arrivals, 1000 / scenario.requestsPerSecond);
  }
  return samples;
}

/** Part of the requests sent in [fromMs, toMs) that went to `backend`. */
export function share(samples: readonly Sample[], backend: number, fromMs: number, toMs: number): number {
  const within = samples.filter((s) => s.sentMs >= fromMs && s.sentMs < toMs);
  return within.filter((s) => s.backend === backend).length / within.length;
}

/** `percent`-th percentile of the latency of requests sent in [fromMs, toMs). */
export function percentile(
  samples: readonly Sample[],
  percent: number,
  fromMs: number,
  toMs: number,
): number {
  const sorted = samples
    .filter((s) => s.sentMs >= fromMs && s.sentMs < toMs)
    .map((s) => s.latencyMs)
    .sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

function createCluster(scenario: Scenario, clock: Clock): Cluster {
  const unused = (): never => {
    throw new Error('the simulation opens no connection');
  };
  return compileCluster(clusterConfig(scenario), {
    stats: new StatStore().root,
    clock,
    random: createRandom(scenario.seed),
    timers: new TimerWheel(clock),
    dial: unused,
    createHttp1: unused,
    createHttp2: unused,
    holdings: createLocalHoldings,
    envoyStrict: false,
    addedViaApi: false,
    primary: true,
    promoteLeastRequest: false,
  });
}

function clusterConfig({ policy, backends, decayMs }: Scenario): ClusterConfig {
  const lbEndpoints = Array.from({ length: backends }, (_, i) => ({
    endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: i + 1 } } },
  }));
  const base: ClusterConfig = {
    name: 'c',
    loadAssignment: { clusterName: 'c', endpoints: [{ lbEndpoints }] },
  };
  if (policy !== 'PEAK_EWMA') return { ...base, lbPolicy: policy };
  const typedConfig = {
    type: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
    value: { decayTime: decayMs },
  };
  return { ...base, loadBalancingPolicy: { policies: [{ typedExtensionConfig: { typedConfig } }] } };
}

function send(scenario: Scenario, cluster: Cluster, nowMs: number, random: Random): Completion {
  const host = cluster.pick();
  if (host === undefined) throw new Error('no host');
  host.inflight++;
  const bad = host.address.port === 1 && nowMs >= scenario.badFromMs && nowMs < scenario.badToMs;
  const { trouble, serviceMs } = scenario;
  const normalMs = serviceMs / 2 + exponential(random, serviceMs / 2);
  const failed = bad && trouble.kind === 'answers 503 at once';
  const tookMs = failed ? 0.5 : normalMs + (bad && trouble.kind === 'slower' ? trouble.byMs : 0);
  return { atMs: nowMs + tookMs, sentMs: nowMs, host, failed };
}

function complete({ atMs, sentMs, host, failed }: Completion): Sample {
  host.inflight--;
  host.onResponse(failed ? 503 : 200, atMs - sentMs);
  return { sentMs, latencyMs: atMs - sentMs, backend: host.address.port - 1, failed };
}

function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random.float());
}

/** Sorted by completion; the list is as short as the number of requests under way. */
function insert(running: Completion[], completion: Completion): void {
  let at = running.length;
  while (at > 0 && (running[at - 1]?.atMs ?? 0) > completion.atMs) at--;
  running.splice(at, 0, completion);
}

export function report(): void {
  const rows: Record<string, string>[] = [];
  for (const kind of ['slower', 'answers 503 at once'] as const) {
    const trouble: Trouble = kind === 'slower' ? { kind, byMs: 50 } : { kind };
    for (const policy of POLICIES) rows.push(row({ ...DEFAULT_SCENARIO, policy, trouble }));
  }
  console.table(rows);
}

function row(scenario: Scenario): Record<string, string> {
  const { badFromMs, badToMs, endMs, decayMs } = scenario;
  const samples = simulate(scenario);
  const percent = (from: number, to: number): string => `${(100 * share(samples, 0, from, to)).toFixed(1)} %`;
  const p99 = (from: number, to: number): string => percentile(samples, 99, from, to).toFixed(1);
  const failed = samples.filter((s) => s.failed).length;
  return {
    'first backend':
      scenario.trouble.kind === 'slower' ? `${scenario.trouble.byMs} ms slower` : scenario.trouble.kind,
    policy: scenario.policy,
    'its share before': percent(0, badFromMs),
    'first second': percent(badFromMs, badFromMs + 1000),
    'later seconds': percent(badFromMs + 1000, badToMs),
    'after 5 decays': percent(badToMs + 5 * decayMs, endMs),
    'p99 before (ms)': p99(0, badFromMs),
    'p99 first second': p99(badFromMs, badFromMs + 1000),
    'p99 later seconds': p99(badFromMs + 1000, badToMs),
    'failed requests': String(failed),
  };
}
