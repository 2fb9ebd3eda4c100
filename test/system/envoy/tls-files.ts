import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Certificate, issue, makeCa, makeCrl } from '../../../scripts/certificates.ts';

/** Certificates of the TLS cases, made anew for each run, as files; gone with the process. */
const folder = mkdtempSync(join(tmpdir(), 'inox-envoy-tls-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

export function file(name: string, text: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const DAY_MS = 86_400_000;
const ago = (days: number): Date => new Date(Date.now() - days * DAY_MS);

const root = makeCa('root');
const otherRoot = makeCa('other root');
const middle = issue(root, { name: 'middle', ca: true });
const SPIFFE = 'spiffe://mesh.example/ns/a/sa/client';

/** What is shown in the handshakes. */
export const CERTS = {
  server: issue(root, { name: 'server', dns: ['server.example', '*.wild.example'], ip: ['127.0.0.1'] }),
  other: issue(root, { name: 'other', dns: ['other.example'], uri: ['spiffe://mesh.example/ns/a/sa/other'] }),
  client: issue(root, {
    name: 'client',
    uri: [SPIFFE],
    dns: ['client.example'],
    email: ['c@client.example'],
    ip: ['10.1.2.3'],
  }),
  behindMiddle: issue(middle, { name: 'behind', uri: [SPIFFE], dns: ['server.example'] }),
  expired: issue(root, {
    name: 'expired',
    uri: [SPIFFE],
    dns: ['server.example'],
    notBefore: ago(9),
    notAfter: ago(1),
  }),
  early: issue(root, { name: 'early', uri: [SPIFFE], dns: ['server.example'], notBefore: ago(-2) }),
  foreign: issue(otherRoot, { name: 'foreign', uri: [SPIFFE], dns: ['server.example'] }),
  nameless: issue(root, { name: 'server.example' }),
  twoUris: issue(root, { name: 'two', uri: [SPIFFE, 'spiffe://mesh.example/ns/b/sa/x'] }),
  otherDomain: issue(root, { name: 'domain', uri: ['spiffe://elsewhere.example/ns/a/sa/client'] }),
  noSpiffe: issue(root, { name: 'http', uri: ['https://mesh.example/client'] }),
  serverOnly: issue(root, { name: 'so', uri: [SPIFFE], usages: ['server'] }),
  clientOnly: issue(root, { name: 'co', dns: ['server.example'], usages: ['client'] }),
} satisfies Readonly<Record<string, Certificate>>;
export type CertName = keyof typeof CERTS;

export const ROOT = file('root.pem', root.cert);
export const OTHER_ROOT = file('other-root.pem', otherRoot.cert);
export const MIDDLE = file('middle.pem', middle.cert);
export const CRL = file('root.crl', makeCrl(root, [CERTS.client]));
export const EMPTY_CRL = file('empty.crl', makeCrl(root, []));
/** A key behind a password, and a PKCS#12 bundle; openssl makes them. */
export const PASSWORD = 'secret';

const paths = Object.fromEntries(
  Object.entries(CERTS).map(([name, one]) => [
    name,
    { chain: file(`${name}.pem`, one.chain), key: file(`${name}.key`, one.key) },
  ]),
) as Record<CertName, { chain: string; key: string }>;

/** A `TlsCertificate` as flow YAML. */
export function shows(name: CertName): string {
  const { chain, key } = paths[name];
  return `{certificate_chain: {filename: ${chain}}, private_key: {filename: ${key}}}`;
}

export function showsWithPassword(name: CertName): string {
  const { chain, key } = paths[name];
  const locked = join(folder, `${name}-locked.key`);
  execFileSync('openssl', ['pkcs8', '-topk8', '-in', key, '-out', locked, '-passout', `pass:${PASSWORD}`]);
  return `{certificate_chain: {filename: ${chain}}, private_key: {filename: ${locked}}, password: {inline_string: ${PASSWORD}}}`;
}

export function showsPacked(name: CertName): string {
  const { chain, key } = paths[name];
  const packed = join(folder, `${name}.p12`);
  const args = [
    'pkcs12',
    '-export',
    '-in',
    chain,
    '-inkey',
    key,
    '-out',
    packed,
    '-passout',
    `pass:${PASSWORD}`,
  ];
  execFileSync('openssl', args);
  return `{pkcs12: {filename: ${packed}}, password: {inline_string: ${PASSWORD}}}`;
}

/** Openssl's word, as of now, that `name` is not revoked: an OCSP response in DER. */
export function staple(name: CertName): string {
  const issuer = file('root.pem', root.cert);
  const response = join(folder, `${name}.ocsp`);
  const request = join(folder, `${name}.ocsp-request`);
  const serial = CERTS[name].serial.toString('hex').toUpperCase();
  const index = file(`${name}.index`, `V\t491231235959Z\t\t${serial}\tunknown\t/CN=${name}\n`);
  const ask = ['ocsp', '-issuer', issuer, '-cert', paths[name].chain, '-no_nonce', '-reqout', request];
  execFileSync('openssl', ask, { stdio: 'ignore' });
  const signer = ['-CA', issuer, '-rsigner', issuer, '-rkey', file('root.key', root.key), '-ndays', '7'];
  const answer = ['ocsp', '-index', index, ...signer, '-reqin', request, '-respout', response];
  execFileSync('openssl', answer, { stdio: 'ignore' });
  return response;
}

/** A `TlsCertificate` with `ocsp_staple`, given as flow YAML. */
export function showsStapled(name: CertName, ocsp: string): string {
  return shows(name).replace(/\}$/, `, ocsp_staple: ${ocsp}}`);
}

/** A file of secrets, as SDS reads it. */
export function secretFile(name: string, secrets: readonly string[]): string {
  const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
  const resources = secrets.map((one) => `- {"@type": ${TYPE}, ${one}}`);
  return file(`${name}.yaml`, `resources:\n${resources.join('\n')}\n`);
}
