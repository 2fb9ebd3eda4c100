import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { TimerWheel, WheelTimer } from '../../src/core/timer-wheel.ts';

const wheelTimer = (onTimer: () => void): WheelTimer => new WheelTimer({ onTimer });

const manual = (): { nowMs: number; now: () => number; wall: () => number } => {
  const clock = { nowMs: 123.4, now: () => clock.nowMs, wall: () => clock.nowMs };
  return clock;
};

t.test('fires never early and at most one tick late, over short and very long delays', (t) => {
  const clock = manual();
  const wheel = new TimerWheel(clock);
  t.teardown(() => wheel.close());
  const random = createRandom(7);
  const start = clock.nowMs;
  let fired = 0;
  const delays = [0, 1, 9, 10, 11, 5099, 5100, 5120, 6000, 15_000, 300_000, 3_600_000, 20_000_000];
  for (let i = 0; i < 300; i++) delays.push(random.float() * 100_000);
  for (const delay of delays) {
    const timer = wheelTimer(() => {
      fired++;
      const late = clock.nowMs - (start + delay);
      if (late < 0 || late > (delay > 310_000 ? 1020 : 30)) t.fail(`delay ${delay} was ${late} late`);
    });
    wheel.schedule(timer, delay);
  }
  while (clock.nowMs < start + 21_000_000) {
    clock.nowMs += clock.nowMs < start + 310_000 ? 10 : 1000;
    wheel.advance();
  }
  t.equal(fired, delays.length);
  t.equal(wheel.size, 0);
  t.end();
});

t.test('a cancelled timer never fires, a rescheduled one fires once', (t) => {
  const clock = manual();
  const wheel = new TimerWheel(clock);
  t.teardown(() => wheel.close());
  let a = 0;
  let b = 0;
  const one = wheelTimer(() => a++);
  const two = wheelTimer(() => b++);
  wheel.schedule(one, 100);
  wheel.schedule(two, 100);
  wheel.schedule(two, 10_000);
  wheel.cancel(one);
  wheel.cancel(one);
  for (let i = 0; i < 1100; i++) {
    clock.nowMs += 10;
    wheel.advance();
  }
  t.same([a, b, wheel.size], [0, 1, 0]);
  t.end();
});

t.test('a callback may cancel its neighbour and schedule itself again', (t) => {
  const clock = manual();
  const wheel = new TimerWheel(clock);
  t.teardown(() => wheel.close());
  const log: string[] = [];
  const victim = wheelTimer(() => log.push('victim'));
  const killer: WheelTimer = wheelTimer(() => {
    log.push('killer');
    wheel.cancel(victim);
    if (log.length < 3) wheel.schedule(killer, 50);
  });
  wheel.schedule(victim, 20);
  wheel.schedule(killer, 20);
  for (let i = 0; i < 50; i++) {
    clock.nowMs += 10;
    wheel.advance();
  }
  t.same(log, ['killer', 'killer', 'killer']);
  t.end();
});

t.test('arms a real system timer, which holds no process open', (t) => {
  const open = setTimeout(() => {}, 10_000);
  t.teardown(() => clearTimeout(open));
  const wheel = new TimerWheel({ now: () => performance.now(), wall: () => Date.now() });
  wheel.schedule(
    wheelTimer(() => t.end()),
    20,
  );
});
