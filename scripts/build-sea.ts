/**
 * Builds dist/inox: one executable with Node, the program, the workers' program and Envoy's messages inside, for
 * machines and images without Node. It needs glibc and libstdc++, which every Debian has, and nothing else.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { build } from 'esbuild';
import { LOAD_PROGRAM } from '../src/control/load-config.ts';
import { runAsset } from '../src/control/spawn-worker.ts';
import { common, entries } from './build-dist.ts';
import { wrap } from './code-cache.ts';
import { portableNode } from './portable-node.ts';

const root = join(import.meta.dirname, '..');
const staging = join(root, '.cache', `executable-${process.pid}`);
const output = join(root, 'dist', 'inox');

const programs = Object.keys(entries);

mkdirSync(staging, { recursive: true });
mkdirSync(join(root, 'dist'), { recursive: true });
try {
  await build({
    ...common,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    // One file inside one file: there are no chunks to load later.
    entryPoints: entries,
    outdir: staging,
    // Only spawn-worker.ts and the reader of Envoy's messages look where they are, and neither when inside.
    logOverride: { 'empty-import-meta': 'silent' },
  });
  for (const program of programs) prepare(program);
  const warmed = spawnSync(process.execPath, [join(import.meta.dirname, 'code-cache.ts'), staging], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (warmed.status !== 0) throw new Error(`no code caches:\n${warmed.stderr}`);
  writeFileSync(
    join(staging, 'main.cjs'),
    `if (process.argv[2] === '${LOAD_PROGRAM}') {${runAsset('load')}\n} else {${runAsset('inox')}\n}`,
  );
  const node = join(staging, 'node');
  writeFileSync(node, portableNode(readFileSync(process.execPath)), { mode: 0o755 });
  const config = join(staging, 'executable.json');
  writeFileSync(
    config,
    JSON.stringify({
      main: join(staging, 'main.cjs'),
      executable: node,
      output,
      disableExperimentalSEAWarning: true,
      // As in bin/inox.
      execArgv: ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1'],
      execArgvExtension: 'env',
      assets: {
        ...Object.fromEntries(
          programs.flatMap((program) =>
            ['cjs', 'cache'].map((type) => [`${program}.${type}`, join(staging, `${program}.${type}`)]),
          ),
        ),
        'envoy.binpb': join(root, 'gen', 'envoy.binpb'),
      },
    }),
  );
  const made = spawnSync(process.execPath, ['--build-sea', config], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`node --build-sea failed:\n${made.stderr}`);
  process.stdout.write(`dist/inox ${Math.round(statSync(output).size / 2 ** 20)} MB\n`);
} finally {
  rmSync(staging, { recursive: true, force: true });
}

/** Puts a program into a function, and beside it V8's code cache of one that was not run yet. */
function prepare(program: string): void {
  const file = join(staging, `${program}.cjs`);
  const source = wrap(readFileSync(file, 'utf8'));
  writeFileSync(file, source);
  const cache = new Script(source, { filename: `${program}.cjs` }).createCachedData();
  writeFileSync(join(staging, `${program}.cache`), cache);
}
