import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { DataSource } from '#plain/envoy.config.core.v3.ts';
import type {
  CertificateValidationContext,
  CommonTlsContext,
  TlsCertificate,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { readText } from '../config/data-source.ts';
import { certificateOf, type SecretStore, secretKey, validationOf } from '../config/tls-secrets.ts';
import { ParsedCertificate, readCertificates } from '../net/tls-certificate.ts';
import type { JsonObject } from './admin/context.ts';

const DAY_MS = 86_400_000;

/** A certificate in use, and the file it is from. */
interface Loaded {
  readonly path: string;
  readonly certificate: ParsedCertificate;
}

interface Context {
  readonly ca: readonly Loaded[];
  readonly own: readonly Loaded[];
}

/** The certificates of all TLS contexts, for `/certs` and the gauge of the first that expires. Never a key. */
export class Certificates {
  readonly #contexts: readonly CommonTlsContext[];
  readonly #secrets: SecretStore;
  /** What was read from a source: a secret that changes brings new ones. */
  readonly #loaded = new WeakMap<DataSource, readonly Loaded[]>();

  constructor(bootstrap: Bootstrap, secrets: SecretStore) {
    const contexts: CommonTlsContext[] = [];
    findContexts(bootstrap.staticResources, contexts);
    this.#contexts = contexts;
    this.#secrets = secrets;
  }

  /** `envoy.admin.v3.Certificate`, one for each context that has its secrets. */
  json(nowMs: number): JsonObject[] {
    return this.#all().map(({ ca, own }) => ({
      ca_cert: ca.map((one) => certificateJson(one, nowMs)),
      cert_chain: own.map((one) => certificateJson(one, nowMs)),
    }));
  }

  /** Whole days; undefined without certificates. */
  daysUntilFirstExpires(nowMs: number): number | undefined {
    const days = this.#all()
      .flatMap(({ ca, own }) => [...ca, ...own])
      .map(({ certificate }) => daysLeft(certificate, nowMs));
    return days.length === 0 ? undefined : Math.min(...days);
  }

  #all(): Context[] {
    return this.#contexts.flatMap((common) => {
      const context = this.#contextOf(common);
      return context === null ? [] : [context];
    });
  }

  #contextOf(common: CommonTlsContext): Context | null {
    const { tlsCertificates = [], tlsCertificateSdsSecretConfigs = [], combinedValidationContext } = common;
    const own = [...tlsCertificates];
    for (const config of tlsCertificateSdsSecretConfigs) {
      const certificate = certificateOf(this.#secrets.cell(secretKey(config, '')));
      if (certificate === undefined) return null;
      own.push(certificate);
    }
    const trustConfig =
      common.validationContextSdsSecretConfig ?? combinedValidationContext?.validationContextSdsSecretConfig;
    let trust: CertificateValidationContext | undefined = common.validationContext;
    if (trustConfig !== undefined) {
      const found = validationOf(this.#secrets.cell(secretKey(trustConfig, '')));
      if (found === undefined) return null;
      trust = { ...combinedValidationContext?.defaultValidationContext, ...found };
    }
    const ca = this.#load(trust?.trustedCa).slice(0, 1);
    const leaves = own.flatMap((one) => this.#load(one.certificateChain).slice(0, 1));
    return ca.length + leaves.length === 0 ? null : { ca, own: leaves };
  }

  #load(source: TlsCertificate['certificateChain']): readonly Loaded[] {
    if (source === undefined) return [];
    const known = this.#loaded.get(source);
    if (known !== undefined) return known;
    const path = source.filename ?? '<inline>';
    const loaded = readable(source).map((x509) => ({ path, certificate: new ParsedCertificate(x509) }));
    this.#loaded.set(source, loaded);
    return loaded;
  }
}

/** A file that has gone in the meantime shows nothing. */
function readable(source: DataSource): ReturnType<typeof readCertificates> {
  try {
    return readCertificates(readText(source, ''));
  } catch {
    return [];
  }
}

function findContexts(value: unknown, found: CommonTlsContext[]): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  for (const [name, part] of Object.entries(value)) {
    if (name === 'commonTlsContext') found.push(part as CommonTlsContext);
    else findContexts(part, found);
  }
}

function certificateJson({ path, certificate }: Loaded, nowMs: number): JsonObject {
  const { dns, uri, ip } = certificate.sans;
  return {
    path,
    serial_number: certificate.serial,
    subject_alt_names: [
      ...dns.map((name) => ({ dns: name })),
      ...uri.map((name) => ({ uri: name })),
      ...ip.map((address) => ({ ip_address: address })),
    ],
    days_until_expiration: String(daysLeft(certificate, nowMs)),
    valid_from: timestamp(certificate.notBefore),
    expiration_time: timestamp(certificate.notAfter),
  };
}

function daysLeft(certificate: ParsedCertificate, nowMs: number): number {
  return Math.max(0, Math.floor((certificate.notAfter.getTime() - nowMs) / DAY_MS));
}

function timestamp(date: Date): string {
  return date.toISOString().replace('.000Z', 'Z');
}
