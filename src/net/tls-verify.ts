import { createHash, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ParsedCertificate } from './tls-certificate.ts';

/** Why a peer is refused: for counters, log and client. `kind` names Envoy's counter, `fail_verify_<kind>`. */
export interface Refusal {
  readonly kind: 'no_cert' | 'error' | 'san' | 'cert_hash';
  /** In plain words, with what to look at. */
  readonly message: string;
}

/** What a peer's chain looked like to OpenSSL. */
export interface PeerChain {
  readonly leaf: ParsedCertificate;
  /** As shown, leaf first. */
  readonly chain: readonly X509Certificate[];
  /** OpenSSL's verdict, '' when the chain leads to a trusted CA. */
  readonly error: string;
}

/** Decides over a peer; null: it is welcome. Never lets through what it cannot judge. */
export type VerifyPeer = (peer: PeerChain, nowMs: number) => Refusal | null;

/** OpenSSL's codes in words. */
const CHAIN_ERRORS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet: do the clocks agree?',
  CERT_REVOKED: 'the certificate was revoked',
  CERT_UNTRUSTED: 'the certificate is not trusted',
  CERT_REJECTED: 'the certificate was rejected',
  CERT_CHAIN_TOO_LONG: 'the certificate chain is too long',
  CERT_SIGNATURE_FAILURE: 'the signature of the certificate is wrong',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed and not among the trusted ones',
  SELF_SIGNED_CERT_IN_CHAIN: 'the root of the chain is not among the trusted CAs',
  UNABLE_TO_GET_ISSUER_CERT: 'the issuer of a certificate of the chain is not among the trusted CAs',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the issuer of the certificate is not among the trusted CAs',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the issuer of the certificate is not among the trusted CAs',
  UNABLE_TO_GET_CRL: 'there is no revocation list for an issuer of the chain',
  CRL_HAS_EXPIRED: 'the revocation list has expired',
  CRL_NOT_YET_VALID: 'the revocation list is not valid yet',
  CRL_SIGNATURE_FAILURE: 'the signature of the revocation list is wrong',
  INVALID_CA: 'a certificate of the chain is no CA',
  INVALID_PURPOSE: 'the certificate is not meant for this use (extended key usage)',
  PATH_LENGTH_EXCEEDED: 'the chain is longer than one of its CAs allows',
};

export function chainRefusal(code: string): Refusal {
  return { kind: 'error', message: CHAIN_ERRORS[code] ?? `the certificate does not verify (${code})` };
}

/** A name of the peer that must match; the first word is the kind of SAN. */
export interface SanMatcher {
  readonly matches: (certificate: ParsedCertificate) => boolean;
  /** For the refusal, such as `URI spiffe://…`. */
  readonly wants: string;
}

export interface VerifyRules {
  /** There is a CA that the chain must lead to. */
  readonly hasTrust: boolean;
  /** `ACCEPT_UNTRUSTED`: the chain is looked at, and does not decide. */
  readonly acceptUntrusted: boolean;
  /** The trusted CAs, when expired certificates pass: OpenSSL reports one error only, which could hide another. */
  readonly allowExpired: readonly X509Certificate[] | null;
  readonly sans: readonly SanMatcher[];
  /** SHA-256 of the certificate, lower-case hex. */
  readonly hashes: ReadonlySet<string>;
  /** SHA-256 of the public key, base64. */
  readonly keys: ReadonlySet<string>;
  /** Certificates above the leaf, the trust anchor included, at most. */
  readonly maxDepth: number;
}

/** `CertificateValidationContext`, without its validator extensions. */
export function verifyByRules(rules: VerifyRules): VerifyPeer {
  return (peer, nowMs) => {
    if (rules.hasTrust && !rules.acceptUntrusted) {
      const error =
        chainError(peer, rules) || (rules.allowExpired === null ? dateError(peer.leaf, nowMs) : '');
      if (error !== '') return chainRefusal(error);
      if (peer.chain.length - 1 > rules.maxDepth) return chainRefusal('CERT_CHAIN_TOO_LONG');
    }
    if (rules.sans.length > 0 && !rules.sans.some((san) => san.matches(peer.leaf))) {
      return sanRefusal(peer.leaf, rules.sans);
    }
    if (rules.hashes.size + rules.keys.size > 0 && !pinned(peer.leaf, rules)) {
      return { kind: 'cert_hash', message: 'neither the certificate nor its key is one of the pinned ones' };
    }
    return null;
  };
}

/** A session that is resumed says that the certificate was good when it began. */
export function dateError({ notBefore, notAfter }: ParsedCertificate, nowMs: number): string {
  if (nowMs > notAfter.getTime()) return 'CERT_HAS_EXPIRED';
  return nowMs < notBefore.getTime() ? 'CERT_NOT_YET_VALID' : '';
}

function chainError(peer: PeerChain, rules: VerifyRules): string {
  if (
    rules.allowExpired === null ||
    (peer.error !== 'CERT_HAS_EXPIRED' && peer.error !== 'CERT_NOT_YET_VALID')
  )
    return peer.error;
  return leadsTo(peer.chain, rules.allowExpired) ? '' : 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY';
}

function pinned(leaf: ParsedCertificate, rules: VerifyRules): boolean {
  if (rules.hashes.has(leaf.fingerprint)) return true;
  if (rules.keys.size === 0) return false;
  const der = leaf.x509.publicKey.export({ type: 'spki', format: 'der' });
  return rules.keys.has(createHash('sha256').update(der).digest('base64'));
}

function sanRefusal(leaf: ParsedCertificate, wanted: readonly SanMatcher[]): Refusal {
  const { dns, uri, ip, email } = leaf.sans;
  const has = [
    ...uri.map((n) => `URI ${n}`),
    ...dns.map((n) => `DNS ${n}`),
    ...ip.map((n) => `IP ${n}`),
    ...email,
  ];
  const shown =
    has.length === 0 ? 'it has none (a name in the subject does not count)' : `it has ${has.join(', ')}`;
  const wants = wanted.map((one) => one.wants).join(' or ');
  return { kind: 'san', message: `no subject alternative name matches ${wants}; ${shown}` };
}

/** Whether signatures lead from the leaf to one of `anchors`, dates left out. */
export function leadsTo(chain: readonly X509Certificate[], anchors: readonly X509Certificate[]): boolean {
  let [current] = chain;
  const others = chain.slice(1);
  for (let depth = 0; current !== undefined && depth <= chain.length; depth++) {
    const leaf: X509Certificate = current;
    if (anchors.some((anchor) => anchor.raw.equals(leaf.raw) || issued(anchor, leaf))) return true;
    current = others.find((one) => !one.raw.equals(leaf.raw) && issued(one, leaf));
  }
  return false;
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** As Envoy: `*.` stands for one label, and a wildcard only at the start. */
export function dnsNameMatches(name: string, pattern: string): boolean {
  if (name === pattern) return true;
  const dot = name.indexOf('.');
  return pattern.startsWith('*.') && dot > 0 && name.slice(dot) === pattern.slice(1);
}

/** Whether one of the certificate's DNS names is `name`; '' is nobody's. */
export function certificateNames({ sans }: ParsedCertificate, name: string): boolean {
  const wanted = name.toLowerCase();
  return wanted !== '' && sans.dns.some((one) => dnsNameMatches(wanted, one.toLowerCase()));
}

/** As `certificateNames`, where `name` may also be an IP address or a URI. */
export function certificateFits(certificate: ParsedCertificate, name: string): boolean {
  if (certificateNames(certificate, name)) return true;
  if (isIP(name) !== 0) return certificate.x509.checkIP(name) !== undefined;
  return certificate.sans.uri.includes(name);
}

/** Refuses a certificate that is not for `name`, by `fits`. */
export function refuseName(
  leaf: ParsedCertificate,
  name: string,
  fits: (certificate: ParsedCertificate, name: string) => boolean,
): Refusal | null {
  if (name !== '' && fits(leaf, name)) return null;
  if (name !== '') return sanRefusal(leaf, [{ matches: () => false, wants: name }]);
  return { kind: 'san', message: 'it must be for the server that was asked for, and no name was asked for' };
}
