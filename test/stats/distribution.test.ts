import * as fc from 'fast-check';
import t from 'tap';
import { BUCKET_COUNT, bucketLow, bucketOf, bucketWidth } from '../../src/stats/buckets.ts';
import { countsUpTo, distributionSince, mergeBlocks, quantilesOf } from '../../src/stats/distribution.ts';
import { BLOCK_SLOTS, HistogramSlot } from '../../src/stats/handles.ts';

function recorded(...values: number[]): Float64Array {
  const block = new Float64Array(BLOCK_SLOTS);
  const histogram = new HistogramSlot({ openBlock: () => block }, 0);
  for (const value of values) histogram.record(value);
  return block;
}

t.test('whole numbers fall into the bucket that starts at their two leading digits', async (t) => {
  for (const [value, low, width] of [
    [1, 1, 0.1],
    [7, 7, 0.1],
    [10, 10, 1],
    [14, 14, 1],
    [99, 99, 1],
    [100, 100, 10],
    [109, 100, 10],
    [110, 110, 10],
    [999, 990, 10],
    [1000, 1000, 100],
    [123456, 120000, 10000],
    [0.25, 0.25, 0.01],
  ] as const) {
    const bucket = bucketOf(value);
    t.equal(bucketLow(bucket), low, `${value} starts at ${low}`);
    t.equal(bucketWidth(bucket), width);
  }
});

t.test('any number has a bucket that holds it', async () => {
  const value = fc.oneof(fc.double({ min: 0.001, max: 9.9e9, noNaN: true }), fc.nat());
  fc.assert(
    fc.property(value, (v) => {
      const bucket = bucketOf(v);
      const low = bucketLow(bucket);
      const slack = v * 1e-12;
      return v < 0.001 ? bucket === 0 : low <= v + slack && v < low + bucketWidth(bucket) + slack;
    }),
  );
});

t.test('odd numbers cannot break a histogram', async (t) => {
  const all = mergeBlocks([recorded(Number.NaN, -5, 0, 1e-9, 1e300)]);
  t.strictSame(all.buckets, [0, BUCKET_COUNT - 1]);
  t.strictSame(all.counts, [4, 1]);
  fc.assert(
    fc.property(fc.double(), (v) => {
      const bucket = bucketOf(v);
      return Number.isInteger(bucket) && bucket >= 0 && bucket < BUCKET_COUNT;
    }),
  );
});

t.test('quantiles equal those of Envoy 1.40 for the same samples', async (t) => {
  const q = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];
  t.strictSame(
    quantilesOf(mergeBlocks([recorded(3, 14)]), q),
    [3.05, 3.05, 3.05, 14.5, 14.5, 14.5, 14.5, 14.5, 14.5, 14.5],
  );
  t.strictSame(
    quantilesOf(mergeBlocks([recorded(...new Array<number>(16).fill(1))]), q),
    [
      1.0058823529411764, 1.0235294117647058, 1.0470588235294118, 1.0705882352941176, 1.088235294117647,
      1.0941176470588236, 1.0941176470588236, 1.0941176470588236, 1.0941176470588236, 1.0941176470588236,
    ],
  );
  const mixed = mergeBlocks([recorded(0, 0, 0, 0, 0, 1), recorded(1, 22)]);
  t.strictSame(quantilesOf(mixed, [0, 0.5, 0.75, 0.9, 1]), [0, 0, 1.0333333333333334, 22.5, 22.5]);
  t.strictSame(quantilesOf(mergeBlocks([]), [0.5]), [Number.NaN]);
});

t.test('cumulative counts include samples that equal the bound', async (t) => {
  const d = mergeBlocks([recorded(0, 1, 1, 5, 10, 11)]);
  t.strictSame(countsUpTo(d, [0.5, 1, 5, 10, 25]), [1, 3, 4, 5, 6]);
  t.equal(d.sum, 28);
  t.equal(d.count, 6);
});

t.test('the difference of two states holds what came between', async (t) => {
  const earlier = mergeBlocks([recorded(5, 7)]);
  const since = distributionSince(mergeBlocks([recorded(5, 7, 7, 100)]), earlier);
  t.strictSame(since.counts, [1, 1]);
  t.equal(since.sum, 107);
  t.equal(since.count, 2);
});
