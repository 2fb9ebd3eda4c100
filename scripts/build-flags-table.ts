/** Writes the table of command line flags into README.md; a test fails when it is stale. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ENVOY_FLAGS } from '../src/cli/envoy-flags.ts';

const begin = '<!-- flags: written by `node scripts/build-flags-table.ts` -->\n';
const end = '<!-- /flags -->';

/** The same text with the table between the two marks renewed. */
export function withFlagsTable(text: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error('the marks around the table of flags are missing');
  return `${text.slice(0, from + begin.length)}\n${flagsTable()}\n${text.slice(to)}`;
}

function flagsTable(): string {
  const code = (text: string): string => `\`${text}\``;
  const acting = ENVOY_FLAGS.filter(({ acts }) => acts).map(
    ({ flags, help }) => `| ${code(flags)} | ${help} |`,
  );
  const ignored = ENVOY_FLAGS.filter(({ acts }) => !acts).map(({ flags }) => code(flags.replace(/ <.*/, '')));
  return [
    "Envoy's flags that act as they do there:\n",
    '| flag | effect |\n| --- | --- |',
    `${acting.join('\n')}\n`,
    `Accepted and named in a warning, without effect: ${ignored.join(', ')}.\n`,
  ].join('\n');
}

if (import.meta.main) {
  const path = join(import.meta.dirname, '..', 'README.md');
  writeFileSync(path, withFlagsTable(readFileSync(path, 'utf8')));
}
