import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { draw, runScenario, table, withTable } from '../../../bench/sim/run.ts';
import { FULL, SCENARIOS, SMALL, zoneLost } from '../../../bench/sim/scenarios.ts';
import { latencyPercentile, successPercent } from '../../../bench/sim/world.ts';

const DOCS = join(import.meta.dirname, '../../../docs');
const DIES = 20;

t.test(
  'a lost zone costs next to nothing, and Peak-EWMA is in no second worse than ROUND_ROBIN',
  async (t) => {
    for (const seed of [1, 2, 3]) {
      const [fair, ewma] = runScenario(zoneLost(SMALL), seed);
      t.ok(fair && ewma);
      if (fair === undefined || ewma === undefined) return;
      const end = ewma.seconds.length;
      t.ok(successPercent(ewma.seconds, DIES + 5, end) >= 99.9, `seed ${seed}`);
      t.ok(ewma.ejections >= SMALL.hostsPerZone, 'the dead hosts were ejected');
      for (let second = 0; second < end; second++) {
        const [a, b] = [fair, ewma].map((one) => successPercent(one.seconds, second, second + 1));
        t.ok((b ?? 0) >= (a ?? 100), `seed ${seed}, second ${second}: ${b} against ${a}`);
      }
    }
  },
);

t.test('while a zone warms up, Peak-EWMA finds its warm hosts', async (t) => {
  const [fair, ewma] = runScenario(zoneLost(SMALL), 1);
  const p99 = (seconds: Parameters<typeof latencyPercentile>[0]): number =>
    latencyPercentile(seconds, 99, 52, 75);
  t.ok(p99(ewma?.seconds ?? []) < p99(fair?.seconds ?? []));
});

t.test('a run is repeatable', async (t) => {
  const scenario = zoneLost(SMALL);
  t.equal(table(scenario, runScenario(scenario, 5)), table(scenario, runScenario(scenario, 5)));
});

t.test('tables and plots in docs/ are of this code: node bench/sim/run.ts --write', async (t) => {
  const document = await readFile(join(DOCS, 'simulation.md'), 'utf8');
  for (const make of SCENARIOS) {
    const scenario = make(FULL);
    const results = runScenario(scenario, 1);
    t.equal(withTable(document, scenario.name, table(scenario, results)), document, scenario.name);
    const svg = await readFile(join(DOCS, 'simulation', `${scenario.name}.svg`), 'utf8');
    t.ok(svg === draw(scenario, results), `${scenario.name}.svg`);
    if (scenario.name !== 'zone-lost') continue;
    const [fair, ewma] = results;
    t.ok(successPercent(ewma?.seconds ?? [], DIES + 5, ewma?.seconds.length ?? 0) >= 99.9);
    ewma?.seconds.forEach((_, i) => {
      const theirs = successPercent(fair?.seconds ?? [], i, i + 1);
      t.ok(successPercent(ewma.seconds, i, i + 1) >= theirs, `second ${i}`);
    });
  }
});
