import type { Metric, Registry } from 'prom-client';
import type { StatAggregator } from './aggregator.ts';
import { countsUpTo, quantilesOf } from './distribution.ts';
import type { StatKind } from './messages.ts';
import type { StatTags } from './scope.ts';
import type { Series } from './series.ts';
import { inSlices } from './slices.ts';

/** Envoy's default bucket bounds, for every histogram. */
export const BUCKET_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** Envoy's quantiles, in percent. */
export const PERCENTILES: readonly number[] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

/** Names of these namespaces are well known without a prefix; all others get `envoy_`. */
const BARE_NAMESPACES: readonly string[] = ['nodejs.', 'process.', 'istio.'];

/** What a scrape asks for. */
export interface ExpositionOptions {
  /** Only stats that were ever written. */
  readonly usedOnly?: boolean;
  /** Called with Envoy's full name of a stat, or with the name of a metric that is not one of ours. */
  readonly accepts?: (name: string) => boolean;
  /** `summary` shows the quantiles of the last flush interval, as Envoy does. */
  readonly histograms?: 'cumulative' | 'summary';
}

/**
 * All series in Prometheus' text format, in Envoy's order and spelling.
 *
 * The metrics live in a prom-client registry: one family per tag-extracted name, which reads the slots when it is
 * asked, beside whatever else is registered there (process metrics). Pushing or merging registries thus works.
 * The registry is made for the first scrape: prom-client takes 2 MB, which a proxy that nobody scrapes can spare.
 */
export class Exposition {
  readonly #aggregator: StatAggregator;
  readonly #open: () => Registry | Promise<Registry>;
  #opened: Promise<Registry> | undefined;
  #grouped: readonly Series[] | undefined;
  #families: readonly StatFamily[] = [];

  constructor(aggregator: StatAggregator, open: () => Registry | Promise<Registry>) {
    this.#aggregator = aggregator;
    this.#open = open;
  }

  /** The registry with all families in it; they are brought up to date by this call and by each scrape. */
  async registry(): Promise<Registry> {
    this.#opened ??= Promise.resolve(this.#open());
    const registry = await this.#opened;
    this.#update(registry);
    return registry;
  }

  /** The exposition in chunks of text. Values are read while it goes on. */
  async *render(options: ExpositionOptions = {}): AsyncGenerator<string> {
    const registry = await this.registry();
    yield* inSlices(renderFamilies(this.#families, options));
    for (const metric of registry.getMetricsAsArray()) {
      if (metric instanceof StatFamily || options.accepts?.(metric.name) === false) continue;
      yield `${await registry.getSingleMetricAsString(metric.name)}\n`;
    }
  }

  #update(registry: Registry): void {
    const series = this.#aggregator.series();
    if (series === this.#grouped) return;
    for (const family of this.#families) registry.removeSingleMetric(family.name);
    this.#grouped = series;
    this.#families = groupSeries(series);
    for (const family of this.#families) {
      if (registry.getSingleMetric(family.name) !== undefined) continue;
      // prom-client asks a metric for no more than `name` and `get()`, but types them as its own classes.
      registry.registerMetric(family as unknown as Metric);
    }
  }
}

/** The series of one metric name. A metric to prom-client, which reads the slots in `get()`. */
class StatFamily {
  readonly name: string;
  readonly help: string;
  readonly type: StatKind;
  readonly aggregator = 'sum';
  readonly series: Series[] = [];

  constructor(extracted: string, type: StatKind) {
    this.name = metricName(extracted);
    this.help = extracted;
    this.type = type;
  }

  get(): { name: string; help: string; type: StatKind; aggregator: string; values: MetricValue[] } {
    const { name, help, type, aggregator } = this;
    return {
      name,
      help,
      type,
      aggregator,
      values: this.series.flatMap((series) => metricValues(name, series)),
    };
  }
}

interface MetricValue {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function metricValues(name: string, series: Series): MetricValue[] {
  const labels = series.tags;
  if (series.kind !== 'histogram') return [{ metricName: name, labels, value: series.value() }];
  const distribution = series.cumulative();
  const counts = countsUpTo(distribution, BUCKET_BOUNDS);
  return [
    ...BUCKET_BOUNDS.map((bound, i) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: String(bound) },
      value: counts[i] ?? 0,
    })),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: distribution.count },
    { metricName: `${name}_sum`, labels, value: distribution.sum },
    { metricName: `${name}_count`, labels, value: distribution.count },
  ];
}

/** Counters, then gauges, then histograms; each by tag-extracted name. */
function groupSeries(series: readonly Series[]): StatFamily[] {
  const groups: Readonly<Record<StatKind, Map<string, StatFamily>>> = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
  };
  for (const one of series) {
    const { kind, extracted } = one;
    let family = groups[kind].get(extracted);
    if (family === undefined) {
      family = new StatFamily(extracted, kind);
      groups[kind].set(extracted, family);
    }
    family.series.push(one);
  }
  return Object.values(groups).flatMap((families) =>
    [...families].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, family]) => family),
  );
}

function* renderFamilies(families: readonly StatFamily[], options: ExpositionOptions): Generator<string> {
  const { usedOnly = false, accepts, histograms = 'cumulative' } = options;
  for (const { name, type, series } of families) {
    let titled = false;
    for (const one of series) {
      if ((usedOnly && !one.used()) || accepts?.(one.name) === false) {
        // Nothing to show, but a moment to let other work through.
        yield '';
        continue;
      }
      if (!titled)
        yield `# TYPE ${name} ${type === 'histogram' && histograms === 'summary' ? 'summary' : type}\n`;
      titled = true;
      if (type !== 'histogram') yield `${name}{${labelList(one.tags)}} ${formatNumber(one.value())}\n`;
      else if (histograms === 'summary') yield renderSummary(name, one);
      else yield renderBuckets(name, one);
    }
  }
}

function renderBuckets(name: string, series: Series): string {
  const labels = labelList(series.tags);
  const before = labels === '' ? '' : `${labels},`;
  const distribution = series.cumulative();
  const counts = countsUpTo(distribution, BUCKET_BOUNDS);
  let text = '';
  BUCKET_BOUNDS.forEach((bound, i) => {
    text += `${name}_bucket{${before}le="${bound}"} ${counts[i] ?? 0}\n`;
  });
  return `${text}${name}_bucket{${before}le="+Inf"} ${distribution.count}
${name}_sum{${labels}} ${formatNumber(distribution.sum)}
${name}_count{${labels}} ${distribution.count}
`;
}

function renderSummary(name: string, series: Series): string {
  const labels = labelList(series.tags);
  const before = labels === '' ? '' : `${labels},`;
  const interval = series.interval();
  const quantiles = PERCENTILES.map((percent) => percent / 100);
  const values = interval === undefined ? [] : quantilesOf(interval, quantiles);
  let text = '';
  quantiles.forEach((quantile, i) => {
    text += `${name}{${before}quantile="${quantile}"} ${formatNumber(values[i] ?? Number.NaN)}\n`;
  });
  return `${text}${name}_sum{${labels}} ${formatNumber(interval?.sum ?? 0)}
${name}_count{${labels}} ${interval?.count ?? 0}
`;
}

function metricName(extracted: string): string {
  const bare = BARE_NAMESPACES.some((namespace) => extracted.startsWith(namespace));
  return (bare ? '' : 'envoy_') + extracted.replace(/[^a-zA-Z0-9_]/g, '_');
}

function labelList(tags: StatTags): string {
  let text = '';
  for (const name in tags) {
    const value = tags[name] ?? '';
    text += `${text === '' ? '' : ','}${name}="${NEEDS_ESCAPE.test(value) ? escapeLabel(value) : value}"`;
  }
  return text;
}

const NEEDS_ESCAPE = /[\\"\n]/;

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

/** Envoy writes `nan`; Prometheus takes any case. */
function formatNumber(value: number): string {
  return Number.isNaN(value) ? 'nan' : String(value);
}
