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
export async function fixedRate(port: number, options: RateOptions): Promise<RateResult> {
  const rows = await fixedRateLog(port, options);
  // Each connection's first request also opens the way to the upstream.
  return summary(rows, connectionsFor(options));
}

export interface RateOptions {
  /** Requests per second over all connections. */
  readonly rate: number;
  readonly seconds: number;
  readonly core: number;
  readonly dir: string;
  /** This machine when left out. */
  readonly host?: string;
  /** HTTP/2 by prior knowledge, one stream at a time on each connection. */
  readonly http2?: boolean;
  /** In front of the command: where it runs. */
  readonly inside?: readonly string[];
}

/** One request of a fixed-rate run. */
export interface RateRow {
  readonly startUs: number;
  /** −1 when the stream failed. */
  readonly status: number;
  readonly tookUs: number;
}

const connectionsFor = (options: RateOptions): number =>
  Math.max(1, Math.round(options.rate / PER_CONNECTION));

/** The requests in the order they were sent. */
export async function fixedRateLog(port: number, options: RateOptions): Promise<RateRow[]> {
  const command = findCommand('h2load');
  if (command === undefined)
    throw new Error('the fixed-rate generator is missing: apt install nghttp2-client');
  const total = Math.round(options.rate * options.seconds);
  const log = join(options.dir, `h2load-${port}.log`);
  rmSync(log, { force: true });
  const { host = '127.0.0.1', http2 = false, inside = [] } = options;
  const argv = pinned(
    [
      ...[...inside, command, ...(http2 ? [] : ['--h1'])],
      ...['-t1', `-c${connectionsFor(options)}`, `-n${total}`, '-r1', '--rate-period=1ms'],
      ...[`--rps=${PER_CONNECTION}`, `--log-file=${log}`, `http://${host}:${port}/`],
    ],
    options.core,
  );
  await run(argv[0] ?? '', argv.slice(1), { timeout: (options.seconds + 30) * 1000 });
  return parse(readFileSync(log, 'latin1'));
}

/** Columns: start in µs since the epoch, status, µs until the end of the response. */
function parse(log: string): RateRow[] {
  const rows = log
    .trim()
    .split('\n')
    .map((line): RateRow => {
      const [startUs = Number.NaN, status = -1, tookUs = Number.NaN] = line.split('\t').map(Number);
      return { startUs, status, tookUs };
    });
  return rows.sort((a, b) => a.startUs - b.startUs);
}

/** Summary of `rows`, without the first `skip`. */
export function summary(rows: readonly RateRow[], skip: number): RateResult {
  const times = rows.slice(skip).map((row) => row.tookUs);
  times.sort((a, b) => a - b);
  const at = (q: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN;
  const maxUs = times.at(-1) ?? Number.NaN;
  return {
    requests: rows.length,
    failed: rows.filter((row) => row.status !== 200).length,
    p50Us: at(0.5),
    p99Us: at(0.99),
    p999Us: at(0.999),
    maxUs,
    omitted: maxUs >= 1e6 / PER_CONNECTION,
  };
}
