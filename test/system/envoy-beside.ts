import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { envoyBinary } from './envoy/proxy.ts';

/** Tests that compare with Envoy are skipped where it is not installed. */
export function hasEnvoy(): boolean {
  try {
    return existsSync(envoyBinary());
  } catch {
    return false;
  }
}

/** For programs that cannot be asked which port they took. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
