import { bucketLow, bucketWidth } from '../../stats/buckets.ts';
import { countsUpTo, type Distribution, EMPTY_DISTRIBUTION, quantilesOf } from '../../stats/distribution.ts';
import { BUCKET_BOUNDS, PERCENTILES } from '../../stats/exposition.ts';
import { disjointCounts } from './stats-text.ts';
import type { ChosenStats, HistogramView } from './stats-view.ts';

/** `/stats?format=json`: an array of stats with one entry for all histograms at its end. */
export function* renderJson(chosen: ChosenStats, view: HistogramView): Generator<string> {
  yield '{"stats":[';
  let separator = '';
  for (const [name, value] of chosen.texts) {
    yield separator + JSON.stringify({ name, value });
    separator = ',';
  }
  for (const series of chosen.series) {
    if (series.kind === 'histogram') continue;
    if (!chosen.shows(series)) {
      yield '';
      continue;
    }
    yield separator + JSON.stringify({ name: series.name, value: series.value() });
    separator = ',';
  }
  yield* renderHistograms(chosen, view, separator);
  yield ']}';
}

function* renderHistograms(chosen: ChosenStats, view: HistogramView, separator: string): Generator<string> {
  const [before, describe, after] = histogramShape(view);
  let opened = false;
  for (const series of chosen.series) {
    if (series.kind !== 'histogram') continue;
    if (!chosen.shows(series)) {
      yield '';
      continue;
    }
    yield opened ? ',' : separator + before;
    opened = true;
    const body = describe(series.cumulative(), series.interval() ?? EMPTY_DISTRIBUTION);
    yield JSON.stringify({ name: series.name, ...body });
  }
  if (opened) yield after;
}

type Describe = (cumulative: Distribution, interval: Distribution) => object;

function histogramShape(view: HistogramView): [before: string, describe: Describe, after: string] {
  const percentiles = JSON.stringify(PERCENTILES);
  switch (view) {
    case 'summary': {
      const before = `{"histograms":{"supported_quantiles":${percentiles},"computed_quantiles":[`;
      return [before, (cumulative, interval) => ({ values: quantileValues(cumulative, interval) }), ']}}'];
    }
    case 'detailed':
      return [`{"histograms":{"supported_percentiles":${percentiles},"details":[`, details, ']}}'];
    case 'cumulative':
      return ['{"histograms":[', bucketsWith((d) => countsUpTo(d, BUCKET_BOUNDS)), ']}'];
    case 'disjoint':
      return ['{"histograms":[', bucketsWith(disjointCounts), ']}'];
    default:
      return view satisfies never;
  }
}

function bucketsWith(count: (distribution: Distribution) => number[]): Describe {
  return (cumulative, interval) => {
    const all = count(cumulative);
    const now = count(interval);
    return {
      buckets: BUCKET_BOUNDS.map((upper_bound, i) => ({ upper_bound, interval: now[i], cumulative: all[i] })),
    };
  };
}

function details(cumulative: Distribution, interval: Distribution): object {
  return {
    totals: bucketDetails(cumulative),
    intervals: bucketDetails(interval),
    percentiles: quantileValues(cumulative, interval),
  };
}

function bucketDetails({ buckets, counts }: Distribution): object[] {
  return buckets.map((bucket, i) => ({
    lower_bound: bucketLow(bucket),
    width: bucketWidth(bucket),
    count: counts[i],
  }));
}

/** NaN becomes null in JSON, as in Envoy's. */
function quantileValues(cumulative: Distribution, interval: Distribution): object[] {
  const quantiles = PERCENTILES.map((percent) => percent / 100);
  const all = quantilesOf(cumulative, quantiles);
  const now = quantilesOf(interval, quantiles);
  return quantiles.map((_, i) => ({ cumulative: all[i], interval: now[i] }));
}
