import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const launcher = fileURLToPath(new URL('../../bin/inox', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'inox-launcher-'));
t.teardown(() => rmSync(root, { recursive: true }));

const checkout = ['src/cli/main.ts', 'gen/done'];
const installed = ['dist/inox.mjs'];
let trees = 0;

/** A tree with the launcher, empty files, and stand-ins for Node that say their version, or what they were given. */
function plant(files: readonly string[], nodes: Readonly<Record<string, string>> = {}): string {
  const folder = join(root, String(trees++));
  const put = (path: string, text: string): string => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  for (const path of files) put(path, '');
  for (const [path, version] of Object.entries(nodes)) {
    const script = `#!/bin/sh\n[ "$1" = --version ] && echo ${version} && exit\necho "$$ ${path}" "$@"\n`;
    chmodSync(put(path, script), 0o755);
  }
  copyFileSync(launcher, put('bin/inox', ''));
  return folder;
}

interface Result {
  readonly code: number | null;
  readonly pid: number;
  readonly out: string;
  readonly err: string;
}

/** PATH holds `tree/path` and the usual tools, without any Node of this machine. */
function launch(tree: string, args: readonly string[] = [], command = join(tree, 'bin/inox')): Result {
  const PATH = `${join(tree, 'path')}:${tools}`;
  const { status, pid, stdout, stderr } = spawnSync('sh', [command, ...args], {
    encoding: 'utf8',
    env: { PATH },
  });
  return {
    code: status,
    pid,
    out: stdout.replaceAll(tree, '').trim(),
    err: stderr.replaceAll(tree, '').trim(),
  };
}

const tools = join(root, 'tools');
mkdirSync(tools);
for (const tool of ['sh', 'dirname', 'readlink', 'uname']) {
  const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' });
  symlinkSync(stdout.trim(), join(tools, tool));
}

const flags = '--disable-warning=ExperimentalWarning --max-semi-space-size=1';

t.test('becomes the Node of the checkout, on src, and hands every argument over', async (t) => {
  const result = launch(plant(checkout, { 'node_modules/.bin/node': 'v26.10.0', 'path/node': 'v27.1.0' }), [
    'run',
    '-c',
    'a b',
  ]);
  t.equal(result.out, `${result.pid} node_modules/.bin/node ${flags} /src/cli/main.ts run -c a b`);
  t.equal(result.code, 0);
});

t.test('runs the bundle when installed', async (t) => {
  const result = launch(plant(installed, { 'path/node': 'v26.9.0' }), ['--version']);
  t.match(result.out, ` path/node ${flags} /dist/inox.mjs --version`);
});

t.test('finds its own files through symbolic links, absolute and relative', async (t) => {
  const tree = plant(checkout, { 'path/node': 'v26.10.0' });
  symlinkSync('bin/inox', join(tree, 'relative'));
  symlinkSync(join(tree, 'relative'), join(tree, 'absolute'));
  t.match(launch(tree, [], join(tree, 'absolute')).out, ' /src/cli/main.ts');
});

t.test('passes over a Node that is too old, absent or no Node at all', async (t) => {
  const nodes = { 'node_modules/.bin/node': 'v26.8.1', 'path/node': 'v27.0.0-nightly' };
  t.match(launch(plant(checkout, nodes)).out, / path\/node /);
  t.match(
    launch(plant(checkout, { 'node_modules/.bin/node': 'hello', 'path/node': 'v100.0.0' })).out,
    / path\/node /,
  );
});

t.test('says what is needed when no Node fits', async (t) => {
  const fresh = launch(plant(checkout, { 'path/node': 'v20.20.2' }));
  t.equal(fresh.code, 1);
  t.match(fresh.err, 'needs Node 26.9 or newer (in PATH: v20.20.2)');
  t.match(fresh.err, "run 'npm ci'");
  const bare = launch(plant(installed));
  t.equal(bare.code, 1);
  t.match(bare.err, '(in PATH: none)');
  t.match(bare.err, 'INOX_NODE');
});

t.test('names an incomplete installation', async (t) => {
  const result = launch(plant([], { 'path/node': 'v26.10.0' }));
  t.equal(result.code, 1);
  t.match(result.err, 'neither /src/cli/main.ts nor /dist/inox.mjs exists');
});
