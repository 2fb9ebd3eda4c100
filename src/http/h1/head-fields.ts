import type { Headers } from '../headers.ts';

/** Why a head was refused: the status and Envoy's response code details. */
export interface HeadFault {
  readonly status: number;
  readonly details: string;
}

export const FAULT = {
  codec: { status: 400, details: 'http1.codec_error' },
  invalidCharacters: { status: 400, details: 'http1.invalid_characters' },
  headersTooLarge: { status: 431, details: 'http1.headers_too_large' },
  tooManyHeaders: { status: 431, details: 'http1.too_many_headers' },
  connectionRejected: { status: 400, details: 'http1.connection_header_rejected' },
  invalidUrl: { status: 400, details: 'http1.invalid_url' },
  invalidScheme: { status: 400, details: 'http1.invalid_scheme' },
  transferEncoding: { status: 501, details: 'http1.invalid_transfer_encoding' },
  transferEncodingNotAllowed: { status: 400, details: 'http1.transfer_encoding_not_allowed' },
  lengthAndChunked: { status: 400, details: 'http1.content_length_and_chunked_not_allowed' },
  bodyDisallowed: { status: 400, details: 'http1.body_disallowed' },
  underscore: { status: 400, details: 'http1.unexpected_underscore' },
  invalidAuthority: { status: 400, details: 'http.invalid_authority' },
  lowVersion: { status: 426, details: 'low_version' },
  expectation: { status: 417, details: 'http1.expectation_failed' },
} as const satisfies Record<string, HeadFault>;

/** RFC 9110 §5.1 names, §5.5 values without obs-fold, bare CR, LF, NUL and other controls. */
export const FIELD_LINES = "(?:[!#$%&'*+\\-.^_`|~0-9A-Za-z]+:[^\\0-\\x08\\x0a-\\x1f\\x7f]*\\r\\n)*";

export const BARE_LF = /(?:^|[^\r])\n/;

const MAX_NOMINATED = 10;

/**
 * Header fields of one message: what framing and connection handling need from them, and the list without the
 * hop-by-hop ones. One per connection, overwritten by the next head. The text was checked against FIELD_LINES.
 */
export class HeadFields {
  headers: Headers;
  fault: HeadFault | null;
  /** −1 when absent. */
  contentLength: number;
  chunked: boolean;
  close: boolean;
  keepAlive: boolean;
  host: string;
  hasHost: boolean;
  /** The upgrade header as received, '' when absent. */
  upgrade: string;
  upgradeNominated: boolean;
  expectContinue: boolean;
  /** An expectation that nobody can meet. */
  expectUnknown: boolean;
  /** The connection header when it says more than close, keep-alive or upgrade. */
  nominated: string;

  constructor() {
    this.headers = NONE;
    this.fault = null;
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.host = '';
    this.hasHost = false;
    this.upgrade = '';
    this.upgradeNominated = false;
    this.expectContinue = false;
    this.expectUnknown = false;
    this.nominated = '';
  }

  /** Reads the lines in `text` from `start` up to the empty line that ends at `end`; sets `fault` on failure. */
  read(text: string, start: number, end: number, maxCount: number): void {
    this.#reset();
    const headers = this.headers;
    const stop = end - 2;
    let count = 0;
    let p = start;
    while (p < stop) {
      const colon = text.indexOf(':', p);
      const eol = text.indexOf('\r', colon);
      let from = colon + 1;
      let to = eol;
      while (from < to && isBlank(text.charCodeAt(from))) from++;
      while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
      const name = text.slice(p, colon).toLowerCase();
      const value = text.slice(from, to);
      p = eol + 2;
      if (++count > maxCount) {
        this.fault = FAULT.tooManyHeaders;
        return;
      }
      if (this.#keep(name, value)) headers.push(name, value);
      if (this.fault !== null) return;
    }
  }

  /** Removes what the connection header nominates; false when Envoy refuses the request for it. */
  removeNominated(): boolean {
    const tokens = this.nominated.toLowerCase().split(',');
    if (tokens.length >= MAX_NOMINATED) return false;
    for (const raw of tokens) {
      const token = raw.trim();
      if (token === 'x-forwarded-for' || token === 'x-forwarded-host' || token === 'x-forwarded-proto')
        return false;
      if (token.startsWith(':')) return false;
      // Envoy takes the host away and then misses it.
      if (token === 'host') this.hasHost = false;
      else if (!PROTECTED.has(token)) removeAll(this.headers, token);
    }
    return true;
  }

  /** Lets go of the strings, so that an idle connection does not keep its last head alive. */
  release(): void {
    this.headers = NONE;
    this.host = '';
    this.upgrade = '';
    this.nominated = '';
  }

  #reset(): void {
    this.headers = [];
    this.fault = null;
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.host = '';
    this.hasHost = false;
    this.upgrade = '';
    this.upgradeNominated = false;
    this.expectContinue = false;
    this.expectUnknown = false;
    this.nominated = '';
  }

  /** Whether the field stays in the list; lengths first, because most names differ there. */
  #keep(name: string, value: string): boolean {
    switch (name.length) {
      case 2:
        return name !== 'te' || this.#onTe(value);
      case 4:
        return name !== 'host' || this.#onHost(value);
      case 6:
        if (name === 'expect') this.#onExpect(value);
        return true;
      case 7:
        if (name !== 'upgrade') return true;
        this.upgrade = this.upgrade === '' ? value : `${this.upgrade},${value}`;
        return false;
      case 10:
        if (name === 'connection') return this.#onConnection(value);
        return name !== 'keep-alive';
      case 14:
        if (name === 'content-length') this.#onContentLength(value);
        return name !== 'http2-settings';
      case 16:
        return name !== 'proxy-connection';
      case 17:
        return name !== 'transfer-encoding' || this.#onTransferEncoding(value);
      default:
        return true;
    }
  }

  #onHost(value: string): boolean {
    // Envoy joins two hosts with a comma and routes on that; RFC 9112 §3.2 demands 400.
    if (this.hasHost) this.fault = FAULT.invalidAuthority;
    this.host = value;
    this.hasHost = true;
    return false;
  }

  /** Of what a client could accept only trailers survive a hop. */
  #onTe(value: string): boolean {
    if (value === 'trailers') return true;
    for (const token of value.split(',')) {
      if (token.trim().toLowerCase() !== 'trailers') continue;
      this.headers.push('te', 'trailers');
      break;
    }
    return false;
  }

  #onExpect(value: string): void {
    if (value === '100-continue' || value.toLowerCase() === '100-continue') this.expectContinue = true;
    else this.expectUnknown = true;
  }

  #onConnection(value: string): boolean {
    if (value === 'keep-alive') this.keepAlive = true;
    else if (value === 'close') this.close = true;
    else {
      const lower = value.toLowerCase();
      for (const raw of lower.split(',')) {
        const token = raw.trim();
        if (token === 'close') this.close = true;
        else if (token === 'keep-alive') this.keepAlive = true;
        else if (token === 'upgrade') this.upgradeNominated = true;
        else if (token !== '') this.nominated = this.nominated === '' ? token : `${this.nominated},${token}`;
      }
    }
    return false;
  }

  #onContentLength(value: string): void {
    // Equal duplicates are refused too, as Envoy does; 15 digits are below 2^53.
    if (this.contentLength !== -1 || value.length > 15 || !DIGITS.test(value)) this.fault = FAULT.codec;
    else this.contentLength = +value;
  }

  #onTransferEncoding(value: string): boolean {
    // Envoy joins two and says 501 to the result; a repeated field is broken framing, not an unknown coding.
    if (this.chunked) this.fault = FAULT.codec;
    else if (value.toLowerCase() !== 'chunked') this.fault = FAULT.transferEncoding;
    this.chunked = true;
    return false;
  }
}

const NONE: Headers = [];
const DIGITS = /^[0-9]+$/;

/** Fields that a connection header cannot take away: framing, routing, and what the proxy itself vouches for. */
const PROTECTED: ReadonlySet<string> = new Set([
  'content-length',
  'te',
  'x-forwarded-client-cert',
  'x-request-id',
]);

const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'max-forwards',
  'pragma',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-client-cert',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

const TRAILER_LINES = new RegExp(`^${FIELD_LINES}\\r\\n$`);

/** Trailers in `text` (with the last empty line) without those that frame, route or authenticate, or a fault. */
export function parseTrailers(text: string, maxCount: number): Headers | HeadFault {
  if (!TRAILER_LINES.test(text)) return FAULT.codec;
  const trailers: Headers = [];
  const stop = text.length - 2;
  let count = 0;
  for (let p = 0; p < stop; ) {
    const colon = text.indexOf(':', p);
    const eol = text.indexOf('\r', colon);
    const name = text.slice(p, colon).toLowerCase();
    if (++count > maxCount) return FAULT.tooManyHeaders;
    if (!FORBIDDEN_TRAILERS.has(name)) trailers.push(name, text.slice(colon + 1, eol).trim());
    p = eol + 2;
  }
  return trailers;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

function removeAll(headers: Headers, name: string): void {
  let to = 0;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name) continue;
    headers[to] = headers[i] ?? '';
    headers[to + 1] = headers[i + 1] ?? '';
    to += 2;
  }
  headers.length = to;
}
