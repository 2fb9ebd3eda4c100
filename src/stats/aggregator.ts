import { type Distribution, distributionSince, EMPTY_DISTRIBUTION, mergeBlocks } from './distribution.ts';
import { BLOCK_SLOTS } from './handles.ts';
import type { StatBlock, StatDefinition, StatKind, StatScopeDefinition, StatsMessage } from './messages.ts';
import type { GaugeMerge, HistogramUnit, StatTags } from './scope.ts';

/** One stat of the process, over all threads. Values are read from shared memory when asked for. */
export interface Series {
  readonly kind: StatKind;
  /** `cluster.web.upstream_rq_200`. */
  readonly name: string;
  /** `cluster.upstream_rq`. */
  readonly extracted: string;
  readonly tags: StatTags;
  readonly unit: HistogramUnit;
  /** Whether it was ever written. */
  used(): boolean;
  /** Counters and gauges; a histogram gives its number of samples. */
  value(): number;
  /** All samples since start; empty for counters and gauges. */
  cumulative(): Distribution;
  /** The samples of the last completed flush interval; `undefined` before one. */
  interval(): Distribution | undefined;
}

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
 */
export class StatAggregator {
  readonly #series = new Map<string, StatSeries>();
  readonly #threads = new Map<number, ThreadStats>();
  readonly #extractedNames = new Map<string, string>();
  #sorted: readonly Series[] | undefined;

  attach(threadId: number, message: StatsMessage): void {
    let thread = this.#threads.get(threadId);
    if (thread === undefined) {
      thread = { segments: [], scopes: [], histograms: [], series: [] };
      this.#threads.set(threadId, thread);
    }
    for (const segment of message.segments) thread.segments[segment.id] = new Float64Array(segment.buffer);
    for (const scope of message.scopes) thread.scopes[scope.id] = scope;
    for (const definition of message.definitions) this.#define(threadId, thread, definition);
    for (const block of message.blocks) attachBlock(threadId, thread, block);
  }

  detach(threadId: number): void {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return;
    this.#threads.delete(threadId);
    for (const series of thread.series) series.retire(threadId);
  }

  /** All series, sorted by name. The array is not changed afterwards; new stats make a new one. */
  series(): readonly Series[] {
    this.#sorted ??= [...this.#series.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#sorted;
  }

  /** One stat's value by its full name. */
  value(name: string): number | undefined {
    return this.#series.get(name)?.value();
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
    for (const series of this.#series.values()) if (series.kind === 'histogram') series.turnInterval();
  }

  /** Counters start again from zero. Threads own their slots, so the present values become the new zero. */
  resetCounters(): void {
    for (const series of this.#series.values()) series.reset();
  }

  /** One copy of each tag-extracted name: a hundred clusters share theirs. */
  #intern(name: string): string {
    const known = this.#extractedNames.get(name);
    if (known !== undefined) return known;
    this.#extractedNames.set(name, name);
    return name;
  }

  #define(threadId: number, thread: ThreadStats, definition: StatDefinition): void {
    const scope = thread.scopes[definition.scope];
    if (scope === undefined) throw new Error(`stat ${definition.name} names an unknown scope`);
    const name = scope.prefix + definition.name;
    let series = this.#series.get(name);
    if (series === undefined) {
      series = new StatSeries(name, this.#intern(extractedName(scope, definition)), scope, definition);
      this.#series.set(name, series);
      this.#sorted = undefined;
    }
    thread.series.push(series);
    if (definition.kind === 'histogram') {
      thread.histograms[definition.slot] = series;
      return;
    }
    // All segments but the newest are full, so the first one's length is the length of each.
    const length = thread.segments[0]?.length ?? 1;
    const slots = thread.segments[Math.trunc(definition.slot / length)];
    if (slots === undefined) throw new Error(`stat ${name} names an unknown segment`);
    series.addSource({ threadId, slots, index: definition.slot % length });
  }
}

interface ThreadStats {
  readonly segments: Float64Array[];
  readonly scopes: StatScopeDefinition[];
  readonly histograms: StatSeries[];
  readonly series: StatSeries[];
}

const NO_SOURCES: readonly Source[] = [];

interface Source {
  readonly threadId: number;
  readonly slots: Float64Array;
  /** Unused by histograms, whose `slots` are a whole block. */
  readonly index: number;
}

class StatSeries implements Series {
  readonly kind: StatKind;
  readonly name: string;
  readonly extracted: string;
  readonly tags: StatTags;
  readonly unit: HistogramUnit;
  readonly merge: GaugeMerge;
  sources: readonly Source[] = NO_SOURCES;
  #wasUsed = false;
  #retired = 0;
  #zero = 0;
  #retiredBlock: Float64Array | undefined;
  #lastFlush: Distribution | undefined;
  #interval: Distribution | undefined;

  constructor(name: string, extracted: string, scope: StatScopeDefinition, definition: StatDefinition) {
    const { kind, tagged, unit = 'none', merge = 'sum' } = definition;
    this.kind = kind;
    this.name = name;
    this.extracted = extracted;
    this.tags = tagged === undefined ? scope.tags : { ...tagged.tags, ...scope.tags };
    this.unit = unit;
    this.merge = merge;
  }

  /** Most stats have one or two sources; an array grown by `push` would have room for 17. */
  addSource(source: Source): void {
    this.sources = [...this.sources, source];
  }

  used(): boolean {
    if (this.#wasUsed) return true;
    if (this.kind === 'histogram') return this.sources.length > 0;
    return this.sources.some(isWritten);
  }

  value(): number {
    if (this.kind === 'histogram') return this.cumulative().count;
    if (this.kind === 'counter') return this.#total() - this.#zero;
    return mergeGauge(this.sources, this.merge);
  }

  cumulative(): Distribution {
    if (this.kind !== 'histogram') return EMPTY_DISTRIBUTION;
    const blocks = this.sources.map((source) => source.slots);
    if (this.#retiredBlock !== undefined) blocks.push(this.#retiredBlock);
    return blocks.length === 0 ? EMPTY_DISTRIBUTION : mergeBlocks(blocks);
  }

  interval(): Distribution | undefined {
    return this.#interval;
  }

  turnInterval(): void {
    const now = this.cumulative();
    this.#interval = distributionSince(now, this.#lastFlush ?? EMPTY_DISTRIBUTION);
    this.#lastFlush = now;
  }

  reset(): void {
    if (this.kind === 'counter') this.#zero = this.#total();
  }

  /** A thread has ended: what it counted stays, what it held (gauges) does not. */
  retire(threadId: number): void {
    for (const source of this.sources) {
      if (source.threadId !== threadId) continue;
      if (this.kind === 'histogram') this.#retireBlock(source.slots);
      else if (this.kind === 'counter') this.#retired += source.slots[source.index] ?? 0;
      if (this.kind === 'histogram' || isWritten(source)) this.#wasUsed = true;
    }
    this.sources = this.sources.filter((source) => source.threadId !== threadId);
  }

  #retireBlock(block: Float64Array): void {
    this.#retiredBlock ??= new Float64Array(BLOCK_SLOTS);
    for (let i = 0; i < BLOCK_SLOTS; i++) {
      this.#retiredBlock[i] = (this.#retiredBlock[i] ?? 0) + (block[i] ?? 0);
    }
  }

  #total(): number {
    let total = this.#retired;
    for (const source of this.sources) total += source.slots[source.index] ?? 0;
    return total;
  }
}

function extractedName(scope: StatScopeDefinition, definition: StatDefinition): string {
  return scope.extracted + (definition.tagged === undefined ? definition.name : definition.tagged.name);
}

function attachBlock(threadId: number, thread: ThreadStats, block: StatBlock): void {
  const slots = new Float64Array(block.buffer, block.offset, BLOCK_SLOTS);
  thread.histograms[block.histogram]?.addSource({ threadId, slots, index: 0 });
}

/** A slot starts as −0, see GaugeSlot. */
function isWritten(source: Source): boolean {
  return !Object.is(source.slots[source.index], -0);
}

function mergeGauge(sources: readonly Source[], merge: GaugeMerge): number {
  let merged = 0;
  let first = true;
  for (const source of sources) {
    const value = source.slots[source.index] ?? 0;
    if (merge === 'sum') merged += value;
    else if (isWritten(source) && (first || merge === 'last' || value > merged)) {
      merged = value;
      first = false;
    }
  }
  return merged;
}
