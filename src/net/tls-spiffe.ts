import type { X509Certificate } from 'node:crypto';
import {
  chainRefusal,
  dateError,
  leadsTo,
  type Refusal,
  type SanMatcher,
  type VerifyPeer,
} from './tls-verify.ts';

/** The CAs of each trust domain, by its name. */
export type TrustDomains = ReadonlyMap<string, readonly X509Certificate[]>;

/**
 * An X.509 SVID: exactly one URI, which is a SPIFFE id, and a chain that leads to the CAs of that id's own trust
 * domain. OpenSSL has judged dates and purposes with the CAs of all domains together.
 */
export function verifySpiffe(
  domains: TrustDomains,
  sans: readonly SanMatcher[],
  allowExpired: boolean,
): VerifyPeer {
  return (peer, nowMs) => {
    const uris = peer.leaf.uriSans;
    if (uris.length !== 1) {
      const what = uris.length === 0 ? 'no URI' : `${uris.length} URIs`;
      const message = `a SPIFFE identity is exactly one URI among the subject alternative names; this has ${what}`;
      return { kind: uris.length === 0 ? 'error' : 'san', message };
    }
    const [uri = ''] = uris;
    const domain = trustDomain(uri);
    if (domain === undefined) return { kind: 'error', message: `'${uri}' is not a SPIFFE id` };
    if (peer.leaf.x509.ca) return san(`'${uri}' is shown by a CA, which no workload is`);
    const bundle = domains.get(domain);
    if (bundle === undefined) {
      return { kind: 'error', message: `the trust domain '${domain}' of '${uri}' has no trust bundle here` };
    }
    const error = peer.error || dateError(peer.leaf, nowMs);
    const expired = error === 'CERT_HAS_EXPIRED' || error === 'CERT_NOT_YET_VALID';
    if (error !== '' && !(allowExpired && expired)) return chainRefusal(error);
    if (!leadsTo(peer.chain, bundle)) {
      return { kind: 'error', message: `'${uri}' was not issued by a CA of its trust domain '${domain}'` };
    }
    if (sans.length > 0 && !sans.some((one) => one.matches(peer.leaf))) {
      return san(`'${uri}' does not match ${sans.map((one) => one.wants).join(' or ')}`);
    }
    return null;
  };
}

function san(message: string): Refusal {
  return { kind: 'san', message };
}

/** The trust domain of a SPIFFE id, undefined for another URI. */
export function trustDomain(uri: string): string | undefined {
  return /^spiffe:\/\/([a-z0-9._-]{1,255})(?:\/[A-Za-z0-9._-]+)*$/.exec(uri)?.[1];
}
