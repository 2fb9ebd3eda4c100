import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { TlsCertificate } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { readCertificates } from '../net/tls-certificate.ts';
import type { TlsIdentity } from '../net/tls-material.ts';
import { type OcspStaple, readStaple } from '../net/tls-ocsp.ts';
import { readBytes, readText } from './data-source.ts';

/** `envoy.extensions.transport_sockets.tls.v3.TlsCertificate`; what cannot be read, or does not fit, is named. */
export function readIdentity(config: TlsCertificate): TlsIdentity {
  if (config.privateKeyProvider !== undefined) {
    throw ConfigError.at('private_key_provider', 'is not supported');
  }
  const password =
    config.password === undefined ? undefined : readText(config.password, 'password').replace(/\r?\n$/, '');
  const ocspStaple = compileStaple(config);
  if (config.pkcs12 !== undefined) {
    const pkcs12 = readBytes(config.pkcs12, 'pkcs12');
    checkPacked(config, pkcs12, password);
    return { chain: '', key: '', password, pkcs12, ocspStaple };
  }
  if (config.certificateChain === undefined) throw ConfigError.at('certificate_chain', 'is required');
  if (config.privateKey === undefined) throw ConfigError.at('private_key', 'is required');
  const chain = readText(config.certificateChain, 'certificate_chain');
  const key = readText(config.privateKey, 'private_key');
  const leaf = readChain(chain);
  checkKey(leaf, key, password);
  if (ocspStaple !== undefined && ocspStaple.serial !== leaf?.serialNumber.toLowerCase().replace(/^0+/, '')) {
    throw ConfigError.at('ocsp_staple', 'OCSP response does not match its TLS certificate');
  }
  return { chain, key, password, pkcs12: undefined, ocspStaple };
}

function compileStaple({ ocspStaple }: TlsCertificate): OcspStaple | undefined {
  if (ocspStaple === undefined) return undefined;
  if (ocspStaple.inlineString !== undefined) {
    throw ConfigError.at('ocsp_staple', 'OCSP staple cannot be provided via inline_string');
  }
  const der = readBytes(ocspStaple, 'ocsp_staple');
  return attempt('ocsp_staple', 'Failed to load the OCSP response', () => readStaple(der));
}

function checkPacked(config: TlsCertificate, pkcs12: Buffer, password: string | undefined): void {
  for (const [value, field] of [
    [config.certificateChain, 'certificate_chain'],
    [config.privateKey, 'private_key'],
  ] as const) {
    if (value !== undefined) {
      throw ConfigError.at(field, `Certificate configuration can't have both pkcs12 and ${field}`);
    }
  }
  attempt('pkcs12', 'Failed to load pkcs12', () =>
    createSecureContext({
      pfx: [{ buf: pkcs12, ...(password === undefined ? {} : { passphrase: password }) }],
    }),
  );
}

function readChain(chain: string): X509Certificate | undefined {
  return attempt('certificate_chain', 'Failed to load certificate chain', () => readCertificates(chain))[0];
}

function checkKey(leaf: X509Certificate | undefined, pem: string, password: string | undefined): void {
  const key = attempt('private_key', 'Failed to load private key', () =>
    createPrivateKey({ key: pem, ...(password === undefined ? {} : { passphrase: password }) }),
  );
  if (leaf?.checkPrivateKey(key) !== true) {
    throw ConfigError.at('private_key', 'Failed to load private key: it is not the key of certificate_chain');
  }
}

/** OpenSSL's complaint becomes one about `path`. The text of the cause holds nothing of a key. */
export function attempt<T>(path: string, message: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path, message: `${message}, cause: ${why}` }], { cause });
  }
}
