import type { StatKind } from '../../stats/messages.ts';
import { inSlices } from '../../stats/slices.ts';
import type { AdminContext } from './context.ts';
import {
  type AdminReply,
  type AdminRequest,
  BadRequest,
  type Endpoint,
  hasFlag,
  JSON_TYPE,
  textReply,
} from './endpoint.ts';
import { compileNameFilter } from './name-filter.ts';
import { renderJson } from './stats-json.ts';
import { renderText } from './stats-text.ts';
import type { ChosenStats, HistogramView } from './stats-view.ts';

/** Prometheus' own content type; Envoy says plain text, which scrapers since Prometheus 3 refuse. */
const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const TYPES: Readonly<Record<string, StatKind | undefined>> = {
  All: undefined,
  Counters: 'counter',
  Gauges: 'gauge',
  Histograms: 'histogram',
};

const FILTERS = {
  usedonly: 'show only what was ever written',
  filter: 'RE2 expression that a name must match somewhere',
  invert_filter: 'show what the filter does not match',
};

export const statsEndpoint: Endpoint = {
  path: '/stats',
  help: 'print server stats',
  mutates: false,
  parameters: {
    ...FILTERS,
    format: 'one of text, json, prometheus',
    type: 'one of All, Counters, Gauges, Histograms, TextReadouts',
    histogram_buckets: 'one of summary, cumulative, disjoint, detailed',
  },
  handle: showStats,
};

export const prometheusEndpoint: Endpoint = {
  path: '/stats/prometheus',
  help: 'print server stats in Prometheus format',
  mutates: false,
  parameters: { ...FILTERS, histogram_buckets: 'one of cumulative, summary' },
  handle: showPrometheus,
};

function showStats(request: AdminRequest, context: AdminContext): AdminReply {
  const format = request.query.get('format') ?? 'text';
  if (format === 'prometheus') return showPrometheus(request, context);
  if (format !== 'text' && format !== 'json') {
    throw new BadRequest('usage: /stats?format=(json|prometheus|text)\n\n');
  }
  const view = histogramView(request) ?? 'summary';
  const chosen = chooseStats(request, context);
  context.refreshStats();
  if (format === 'text') return textReply(inSlices(renderText(chosen, view)));
  return { status: 200, contentType: JSON_TYPE, body: inSlices(renderJson(chosen, view)) };
}

function chooseStats(request: AdminRequest, context: AdminContext): ChosenStats {
  const type = request.query.get('type') ?? 'All';
  const readouts = type === 'TextReadouts';
  if (!Object.hasOwn(TYPES, type) && !readouts) throw new BadRequest('invalid &type= param');
  const kind = TYPES[type];
  const accepts = nameFilter(request);
  const usedOnly = hasFlag(request, 'usedonly');
  const texts = [...context.texts].filter(
    ([name, value]) => accepts?.(name) !== false && (!usedOnly || value !== ''),
  );
  return {
    texts: readouts || type === 'All' ? texts.sort(([a], [b]) => (a < b ? -1 : 1)) : [],
    series: readouts ? [] : context.aggregator.series(),
    shows: (series) =>
      (kind === undefined || series.kind === kind) &&
      (!usedOnly || series.used()) &&
      accepts?.(series.name) !== false,
  };
}

function showPrometheus(request: AdminRequest, context: AdminContext): AdminReply {
  const histograms = histogramView(request) ?? 'cumulative';
  if (histograms !== 'cumulative' && histograms !== 'summary') {
    throw new BadRequest('usage: /stats/prometheus?histogram_buckets=(cumulative|summary)\n');
  }
  context.refreshStats();
  const options = { usedOnly: hasFlag(request, 'usedonly'), accepts: nameFilter(request), histograms };
  return { status: 200, contentType: EXPOSITION_TYPE, body: context.exposition.render(options) };
}

function histogramView(request: AdminRequest): HistogramView | undefined {
  const view = request.query.get('histogram_buckets') ?? undefined;
  switch (view) {
    case undefined:
    case 'summary':
    case 'cumulative':
    case 'disjoint':
    case 'detailed':
      return view;
    default:
      throw new BadRequest('usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n');
  }
}

function nameFilter(request: AdminRequest): ((name: string) => boolean) | undefined {
  const source = request.query.get('filter');
  if (source === null || source === '') return undefined;
  const matches = compileNameFilter(source);
  return hasFlag(request, 'invert_filter') ? (name) => !matches(name) : matches;
}
