import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..', '..');
const CALL = /\.(?:counter|gauge|histogram)\(\s*'([^']+)'/g;

t.test('every stat that the code names is in docs/stats.md', async (t) => {
  const documented = readFileSync(join(root, 'docs', 'stats.md'), 'utf8');
  const missing: string[] = [];
  let named = 0;
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    for (const [, name = ''] of readFileSync(join(root, file), 'utf8').matchAll(CALL)) {
      named++;
      if (!new RegExp(`[\`.]${name.replaceAll('.', '\\.')}\``).test(documented))
        missing.push(`${name} (${file})`);
    }
  }
  t.ok(named > 50, 'the calls were found');
  t.strictSame(missing, [], 'each of these needs a row in docs/stats.md');
});
