/** Programs of other projects that tests use as peers, built once by Go into a folder outside the repository. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

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
