import { BUCKET_COUNT, bucketLow, bucketWidth } from './buckets.ts';

/** A histogram's content at one moment: the buckets that hold samples, in rising order. */
export interface Distribution {
  readonly buckets: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export const EMPTY_DISTRIBUTION: Distribution = { buckets: [], counts: [], sum: 0, count: 0 };

/** Adds up blocks (sum, then one number per bucket). */
export function mergeBlocks(blocks: readonly Float64Array[]): Distribution {
  const buckets: number[] = [];
  const counts: number[] = [];
  let count = 0;
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    let samples = 0;
    for (const block of blocks) samples += block[bucket + 1] ?? 0;
    if (samples === 0) continue;
    buckets.push(bucket);
    counts.push(samples);
    count += samples;
  }
  return { buckets, counts, sum: blocks.reduce((sum, block) => sum + (block[0] ?? 0), 0), count };
}

/** What came since `earlier`, an older state of the same histogram. */
export function distributionSince(now: Distribution, earlier: Distribution): Distribution {
  const before = new Map(earlier.buckets.map((bucket, i) => [bucket, earlier.counts[i] ?? 0]));
  const buckets: number[] = [];
  const counts: number[] = [];
  now.buckets.forEach((bucket, i) => {
    const fresh = (now.counts[i] ?? 0) - (before.get(bucket) ?? 0);
    if (fresh <= 0) return;
    buckets.push(bucket);
    counts.push(fresh);
  });
  return { buckets, counts, sum: now.sum - earlier.sum, count: now.count - earlier.count };
}

/**
 * Quantiles as Envoy shows them: the sample of that rank, where the n samples of a bucket are taken to lie at
 * 1/(n+1) … n/(n+1) of its width. `quantiles` rise within [0, 1]; each is NaN when there are no samples.
 */
export function quantilesOf(distribution: Distribution, quantiles: readonly number[]): number[] {
  const { buckets, counts, count } = distribution;
  if (count === 0) return quantiles.map(() => Number.NaN);
  let at = 0;
  let below = 0;
  return quantiles.map((quantile) => {
    const rank = Math.max(1, Math.ceil(quantile * count));
    while (at < buckets.length - 1 && below + (counts[at] ?? 0) < rank) below += counts[at++] ?? 0;
    const bucket = buckets[at] ?? 0;
    return bucketLow(bucket) + (bucketWidth(bucket) * (rank - below)) / ((counts[at] ?? 0) + 1);
  });
}

/**
 * How many samples lie in buckets that end at or below each bound, or start at it.
 * Bounds rise. A sample of exactly 10 counts as at most 10, although its bucket reaches to 11.
 */
export function countsUpTo(distribution: Distribution, bounds: readonly number[]): number[] {
  const { buckets, counts } = distribution;
  let at = 0;
  let total = 0;
  return bounds.map((bound) => {
    while (at < buckets.length && bucketLow(buckets[at] ?? 0) <= bound) total += counts[at++] ?? 0;
    return total;
  });
}
