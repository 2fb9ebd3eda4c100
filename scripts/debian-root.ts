/**
 * Root filesystems of Debian, made of packages that apt fetches and dpkg unpacks: nothing is run in them, so that neither root
 * nor a container engine is needed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What inox needs to run, and what says whose system it is. */
export const RUNTIME_PACKAGES: readonly string[] = ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6'];

/** Why no root filesystem can be made here; undefined when it can. */
export function missingTools(): string | undefined {
  const missing = ['apt-get', 'dpkg-deb'].filter(
    (tool) => spawnSync(tool, ['--version']).error !== undefined,
  );
  return missing.length === 0 ? undefined : `there is no ${missing.join(' and no ')} here`;
}

/**
 * Unpacks packages into `folder`, which is made anew; returns their archives. They are of this machine's release and
 * kept under ~/.cache/inox.
 */
export function makeDebianRoot(folder: string, packages = RUNTIME_PACKAGES): string[] {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const archives = fetchPackages(packages);
  for (const archive of archives) {
    execFileSync('dpkg-deb', ['-x', archive, folder]);
  }
  return archives;
}

function fetchPackages(packages: readonly string[]): string[] {
  const cache = join(homedir(), '.cache', 'inox', 'debian');
  mkdirSync(cache, { recursive: true });
  // What the newest versions are called, for which nothing is fetched; elsewhere, since apt says nothing of those it has.
  const names = execFileSync('apt-get', ['download', '--print-uris', ...packages], {
    cwd: '/',
    encoding: 'utf8',
  })
    .split('\n')
    .flatMap((line) => / (\S+\.deb) /.exec(line)?.[1] ?? []);
  const known = new Set(readdirSync(cache));
  if (names.length < packages.length) throw new Error('apt knows not all of the packages: apt-get update?');
  if (names.some((name) => !known.has(name))) {
    execFileSync('apt-get', ['download', '-q', ...packages], {
      cwd: cache,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }
  return names.map((name) => join(cache, name));
}
