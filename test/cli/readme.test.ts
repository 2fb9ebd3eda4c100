import { readFileSync } from 'node:fs';
import t from 'tap';
import { withFlagsTable } from '../../scripts/build-flags-table.ts';

t.test('README.md lists the flags that the command line has', async (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  t.equal(withFlagsTable(readme), readme, 'stale: run node scripts/build-flags-table.ts');
});
