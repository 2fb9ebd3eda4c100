import { existsSync } from 'node:fs';
import { envoyBinary } from './envoy/proxy.ts';

/** Tests that compare with Envoy are skipped where it is not installed. */
export function hasEnvoy(): boolean {
  try {
    return existsSync(envoyBinary());
  } catch {
    return false;
  }
}
