/**
 * Runs h2spec against a server made of the HTTP/2 codec alone: `node test/system/h2spec.ts`. See h2spec.test.ts for
 * the whole program.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findH2spec } from './h2spec-binary.ts';

const program = fileURLToPath(new URL('programs/h2-server.ts', import.meta.url));
const server = spawn(process.execPath, [program, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
server.stdout.once('data', (line: Buffer) => {
  const port = line.toString().trim();
  const h2spec = spawn(findH2spec() ?? 'h2spec', ['-h', '127.0.0.1', '-p', port, '-o', '2'], {
    stdio: 'inherit',
  });
  h2spec.on('exit', (code) => {
    server.kill();
    process.exitCode = code ?? 1;
  });
});
