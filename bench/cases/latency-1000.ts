import { fixedRate } from '../h2load.ts';
import { costOf } from '../throughput.ts';
import { type BenchCase, PLAIN_HTTP } from '../topology.ts';

const RATE = 1000;

export const latencyThousand: BenchCase = {
  name: 'latency-1000',
  title: 'Latency at a fixed 1,000 requests/s over 100 connections, HTTP/1.1, 100-byte bodies',
  topology: PLAIN_HTTP,
  metrics: [
    { key: 'p50Ms', label: 'p50 ms', digits: 3 },
    { key: 'p99Ms', label: 'p99 ms', digits: 3 },
    { key: 'p999Ms', label: 'p99.9 ms', digits: 3 },
    { key: 'maxMs', label: 'max ms', digits: 2 },
    { key: 'cpuUs', label: 'CPU µs/req', digits: 1 },
    { key: 'failed', label: 'failed', digits: 0 },
    { key: 'omitted', label: 'runs with omission', digits: 0 },
  ],
  ratioOf: 'p99Ms',
  fresh: false,
  measure: async (target, { seconds, dir, generatorCore }) => {
    const cpuBefore = target.process?.cpuUs();
    const result = await fixedRate(target.port, { rate: RATE, seconds, core: generatorCore, dir });
    return {
      ...costOf(target, cpuBefore, result.requests),
      p50Ms: result.p50Us / 1000,
      p99Ms: result.p99Us / 1000,
      p999Ms: result.p999Us / 1000,
      maxMs: result.maxUs / 1000,
      failed: result.failed,
      omitted: result.omitted ? 1 : 0,
    };
  },
};
