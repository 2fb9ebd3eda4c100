import t from 'tap';
import { StatStore } from '../../src/stats/store.ts';
import { createBreaker, DEFAULT_LIMITS } from '../../src/upstream/breaker.ts';
import { createHoldings, createLocalHoldings, HOLDING_SLICE } from '../../src/upstream/holdings.ts';
import {
  BUDGET_NUMBERS,
  concurrencyBudget,
  DEFAULT_WINDOW,
  WindowedBudget,
  type WindowSettings,
} from '../../src/upstream/retry-budget.ts';
import { createWorld, staticCluster } from './fakes.ts';

function breaker(limits: Partial<typeof DEFAULT_LIMITS> = {}) {
  return createBreaker({ ...DEFAULT_LIMITS, ...limits }, createLocalHoldings(), new StatStore().root, true);
}

function windowed(settings: WindowSettings, workers = 1) {
  const clock = { ms: 5_000_000 };
  const memory = new Int32Array(workers * BUDGET_NUMBERS);
  const budgets = Array.from(
    { length: workers },
    (_, i) => new WindowedBudget(settings, memory, i, breaker().retries, () => clock.ms, null),
  );
  return { clock, budgets };
}

/** As many retries as are granted now. */
function spend(budget: WindowedBudget): number {
  let granted = 0;
  while (budget.available) {
    budget.take();
    budget.release();
    granted++;
  }
  return granted;
}

t.test('without requests the reserve is granted, once per window', async (t) => {
  const { clock, budgets } = windowed({ ratio: 0.2, minPerSecond: 10, windowMs: 10_000 });
  const [budget] = budgets;
  if (budget === undefined) throw new Error('no budget');
  t.equal(spend(budget), 100);
  clock.ms += 9000;
  t.equal(spend(budget), 0, 'the window is not over');
  clock.ms += 1001;
  t.equal(spend(budget), 100);
});

t.test('a fifth of the requests may be retried', async (t) => {
  const { clock, budgets } = windowed({ ratio: 0.2, minPerSecond: 0, windowMs: 10_000 });
  const [budget] = budgets;
  if (budget === undefined) throw new Error('no budget');
  t.notOk(budget.available);
  for (let i = 0; i < 4; i++) budget.deposit();
  t.notOk(budget.available, 'four requests are not enough');
  budget.deposit();
  t.equal(spend(budget), 1);
  for (let i = 0; i < 1000; i++) budget.deposit();
  t.equal(spend(budget), 200);
  for (let i = 0; i < 100; i++) budget.deposit();
  clock.ms += 10_001;
  t.notOk(budget.available, 'what was not used in its window is lost');
});

t.test('0.3 is not rounded to a third', async (t) => {
  const { budgets } = windowed({ ratio: 0.3, minPerSecond: 0, windowMs: 10_000 });
  const [budget] = budgets;
  if (budget === undefined) throw new Error('no budget');
  for (let i = 0; i < 1000; i++) budget.deposit();
  t.equal(spend(budget), 300);
});

t.test('a retry that was not made is given back', async (t) => {
  const { budgets } = windowed({ ratio: 0, minPerSecond: 1, windowMs: 1000 });
  const [budget] = budgets;
  if (budget === undefined) throw new Error('no budget');
  budget.take();
  t.notOk(budget.available);
  budget.refund();
  t.ok(budget.available);
});

t.test('workers share one balance', async (t) => {
  const { budgets } = windowed(DEFAULT_WINDOW, 4);
  for (const budget of budgets) for (let i = 0; i < 250; i++) budget.deposit();
  const granted = budgets.map(spend);
  t.strictSame(granted, [300, 0, 0, 0], '1000 requests × 0.2 + 10/s × 10 s');
});

t.test('retries never exceed ratio × requests + floor in any window, whatever comes', async (t) => {
  const { clock, budgets } = windowed({ ratio: 0.2, minPerSecond: 10, windowMs: 10_000 });
  const [budget] = budgets;
  if (budget === undefined) throw new Error('no budget');
  const log: { readonly ms: number; readonly requests: number; readonly retries: number }[] = [];
  let seed = 7;
  for (let step = 0; step < 600; step++) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    const requests = seed % 200;
    for (let i = 0; i < requests; i++) budget.deposit();
    log.push({ ms: clock.ms, requests, retries: spend(budget) });
    clock.ms += 100;
  }
  for (const { ms } of log) {
    const inside = log.filter((one) => one.ms > ms - 9000 && one.ms <= ms);
    const before = log.filter((one) => one.ms > ms - 20_000 && one.ms <= ms);
    const retries = inside.reduce((sum, one) => sum + one.retries, 0);
    const requests = before.reduce((sum, one) => sum + one.requests, 0);
    if (retries > 0.2 * requests + 100) t.fail(`${retries} retries for ${requests} requests`);
  }
  t.ok(log.some((one) => one.retries > 0));
});

t.test("Envoy's budget is a part of the requests under way, with a floor", async (t) => {
  const { retries, requests, pendingRequests } = breaker();
  const budget = concurrencyBudget(
    { budgetPercent: 20, minRetryConcurrency: 3 },
    retries,
    requests,
    pendingRequests,
  );
  for (let i = 0; i < 3; i++) {
    t.ok(budget.available);
    budget.take();
  }
  t.notOk(budget.available);
  for (let i = 0; i < 15; i++) requests.take();
  for (let i = 0; i < 5; i++) pendingRequests.take();
  t.ok(budget.available, '20 % of 20 is 4');
  budget.take();
  t.notOk(budget.available);
  budget.release();
  t.ok(budget.available);
});

t.test('max_retries and retry_budget are obeyed; without either a window applies', async (t) => {
  const finite = breaker({ maxRetries: 1 }).retryLimit;
  finite.take();
  t.notOk(finite.available);
  finite.release();
  t.ok(finite.available);
  const budget = breaker({
    maxRetries: 0,
    retryBudget: { budgetPercent: 0, minRetryConcurrency: 1 },
  }).retryLimit;
  t.ok(budget.available, 'the budget stands instead of max_retries');
  const window = breaker({ maxRetries: 0, windowedRetries: true }).retryLimit;
  t.ok(window.available);
});

t.test('the budget lies behind the holdings of all workers', async (t) => {
  const memory = new Int32Array(3 * HOLDING_SLICE);
  const holdings = [0, 1, 2].map((worker) => createHoldings(memory, worker));
  t.equal(holdings[2]?.budget.length, 3 * BUDGET_NUMBERS);
  holdings[0]?.budget.fill(9);
  t.equal(holdings[1]?.total(0), 0);
});

t.test('the gauges follow the balance when nothing is asked any more, and then rest', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  world.clock.ms = 100_000;
  const { retryLimit } = world.cluster(staticCluster([{ port: 1 }])).breaker;
  const later = (ms: number): (number | undefined)[] => {
    for (let passed = 0; passed < ms; passed += 500) world.advance(500);
    return ['retry_budget_remaining', 'rq_retry_open'].map((name) =>
      world.stat(`circuit_breakers.default.${name}`),
    );
  };
  while (retryLimit.available) {
    retryLimit.take();
    retryLimit.release();
  }
  t.strictSame(later(1000), [0, 1]);
  t.strictSame(later(11_000), [100, 0]);
  t.equal(world.timers.size, 0);
  for (let i = 0; i < 4; i++) retryLimit.take();
  t.strictSame(later(1000), [96, 0], 'four at once are no limit');
});
