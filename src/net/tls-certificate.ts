import { X509Certificate } from 'node:crypto';
import type { TlsCertificate } from './transport.ts';

/** Subject alternative names by kind. */
export interface SubjectAltNames {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly ip: readonly string[];
  readonly email: readonly string[];
}

/** A certificate that is taken apart when somebody asks: most connections never do. */
export class ParsedCertificate implements TlsCertificate {
  readonly x509: X509Certificate;
  readonly #chain: readonly X509Certificate[];
  #sans: SubjectAltNames | null = null;

  /** `chain`: leaf first, as it was shown. */
  constructor(x509: X509Certificate, chain: readonly X509Certificate[] = [x509]) {
    this.x509 = x509;
    this.#chain = chain;
  }

  get subject(): string {
    return rfc2253(this.x509.subject);
  }

  get issuer(): string {
    return rfc2253(this.x509.issuer);
  }

  get sans(): SubjectAltNames {
    this.#sans ??= readSans(this.x509.subjectAltName ?? '');
    return this.#sans;
  }

  get uriSans(): readonly string[] {
    return this.sans.uri;
  }

  get dnsSans(): readonly string[] {
    return this.sans.dns;
  }

  get ipSans(): readonly string[] {
    return this.sans.ip;
  }

  get emailSans(): readonly string[] {
    return this.sans.email;
  }

  get serial(): string {
    return this.x509.serialNumber.toLowerCase();
  }

  get fingerprint(): string {
    return this.x509.fingerprint256.replaceAll(':', '').toLowerCase();
  }

  get fingerprintSha1(): string {
    return this.x509.fingerprint.replaceAll(':', '').toLowerCase();
  }

  get notBefore(): Date {
    return this.x509.validFromDate;
  }

  get notAfter(): Date {
    return this.x509.validToDate;
  }

  get pem(): string {
    return this.x509.toString();
  }

  get chainPem(): string {
    return this.#chain.map((one) => one.toString()).join('');
  }
}

/** Node gives one attribute a line, the first one first; RFC 2253 wants the last one first. */
function rfc2253(lines: string | undefined): string {
  return (lines ?? '').split('\n').reverse().join(',');
}

const KINDS: Readonly<Record<string, keyof SubjectAltNames>> = {
  DNS: 'dns',
  URI: 'uri',
  'IP Address': 'ip',
  email: 'email',
};

/** Reads Node's text, in which names with unusual characters stand as JSON strings. Other kinds are left out. */
export function readSans(text: string): SubjectAltNames {
  const sans: Record<keyof SubjectAltNames, string[]> = { dns: [], uri: [], ip: [], email: [] };
  let at = 0;
  while (at < text.length) {
    const colon = text.indexOf(':', at);
    if (colon < 0) break;
    const kind = KINDS[text.slice(at, colon)];
    let value: string;
    if (text[colon + 1] === '"') {
      const close = closingQuote(text, colon + 1);
      value = JSON.parse(text.slice(colon + 1, close + 1)) as string;
      at = close + 1;
    } else {
      const comma = text.indexOf(', ', colon);
      const end = comma < 0 ? text.length : comma;
      value = text.slice(colon + 1, end);
      at = end;
    }
    if (kind !== undefined) sans[kind].push(value);
    if (text.startsWith(', ', at)) at += 2;
  }
  return sans;
}

function closingQuote(text: string, open: number): number {
  let at = open + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at, text.length - 1);
}

/** The certificates of a PEM text, in their order. Throws when one of them cannot be read, or when there is none. */
export function readCertificates(pem: string): X509Certificate[] {
  const blocks =
    pem.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END [^-]*-----/g) ?? [];
  if (blocks.length === 0) throw new Error('holds no certificate in PEM');
  return blocks.map((block) => new X509Certificate(block));
}
