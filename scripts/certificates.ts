import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';

/**
 * Certificates for tests and the sample app, made here in DER: EC keys on P-256, signed with ECDSA and SHA-256. Every call makes new keys.
 */
export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PKCS#8, PEM. */
  readonly key: string;
  /** This certificate and the intermediates above it, PEM; without the root, whose own chain is ''. */
  readonly chain: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly hash: string;
  /** SHA-256 of the public key, base64. */
  readonly spki: string;
  readonly name: string;
  readonly serial: Buffer;
}

export interface CertificateOptions {
  readonly dns?: readonly string[];
  readonly uri?: readonly string[];
  readonly ip?: readonly string[];
  readonly email?: readonly string[];
  /** Common name. */
  readonly name?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly ca?: boolean;
  /** Extended key usages; both server and client when left out. */
  readonly usages?: readonly ('server' | 'client')[];
}

const DAY_MS = 86_400_000;
const ECDSA_SHA256 = '1.2.840.10045.4.3.2';
const USAGES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' };

/** A root. */
export function makeCa(name = 'test root', options: CertificateOptions = {}): Certificate {
  return make({ ...options, name, ca: true }, null);
}

/** A certificate issued by `issuer`; with `ca` an intermediate. */
export function issue(issuer: Certificate, options: CertificateOptions = {}): Certificate {
  return make(options, issuer);
}

/** A revocation list of `issuer`, PEM. */
export function makeCrl(issuer: Certificate, revoked: readonly Certificate[]): string {
  const now = Date.now();
  const entries = revoked.map(({ serial }) => seq(integer(serial), time(new Date(now - DAY_MS))));
  const body = seq(
    integer(Buffer.from([1])),
    seq(oid(ECDSA_SHA256)),
    commonName(issuer.name),
    time(new Date(now - DAY_MS)),
    time(new Date(now + DAY_MS)),
    ...(entries.length === 0 ? [] : [seq(...entries)]),
  );
  return pem('X509 CRL', signed(body, createPrivateKey(issuer.key)));
}

export interface OcspOptions {
  readonly thisUpdate?: Date;
  /** Null: none. */
  readonly nextUpdate?: Date | null;
}

/** The word of `issuer` that none of `good` is revoked: an OCSP response, DER. */
export function makeOcsp(
  issuer: Certificate,
  good: readonly Certificate[],
  {
    thisUpdate = new Date(Date.now() - DAY_MS),
    nextUpdate = new Date(Date.now() + DAY_MS),
  }: OcspOptions = {},
): Buffer {
  const SHA1 = seq(oid('1.3.14.3.2.26'));
  const sha1 = (bytes: Buffer): Buffer => tlv(0x04, createHash('sha1').update(bytes).digest());
  const single = ({ serial }: Certificate): Buffer =>
    seq(
      seq(SHA1, sha1(commonName(issuer.name)), sha1(Buffer.from(issuer.spki)), integer(serial)),
      tlv(0x80, Buffer.alloc(0)),
      generalizedTime(thisUpdate),
      ...(nextUpdate === null ? [] : [tlv(0xa0, generalizedTime(nextUpdate))]),
    );
  const data = seq(tlv(0xa1, commonName(issuer.name)), generalizedTime(thisUpdate), seq(...good.map(single)));
  const basic = signed(data, createPrivateKey(issuer.key));
  const bytes = seq(oid('1.3.6.1.5.5.7.48.1.1'), tlv(0x04, basic));
  return seq(tlv(0x0a, Buffer.from([0])), tlv(0xa0, bytes));
}

function make(options: CertificateOptions, issuer: Certificate | null): Certificate {
  const { name = 'leaf', ca = false } = options;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const serial = Buffer.concat([Buffer.from([0x11]), randomBytes(8)]);
  const body = seq(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    seq(oid(ECDSA_SHA256)),
    commonName(issuer?.name ?? name),
    seq(
      time(options.notBefore ?? new Date(Date.now() - DAY_MS)),
      time(options.notAfter ?? new Date(Date.now() + 30 * DAY_MS)),
    ),
    commonName(name),
    spki,
    tlv(0xa3, seq(...extensions(options, ca))),
  );
  const der = signed(body, issuer === null ? privateKey : createPrivateKey(issuer.key));
  const cert = pem('CERTIFICATE', der);
  return {
    cert,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    chain: issuer === null ? '' : cert + issuer.chain,
    hash: createHash('sha256').update(der).digest('hex'),
    spki: createHash('sha256').update(spki).digest('base64'),
    name,
    serial,
  };
}

function extensions(options: CertificateOptions, ca: boolean): Buffer[] {
  const { dns = [], uri = [], ip = [], email = [], usages = ['server', 'client'] } = options;
  const names = [
    ...email.map((one) => tlv(0x81, Buffer.from(one, 'latin1'))),
    ...dns.map((one) => tlv(0x82, Buffer.from(one, 'latin1'))),
    ...uri.map((one) => tlv(0x86, Buffer.from(one, 'latin1'))),
    ...ip.map((one) => tlv(0x87, Buffer.from(one.split('.').map(Number)))),
  ];
  // keyCertSign and cRLSign, or digitalSignature.
  const usage = ca ? [0x01, 0x06] : [0x07, 0x80];
  return [
    extension('2.5.29.19', true, seq(...(ca ? [tlv(0x01, Buffer.from([0xff]))] : []))),
    extension('2.5.29.15', true, tlv(0x03, Buffer.from(usage))),
    ...(ca ? [] : [extension('2.5.29.37', false, seq(...usages.map((one) => oid(USAGES[one]))))]),
    ...(names.length === 0 ? [] : [extension('2.5.29.17', false, seq(...names))]),
  ];
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return seq(oid(id), ...(critical ? [tlv(0x01, Buffer.from([0xff]))] : []), tlv(0x04, value));
}

function signed(body: Buffer, key: KeyObject): Buffer {
  const signature = sign('sha256', body, key);
  return seq(body, seq(oid(ECDSA_SHA256)), tlv(0x03, Buffer.concat([Buffer.from([0]), signature])));
}

function commonName(name: string): Buffer {
  return seq(tlv(0x31, seq(oid('2.5.4.3'), tlv(0x0c, Buffer.from(name)))));
}

function time(date: Date): Buffer {
  const text = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(text.slice(2), 'latin1'))
    : generalizedTime(date);
}

function generalizedTime(date: Date): Buffer {
  return tlv(0x18, Buffer.from(date.toISOString().replaceAll(/[-:T]|\.\d+/g, ''), 'latin1'));
}

function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...others] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of others) {
    const groups = [part & 0x7f];
    for (let rest = part >>> 7; rest > 0; rest >>>= 7) groups.unshift((rest & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, Buffer.from(bytes));
}

function seq(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts));
}

function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), value]);
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), value]);
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), value]);
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
