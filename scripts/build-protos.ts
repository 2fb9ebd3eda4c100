/**
 * Compiles Envoy's v3 protos into `gen/envoy.binpb` (one FileDescriptorSet without source info) and
 * writes the types of the plain objects into `gen/plain/`. Does nothing when its inputs did not change.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { protoPatches } from './proto-patches.ts';

const root = join(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
const ownProtos = join(root, 'proto');
const gen = join(root, 'gen');

/** Packaged folders in which imports are looked up, in this order, after our own `proto/`. */
const packagedRoots = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'];

/** Wire-format services that nothing of ours speaks and whose imports the package lacks. */
const skipped = /^envoy\/service\/(metrics|trace)\//;

const harness = 'tests/harness/cases/**/*.proto';

await main();

async function main(): Promise<void> {
  const packageJson = require.resolve('@grpc/grpc-js-xds/package.json');
  const deps = join(dirname(realpathSync(packageJson)), 'deps');
  const stamp = join(gen, '.inputs');
  const hash = hashInputs(packageJson);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;

  const started = performance.now();
  // A run of our own beside another one must not see half of a file: build aside, then rename.
  const staging = join(root, '.cache', `protos-${process.pid}`);
  try {
    const set = compile(staging, 'envoy', deps, envoyRoots(deps));
    const vectors = compile(staging, 'pgv-harness', deps, harnessRoots(deps));
    const { generatePlainTypes } = await import('./generate-plain-types.ts');
    const types = generatePlainTypes(readFileSync(set));
    mkdirSync(join(gen, 'plain'), { recursive: true });
    const wanted = new Set(types.map((file) => file.name));
    for (const old of globSync('*.ts', { cwd: join(gen, 'plain') })) {
      if (!wanted.has(old)) rmSync(join(gen, 'plain', old));
    }
    for (const { name, text } of types) replaceFile(join(staging, name), join(gen, 'plain', name), text);
    renameSync(vectors, join(gen, 'pgv-harness.binpb'));
    renameSync(set, join(gen, 'envoy.binpb'));
    replaceFile(join(staging, 'inputs'), stamp, hash);
    const ms = Math.round(performance.now() - started);
    process.stderr.write(`built gen/envoy.binpb and ${types.length} files of gen/plain in ${ms} ms\n`);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** The package's version stands for its 600 files; everything of ours is hashed by content. */
function hashInputs(packageJson: string): string {
  const hash = createHash('sha256');
  const own = globSync('**/*.proto', { cwd: ownProtos })
    .sort()
    .map((path) => join(ownProtos, path));
  const scripts = ['build-protos.ts', 'generate-plain-types.ts', 'proto-patches.ts'].map((name) =>
    join(root, 'scripts', name),
  );
  for (const path of [packageJson, ...own, ...scripts])
    hash.update(path.slice(root.length)).update(readFileSync(path));
  return hash.digest('hex');
}

function envoyRoots(deps: string): string[] {
  const packaged = globSync('envoy/**/{v3,v3alpha}/*.proto', { cwd: join(deps, 'envoy-api') });
  const xds = globSync('{xds,udpa}/type/**/*.proto', { cwd: join(deps, 'xds') });
  const own = globSync('**/*.proto', { cwd: ownProtos });
  return [...packaged, ...xds, ...own].filter((path) => !skipped.test(path)).sort();
}

function harnessRoots(deps: string): string[] {
  return globSync(harness, { cwd: join(deps, 'protoc-gen-validate') }).sort();
}

/** Copies `roots` and all that they import into a folder of their own and runs buf there. */
function compile(staging: string, name: string, deps: string, roots: readonly string[]): string {
  const source = join(staging, name);
  const seen = new Set<string>();
  const queue = [...roots];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path) || path.startsWith('google/protobuf/')) continue;
    seen.add(path);
    const text = patch(path, readFileSync(locate(path, deps), 'utf8'));
    const target = join(source, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    for (const match of text.matchAll(/^import\s+(?:public\s+|weak\s+)?"([^"]+)"/gm))
      queue.push(match[1] ?? '');
  }
  writeFileSync(join(source, 'buf.yaml'), 'version: v2\n');
  const output = join(staging, `${name}.binpb`);
  const buf = require.resolve('@bufbuild/buf/bin/buf');
  const args = ['build', source, '--exclude-source-info', '--as-file-descriptor-set', '-o', output];
  // The folder's own cache keeps buf from touching the home directory.
  const env = { ...process.env, BUF_CACHE_DIR: join(staging, 'buf-cache') };
  const run = spawnSync(process.execPath, [buf, ...args], { encoding: 'utf8', env });
  if (run.status !== 0) throw new Error(`buf build of ${name} failed:\n${run.stderr}${run.error ?? ''}`);
  return output;
}

function locate(path: string, deps: string): string {
  const candidates = [join(ownProtos, path), ...packagedRoots.map((folder) => join(deps, folder, path))];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined) throw new Error(`${path} is imported, but neither in proto/ nor in the package`);
  return found;
}

function patch(path: string, text: string): string {
  let patched = text;
  for (const { file, find, replace } of protoPatches) {
    if (file !== path) continue;
    if (!patched.includes(find))
      throw new Error(`${path} has no longer what scripts/proto-patches.ts replaces: ${find}`);
    patched = patched.replaceAll(find, () => replace);
  }
  return patched;
}

function replaceFile(temporary: string, target: string, text: string): void {
  writeFileSync(temporary, text);
  renameSync(temporary, target);
}
