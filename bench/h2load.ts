import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pinned } from './process.ts';

const run = promisify(execFile);

export interface RateResult {
  readonly requests: number;
  readonly failed: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  /** Requests that were sent late because their connection was still busy: the figures omit part of a stall. */
  readonly omitted: boolean;
}

/** One request per 100 ms and connection, so a stall under 100 ms delays no later send (see README, "Latency"). */
const PER_CONNECTION = 10;

/**
 * Fixed rate over many slow connections, started 1 ms apart so that requests are spread evenly. Each connection
 * sends on its own schedule, whatever the others wait for.
 */
export async function fixedRate(
  port: number,
  options: { rate: number; seconds: number; core: number; dir: string },
): Promise<RateResult> {
  const command = findCommand('h2load');
  if (command === undefined)
    throw new Error('the fixed-rate generator is missing: apt install nghttp2-client');
  const connections = Math.max(1, Math.round(options.rate / PER_CONNECTION));
  const total = Math.round(options.rate * options.seconds);
  const log = join(options.dir, `h2load-${port}.log`);
  rmSync(log, { force: true });
  const argv = pinned(
    [
      ...[command, '--h1', '-t1', `-c${connections}`, `-n${total}`, '-r1', '--rate-period=1ms'],
      ...[`--rps=${PER_CONNECTION}`, `--log-file=${log}`, `http://127.0.0.1:${port}/`],
    ],
    options.core,
  );
  await run(argv[0] ?? '', argv.slice(1), { timeout: (options.seconds + 30) * 1000 });
  return summary(readFileSync(log, 'latin1'), connections);
}

function summary(log: string, connections: number): RateResult {
  // Columns: start in µs since the epoch, status, µs until the end of the response.
  const rows = log
    .trim()
    .split('\n')
    .map((line) => line.split('\t').map(Number));
  rows.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
  // Each connection's first request also opens the way to the upstream.
  const steady = rows.slice(connections);
  const times = steady.map((row) => row[2] ?? Number.NaN).sort((a, b) => a - b);
  const at = (q: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN;
  const maxUs = times.at(-1) ?? Number.NaN;
  return {
    requests: rows.length,
    failed: rows.filter((row) => row[1] !== 200).length,
    p50Us: at(0.5),
    p99Us: at(0.99),
    p999Us: at(0.999),
    maxUs,
    omitted: maxUs >= 1e6 / PER_CONNECTION,
  };
}
