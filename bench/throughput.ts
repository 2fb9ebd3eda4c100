import {
  type BenchCase,
  type Metric,
  PLAIN_HTTP,
  type Sample,
  type Target,
  type Topology,
} from './topology.ts';
import { wrk } from './wrk.ts';

export const THROUGHPUT_METRICS: readonly Metric[] = [
  { key: 'cpuUs', label: 'CPU µs/req', digits: 1 },
  { key: 'rps', label: 'req/s', digits: 0 },
  { key: 'p50Ms', label: 'p50 ms', digits: 2 },
  { key: 'p99Ms', label: 'p99 ms', digits: 2 },
  { key: 'p999Ms', label: 'p99.9 ms', digits: 2 },
  { key: 'peakMb', label: 'peak MB', digits: 0 },
  { key: 'errors', label: 'errors', digits: 0 },
];

const BULK_METRICS: readonly Metric[] = [
  { key: 'cpuUs', label: 'CPU µs/MB', digits: 0 },
  { key: 'mbps', label: 'MB/s', digits: 0 },
  ...THROUGHPUT_METRICS.filter((metric) => metric.key.startsWith('p') || metric.key === 'errors'),
];

export interface ThroughputOptions {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  readonly topology?: Topology;
  readonly path?: string;
  readonly close?: boolean;
  /** Bodies of 1 MB: figures are per MB. */
  readonly bulk?: boolean;
}

/** A closed loop of GETs on `connections` connections, and what it cost the proxy. */
export function throughputCase(options: ThroughputOptions): BenchCase {
  const topology = options.topology ?? PLAIN_HTTP;
  return {
    name: options.name,
    title: options.title,
    topology,
    metrics: options.bulk === true ? BULK_METRICS : THROUGHPUT_METRICS,
    ratioOf: 'cpuUs',
    fresh: false,
    measure: async (target, { seconds, dir, generatorCore }): Promise<Sample> => {
      const cpuBefore = target.process?.cpuUs();
      const result = await wrk(target.port, {
        connections: options.connections,
        seconds,
        path: options.path ?? '/',
        close: options.close ?? false,
        routes: topology.routes,
        core: generatorCore,
        dir,
      });
      return {
        ...costOf(target, cpuBefore, result.requests),
        rps: result.requestsPerSecond,
        mbps: result.bytesPerSecond / 1e6,
        p50Ms: result.p50Us / 1000,
        p99Ms: result.p99Us / 1000,
        p999Ms: result.p999Us / 1000,
        errors: result.errors,
      };
    },
  };
}

/** CPU per request since `cpuBefore`, and the memory peak; nothing for `direct`. */
export function costOf(target: Target, cpuBefore: number | undefined, requests: number): Sample {
  if (target.process === undefined || cpuBefore === undefined) return {};
  return {
    cpuUs: (target.process.cpuUs() - cpuBefore) / requests,
    peakMb: target.process.peakRssBytes() / 2 ** 20,
  };
}
