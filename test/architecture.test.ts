import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { architectureProblems, importsOf } from './support/architecture.ts';

const root = join(import.meta.dirname, '..');

t.test('src keeps to the order of its layers', async (t) => {
  const files = globSync('src/**/*.ts', { cwd: root }).sort();
  t.ok(files.length > 20, 'the tree was read');
  t.same(
    architectureProblems(new Map(files.map((path) => [path, readFileSync(join(root, path), 'utf8')]))),
    [],
  );
});

const wrong: readonly [what: string, files: Record<string, string>, problem: RegExp][] = [
  [
    'an arrow upwards',
    { 'src/http/a.ts': `import { b } from '../upstream/b.ts';` },
    /no arrow leads from http to upstream/,
  ],
  [
    'an arrow upwards for a type',
    { 'src/core/a.ts': `import type { B } from '../net/b.ts';` },
    /from core to net/,
  ],
  [
    'an arrow upwards in a re-export',
    { 'src/net/a.ts': `export * from '../http/b.ts';` },
    /from net to http/,
  ],
  [
    'an arrow upwards at run time',
    { 'src/config/a.ts': `const b = await import('../extensions/b.ts');` },
    /from config to ext/,
  ],
  [
    'an import over several lines',
    { 'src/net/a.ts': `import {\n  b,\n  c,\n} from '../route/b.ts';` },
    /from net to route/,
  ],
  [
    'somebody who imports the worker',
    { 'src/control/a.ts': `import '../worker/main.ts';` },
    /from control to worker/,
  ],
  [
    'the data plane that knows descriptors',
    { 'src/config/a.ts': `import { b } from '../proto/b.ts';` },
    /config to proto/,
  ],
  [
    'a folder that nobody placed',
    { 'src/misc/a.ts': `import { b } from '../core/b.ts';` },
    /without a place/,
  ],
  ['source that imports a test', { 'src/net/a.ts': `import { b } from '../../test/b.ts';` }, /outside src/],
  [
    'an extension that imports another',
    {
      'src/extensions/index.ts': `import { a } from './http/a.ts';\nimport { b } from './http/b.ts';`,
      'src/extensions/http/a.ts': `import { b } from './b.ts';`,
      'src/extensions/http/b.ts': `import { part } from './part.ts';`,
    },
    /http\/a\.ts imports the extension src\/extensions\/http\/b\.ts/,
  ],
  [
    'a cycle',
    { 'src/net/a.ts': `import './b.ts';`, 'src/net/b.ts': `export * from './a.ts';` },
    /cycle: .*a\.ts → .*b\.ts → .*a\.ts/,
  ],
  ['a default export', { 'src/net/a.ts': 'export default 1;' }, /default export/],
  ['a long file without a reason', { 'src/net/a.ts': '\n1;'.repeat(401) }, /402 lines/],
  [
    'a plain type used as a value',
    { 'src/net/a.ts': `import { Cluster } from '#plain/x.ts';` },
    /only its types exist/,
  ],
  [
    'descriptors in a data thread',
    { 'src/worker/a.ts': `import { create } from '@bufbuild/protobuf';` },
    /which is for proto/,
  ],
];
for (const [what, files, problem] of wrong) {
  t.test(`finds ${what}`, async (t) => {
    const problems = architectureProblems(new Map(Object.entries(files)));
    t.equal(problems.length, 1, problems.join('\n'));
    t.match(problems[0], problem);
  });
}

t.test('lets the right ones through', async (t) => {
  const files = {
    'src/control/a.ts': `import { createDataPlane } from '../worker/data-plane.ts';`,
    'src/http/a.ts': `import type { B } from './b.ts';`,
    'src/http/b.ts': `import { a } from './a.ts';`,
    'src/extensions/index.ts': `import { a } from './http/a.ts';`,
    'src/extensions/http/a.ts': `import type { Cluster } from '#plain/x.ts';\nimport { part } from './part.ts';`,
    'src/extensions/http/part.ts': `/** Long because of a table of 401 lines. */${'\n1;'.repeat(401)}`,
    'src/cli/main.ts': `import { run } from '../control/run.ts';\nimport { Command } from 'commander';`,
    'src/worker/main.ts': `// import '../cli/main.ts';\n/* import '../control/a.ts'; */\nimport net from 'node:net';`,
  };
  t.same(architectureProblems(new Map(Object.entries(files))), []);
});

t.test('reads every form of import', async (t) => {
  const text = `import a, { type B } from './1.ts';\nimport type {\n  C,\n} from './2.ts';\nimport './3.ts';\nexport type { D } from './4.ts';
export * from './5.ts';\nexport const e = 'from';\nlet f: typeof import('./6.ts');\nlet g = import('./7.ts');\n`;
  t.same(
    importsOf(text).map(({ specifier, typeOnly }) => `${specifier} ${typeOnly}`),
    [
      './1.ts false',
      './2.ts true',
      './3.ts false',
      './4.ts true',
      './5.ts false',
      './6.ts true',
      './7.ts false',
    ],
  );
});
