import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pinned } from './process.ts';
import { costOf, THROUGHPUT_METRICS } from './throughput.ts';
import { type BenchCase, PLAIN_HTTP, type Sample, type Topology } from './topology.ts';

const run = promisify(execFile);

export interface H2ThroughputOptions {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  /** Requests at once on each connection. */
  readonly streams: number;
  readonly topology?: Topology;
  readonly path?: string;
  /** Requests are POSTs with a body of this length. */
  readonly postBytes?: number;
}

/** A closed loop of GETs over HTTP/2 without TLS, and what it cost the proxy. */
export function h2ThroughputCase(options: H2ThroughputOptions): BenchCase {
  return {
    name: options.name,
    title: options.title,
    topology: { ...(options.topology ?? PLAIN_HTTP), downstream: 'h2' },
    metrics: THROUGHPUT_METRICS.filter(({ key }) => key !== 'p99Ms' && key !== 'p999Ms' && key !== 'p50Ms'),
    ratioOf: 'cpuUs',
    reference: 'envoy',
    fresh: false,
    measure: async (target, { seconds, dir, generatorCore }): Promise<Sample> => {
      const command = findCommand('h2load');
      if (command === undefined) throw new Error('the generator is missing: apt install nghttp2-client');
      const load = [`-c${options.connections}`, `-m${options.streams}`, `-D${Math.ceil(seconds)}`];
      if (options.postBytes !== undefined) {
        const body = join(dir, 'body');
        writeFileSync(body, Buffer.alloc(options.postBytes, 'x'));
        load.push('-d', body);
      }
      const url = `http://127.0.0.1:${target.port}${options.path ?? '/'}`;
      const argv = pinned([command, '-t1', ...load, url], generatorCore);
      const cpuBefore = target.process?.cpuUs();
      const { stdout } = await run(argv[0] ?? '', argv.slice(1), { timeout: (seconds + 30) * 1000 });
      const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout);
      const rate = /, ([\d.]+) req\/s/.exec(stdout);
      if (counts === null || rate === null) throw new Error(`h2load printed no result:\n${stdout}`);
      const requests = Number(counts[1]);
      return {
        ...costOf(target, cpuBefore, requests),
        rps: Number(rate[1]),
        errors: Number(counts[2]) + Number(counts[3]),
      };
    },
  };
}
