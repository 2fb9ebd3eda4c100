import t from 'tap';
import { LagWatch } from '../../src/core/lag-watch.ts';

/** A watch that is sampled at these times; whether it sheds after each. */
function watch(limitMs: number, times: readonly number[]): boolean[] {
  const lag = new LagWatch(limitMs);
  // The first sample is expected 100 ms after the start at 0.
  lag.start(() => 0);
  t.teardown(() => lag.close());
  return times.map((at) => {
    lag.sample(at);
    return lag.shedding;
  });
}

t.test('lag of a second sheds, and one sample in time ends it', async (t) => {
  // Every sample comes 200 ms late: 300 ms after the last one.
  t.same(watch(150, [300, 600, 900, 1200, 1500, 1600]), [false, false, false, true, true, false]);
});

t.test('a single long stall is no overload until it lasted a second', async (t) => {
  t.same(watch(150, [900, 1000, 1100]), [false, false, false]);
  t.same(watch(150, [1100]), [true]);
});

t.test('lag below the limit is none', async (t) => {
  t.same(
    watch(
      150,
      Array.from({ length: 20 }, (_, i) => 200 * (i + 1)),
    ),
    Array.from({ length: 20 }, () => false),
  );
});

t.test('0 switches it off', async (t) => {
  const lag = new LagWatch(0);
  lag.start(() => {
    throw new Error('no clock is asked');
  });
  t.equal(lag.shedding, false);
});
