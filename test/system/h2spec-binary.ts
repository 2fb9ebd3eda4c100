import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const BUILD = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';

/** h2spec, built by the Go tool chain into the user's cache folder; undefined where there is no Go. */
export function findH2spec(): string | undefined {
  const named = process.env.H2SPEC;
  if (named !== undefined) return named;
  const folder = join(process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox'), 'h2spec');
  const binary = join(folder, 'h2spec');
  if (existsSync(binary)) return binary;
  if (spawnSync('go', ['version']).status !== 0) return undefined;
  execFileSync('go', ['install', BUILD], {
    env: { ...process.env, GOBIN: folder, GOPATH: join(folder, 'go') },
    stdio: 'inherit',
  });
  return binary;
}
