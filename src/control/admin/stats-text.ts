import { bucketLow, bucketWidth } from '../../stats/buckets.ts';
import { countsUpTo, type Distribution, EMPTY_DISTRIBUTION, quantilesOf } from '../../stats/distribution.ts';
import { BUCKET_BOUNDS, PERCENTILES } from '../../stats/exposition.ts';
import type { Series } from '../../stats/series.ts';
import type { ChosenStats, HistogramView } from './stats-view.ts';

/** `/stats` as text: `name: value` lines, then histograms. A piece is empty where there is nothing to show. */
export function* renderText(chosen: ChosenStats, view: HistogramView): Generator<string> {
  for (const [name, value] of chosen.texts) yield `${name}: "${value}"\n`;
  for (const series of chosen.series) {
    if (series.kind === 'histogram') continue;
    yield chosen.shows(series) ? `${series.name}: ${series.value()}\n` : '';
  }
  for (const series of chosen.series) {
    if (series.kind !== 'histogram') continue;
    if (!chosen.shows(series)) yield '';
    else yield series.used() ? describe(series, view) : `${series.name}: No recorded values\n`;
  }
}

function describe(series: Series, view: HistogramView): string {
  const cumulative = series.cumulative();
  const interval = series.interval() ?? EMPTY_DISTRIBUTION;
  switch (view) {
    case 'summary':
      return `${series.name}: ${summary(interval, cumulative)}\n`;
    case 'cumulative':
      return `${series.name}: ${bucketList(countsUpTo(interval, BUCKET_BOUNDS), countsUpTo(cumulative, BUCKET_BOUNDS))}\n`;
    case 'disjoint':
      return `${series.name}: ${bucketList(disjointCounts(interval), disjointCounts(cumulative))}\n`;
    case 'detailed':
      return `${series.name}:\n  totals=${buckets(cumulative)}\n  intervals=${buckets(interval)}\n  summary=${summary(interval, cumulative)}\n`;
    default:
      return view satisfies never;
  }
}

/** Samples between one bound and the next, rather than below each. */
export function disjointCounts(distribution: Distribution): number[] {
  const counts = countsUpTo(distribution, BUCKET_BOUNDS);
  return counts.map((count, i) => count - (counts[i - 1] ?? 0));
}

function summary(interval: Distribution, cumulative: Distribution): string {
  const quantiles = PERCENTILES.map((percent) => percent / 100);
  const now = quantilesOf(interval, quantiles);
  const all = quantilesOf(cumulative, quantiles);
  return PERCENTILES.map((percent, i) => `P${percent}(${number(now[i])},${number(all[i])})`).join(' ');
}

function bucketList(interval: readonly number[], cumulative: readonly number[]): string {
  return BUCKET_BOUNDS.map((bound, i) => `B${general(bound)}(${interval[i]},${cumulative[i]})`).join(' ');
}

function buckets(distribution: Distribution): string {
  return distribution.buckets
    .map((bucket, i) => `${bucketLow(bucket)},${bucketWidth(bucket)}:${distribution.counts[i]}`)
    .join(', ');
}

function number(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? 'nan' : String(value);
}

/** C's %g, which Envoy prints bounds with: 1800000 is `1.8e+06`. */
function general(value: number): string {
  return value < 1e6 ? String(value) : `${value / 1e6}e+06`;
}
