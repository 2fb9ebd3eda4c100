import { BUCKET_COUNT, bucketOf } from './buckets.ts';
import type { Counter, Gauge, Histogram } from './scope.ts';

/** A histogram's block of shared memory: the sum, then one number per bucket. */
export const BLOCK_SLOTS = 1 + BUCKET_COUNT;
export const BLOCK_BYTES = BLOCK_SLOTS * 8;

/** A counter's slot; `add` is one array write. */
export class CounterSlot implements Counter {
  slots: Float64Array;
  index: number;

  constructor(slots: Float64Array, index: number) {
    this.slots = slots;
    this.index = index;
  }

  inc(): void {
    const { slots, index } = this;
    slots[index] = (slots[index] ?? 0) + 1;
  }

  add(n: number): void {
    const { slots, index } = this;
    slots[index] = (slots[index] ?? 0) + n;
  }
}

/** A gauge's slot. A slot starts as −0, which any write turns into another number: that is how "used" is known. */
export class GaugeSlot implements Gauge {
  slots: Float64Array;
  index: number;

  constructor(slots: Float64Array, index: number) {
    this.slots = slots;
    this.index = index;
  }

  inc(): void {
    const { slots, index } = this;
    slots[index] = (slots[index] ?? 0) + 1;
  }

  dec(): void {
    const { slots, index } = this;
    slots[index] = (slots[index] ?? 0) - 1;
  }

  add(n: number): void {
    const { slots, index } = this;
    slots[index] = (slots[index] ?? 0) + n;
  }

  set(n: number): void {
    this.slots[this.index] = n;
  }
}

/** Where a histogram gets its memory; called once, on its first record. */
export interface BlockSource {
  openBlock(histogram: number): Float64Array;
}

/** A histogram; its 9 KB of shared memory come with the first record, because most histograms never see one. */
export class HistogramSlot implements Histogram {
  block: Float64Array | undefined;
  readonly source: BlockSource;
  readonly id: number;

  constructor(source: BlockSource, id: number) {
    this.block = undefined;
    this.source = source;
    this.id = id;
  }

  record(value: number): void {
    let block = this.block;
    if (block === undefined) {
      block = this.source.openBlock(this.id);
      this.block = block;
    }
    // Negative and NaN count as 0, so that one bad sample cannot spoil the sum for good.
    let sample = value;
    if (!(sample > 0)) sample = 0;
    const bucket = 1 + bucketOf(sample);
    block[0] = (block[0] ?? 0) + sample;
    block[bucket] = (block[bucket] ?? 0) + 1;
  }
}

/** Where handles of removed stats write to: connections that drain may hold some. */
export const LOST_SLOTS = new Float64Array(1);
export const LOST_BLOCK = new Float64Array(BLOCK_SLOTS);
