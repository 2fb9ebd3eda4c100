import { createSecureContext, type SecureContextOptions, type SecureVersion } from 'node:tls';
import type { TlsParameters as Config } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { TlsParameters } from '../net/tls-material.ts';

/** Envoy's lists. */
const SERVER_CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
];
/** Not to be chosen in Envoy either; without them OpenSSL would switch TLS 1.3 off. */
const TLS13_SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
const CURVES = ['X25519', 'P-256'];

const VERSIONS: Readonly<Record<string, SecureVersion>> = {
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
};

/** `envoy.extensions.transport_sockets.tls.v3.TlsParameters`, with the defaults of one side. */
export function compileTlsParameters(config: Config | undefined, side: 'client' | 'server'): TlsParameters {
  const minVersion = version(config?.tlsMinimumProtocolVersion) ?? 'TLSv1.2';
  const maxVersion =
    version(config?.tlsMaximumProtocolVersion) ?? (side === 'client' ? 'TLSv1.2' : 'TLSv1.3');
  if (minVersion > maxVersion) {
    throw ConfigError.at('tls_params', `the minimum ${minVersion} is above the maximum ${maxVersion}`);
  }
  const suites = config?.cipherSuites ?? [];
  const ciphers = suites.length === 0 ? SERVER_CIPHERS : suites.flatMap(expand);
  checkCiphers(suites);
  const curves = config?.ecdhCurves ?? [];
  const algorithms = config?.signatureAlgorithms ?? [];
  checkEach('ecdh_curves', 'curve', curves, (ecdhCurve) => ({ ecdhCurve }));
  checkEach('signature_algorithms', 'signature algorithm', algorithms, (sigalgs) => ({ sigalgs }));
  return {
    minVersion,
    maxVersion,
    ciphers: [...TLS13_SUITES, ...ciphers].join(':'),
    curves: (curves.length === 0 ? CURVES : curves).join(':'),
    signatureAlgorithms: algorithms.length === 0 ? undefined : algorithms.join(':'),
  };
}

/** Each on its own, so that the message names the one that is wrong. */
function checkEach(
  field: string,
  what: string,
  values: readonly string[],
  options: (value: string) => SecureContextOptions,
): void {
  for (const [i, value] of values.entries()) {
    try {
      createSecureContext(options(value));
    } catch (cause) {
      const message = `OpenSSL has no ${what} of '${value}'`;
      throw new ConfigError([{ path: `tls_params.${field}[${i}]`, message }], { cause });
    }
  }
}

function checkCiphers(suites: readonly string[]): void {
  for (const [i, suite] of suites.entries()) {
    // OpenSSL would take them; neither is to be chosen in Envoy.
    const wrong = expand(suite).find((one) => one.startsWith('TLS_') || !/^[A-Za-z0-9-]+$/.test(one));
    if (wrong !== undefined) {
      throw ConfigError.at(`tls_params.cipher_suites[${i}]`, `'${wrong}' is no cipher suite of TLS 1.2`);
    }
  }
  checkEach('cipher_suites', 'cipher suite', suites, (suite) => ({ ciphers: expand(suite).join(':') }));
}

function version(name: string | undefined): SecureVersion | undefined {
  return name === undefined ? undefined : VERSIONS[name];
}

/** BoringSSL's `[A|B]`, suites of equal rank: OpenSSL takes them one after the other. A list in one string is taken too. */
function expand(suite: string): string[] {
  return suite.split(':').flatMap((part) => part.replace(/^\[(.*)\]$/, '$1').split('|'));
}
