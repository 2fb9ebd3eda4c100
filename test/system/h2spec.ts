/**
 * Runs h2spec against a server made of the HTTP/2 codec alone: `node test/system/h2spec.ts`. h2spec is built once,
 * by the Go tool chain, into the user's cache folder; H2SPEC names another binary.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BUILD = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';

function findH2spec(): string {
  const named = process.env.H2SPEC;
  if (named !== undefined) return named;
  const folder = join(homedir(), '.cache', 'inox', 'h2spec');
  const binary = join(folder, 'h2spec');
  if (!existsSync(binary)) {
    execFileSync('go', ['install', BUILD], {
      env: { ...process.env, GOBIN: folder, GOPATH: join(folder, 'go') },
      stdio: 'inherit',
    });
  }
  return binary;
}

const program = fileURLToPath(new URL('programs/h2-server.ts', import.meta.url));
const server = spawn(process.execPath, [program, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
server.stdout.once('data', (line: Buffer) => {
  const port = line.toString().trim();
  const h2spec = spawn(findH2spec(), ['-h', '127.0.0.1', '-p', port, '-o', '2'], { stdio: 'inherit' });
  h2spec.on('exit', (code) => {
    server.kill();
    process.exitCode = code ?? 1;
  });
});
