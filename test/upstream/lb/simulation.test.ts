import t from 'tap';
import {
  DEFAULT_SCENARIO,
  percentile,
  type Scenario,
  share,
  simulate,
} from '../../../bench/sim/three-backends.ts';

const FAIR = 1 / 3;
const SHORT: Scenario = {
  ...DEFAULT_SCENARIO,
  decayMs: 2000,
  badFromMs: 5000,
  badToMs: 10_000,
  endMs: 25_000,
};
const SEEDS = [1, 2, 3];

t.test('a run is repeatable', async (t) => {
  const scenario = { ...SHORT, endMs: 6000 };
  t.strictSame(simulate(scenario), simulate(scenario));
  t.not(simulate(scenario).length, simulate({ ...scenario, seed: 9 }).length);
});

t.test('a host that becomes 50 ms slower loses its share within a second and gets it back', async (t) => {
  for (const seed of SEEDS) {
    const samples = simulate({ ...SHORT, seed });
    t.ok(share(samples, 0, 1000, SHORT.badFromMs) > 0.8 * FAIR, 'fair before');
    for (let ms = SHORT.badFromMs + 1000; ms < SHORT.badToMs; ms += 1000) {
      t.ok(share(samples, 0, ms, ms + 1000) < FAIR / 5, `second from ${ms} ms`);
    }
    const back = SHORT.badToMs + 5 * SHORT.decayMs;
    t.ok(share(samples, 0, back, SHORT.endMs) > 0.8 * FAIR, 'back after five decay times');
  }
});

t.test('a slow host costs fewer requests than with the other policies', async (t) => {
  const run = (policy: Scenario['policy']) =>
    simulate({ ...SHORT, policy, trouble: { kind: 'slower', byMs: 50 } });
  const [fair, least, ewma] = [run('ROUND_ROBIN'), run('LEAST_REQUEST'), run('PEAK_EWMA')];
  const from = SHORT.badFromMs + 1000;
  const part = (samples: typeof fair): number => share(samples, 0, from, SHORT.badToMs);
  t.ok(part(fair) > 0.3);
  t.ok(part(least) > 3 * part(ewma));
  const p95 = (samples: typeof fair): number => percentile(samples, 95, from, SHORT.badToMs);
  t.ok(p95(ewma) < 25, `${p95(ewma)}`);
  t.ok(p95(least) > 50, `${p95(least)}`);
  t.ok(p95(fair) > 50, `${p95(fair)}`);
});

t.test('a host that answers 503 at once gets less than a fair share, at any load', async (t) => {
  for (const requestsPerSecond of [20, 200, 600, 3000]) {
    const trouble = { kind: 'answers 503 at once' } as const;
    const samples = simulate({ ...SHORT, trouble, requestsPerSecond, endMs: 30_000 });
    t.ok(share(samples, 0, SHORT.badFromMs, SHORT.badToMs) < FAIR / 2, `${requestsPerSecond} requests/s`);
    const back = SHORT.badToMs + 5 * SHORT.decayMs;
    t.ok(share(samples, 0, back, 30_000) > 0.5 * FAIR, `back at ${requestsPerSecond} requests/s`);
    const least = simulate({ ...SHORT, trouble, requestsPerSecond, endMs: 10_000, policy: 'LEAST_REQUEST' });
    t.ok(share(least, 0, SHORT.badFromMs, SHORT.badToMs) > 0.3, 'which LEAST_REQUEST does not manage');
  }
});

t.test('equal hosts share evenly over time', async (t) => {
  for (const seed of SEEDS) {
    const samples = simulate({ ...SHORT, seed, badFromMs: 1e9, badToMs: 1e9, endMs: 20_000 });
    for (const backend of [0, 1, 2]) {
      t.ok(Math.abs(share(samples, backend, 1000, 20_000) - FAIR) < 0.05, `${backend}`);
    }
  }
});
