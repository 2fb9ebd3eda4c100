/**
 * Runs every case through Envoy and through inox and reports where they differ.
 *
 *   node test/system/envoy/run.ts [--only text] [--group name] [--left envoy] [--right inox] [--facts file]
 *
 * Ends with 1 when there is a difference that differences.ts does not explain, or an explanation that no
 * difference needs any more. `--right none` runs one proxy only; `--facts` writes what the left one answered.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import type { Group } from './case.ts';
import { GROUPS } from './cases/index.ts';
import { compare, type Difference } from './compare.ts';
import { DIFFERENCES, type Explained } from './differences.ts';
import { GroupRun } from './group-run.ts';
import type { Observation } from './observe.ts';
import { PortAllocator } from './ports.ts';
import { runProcessCases } from './process-run.ts';
import { type ProxyName, proxyKind } from './proxy.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    group: { type: 'string' },
    left: { type: 'string', default: 'envoy' },
    right: { type: 'string', default: 'inox' },
    facts: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

interface Found extends Difference {
  readonly case: string;
  readonly explained: Explained | undefined;
}

/** Groups that run side by side. */
const LANES = 2;
/** Either proxy may be late on a busy machine: a difference counts when this many runs in a row show it. */
const RUNS = 3;

const started = Date.now();
const folder = mkdtempSync(join(tmpdir(), 'inox-envoy-'));
const ports = new PortAllocator(Number(process.env.INOX_TEST_PORT_BASE ?? 26_000));
const found: Found[] = [];
const facts: Record<string, Observation> = {};
const verdicts: Record<string, unknown> = {};
let count = 0;

const waiting = checkNames(GROUPS)
  .map(selected)
  .filter((group) => group.cases.length > 0);
// Most of the time is waiting: for answers, timeouts, processes.
await Promise.all(Array.from({ length: LANES }, runWaiting));
if (options.group === undefined || options.group === 'processes') await compareProcesses();
if (options.facts !== undefined)
  writeFileSync(options.facts, JSON.stringify({ facts, verdicts }, undefined, 1));
report();
if (options.keep) console.log(`files are in ${folder}`);
else rmSync(folder, { recursive: true, force: true });

async function runWaiting(): Promise<void> {
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) await runGroup(group);
}

async function runGroup(group: Group): Promise<void> {
  let cases = group.cases;
  for (let run = 1; cases.length > 0; run++) {
    const hits = await compareGroup({ ...group, cases }, `${group.name}-${run}`);
    if (run === 1) count += cases.length;
    const doubtful = new Set(
      run < RUNS ? hits.filter((one) => one.explained === undefined).map((one) => one.case) : [],
    );
    found.push(...hits.filter((one) => !doubtful.has(one.case)));
    console.error(`${group.name}: ${cases.length} cases, ${Math.round((Date.now() - started) / 1000)} s`);
    cases = cases.filter((one) => doubtful.has(one.name));
    if (cases.length > 0) console.error(`${group.name}: once more: ${[...doubtful].join(', ')}`);
  }
}

/** Runs the cases of one group through both proxies; `name` is that of its folder. */
async function compareGroup(group: Group, name: string): Promise<Found[]> {
  const run = await GroupRun.create(group, join(folder, name), ports);
  try {
    await run.listen();
    const left = await run.run(proxyKind(nameOf(options.left), mayRefuse));
    const right =
      options.right === 'none' ? undefined : await run.run(proxyKind(nameOf(options.right), mayRefuse));
    const hits: Found[] = [];
    for (const spec of group.cases) {
      const one = left.get(spec.name);
      if (one !== undefined) facts[spec.name] = one;
      if (right !== undefined) hits.push(...differencesOf(spec.name, one, right.get(spec.name)));
    }
    return hits;
  } finally {
    run.close();
  }
}

async function compareProcesses(): Promise<void> {
  const wanted = (name: string): boolean => options.only === undefined || name.includes(options.only);
  const left = await runProcessCases(proxyKind(nameOf(options.left), mayRefuse), folder, ports, wanted);
  count += left.size;
  for (const [name, result] of left) verdicts[name] = result;
  if (options.right !== 'none') {
    const right = await runProcessCases(proxyKind(nameOf(options.right), mayRefuse), folder, ports, wanted);
    for (const [name, result] of left) {
      const differences = compare(result, right.get(name)).filter((one) => one.path !== 'words');
      found.push(...differences.map((one) => explain(name, one)));
    }
  }
  console.error(`processes: ${left.size} cases, ${Math.round((Date.now() - started) / 1000)} s`);
}

function mayRefuse(name: string): boolean {
  return findExplained(name, 'rejected')?.path.source === '^rejected$';
}

function explain(name: string, difference: Difference): Found {
  return { ...difference, case: name, explained: findExplained(name, difference.path) };
}

function checkNames(groups: readonly Group[]): readonly Group[] {
  const names = groups.flatMap((group) => group.cases.map((one) => one.name));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two cases are called ${twice}`);
  return groups;
}

function selected(group: Group): Group {
  if (options.group !== undefined && group.name !== options.group) return { ...group, cases: [] };
  const only = options.only;
  return only === undefined
    ? group
    : { ...group, cases: group.cases.filter((one) => one.name.includes(only)) };
}

function nameOf(text: string): ProxyName {
  if (text !== 'envoy' && text !== 'inox') throw new Error(`no such proxy: ${text}`);
  return text;
}

function differencesOf(name: string, left: Observation | undefined, right: Observation | undefined): Found[] {
  if (left?.rejected !== undefined && right?.rejected !== undefined) return [];
  const differences =
    left?.rejected === right?.rejected
      ? compare(left, right)
      : [{ path: 'rejected', left: left?.rejected ?? 'accepted', right: right?.rejected ?? 'accepted' }];
  return differences.map((one) => explain(name, one));
}

function findExplained(name: string, path: string): Explained | undefined {
  return DIFFERENCES.find((one) => one.cases.includes(name) && one.path.test(path));
}

/** Explanations, case by case, that no difference needs any more. */
function staleExplanations(): string[] {
  return DIFFERENCES.flatMap((one) =>
    one.cases
      .filter((name) => !found.some((hit) => hit.explained === one && hit.case === name))
      .map((name) => `${name} ${one.path}`),
  );
}

function report(): void {
  const unexplained = found.filter((one) => one.explained === undefined);
  for (const one of unexplained) {
    console.log(
      `\n✗ ${one.case}\n  ${one.path}\n    ${options.left}: ${one.left}\n    ${options.right}: ${one.right}`,
    );
  }
  const whole = options.only === undefined && options.group === undefined && options.right === 'inox';
  const stale = whole ? staleExplanations() : [];
  for (const one of stale) console.log(`\n✗ no longer needed in differences.ts: ${one}`);
  const cases = new Set(unexplained.map((one) => one.case)).size;
  console.log(
    `\n${count} cases, ${Math.round((Date.now() - started) / 1000)} s: ${unexplained.length} unexplained ` +
      `differences in ${cases} cases, ${found.length - unexplained.length} explained, ${stale.length} stale`,
  );
  if (unexplained.length > 0 || stale.length > 0) process.exitCode = 1;
}
