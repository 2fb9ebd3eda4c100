import type { Distribution } from './distribution.ts';
import { BLOCK_SLOTS } from './handles.ts';
import {
  DEFINITION_LENGTH,
  type StatBlock,
  type StatScopeDefinition,
  type StatShapeDefinition,
  type StatsMessage,
} from './messages.ts';
import type { HistogramUnit, StatTags } from './scope.ts';
import { type Series, type StatPlace, StatSeries, type StatShape } from './series.ts';

/** A copy of all values at one moment, sorted by name. */
export interface StatsSnapshot {
  readonly counters: readonly StatSample[];
  readonly gauges: readonly StatSample[];
  readonly histograms: readonly HistogramSample[];
}

export interface StatSample {
  readonly name: string;
  readonly extracted: string;
  readonly tags: StatTags;
  readonly used: boolean;
  readonly value: number;
}

export interface HistogramSample extends StatSample {
  readonly unit: HistogramUnit;
  readonly cumulative: Distribution;
  readonly interval: Distribution | undefined;
}

/**
 * Adds up the statistics of all threads; lives in the control thread.
 *
 * `attach` is called with each message of a thread, in order; `detach` once, when the thread has ended: its
 * counters and histograms stay in the totals, its gauges vanish.
 *
 * A hundred clusters make ten thousand series, so names are put together when asked for instead of kept.
 */
export class StatAggregator {
  readonly #places = new Map<string, Place>();
  readonly #shapes = new Map<string, StatShape>();
  readonly #threads = new Map<number, ThreadStats>();
  #sorted: readonly StatSeries[] | undefined;

  attach(threadId: number, message: StatsMessage): void {
    let thread = this.#threads.get(threadId);
    if (thread === undefined) {
      thread = { id: threadId, segments: [], places: new Map(), shapes: [], histograms: [] };
      this.#threads.set(threadId, thread);
    }
    for (const id of message.removed ?? []) this.#remove(threadId, thread, id);
    for (const segment of message.segments) thread.segments[segment.id] = new Float64Array(segment.buffer);
    for (const scope of message.scopes) thread.places.set(scope.id, this.#place(scope));
    for (const shape of message.shapes) thread.shapes[shape.id] = this.#shape(shape);
    const { definitions } = message;
    for (let i = 0; i < definitions.length; i += DEFINITION_LENGTH) this.#define(thread, definitions, i);
    for (const block of message.blocks) attachBlock(threadId, thread, block);
  }

  detach(threadId: number): void {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return;
    this.#threads.delete(threadId);
    for (const place of thread.places.values()) place.threads--;
    for (const series of this.#all()) series.retire(threadId);
  }

  /** A place goes when the last thread has given it up. */
  #remove(threadId: number, thread: ThreadStats, scope: number): void {
    const place = thread.places.get(scope);
    if (place === undefined) return;
    thread.places.delete(scope);
    for (const series of place.series.values()) series.drop(threadId);
    for (const series of place.elsewhere ?? []) series.drop(threadId);
    place.threads--;
    if (place.threads > 0 || this.#places.get(place.prefix) !== place) return;
    this.#places.delete(place.prefix);
    this.#sorted = undefined;
  }

  /** All series, sorted by name. The array is not changed afterwards; new stats make a new one. */
  series(): readonly Series[] {
    if (this.#sorted === undefined) {
      const named: [name: string, series: StatSeries][] = [];
      for (const series of this.#all()) named.push([series.name, series]);
      named.sort(([a], [b]) => (a < b ? -1 : 1));
      this.#sorted = named.map(([, series]) => series);
    }
    return this.#sorted;
  }

  /** One stat's value by its full name. */
  value(name: string): number | undefined {
    return this.#find(name)?.value();
  }

  snapshot(): StatsSnapshot {
    const counters: StatSample[] = [];
    const gauges: StatSample[] = [];
    const histograms: HistogramSample[] = [];
    for (const series of this.series()) {
      const { name, extracted, tags, unit } = series;
      const sample = { name, extracted, tags, used: series.used(), value: series.value() };
      if (series.kind === 'counter') counters.push(sample);
      else if (series.kind === 'gauge') gauges.push(sample);
      else histograms.push({ ...sample, unit, cumulative: series.cumulative(), interval: series.interval() });
    }
    return { counters, gauges, histograms };
  }

  /** Ends a flush interval (Envoy's `stats_flush_interval`, 5 s): histograms start a new interval. */
  flush(): void {
    for (const series of this.#all()) series.turnInterval();
  }

  /** Counters start again from zero. Threads own their slots, so the present values become the new zero. */
  resetCounters(): void {
    for (const series of this.#all()) series.reset();
  }

  *#all(): Generator<StatSeries> {
    for (const place of this.#places.values()) yield* place.series.values();
  }

  /** `a.b.c` may be `c` of scope `a.b.`, `b.c` of scope `a.`, or `a.b.c` of the root. */
  #find(name: string): StatSeries | undefined {
    for (let end = name.length; end >= 0; end = end === 0 ? -1 : name.lastIndexOf('.', end - 2) + 1) {
      const found = this.#places.get(name.slice(0, end))?.series.get(name.slice(end));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #place(scope: StatScopeDefinition): Place {
    let place = this.#places.get(scope.prefix);
    if (place === undefined) {
      const { prefix, extracted, tags } = scope;
      place = { prefix, extracted, tags, series: new Map(), elsewhere: null, threads: 0 };
      this.#places.set(scope.prefix, place);
    }
    place.threads++;
    return place;
  }

  #define(thread: ThreadStats, definitions: Int32Array, at: number): void {
    const shape = thread.shapes[definitions[at + 1] ?? -1];
    if (shape === undefined) throw new Error(`a stat has a shape that is unknown: ${definitions[at + 1]}`);
    const slot = definitions[at + 2] ?? 0;
    const place = thread.places.get(definitions[at] ?? -1);
    if (place === undefined) throw new Error(`stat ${shape.name} names an unknown scope`);
    let series = place.series.get(shape.name);
    if (series === undefined) {
      series = this.#find(place.prefix + shape.name);
      if (series !== undefined) place.elsewhere = [...(place.elsewhere ?? []), series];
    }
    if (series === undefined) {
      series = new StatSeries(place, shape);
      place.series.set(shape.name, series);
      this.#sorted = undefined;
    }
    if (shape.kind === 'histogram') {
      thread.histograms[slot] = series;
      return;
    }
    // All segments but the newest are full, so the first one's length is the length of each.
    const length = thread.segments[0]?.length ?? 1;
    const slots = thread.segments[Math.trunc(slot / length)];
    if (slots === undefined) throw new Error(`stat ${series.name} names an unknown segment`);
    series.addSource({ threadId: thread.id, slots, index: slot % length });
  }

  /** One for all threads. */
  #shape(definition: StatShapeDefinition): StatShape {
    const { kind, name, merge = 'sum', unit = 'none', tagged } = definition;
    const key = `${kind} ${merge} ${unit} ${name}${tagged === undefined ? '' : JSON.stringify(tagged)}`;
    let shape = this.#shapes.get(key);
    if (shape === undefined) {
      shape = { kind, name, merge, unit, extracted: tagged?.name ?? name, tags: tagged?.tags };
      this.#shapes.set(key, shape);
    }
    return shape;
  }
}

interface Place extends StatPlace {
  readonly series: Map<string, StatSeries>;
  /** Stats that a scope with a longer or shorter prefix had first. */
  elsewhere: readonly StatSeries[] | null;
  /** How many have the scope. */
  threads: number;
}

interface ThreadStats {
  readonly id: number;
  readonly segments: Float64Array[];
  readonly places: Map<number, Place>;
  readonly shapes: StatShape[];
  readonly histograms: StatSeries[];
}

function attachBlock(threadId: number, thread: ThreadStats, block: StatBlock): void {
  const slots = new Float64Array(block.buffer, block.offset, BLOCK_SLOTS);
  thread.histograms[block.histogram]?.addSource({ threadId, slots, index: 0 });
}
