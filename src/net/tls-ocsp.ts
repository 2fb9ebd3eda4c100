import { Server, type TLSSocketOptions } from 'node:tls';

/** A certificate authority's word that one certificate is not revoked. */
export interface OcspStaple {
  /** As it was given, and as it is passed on. */
  readonly der: Buffer;
  /** Of the certificate, lower-case hex without leading zeros. */
  readonly serial: string;
  /** Epoch milliseconds. Outside of these it is not passed on; without a `nextUpdate` it never is, as in Envoy. */
  readonly validFromMs: number;
  readonly validToMs: number;
}

/**
 * Options that make a TLSSocket pass `staple` on to clients that ask for it; none without a staple that is valid at
 * `nowMs`.
 */
export function stapling(staple: OcspStaple | undefined, nowMs: number): TLSSocketOptions {
  if (staple === undefined || nowMs < staple.validFromMs || nowMs > staple.validToMs) return {};
  // Node asks the socket's server, which need not listen.
  const server = new Server();
  server.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, staple.der));
  return { server, SNICallback: (_name, done) => done(null) };
}

const TAG = {
  integer: 0x02,
  octets: 0x04,
  enumerated: 0x0a,
  time: 0x18,
  sequence: 0x30,
  context0: 0xa0,
} as const;

/** Reads an OCSP response (RFC 6960); throws an Error that says what is wrong with it. Its signature is the client's to check. */
export function readStaple(der: Buffer): OcspStaple {
  const response = new Der(der).enter(TAG.sequence);
  const status = response.take(TAG.enumerated);
  if (status.length !== 1 || status[0] !== 0) throw new Error('the OCSP response is not a successful one');
  const bytes = response.enter(TAG.context0).enter(TAG.sequence);
  bytes.skip();
  const data = new Der(bytes.take(TAG.octets)).enter(TAG.sequence).enter(TAG.sequence);
  if (data.tag === TAG.context0) data.skip();
  // Who answers, and when.
  data.skip();
  data.skip();
  const responses = data.enter(TAG.sequence);
  const single = responses.enter(TAG.sequence);
  if (responses.tag !== undefined) throw new Error('the OCSP response is about more than one certificate');
  const id = single.enter(TAG.sequence);
  // Hash algorithm, the issuer's name and key.
  id.skip();
  id.skip();
  id.skip();
  const serial = id.take(TAG.integer).toString('hex').replace(/^0+/, '');
  single.skip();
  const validFromMs = timeOf(single.take(TAG.time));
  const next = single.tag === TAG.context0 ? single.enter(TAG.context0).take(TAG.time) : undefined;
  return { der, serial, validFromMs, validToMs: next === undefined ? 0 : timeOf(next) };
}

function timeOf(value: Buffer): number {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(value.toString('latin1'));
  if (parts === null) throw new Error('a time in the OCSP response is not one');
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** One level of DER after the other, definite lengths only. */
class Der {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Of the next element, undefined at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#at];
  }

  enter(tag: number): Der {
    return new Der(this.take(tag));
  }

  skip(): void {
    this.take(this.tag);
  }

  /** The content of the next element, which must be of this kind. */
  take(tag: number | undefined): Buffer {
    const found = this.#bytes[this.#at];
    if (found === undefined || found !== tag) throw new Error('it is not an OCSP response in DER');
    let start = this.#at + 2;
    let length = this.#bytes[this.#at + 1] ?? -1;
    if (length >= 0x80) {
      const size = length - 0x80;
      if (size === 0 || size > 4 || start + size > this.#bytes.length) length = -1;
      else length = this.#bytes.readUIntBE(start, size);
      start += size;
    }
    if (length < 0 || start + length > this.#bytes.length) throw new Error('the OCSP response is cut off');
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }
}
