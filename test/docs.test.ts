import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

t.test('docs/dependencies.md gives a reason for each package, and for no other', async (t) => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const used = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
    Object.keys(manifest[kind] ?? {}),
  );
  const rows = [...read('docs/dependencies.md').matchAll(/^\| ([^|]+) \| [^|]/gm)].map((row) => row[1] ?? '');
  const listed = rows.flatMap((row) => row.split(', ')).filter((name) => !/^(package|---)$/.test(name));
  t.same(listed.sort(), used.sort());
});

t.test('links between documents lead to files that exist', async (t) => {
  for (const path of [
    ...globSync('*.md', { cwd: root }),
    ...globSync('{docs,bench,proto}/**/*.md', { cwd: root }),
  ]) {
    for (const [, target = ''] of read(path).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      t.ok(existsSync(join(root, dirname(path), target)), `${path} → ${target}`);
    }
  }
});

t.test('docs/life-of-a-request.md names files that exist', async (t) => {
  const names = [...read('docs/life-of-a-request.md').matchAll(/`([a-z0-9]+\/[a-z0-9/-]+)`/g)];
  t.ok(names.length > 20);
  for (const [, name = ''] of names) {
    const found = existsSync(join(root, 'src', `${name}.ts`)) || existsSync(join(root, 'src', name));
    t.ok(found || existsSync(join(root, name)), name);
  }
});

t.test('npm run commands that the readme names exist', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const [, name = ''] of read('README.md').matchAll(/npm run ([a-z:]+)/g)) t.ok(scripts[name], name);
});
