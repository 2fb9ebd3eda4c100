/**
 * Bundles what npm and the container image ship: dist/inox.mjs (command line and control thread), a program for each other
 * thread and for the process that loads configuration (dist/worker.mjs and the like), and dist/envoy.binpb (Envoy's
 * messages).
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { PROGRAMS } from '../src/control/spawn-worker.ts';

const root = join(import.meta.dirname, '..');

/** The commit and whether files differ from it, as `--version` prints them; nothing outside a checkout. */
function builtFrom(): Record<string, string> {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const commit = git('rev-parse', 'HEAD');
  const top = git('rev-parse', '--show-toplevel');
  if (commit.status !== 0 || top.stdout.trim() !== root) return {};
  const changed = git('status', '--porcelain').stdout !== '';
  return { INOX_BUILT_FROM: JSON.stringify(`${commit.stdout.trim()}/${changed ? 'Modified' : 'Clean'}`) };
}

/** What every bundle has in common; `require` is for CommonJS packages that ask for Node's own modules. */
export const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node26',
  // Names in stack traces stay readable; white space alone is half of what minifying saves.
  minifyWhitespace: true,
  keepNames: false,
  legalComments: 'external',
  logLevel: 'warning',
  define: builtFrom(),
};

export const asModule: BuildOptions = {
  format: 'esm',
  // Commands are imported when they run: a serving process never reads the code that decodes configuration.
  splitting: true,
  chunkNames: 'chunk-[hash]',
  outExtension: { '.js': '.mjs' },
  banner: { js: "import{createRequire as $cr}from'node:module';const require=$cr(import.meta.url);" },
};

export const entries: Readonly<Record<string, string>> = {
  inox: 'src/cli/main.ts',
  ...Object.fromEntries(Object.entries(PROGRAMS).map(([name, path]) => [name, `src/${path}`])),
};

if (import.meta.main) {
  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  await build({ ...common, ...asModule, entryPoints: entries, outdir: dist });
  copyFileSync(join(root, 'gen', 'envoy.binpb'), join(dist, 'envoy.binpb'));
  for (const name of [...Object.keys(entries).map((program) => `${program}.mjs`), 'envoy.binpb']) {
    process.stdout.write(
      `dist/${name.padEnd(12)} ${Math.round(statSync(join(dist, name)).size / 1024)} KB\n`,
    );
  }
}
