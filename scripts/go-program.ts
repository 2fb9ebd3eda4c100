/** Programs of other projects that tests use as peers, built once by Go into a folder outside the repository. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * The program's path; `module` is what `go install` takes, such as `example.org/cmd/tool@v1.0.0`. It is built when
 * it is not there yet, into `<cache>/<folder>` (cache is `INOX_CACHE`, else ~/.cache/inox).
 */
export function goProgram(folder: string, module: string): string {
  const at = join(process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox'), folder);
  const [path = '', version = ''] = module.split('@');
  const binary = join(at, version, path.split('/').at(-1) ?? '');
  if (existsSync(binary)) return binary;
  mkdirSync(join(at, version), { recursive: true });
  try {
    execFileSync('go', ['install', module], {
      env: { ...process.env, GOBIN: join(at, version), GOFLAGS: '-mod=mod' },
      stdio: ['ignore', 'inherit', 'inherit'],
      cwd: at,
    });
  } catch (cause) {
    throw new Error(`go install ${module} failed: Go and a module proxy are needed`, { cause });
  }
  return binary;
}

/**
 * The same for a program of a module that `go install` refuses (its go.mod has replacements): built as a package of
 * a module of our own. `folder` is below the cache, `path` the package.
 */
export function goPackage(folder: string, path: string, module: string): string {
  const at = join(process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox'), folder);
  const [name = '', version = ''] = module.split('@');
  const home = join(at, version);
  const binary = join(home, path.replaceAll('/', '-'));
  if (existsSync(binary)) return binary;
  mkdirSync(home, { recursive: true });
  const go = (...args: string[]): void => {
    execFileSync('go', args, { cwd: home, stdio: ['ignore', 'ignore', 'inherit'] });
  };
  try {
    if (!existsSync(join(home, 'go.mod'))) go('mod', 'init', 'inox.test/peers');
    go('get', `${name}@${version}`, `${name}/${path}@${version}`);
    go('build', '-o', binary, `${name}/${path}`);
  } catch (cause) {
    throw new Error(`building ${module} failed: Go and a module proxy are needed`, { cause });
  }
  return binary;
}

/**
 * A program of our own in Go that uses a module: the sources in `sources` are built anew when they change. `folder`
 * is below the cache.
 */
export function goSources(folder: string, sources: string, module: string): string {
  const at = join(process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox'), folder);
  const files = readdirSync(sources).filter((file) => file.endsWith('.go'));
  const hash = createHash('sha256').update(module);
  for (const file of files) hash.update(file).update(readFileSync(join(sources, file)));
  const name = basename(sources);
  const home = join(at, `${name}-${hash.digest('hex').slice(0, 16)}`);
  const binary = join(home, name);
  if (existsSync(binary)) return binary;
  mkdirSync(home, { recursive: true });
  for (const file of files) copyFileSync(join(sources, file), join(home, file));
  const go = (...args: string[]): void => {
    execFileSync('go', args, { cwd: home, stdio: ['ignore', 'ignore', 'inherit'] });
  };
  try {
    if (!existsSync(join(home, 'go.mod'))) go('mod', 'init', 'inox.test/peers');
    go('get', module);
    go('mod', 'tidy');
    go('build', '-o', binary, '.');
  } catch (cause) {
    throw new Error(`building ${sources} failed: Go and a module proxy are needed`, { cause });
  }
  return binary;
}
