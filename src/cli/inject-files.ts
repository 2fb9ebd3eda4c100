import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { changeManifests, type Outcome, type Planner } from '../inject/manifests.ts';

/** Files with manifests: `-`, a file, or a folder with those that end in .yaml, .yml and .json. */
export interface ManifestFlags {
  readonly filename?: readonly string[];
}

const MANIFEST = /\.(ya?ml|json)$/;
const DIM = '\x1b[2m';
const GREEN = '\x1b[32m';
const YELLOW = '\x1b[33m';
const RESET = '\x1b[0m';

/** Changes all files or, with a mistake in any of them, none: prints the result, the summary on standard error. */
export function changeFiles(names: readonly string[], verb: string, planner: Planner): number {
  const problems: ConfigProblem[] = [];
  const outcomes: Outcome[] = [];
  const texts: string[] = [];
  for (const name of names.length === 0 ? ['-'] : names) {
    try {
      for (const file of filesOf(name)) {
        const text = readFileSync(file === '-' ? 0 : file, 'utf8');
        const changed = changeManifests(text, file === '-' ? '<stdin>' : file, verb, planner);
        texts.push(changed.text);
        outcomes.push(...changed.outcomes);
      }
    } catch (error) {
      if (error instanceof ConfigError) problems.push(...error.problems);
      else if (isSystemError(error)) problems.push({ path: name, message: `cannot be read: ${error.code}` });
      else throw error;
    }
  }
  if (problems.length > 0) {
    process.stderr.write(`${formatProblems(problems)}\n`);
    return 1;
  }
  process.stdout.write(joinManifests(texts));
  process.stderr.write(summary(outcomes, process.stderr.isTTY && process.env.NO_COLOR === undefined));
  return 0;
}

/** Several files make one stream of documents; one file stays as it is. */
function joinManifests(texts: readonly string[]): string {
  const [first = '', ...rest] = texts;
  return rest.reduce((all, text) => {
    const ended = all === '' || all.endsWith('\n') ? all : `${all}\n`;
    return /^(#.*\n|\s*\n)*---/.test(text) ? ended + text : `${ended}---\n${text}`;
  }, first);
}

function filesOf(name: string): string[] {
  if (name === '-' || !statSync(name).isDirectory()) return [name];
  return readdirSync(name, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && MANIFEST.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function summary(outcomes: readonly Outcome[], coloured: boolean): string {
  const paint = (colour: string, text: string): string => (coloured ? `${colour}${text}${RESET}` : text);
  const width = Math.max(0, ...outcomes.map(({ resource }) => resource.length));
  const lines = outcomes.flatMap(({ resource, result, changed, loud, warnings }) => [
    `${resource.padEnd(width)}  ${paint(changed ? GREEN : loud ? YELLOW : DIM, result)}`,
    ...warnings.map((warning) => `${''.padEnd(width)}  ${paint(YELLOW, `warning: ${warning}`)}`),
  ]);
  if (outcomes.length === 0) lines.push(paint(YELLOW, 'no workload was found'));
  return `${lines.join('\n')}\n`;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}
