import { createHash } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import type {
  CertificateValidationContext,
  SPIFFECertValidatorConfig,
  SubjectAltNameMatcher,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import type { StringMatcher } from '#plain/envoy.type.matcher.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { type ParsedCertificate, readCertificates } from '../net/tls-certificate.ts';
import type { TlsTrust } from '../net/tls-material.ts';
import { trustDomain, verifySpiffe } from '../net/tls-spiffe.ts';
import { dnsNameMatches, type SanMatcher, verifyByRules } from '../net/tls-verify.ts';
import { compileStringMatcher } from '../route/string-matcher.ts';
import { at, typedObject } from './context.ts';
import { readText } from './data-source.ts';

const SPIFFE = 'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig';

/** `CertificateValidationContext`; null when it says nothing about peers. */
export function compileTrust(config: CertificateValidationContext): TlsTrust | null {
  checkSupported(config);
  const sans = compileSans(config);
  const ownCrl = config.crl === undefined ? undefined : readText(config.crl, 'crl');
  const fingerprint = createHash('sha256').update(JSON.stringify(config));
  if (config.customValidatorConfig !== undefined) {
    refuseHidden(config, ownCrl);
    const { ca, verify } = compileSpiffe(config, sans);
    return {
      ca,
      crl: ownCrl,
      verify,
      acceptUntrusted: false,
      fingerprint: fingerprint.update(ca).digest('hex'),
    };
  }
  const ca = compileCa(config);
  // As Envoy: a bundle of CAs may bring their revocation lists.
  const crl = [ownCrl, ...revocationLists(ca)].filter((one) => one !== undefined).join('\n') || undefined;
  const hashes = new Set((config.verifyCertificateHash ?? []).map(normalHash));
  const keys = new Set((config.verifyCertificateSpki ?? []).map(checkedKey));
  if (ca === undefined) {
    if (sans.length > 0) {
      const field =
        (config.matchTypedSubjectAltNames?.length ?? 0) > 0
          ? 'match_typed_subject_alt_names'
          : 'match_subject_alt_names';
      throw ConfigError.at(
        field,
        'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
      );
    }
    if (crl !== undefined) throw ConfigError.at('crl', 'needs trusted_ca');
    if (hashes.size + keys.size === 0) return null;
  }
  refuseHidden(config, crl);
  const acceptUntrusted = config.trustChainVerification === 'ACCEPT_UNTRUSTED';
  const verify = verifyByRules({
    hasTrust: ca !== undefined,
    acceptUntrusted,
    allowExpired: config.allowExpiredCertificate === true && ca !== undefined ? readCertificates(ca) : null,
    sans,
    hashes,
    keys,
    maxDepth: config.maxVerifyDepth ?? 100,
  });
  return {
    ca,
    crl,
    verify,
    acceptUntrusted: acceptUntrusted && ca !== undefined,
    fingerprint: fingerprint
      .update(ca ?? '')
      .update(crl ?? '')
      .digest('hex'),
  };
}

function checkSupported(config: CertificateValidationContext): void {
  // What decides access is done or refused, never left out.
  if (config.requireSignedCertificateTimestamp === true) {
    throw ConfigError.at('require_signed_certificate_timestamp', 'is not supported');
  }
  if (config.onlyVerifyLeafCertCrl === true) {
    throw ConfigError.at(
      'only_verify_leaf_cert_crl',
      'is not supported: revocation is checked along the whole chain',
    );
  }
  if (config.caCertificateProviderInstance !== undefined) {
    throw ConfigError.at('ca_certificate_provider_instance', 'is not supported');
  }
}

function compileCa(config: CertificateValidationContext): string | undefined {
  if (config.trustedCa !== undefined) {
    const pem = readText(config.trustedCa, 'trusted_ca');
    at('trusted_ca', () => readable(pem));
    return pem;
  }
  return config.systemRootCerts === undefined ? undefined : rootCertificates.join('\n');
}

function readable(pem: string): void {
  try {
    readCertificates(pem);
  } catch (cause) {
    const message = `Failed to load trusted CA certificates: ${cause instanceof Error ? cause.message : cause}`;
    throw new ConfigError([{ path: '', message }], { cause });
  }
}

/** OpenSSL tells one error of a chain, the last: that a certificate has expired hides that it is revoked. */
function refuseHidden(config: CertificateValidationContext, crl: string | undefined): void {
  if (config.allowExpiredCertificate !== true || crl === undefined) return;
  throw ConfigError.at('allow_expired_certificate', 'is not supported together with revocation lists');
}

function revocationLists(ca: string | undefined): readonly string[] {
  return ca?.match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----/g) ?? [];
}

function normalHash(hash: string, i: number): string {
  const hex = hash.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw ConfigError.at(`verify_certificate_hash[${i}]`, `Invalid hex-encoded SHA-256 ${hash}`);
}

function checkedKey(hash: string, i: number): string {
  if (/^[A-Za-z0-9+/]{43}=$/.test(hash)) return hash;
  throw ConfigError.at(`verify_certificate_spki[${i}]`, `Invalid base64-encoded SHA-256 ${hash}`);
}

/** `envoy.tls.cert_validator.spiffe` */
function compileSpiffe(
  config: CertificateValidationContext,
  sans: readonly SanMatcher[],
): { ca: string; verify: TlsTrust['verify'] } {
  const path = 'custom_validator_config.typed_config';
  const typed = config.customValidatorConfig?.typedConfig;
  if (typed?.type !== SPIFFE) {
    throw ConfigError.at(path, `'${typed?.type ?? ''}' is no certificate validator that inox knows`);
  }
  const { trustDomains = [] }: SPIFFECertValidatorConfig = typedObject(typed.value);
  const domains = new Map<string, ReturnType<typeof readCertificates>>();
  let ca = '';
  for (const [i, { name = '', trustBundle }] of trustDomains.entries()) {
    const where = `${path}.trust_domains[${i}]`;
    if (domains.has(name)) {
      throw ConfigError.at(
        `${where}.name`,
        `Multiple trust bundles are given for one trust domain for ${name}`,
      );
    }
    if (trustDomain(`spiffe://${name}`) === undefined) {
      throw ConfigError.at(`${where}.name`, `'${name}' is no name of a trust domain`);
    }
    if (trustBundle === undefined) throw ConfigError.at(`${where}.trust_bundle`, 'is required');
    const pem = readText(trustBundle, `${where}.trust_bundle`);
    at(`${where}.trust_bundle`, () => readable(pem));
    domains.set(name, readCertificates(pem));
    ca += `${pem}\n`;
  }
  return { ca, verify: verifySpiffe(domains, sans, config.allowExpiredCertificate === true) };
}

function compileSans(config: CertificateValidationContext): SanMatcher[] {
  const typed = config.matchTypedSubjectAltNames ?? [];
  if (typed.length > 0) {
    return typed.map((one, i) => compileTypedSan(one, `match_typed_subject_alt_names[${i}]`));
  }
  // The older field looks at every kind.
  return (config.matchSubjectAltNames ?? []).map((matcher, i) => {
    const path = `match_subject_alt_names[${i}]`;
    const kinds = (['dns', 'uri', 'ip', 'email'] as const).map((kind) => compileSan(kind, matcher, path));
    return {
      matches: (certificate) => kinds.some((kind) => kind(certificate)),
      wants: describe('', matcher),
    };
  });
}

type Kind = 'dns' | 'uri' | 'ip' | 'email';

const KINDS: Readonly<Record<string, Kind>> = { DNS: 'dns', URI: 'uri', IP_ADDRESS: 'ip', EMAIL: 'email' };

function compileTypedSan({ sanType, matcher }: SubjectAltNameMatcher, path: string): SanMatcher {
  const kind = KINDS[sanType ?? ''];
  if (kind === undefined) throw ConfigError.at(`${path}.san_type`, `${sanType} is not supported`);
  if (matcher === undefined) throw ConfigError.at(`${path}.matcher`, 'is required');
  return { matches: compileSan(kind, matcher, `${path}.matcher`), wants: describe(`${sanType} `, matcher) };
}

function compileSan(
  kind: Kind,
  matcher: StringMatcher,
  path: string,
): (certificate: ParsedCertificate) => boolean {
  const { exact } = matcher;
  // A DNS name of a certificate may be a wildcard.
  if (kind === 'dns' && exact !== undefined) {
    const wanted = matcher.ignoreCase === true ? exact.toLowerCase() : exact;
    return ({ sans }) => sans.dns.some((name) => dnsNameMatches(wanted.toLowerCase(), name.toLowerCase()));
  }
  const test = compileStringMatcher(matcher, path);
  return ({ sans }) => sans[kind].some(test);
}

function describe(kind: string, matcher: StringMatcher): string {
  const { exact, prefix, suffix, contains, safeRegex } = matcher;
  if (exact !== undefined) return `${kind}${exact}`;
  if (prefix !== undefined) return `${kind}${prefix}…`;
  if (suffix !== undefined) return `${kind}…${suffix}`;
  if (contains !== undefined) return `${kind}…${contains}…`;
  return `${kind}/${safeRegex?.regex ?? ''}/`;
}
