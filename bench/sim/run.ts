/**
 * Policies under virtual time: the shipped balancers, breakers, retry budgets and outlier detection against simulated
 * hosts. A run is repeatable to the last request; its tables and plots are in docs/simulation.md.
 *
 *   node bench/sim/run.ts [scenario…] [--seed 1] [--small] [--write] [--list]
 *
 * `--write` puts tables and plots into docs/; without it they are only printed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { plot } from './plot.ts';
import { FULL, type Policy, SCENARIOS, type Scenario, SMALL } from './scenarios.ts';
import { report as reportThreeBackends } from './three-backends.ts';
import { latencyPercentile, type Second, successPercent, World } from './world.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const COLOURS: Readonly<Record<Policy, string>> = {
  ROUND_ROBIN: '#c0392b',
  LEAST_REQUEST: '#e67e22',
  PEAK_EWMA: '#2471a3',
};

export interface Result {
  readonly policy: Policy;
  readonly seconds: readonly Second[];
  readonly ejections: number;
}

/** Runs a scenario with each of its policies. */
export function runScenario(scenario: Scenario, seed: number): Result[] {
  return scenario.policies.map((policy) => {
    const { seconds, ejections } = new World(scenario.settings(policy, seed)).run();
    return { policy, seconds, ejections };
  });
}

/** A Markdown table: each part of the run, each policy. */
export function table(scenario: Scenario, results: readonly Result[]): string {
  const rows = scenario.parts.flatMap(({ label, from, to }) =>
    results.map(({ policy, seconds }) => {
      const requests = sum(seconds, from, to, 'requests');
      const load = sum(seconds, from, to, 'attempts') / requests;
      const worst = Math.min(
        ...Array.from({ length: to - from }, (_, i) => successPercent(seconds, from + i, from + i + 1)),
      );
      const cells = [
        label,
        `\`${policy}\``,
        percent(successPercent(seconds, from, to)),
        percent(worst),
        latencyPercentile(seconds, 50, from, to).toFixed(0),
        latencyPercentile(seconds, 99, from, to).toFixed(0),
        load.toFixed(3),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  );
  return [
    '| | policy | success | worst second | p50 (ms) | p99 (ms) | attempts per request |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

/** Success and latency by the second. */
export function draw(scenario: Scenario, results: readonly Result[]): string {
  const perSecond = (value: (seconds: readonly Second[], second: number) => number) =>
    results.map(({ policy, seconds }) => ({
      name: policy,
      colour: COLOURS[policy],
      values: seconds.map((_, i) => value(seconds, i)),
    }));
  const success = perSecond((seconds, i) => successPercent(seconds, i, i + 1));
  const p99 = perSecond((seconds, i) => latencyPercentile(seconds, 99, i, i + 1));
  const lowest = Math.floor(Math.min(99, ...success.flatMap((line) => line.values)));
  const highest = Math.ceil(Math.max(...p99.flatMap((line) => line.values)) / 100) * 100;
  const panels = [
    { title: 'success per second (%)', lines: success, lowest, highest: 100 },
    { title: 'p99 latency per second (ms)', lines: p99, lowest: 0, highest },
  ];
  return plot(scenario.title, panels, scenario.marks);
}

/** `docs/simulation.md` with the table of a scenario replaced; its place is marked by comments. */
export function withTable(document: string, name: string, text: string): string {
  const begin = `<!-- ${name} -->\n`;
  const end = `\n<!-- end of ${name} -->`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/simulation.md has no place for ${name}`);
  return document.slice(0, from + begin.length) + text + document.slice(to);
}

function sum(seconds: readonly Second[], from: number, to: number, what: 'requests' | 'attempts'): number {
  return seconds.slice(from, to).reduce((total, second) => total + second[what], 0);
}

function percent(value: number): string {
  return `${value.toFixed(2)} %`;
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: '1' },
      small: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const scenarios = SCENARIOS.map((make) => make(values.small ? SMALL : FULL));
  if (values.list) {
    for (const { name, title } of scenarios) console.log(`${name}: ${title}`);
    console.log('three-backends: one of three hosts becomes slow or fails');
    return;
  }
  const wanted = (name: string): boolean => positionals.length === 0 || positionals.includes(name);
  for (const scenario of scenarios.filter(({ name }) => wanted(name))) {
    const results = runScenario(scenario, Number(values.seed));
    const text = table(scenario, results);
    const ejections = results.map((one) => `${one.policy} ${one.ejections}`).join(', ');
    console.log(`${scenario.title}\n\n${text}\n\nejections: ${ejections}\n`);
    if (!values.write) continue;
    const file = join(DOCS, 'simulation.md');
    writeFileSync(file, withTable(readFileSync(file, 'utf8'), scenario.name, text));
    writeFileSync(join(DOCS, 'simulation', `${scenario.name}.svg`), draw(scenario, results));
  }
  if (wanted('three-backends')) reportThreeBackends();
}

if (import.meta.main) main();
