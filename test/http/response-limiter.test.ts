import t from 'tap';
import type { Clock } from '../../src/core/clock.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';
import type { Exchange } from '../../src/http/exchange.ts';
import type { Headers } from '../../src/http/headers.ts';
import { ResponseLimiter } from '../../src/http/response-limiter.ts';

/** A limiter under a clock of its own; `passed` is what went on, with the time. */
function limiter(bytesPerSecond: number) {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs, wall: () => nowMs };
  const wheel = new TimerWheel(clock);
  t.teardown(() => wheel.close());
  const passed: { at: number; bytes: number; end: boolean }[] = [];
  const text: string[] = [];
  const pauses: string[] = [];
  const x = {
    finished: false,
    now: () => nowMs,
    passResponseData: (_slot: number, chunk: Buffer, end: boolean) => {
      text.push(chunk.toString());
      passed.push({ at: nowMs, bytes: chunk.length, end });
    },
    passResponseTrailers: (_slot: number, trailers: Headers) => text.push(`trailers ${trailers}`),
    pauseResponse: () => pauses.push('pause'),
    resumeResponse: () => pauses.push('resume'),
  } as unknown as Exchange;
  const run = (untilMs: number): void => {
    for (; nowMs < untilMs; nowMs += 10) wheel.advance();
  };
  return { limited: new ResponseLimiter(x, 0, wheel, bytesPerSecond), passed, text, pauses, run };
}

t.test('bytes go on in portions, the end with the last of them', async (t) => {
  const { limited, passed, text, run } = limiter(1000);
  limited.onData(Buffer.from('a'.repeat(60)), false);
  limited.onData(Buffer.from('b'.repeat(60)), true);
  run(400);
  t.equal(text.join(''), 'a'.repeat(60) + 'b'.repeat(60));
  t.ok(passed.length >= 2, 'more than one portion');
  for (const { at, bytes } of passed) t.ok(bytes <= 50 + at, `${bytes} bytes at ${at} ms`);
  const lastMs = passed.at(-1)?.at ?? 0;
  t.ok(lastMs >= 70, '120 bytes minus the first portion of 50 take 70 ms');
  t.same(
    passed.map(({ end }) => end),
    [...passed.slice(1).map(() => false), true],
  );
});

t.test('an end without bytes goes on', async (t) => {
  const { limited, passed, run } = limiter(1000);
  limited.onData(Buffer.alloc(0), true);
  run(50);
  t.same(
    passed.map(({ bytes, end }) => [bytes, end]),
    [[0, true]],
  );
});

t.test('trailers wait for the bytes before them', async (t) => {
  const { limited, text, run } = limiter(1000);
  limited.onData(Buffer.from('a'.repeat(100)), false);
  t.equal(limited.onTrailers(['x', '1']), true);
  run(400);
  t.equal(text.at(-1), 'trailers x,1');
  t.equal(text.slice(0, -1).join(''), 'a'.repeat(100));
  t.equal(limiter(1000).limited.onTrailers(['x', '1']), false, 'nothing is kept: they go on at once');
});

t.test('the upstream is paused while too much is kept, and resumed once', async (t) => {
  const { limited, pauses, passed, run } = limiter(1_000_000);
  const chunk = Buffer.alloc(100_000);
  for (let i = 0; i < 5; i++) limited.onData(chunk, i === 4);
  t.same(pauses, ['pause']);
  run(1000);
  t.same(pauses, ['pause', 'resume']);
  t.equal(
    passed.reduce((sum, { bytes }) => sum + bytes, 0),
    500_000,
  );
});

t.test('nothing goes on after the exchange is over', async (t) => {
  const { limited, passed, run } = limiter(1000);
  limited.onData(Buffer.from('abc'), true);
  limited.close();
  run(200);
  t.same(passed, []);
});
