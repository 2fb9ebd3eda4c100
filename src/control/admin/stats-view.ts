import type { Series } from '../../stats/series.ts';

/** How histograms are shown: quantiles, the default bucket bounds, or every bucket that holds something. */
export type HistogramView = 'summary' | 'cumulative' | 'disjoint' | 'detailed';

/** What a request wants to see. Asked for one series at a time, so that rendering can pause in between. */
export interface ChosenStats {
  readonly series: readonly Series[];
  /** Statistics that are texts, by name; they come first. */
  readonly texts: readonly (readonly [name: string, value: string])[];
  shows(series: Series): boolean;
}
