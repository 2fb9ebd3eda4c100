/**
 * What the data plane sees of statistics: handles, created once while configuration is compiled.
 * `add` and `record` are single array writes into this thread's slice of shared memory.
 */
export interface Counter {
  inc(): void;
  add(n: number): void;
}

export interface Gauge {
  inc(): void;
  dec(): void;
  add(n: number): void;
  set(n: number): void;
}

export interface Histogram {
  /** `value` in the histogram's unit; Envoy's time histograms are in milliseconds. */
  record(value: number): void;
}

/** How the values of several threads make one gauge. */
export type GaugeMerge = 'sum' | 'max' | 'last';
export type HistogramUnit = 'milliseconds' | 'bytes' | 'none';

/** Prometheus labels, e.g. `{ envoy_cluster_name: 'web' }`. */
export type StatTags = Readonly<Record<string, string>>;

/**
 * A named place for statistics, e.g. `cluster.web.`.
 *
 * Each stat has Envoy's full dotted name (`cluster.web.upstream_rq_200`) and, for Prometheus, a tag-extracted
 * name with labels (`cluster.upstream_rq`, `{envoy_cluster_name: 'web', envoy_response_code: '200'}`). The
 * creator says both, so that no regular expression ever has to guess them back.
 */
export interface StatScope {
  counter(name: string, tagged?: Tagged): Counter;
  gauge(name: string, merge?: GaugeMerge, tagged?: Tagged): Gauge;
  histogram(name: string, unit?: HistogramUnit, tagged?: Tagged): Histogram;
  /**
   * A child scope. `scope('cluster', 'web', { envoy_cluster_name: 'web' })` has the full prefix `cluster.web.`
   * and the tag-extracted prefix `cluster.`: `label` is the part of the name that becomes a label.
   */
  scope(name: string, label?: string, tags?: StatTags): StatScope;
  /**
   * Whoever calls it calls `release` later: the last `release` takes the scope's statistics away, and those of the
   * scopes within it. What is written to their handles afterwards is lost. A scope that nobody retained stays.
   */
  retain(): void;
  release(): void;
}

/** Overrides the tag-extracted name of one stat, e.g. `{ name: 'upstream_rq', tags: { envoy_response_code: '200' } }`. */
export interface Tagged {
  readonly name: string;
  readonly tags: StatTags;
}
