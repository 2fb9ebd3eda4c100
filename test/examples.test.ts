import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeCertificates } from '../examples/emojivoto/certificates.ts';
import { loadConfig } from '../src/cli/validate.ts';

const root = join(import.meta.dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

// The sample's files name them from here.
process.chdir(root);
makeCertificates('.cache/emojivoto/certs');

t.test('every example is valid and all of it has an effect', async (t) => {
  const files = globSync('examples/**/*.yaml', { cwd: root });
  t.ok(files.length >= 8);
  for (const file of files) {
    const { inert, warnings } = loadConfig({ configPath: join(root, file) });
    t.same(inert, [], file);
    t.same(warnings, [], file);
  }
});

t.test('the readme names every example', async (t) => {
  for (const file of globSync('examples/*.yaml', { cwd: root })) t.ok(readme.includes(`(${file})`), file);
});

t.test("the readme's own configuration is valid", async (t) => {
  const yaml = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1];
  t.ok(yaml);
  const { inert, warnings } = loadConfig({ configYaml: yaml ?? '' });
  t.same(inert, []);
  t.same(warnings, []);
});
