import { type Distribution, distributionSince, EMPTY_DISTRIBUTION, mergeBlocks } from './distribution.ts';
import { BLOCK_SLOTS } from './handles.ts';
import type { StatKind } from './messages.ts';
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

/** Where a stat stands; shared by all stats of a scope. */
export interface StatPlace {
  readonly prefix: string;
  readonly extracted: string;
  readonly tags: StatTags;
}

/** What a stat is; shared by the same stat of all scopes. */
export interface StatShape {
  readonly kind: StatKind;
  readonly name: string;
  readonly merge: GaugeMerge;
  readonly unit: HistogramUnit;
  readonly extracted: string;
  readonly tags: StatTags | undefined;
}

/** One thread's part of a stat. */
export interface StatSource {
  readonly threadId: number;
  readonly slots: Float64Array;
  /** Unused by histograms, whose `slots` are a whole block. */
  readonly index: number;
}

/** What few series need: the past of dead threads, a reset, intervals. */
interface Past {
  used: boolean;
  retired: number;
  zero: number;
  retiredBlock: Float64Array | undefined;
  lastFlush: Distribution | undefined;
  interval: Distribution | undefined;
}

/** One stat of the process, kept small: its memory is multiplied by clusters and threads. */
export class StatSeries implements Series {
  readonly #place: StatPlace;
  readonly #shape: StatShape;
  #source: StatSource | undefined = undefined;
  /** Of further threads; an array for the first one too would double what a series takes. */
  #others: readonly StatSource[] = NO_SOURCES;
  #past: Past | undefined = undefined;

  constructor(place: StatPlace, shape: StatShape) {
    this.#place = place;
    this.#shape = shape;
  }

  get kind(): StatKind {
    return this.#shape.kind;
  }

  get unit(): HistogramUnit {
    return this.#shape.unit;
  }

  get name(): string {
    return this.#place.prefix + this.#shape.name;
  }

  get extracted(): string {
    return this.#place.extracted + this.#shape.extracted;
  }

  get tags(): StatTags {
    const { tags } = this.#shape;
    return tags === undefined ? this.#place.tags : { ...tags, ...this.#place.tags };
  }

  /** `concat` makes an array that fits; `push` and spreading leave room for 16 more. */
  addSource(source: StatSource): void {
    if (this.#source === undefined) this.#source = source;
    else this.#others = this.#others.concat(source);
  }

  used(): boolean {
    if (this.#past?.used === true) return true;
    if (this.kind === 'histogram') return this.#source !== undefined;
    return sourcesOf(this.#source, this.#others).some(isWritten);
  }

  value(): number {
    if (this.kind === 'histogram') return this.cumulative().count;
    if (this.kind === 'gauge') return mergeGauge(sourcesOf(this.#source, this.#others), this.#shape.merge);
    return counterTotal(sourcesOf(this.#source, this.#others), this.#past) - (this.#past?.zero ?? 0);
  }

  cumulative(): Distribution {
    if (this.kind !== 'histogram') return EMPTY_DISTRIBUTION;
    const blocks = sourcesOf(this.#source, this.#others).map((source) => source.slots);
    if (this.#past?.retiredBlock !== undefined) blocks.push(this.#past.retiredBlock);
    return blocks.length === 0 ? EMPTY_DISTRIBUTION : mergeBlocks(blocks);
  }

  interval(): Distribution | undefined {
    return this.#past?.interval;
  }

  turnInterval(): void {
    // A histogram without samples has no interval either; its quantiles are NaN in both cases.
    if (this.kind !== 'histogram' || !this.used()) return;
    this.#past ??= createPast();
    const now = this.cumulative();
    this.#past.interval = distributionSince(now, this.#past.lastFlush ?? EMPTY_DISTRIBUTION);
    this.#past.lastFlush = now;
  }

  reset(): void {
    if (this.kind !== 'counter' || !this.used()) return;
    this.#past ??= createPast();
    this.#past.used = true;
    this.#past.zero = counterTotal(sourcesOf(this.#source, this.#others), this.#past);
  }

  /** A thread has ended: what it counted stays, what it held (gauges) does not. */
  retire(threadId: number): void {
    for (const source of sourcesOf(this.#source, this.#others)) {
      if (source.threadId !== threadId || (this.kind !== 'histogram' && !isWritten(source))) continue;
      this.#past ??= createPast();
      this.#past.used = true;
      if (this.kind === 'histogram') retireBlock(this.#past, source.slots);
      else if (this.kind === 'counter') this.#past.retired += source.slots[source.index] ?? 0;
    }
    this.drop(threadId);
  }

  /** A thread has this stat no more: nothing of its part stays. */
  drop(threadId: number): void {
    const [first, ...others] = sourcesOf(this.#source, this.#others).filter(
      (source) => source.threadId !== threadId,
    );
    this.#source = first;
    this.#others = others.length === 0 ? NO_SOURCES : others;
  }
}

const NO_SOURCES: readonly StatSource[] = [];

/** A function: a private method would cost each series another word. */
function sourcesOf(first: StatSource | undefined, others: readonly StatSource[]): readonly StatSource[] {
  if (first === undefined) return NO_SOURCES;
  return others.length === 0 ? [first] : [first, ...others];
}

function createPast(): Past {
  return {
    used: false,
    retired: 0,
    zero: 0,
    retiredBlock: undefined,
    lastFlush: undefined,
    interval: undefined,
  };
}

function retireBlock(past: Past, block: Float64Array): void {
  past.retiredBlock ??= new Float64Array(BLOCK_SLOTS);
  for (let i = 0; i < BLOCK_SLOTS; i++) past.retiredBlock[i] = (past.retiredBlock[i] ?? 0) + (block[i] ?? 0);
}

function counterTotal(sources: readonly StatSource[], past: Past | undefined): number {
  let total = past?.retired ?? 0;
  for (const source of sources) total += source.slots[source.index] ?? 0;
  return total;
}

/** A slot starts as −0, see GaugeSlot. */
function isWritten(source: StatSource): boolean {
  return !Object.is(source.slots[source.index], -0);
}

function mergeGauge(sources: readonly StatSource[], merge: GaugeMerge): number {
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
