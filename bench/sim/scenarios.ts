import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Random } from '../../src/core/random.ts';
import type { Host } from '../../src/upstream/host.ts';
import { type Behaviour, exponential, type WorldSettings } from './world.ts';

export type Policy = 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'PEAK_EWMA';

/** A run to be done with each policy; everything but the policy is the same for all. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What happens when, for tables and plots. */
  readonly marks: readonly { readonly second: number; readonly label: string }[];
  readonly policies: readonly Policy[];
  /** Parts of the run that the tables show, in seconds. */
  readonly parts: readonly { readonly label: string; readonly from: number; readonly to: number }[];
  settings(policy: Policy, seed: number): WorldSettings;
}

/** How big a run is: the full one, or a small one for tests. */
export interface Size {
  readonly hostsPerZone: number;
  readonly requestsPerSecond: number;
}

export const FULL: Size = { hostsPerZone: 100, requestsPerSecond: 1500 };
export const SMALL: Size = { hostsPerZone: 10, requestsPerSecond: 150 };

const SERVICE_MS = 20;
const ZONES = ['a', 'b', 'c'] as const;

/** Hosts of three zones, 10.0.<zone>.<n>; `priorities`: the own zone a first, then b, then c. */
function threeZones(size: Size, policy: Policy, priorities: boolean, more: ClusterConfig): ClusterConfig {
  return {
    name: 'c',
    ...balancing(policy),
    outlierDetection: {
      consecutive5xx: 5,
      interval: 1000,
      baseEjectionTime: 10_000,
      maxEjectionPercent: 100,
    },
    circuitBreakers: { thresholds: [{ maxRequests: 100_000 }] },
    ...more,
    loadAssignment: {
      clusterName: 'c',
      endpoints: ZONES.map((zone, i) => ({
        locality: { region: 'r', zone },
        priority: priorities ? i : 0,
        lbEndpoints: Array.from({ length: size.hostsPerZone }, (_, n) => ({
          endpoint: { address: { socketAddress: { address: `10.0.${i}.${n + 1}`, portValue: 80 } } },
        })),
      })),
    },
  };
}

function balancing(policy: Policy): ClusterConfig {
  if (policy !== 'PEAK_EWMA') return { lbPolicy: policy };
  const typedConfig = {
    type: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
    value: {},
  };
  return { loadBalancingPolicy: { policies: [{ typedExtensionConfig: { typedConfig } }] } };
}

/** Number of the host within its zone, from 0. */
function numberOf(host: Host): number {
  return Number(host.address.ip.split('.')[3]) - 1;
}

function well(random: Random, factor = 1): Behaviour {
  return {
    kind: 'answer',
    status: 200,
    tookMs: factor * (SERVICE_MS / 2 + exponential(random, SERVICE_MS / 2)),
  };
}

/** A number in [0, 1) that belongs to a host. */
function trait(host: Host): number {
  return ((numberOf(host) + 1) * 0.618_033_988_749_895) % 1;
}

const DIES = 20;
const RETURNS = 50;
const WARM = 80;
const END = 100;

/**
 * The own zone is lost: half of its hosts refuse, half are silent. It comes back cold: some hosts take up to twenty
 * times as long, less and less over half a minute, and the coldest answer a tenth of their requests with 503.
 */
export function zoneLost(size: Size, retries = 1): Scenario {
  const behave = (host: Host, nowMs: number, random: Random): Behaviour => {
    const second = nowMs / 1000;
    if (host.locality.zone !== 'a' || second < DIES || second >= WARM) return well(random);
    if (second < RETURNS) return numberOf(host) % 2 === 0 ? { kind: 'refused' } : { kind: 'silent' };
    const cold = trait(host) * ((WARM - second) / (WARM - RETURNS));
    if (cold > 0.7 && random.float() < 0.1) return { kind: 'answer', status: 503, tookMs: 1 };
    return well(random, 1 + 19 * cold);
  };
  return {
    name: retries > 0 ? 'zone-lost' : 'zone-lost-no-retries',
    title: `A zone of ${size.hostsPerZone} hosts dies and comes back slow${retries > 0 ? '' : '; no retries'}`,
    marks: [
      { second: DIES, label: 'zone a dies' },
      { second: RETURNS, label: 'it is back, cold' },
      { second: WARM, label: 'it is warm' },
    ],
    parts: [
      { label: 'before', from: 5, to: DIES },
      { label: 'the first 5 s', from: DIES, to: DIES + 5 },
      { label: 'dead, from then on', from: DIES + 5, to: RETURNS },
      { label: 'cold', from: RETURNS, to: WARM },
      { label: 'warm', from: WARM, to: END },
      { label: 'all from 5 s after it died', from: DIES + 5, to: END },
    ],
    policies: ['ROUND_ROBIN', 'PEAK_EWMA'],
    settings: (policy, seed) => ({
      cluster: threeZones(size, policy, true, {}),
      requestsPerSecond: size.requestsPerSecond,
      endMs: END * 1000,
      attemptTimeoutMs: 500,
      retries,
      retryElsewhere: true,
      seed,
      behave,
    }),
  };
}

/** One host in ten takes ten times as long for twenty seconds; no retries, nothing is ejected. */
export function slowHosts(size: Size): Scenario {
  return {
    name: 'slow-hosts',
    title: 'One host in ten becomes ten times slower',
    marks: [
      { second: 20, label: 'slow' },
      { second: 40, label: 'well again' },
    ],
    parts: [
      { label: 'before', from: 5, to: 20 },
      { label: 'the first second', from: 20, to: 21 },
      { label: 'slow, from then on', from: 21, to: 40 },
      { label: 'after 20 s', from: 60, to: 80 },
    ],
    policies: ['ROUND_ROBIN', 'LEAST_REQUEST', 'PEAK_EWMA'],
    settings: (policy, seed) => ({
      cluster: threeZones(size, policy, false, {}),
      requestsPerSecond: size.requestsPerSecond,
      endMs: 80_000,
      attemptTimeoutMs: 2000,
      retries: 0,
      retryElsewhere: false,
      seed,
      behave: (host, nowMs, random) =>
        well(random, nowMs >= 20_000 && nowMs < 40_000 && numberOf(host) % 10 === 0 ? 10 : 1),
    }),
  };
}

/** All hosts fail half of what they are asked, and five retries are allowed: only the budget holds back the storm. */
export function retryStorm(size: Size): Scenario {
  return {
    name: 'retry-storm',
    title: 'Half of all requests fail, each may be retried five times',
    marks: [
      { second: 20, label: 'failures begin' },
      { second: 50, label: 'and end' },
    ],
    parts: [
      { label: 'before', from: 10, to: 20 },
      { label: 'the first 10 s', from: 20, to: 30 },
      { label: 'failing, from then on', from: 30, to: 50 },
      { label: 'after', from: 50, to: 70 },
    ],
    policies: ['ROUND_ROBIN', 'PEAK_EWMA'],
    settings: (policy, seed) => ({
      cluster: { ...threeZones(size, policy, false, {}), outlierDetection: undefined },
      requestsPerSecond: size.requestsPerSecond,
      endMs: 70_000,
      attemptTimeoutMs: 2000,
      retries: 5,
      retryElsewhere: false,
      seed,
      behave: (_host, nowMs, random) =>
        nowMs >= 20_000 && nowMs < 50_000 && random.float() < 0.5
          ? { kind: 'answer', status: 503, tookMs: 2 }
          : well(random),
    }),
  };
}

/** Every host is restarted in turn: it refuses for three seconds, then is cold for ten. */
export function rollingRestart(size: Size): Scenario {
  const beginMs = 10_000;
  const rolloutMs = 50_000;
  return {
    name: 'rolling-restart',
    title: 'Every host is restarted, one after the other',
    marks: [
      { second: 10, label: 'the first' },
      { second: 60, label: 'the last' },
    ],
    parts: [
      { label: 'before', from: 5, to: 10 },
      { label: 'restarts', from: 10, to: 63 },
      { label: 'after', from: 73, to: 90 },
    ],
    policies: ['ROUND_ROBIN', 'LEAST_REQUEST', 'PEAK_EWMA'],
    settings: (policy, seed) => ({
      cluster: threeZones(size, policy, false, {}),
      requestsPerSecond: size.requestsPerSecond,
      endMs: 90_000,
      attemptTimeoutMs: 2000,
      retries: 1,
      retryElsewhere: false,
      seed,
      behave: (host, nowMs, random) => {
        const zone = ZONES.map(String).indexOf(host.locality.zone);
        const turn = (zone * size.hostsPerZone + numberOf(host)) / (3 * size.hostsPerZone);
        const upMs = nowMs - beginMs - turn * rolloutMs;
        if (upMs < 0 || upMs >= 13_000) return well(random);
        return upMs < 3000 ? { kind: 'refused' } : well(random, 1 + 9 * (1 - (upMs - 3000) / 10_000));
      },
    }),
  };
}

export const SCENARIOS: readonly ((size: Size) => Scenario)[] = [
  (size) => zoneLost(size),
  (size) => zoneLost(size, 0),
  slowHosts,
  retryStorm,
  rollingRestart,
];
