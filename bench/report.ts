import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { BenchCase, Metric, Sample } from './topology.ts';

/** All runs of one peer in one case, or why there are none. */
export interface PeerResult {
  readonly peer: string;
  readonly samples: readonly Sample[];
  readonly skipped: string;
}

export interface CaseResult {
  readonly bench: Pick<BenchCase, 'name' | 'title' | 'metrics' | 'ratioOf' | 'reference'>;
  readonly peers: readonly PeerResult[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Peer that the ratio column divides by, unless the case names another. */
const REFERENCE = 'haproxy';

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

export function spreadOf(samples: readonly Sample[], key: string): Spread | undefined {
  const values = samples
    .map((sample) => sample[key])
    .filter((value): value is number => value !== undefined && Number.isFinite(value));
  if (values.length === 0) return undefined;
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** An aligned text table: medians, with the lowest and highest run in brackets. */
export function caseTable(result: CaseResult): string {
  const { bench, peers } = result;
  const against = bench.reference ?? REFERENCE;
  const reference = peers.find((peer) => peer.peer === against);
  const base = reference === undefined ? undefined : spreadOf(reference.samples, bench.ratioOf);
  const ratioLabel = bench.metrics.find((metric) => metric.key === bench.ratioOf)?.label ?? bench.ratioOf;
  const rows: string[][] = [['', ...bench.metrics.map((m) => m.label), `${ratioLabel} ÷ ${against}`]];
  const notes: string[] = [];
  for (const peer of peers) {
    if (peer.skipped !== '') {
      notes.push(`  ${peer.peer}: not run: ${peer.skipped}`);
      continue;
    }
    const own = spreadOf(peer.samples, bench.ratioOf);
    const ratio = own === undefined || base === undefined ? '-' : `${(own.median / base.median).toFixed(2)}×`;
    rows.push([peer.peer, ...bench.metrics.map((metric) => cell(peer.samples, metric)), ratio]);
  }
  return [`${bench.name}: ${bench.title}`, ...aligned(rows), ...notes].join('\n');
}

function cell(samples: readonly Sample[], metric: Metric): string {
  const spread = spreadOf(samples, metric.key);
  if (spread === undefined) return '-';
  const text = (value: number): string => value.toFixed(metric.digits);
  if (samples.length === 1 || text(spread.min) === text(spread.max)) return text(spread.median);
  return `${text(spread.median)} (${text(spread.min)}–${text(spread.max)})`;
}

function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    `  ${row.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ')}`.trimEnd(),
  );
}

/** Writes everything that was measured, with the machine it was measured on. */
export function writeJson(file: string, results: readonly CaseResult[], options: object): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, reportJson(results, options));
}

/** Everything that was measured, with the machine it was measured on. */
export function reportJson(results: readonly CaseResult[], options: object): string {
  const [cpu] = cpus();
  const report = {
    date: new Date().toISOString(),
    machine: { cpu: cpu?.model, cores: cpus().length, memoryBytes: totalmem(), kernel: release() },
    node: process.version,
    options,
    cases: results.map(({ bench, peers }) => ({
      name: bench.name,
      title: bench.title,
      peers: peers.map((peer) => ({
        ...peer,
        median: Object.fromEntries(
          bench.metrics.map((m) => [m.key, spreadOf(peer.samples, m.key)?.median ?? null]),
        ),
      })),
    })),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
