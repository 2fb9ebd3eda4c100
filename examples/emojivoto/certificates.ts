/** Who is who in the sample mesh: a root of its own and one certificate for each service, made at the start. */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { issue, makeCa } from '../../scripts/certificates.ts';

const DAY_MS = 86_400_000;
/** The replicas of emoji share an identity. */
const SERVICES = ['web', 'emoji', 'voting'];

/**
 * Makes `ca.crt` and for each service `<name>.crt` and `<name>.key` in `folder`, of which the YAML files name those in
 * .cache/emojivoto/certs. What is there and lasts for another day stays.
 */
export function makeCertificates(folder: string): void {
  if (lasts(join(folder, 'ca.crt'))) return;
  mkdirSync(dirname(folder), { recursive: true });
  const made = mkdtempSync(`${folder}-`);
  const root = makeCa('emojivoto');
  writeFileSync(join(made, 'ca.crt'), root.cert);
  for (const name of SERVICES) {
    const { chain, key } = issue(root, { name, uri: [`spiffe://emojivoto/${name}`] });
    writeFileSync(join(made, `${name}.crt`), chain);
    writeFileSync(join(made, `${name}.key`), key, { mode: 0o600 });
  }
  // All at once: another start may be reading them.
  rmSync(folder, { recursive: true, force: true });
  renameSync(made, folder);
}

function lasts(file: string): boolean {
  if (!existsSync(file)) return false;
  return Date.parse(new X509Certificate(readFileSync(file)).validTo) > Date.now() + DAY_MS;
}
