import type { Series } from '../../stats/aggregator.ts';

/** How histograms are shown: quantiles, the default bucket bounds, or every bucket that holds something. */
export type HistogramView = 'summary' | 'cumulative' | 'disjoint' | 'detailed';

/** Counters and gauges, which go first, and histograms. */
export interface ShownStats {
  readonly numbers: readonly Series[];
  readonly histograms: readonly Series[];
}
