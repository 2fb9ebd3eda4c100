import { constants, createHash, hkdfSync } from 'node:crypto';
import {
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
} from 'node:tls';
import { ParsedCertificate, readCertificates } from './tls-certificate.ts';
import type { OcspStaple } from './tls-ocsp.ts';
import type { VerifyPeer } from './tls-verify.ts';

/** What both sides of TLS can be told about the protocol; undefined: OpenSSL's own choice. */
export interface TlsParameters {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  /** OpenSSL's list, TLS 1.3 suites included. */
  readonly ciphers: string | undefined;
  readonly curves: string | undefined;
  readonly signatureAlgorithms: string | undefined;
}

/** A certificate of our own, PEM. */
export interface TlsIdentity {
  readonly chain: string;
  readonly key: string;
  readonly password: string | undefined;
  /** PKCS#12 instead of chain and key. */
  readonly pkcs12: Buffer | undefined;
  /** Passed on to clients that ask. */
  readonly ocspStaple: OcspStaple | undefined;
}

/** Whom to trust. */
export interface TlsTrust {
  /** PEM, undefined when no chain is verified. */
  readonly ca: string | undefined;
  readonly crl: string | undefined;
  readonly verify: VerifyPeer;
  /** Peers pass that lead to no trusted CA; they are not validated then. */
  readonly acceptUntrusted: boolean;
  /** Everything that decides over peers, as text: sessions live as long as it stays. */
  readonly fingerprint: string;
}

/** One of our certificates, ready to be shown. */
export interface ShownCertificate {
  readonly context: SecureContext;
  readonly certificate: ParsedCertificate | null;
  readonly ocspStaple: OcspStaple | undefined;
}

/** All that new handshakes use, until a secret changes: never modified, replaced as a whole. */
export interface TlsMaterial {
  /** At least one; the first is shown when no name fits. */
  readonly shown: readonly ShownCertificate[];
  /** Null: peers are not asked for anything. */
  readonly verify: VerifyPeer | null;
  readonly acceptUntrusted: boolean;
  /** Changes with the trust; names the sessions that may be resumed. */
  readonly generation: string;
}

/** Where handshakes find their material; null while a secret is missing. */
export interface TlsProvider {
  current(): TlsMaterial | null;
}

export interface MaterialOptions {
  readonly parameters: TlsParameters;
  readonly identities: readonly TlsIdentity[];
  readonly trust: TlsTrust | null;
  /** Secret of this process, from which ticket keys are drawn, so that all workers have the same. */
  readonly ticketSecret: Buffer;
  /** 48 bytes each, the first encrypts; instead of keys of our own. */
  readonly ticketKeys: readonly Buffer[];
  /** How long sessions may be resumed. */
  readonly sessionSeconds: number | undefined;
  /** Neither tickets nor a cache. */
  readonly noTickets: boolean;
  readonly preferClientCiphers: boolean;
}

const TICKET_KEY_BYTES = 48;
const TICKET_KEYS_INFO = 'inox tls ticket keys';

/** Throws when a key does not fit its certificate, or when anything cannot be read. */
export function createMaterial(options: MaterialOptions): TlsMaterial {
  const { identities, trust, ticketSecret } = options;
  const hash = createHash('sha256').update(trust?.fingerprint ?? '');
  for (const { chain, pkcs12 } of identities) hash.update(chain).update(pkcs12 ?? '');
  const generation = hash.digest('hex');
  const keys =
    options.ticketKeys[0] ??
    Buffer.from(hkdfSync('sha256', ticketSecret, generation, TICKET_KEYS_INFO, TICKET_KEY_BYTES));
  const groups = identities.length === 0 ? [[]] : groupByNames(identities);
  return {
    shown: groups.map((group) => {
      const [first] = group;
      return {
        context: createSecureContext({
          ...contextOptions(options),
          ...identityOptions(group),
          sessionIdContext: generation.slice(0, 32),
          ticketKeys: keys,
        }),
        certificate: first === undefined ? null : leafOf(first),
        ocspStaple: first?.ocspStaple,
      };
    }),
    verify: trust?.verify ?? null,
    acceptUntrusted: trust?.acceptUntrusted ?? false,
    generation,
  };
}

/** No root certificate at all: without this Node would bring its own list. */
const NO_CA: string[] = [];

function contextOptions({
  parameters,
  trust,
  sessionSeconds,
  noTickets,
  preferClientCiphers,
}: MaterialOptions): SecureContextOptions {
  const { minVersion, maxVersion, ciphers, curves, signatureAlgorithms } = parameters;
  return {
    minVersion,
    maxVersion,
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(curves === undefined ? {} : { ecdhCurve: curves }),
    ...(signatureAlgorithms === undefined ? {} : { sigalgs: signatureAlgorithms }),
    ca: trust?.ca ?? NO_CA,
    ...(trust?.crl === undefined ? {} : { crl: trust.crl }),
    // As Envoy: an intermediate among the trusted CAs is enough.
    allowPartialTrustChain: true,
    ...(sessionSeconds === undefined ? {} : { sessionTimeout: sessionSeconds }),
    honorCipherOrder: !preferClientCiphers,
    ...(noTickets ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
  };
}

function identityOptions(group: readonly TlsIdentity[]): SecureContextOptions {
  const packed = group.flatMap(({ pkcs12, password }) =>
    pkcs12 === undefined
      ? []
      : [{ buf: pkcs12, ...(password === undefined ? {} : { passphrase: password }) }],
  );
  const plain = group.filter(({ pkcs12 }) => pkcs12 === undefined);
  return {
    ...(packed.length === 0 ? {} : { pfx: packed }),
    ...(plain.length === 0
      ? {}
      : {
          cert: plain.map(({ chain }) => chain),
          key: plain.map(({ key, password }) =>
            password === undefined ? { pem: key } : { pem: key, passphrase: password },
          ),
        }),
  };
}

/** Certificates for the same names (RSA beside ECDSA) share a context: the client's algorithms decide between them. */
function groupByNames(identities: readonly TlsIdentity[]): TlsIdentity[][] {
  const groups = new Map<string, TlsIdentity[]>();
  for (const identity of identities) {
    const leaf = leafOf(identity);
    const names = leaf === null ? '' : (leaf.x509.subjectAltName ?? leaf.subject);
    const group = groups.get(names);
    const kind = leaf?.x509.publicKey.asymmetricKeyType;
    // A context holds one certificate of a kind; of two alike the first one is shown.
    if (group === undefined) groups.set(names, [identity]);
    else if (group.every((one) => leafOf(one)?.x509.publicKey.asymmetricKeyType !== kind))
      group.push(identity);
  }
  return [...groups.values()];
}

function leafOf(identity: TlsIdentity): ParsedCertificate | null {
  if (identity.pkcs12 !== undefined) return null;
  const [leaf, ...more] = readCertificates(identity.chain);
  return leaf === undefined ? null : new ParsedCertificate(leaf, [leaf, ...more]);
}

/** The certificate for a server name: exact, then wildcard of one label, then the first. */
export function chooseCertificate(material: TlsMaterial, serverName: string): ShownCertificate | undefined {
  const { shown } = material;
  if (shown.length === 1 || serverName === '') return shown[0];
  const exact = shown.find(({ certificate }) => namesOf(certificate).includes(serverName));
  if (exact !== undefined) return exact;
  const dot = serverName.indexOf('.');
  const wildcard = dot < 0 ? '' : `*${serverName.slice(dot)}`;
  return shown.find(({ certificate }) => namesOf(certificate).includes(wildcard)) ?? shown[0];
}

function namesOf(certificate: ParsedCertificate | null): readonly string[] {
  if (certificate === null) return [];
  if (certificate.dnsSans.length > 0) return certificate.dnsSans;
  const name = /(?:^|\n)CN=([^\n]*)/.exec(certificate.x509.subject)?.[1];
  return name === undefined ? [] : [name];
}
