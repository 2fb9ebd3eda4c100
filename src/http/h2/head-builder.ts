import type { Headers } from '../headers.ts';
import { AUTHORITY } from '../normalize.ts';
import { RequestHead, ResponseHead } from '../stream.ts';
import { KIND } from './field-kind.ts';
import type { FieldSink } from './hpack-decoder.ts';
import { ENTRY_OVERHEAD } from './hpack-table.ts';
import type { UnderscoreAction } from './options.ts';

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;
/** ASCII alone, as on HTTP/1: what is behind us may read anything else in ways of its own. */
const PATH = /^[\x21-\x7e]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const DIGITS = /^[0-9]{1,15}$/;

/** Collects one header block and judges it (RFC 9113 §8.2, §8.3). One per connection, used again for each block. */
export class HeadBuilder implements FieldSink {
  headers: Headers = [];
  /** REJECT_REQUEST met an underscore. */
  underscore = false;
  /** Fields that DROP_HEADER took away. */
  dropped = 0;
  malformed = false;
  tooLarge = false;
  tooMany = false;
  contentLength = -1;
  readonly #maxBytes: number;
  readonly #maxCount: number;
  readonly #underscores: UnderscoreAction;
  #bytes = 0;
  #count = 0;
  /** A bit for each pseudo header that came. */
  #pseudo = 0;
  #regular = false;
  #method = '';
  #scheme = '';
  #authority = '';
  #path = '';
  #protocol = '';
  #status = '';
  #host = '';
  /** Where the cookie value is, −1: none yet. */
  #cookieAt = -1;
  #expectContinue = false;
  #discard = false;

  constructor(maxBytes: number, maxCount: number, underscores: UnderscoreAction) {
    this.#maxBytes = maxBytes;
    this.#maxCount = maxCount;
    this.#underscores = underscores;
  }

  /** Before each block; `discard` when only the decoder's table matters. */
  begin(discard: boolean): void {
    this.headers = [];
    this.underscore = false;
    this.dropped = 0;
    this.malformed = false;
    this.tooLarge = false;
    this.tooMany = false;
    this.contentLength = -1;
    this.#bytes = 0;
    this.#count = 0;
    this.#pseudo = 0;
    this.#regular = false;
    this.#method = '';
    this.#scheme = '';
    this.#authority = '';
    this.#path = '';
    this.#protocol = '';
    this.#status = '';
    this.#host = '';
    this.#cookieAt = -1;
    this.#expectContinue = false;
    this.#discard = discard;
  }

  /** Why the block is no message, in Envoy's words. */
  get details(): string {
    return this.malformed ? 'http2.invalid.header.field' : 'http2.violation.of.messaging.rule';
  }

  /** Lets go of the strings. */
  release(): void {
    this.headers = NONE;
  }

  onField(name: string, value: string, kind: number): void {
    if (this.#discard) return;
    this.#bytes += name.length + value.length + ENTRY_OVERHEAD;
    // What is over the limit is not kept: a small block can name a large field many times.
    if (this.#bytes > this.#maxBytes + ENTRY_OVERHEAD * this.#maxCount) this.tooLarge = true;
    if (this.tooLarge) return;
    if (kind >= KIND.badValue || kind === KIND.invalid) {
      this.malformed = true;
      return;
    }
    if (kind >= KIND.method && kind <= KIND.status) {
      this.#onPseudo(kind, value);
      return;
    }
    this.#regular = true;
    if (++this.#count > this.#maxCount) {
      this.tooMany = true;
      return;
    }
    if (kind === KIND.plain) this.#onPlain(name, value);
    else this.#onSpecial(kind, name, value);
  }

  #onPlain(name: string, value: string): void {
    if (this.#underscores !== 'ALLOW' && name.includes('_')) {
      if (this.#underscores === 'REJECT_REQUEST') this.underscore = true;
      else this.dropped++;
      return;
    }
    this.headers.push(name, value);
  }

  #onSpecial(kind: number, name: string, value: string): void {
    switch (kind) {
      case KIND.te:
        if (value !== 'trailers') this.malformed = true;
        break;
      case KIND.contentLength:
        if (this.contentLength >= 0 || !DIGITS.test(value)) this.malformed = true;
        else this.contentLength = +value;
        break;
      case KIND.host:
        if (this.#host === '') this.#host = value;
        else this.malformed = true;
        return;
      case KIND.cookie:
        if (this.#cookieAt >= 0) {
          // RFC 9113 §8.2.3: crumbs are joined before they meet anybody who speaks HTTP/1.
          this.headers[this.#cookieAt] += `; ${value}`;
          return;
        }
        this.#cookieAt = this.headers.length + 1;
        break;
      default:
        if (value.toLowerCase() === '100-continue') this.#expectContinue = true;
    }
    this.headers.push(name, value);
  }

  #onPseudo(kind: number, value: string): void {
    const bit = 1 << kind;
    if (this.#regular || (this.#pseudo & bit) !== 0) this.malformed = true;
    this.#pseudo |= bit;
    if (kind === KIND.method) this.#method = value;
    else if (kind === KIND.path) this.#path = value;
    else if (kind === KIND.authority) this.#authority = value;
    else if (kind === KIND.scheme) this.#scheme = value;
    else if (kind === KIND.status) this.#status = value;
    else this.#protocol = value;
  }

  #has(kind: number): boolean {
    return (this.#pseudo & (1 << kind)) !== 0;
  }

  /** The request, or null when it is malformed. `end`: the block ends the stream. */
  request(end: boolean, allowExtendedConnect: boolean): RequestHead | null {
    const connect = this.#method === 'CONNECT';
    const extended = this.#has(KIND.protocol);
    if (this.#has(KIND.status) || (this.#method !== '' && !METHOD.test(this.#method))) this.malformed = true;
    if (extended && !allowExtendedConnect) this.malformed = true;
    if (this.malformed || this.#method === '') return null;
    if (extended && (!connect || this.#protocol === '')) return null;
    if (connect && !extended) {
      if (this.#has(KIND.path) || this.#has(KIND.scheme) || this.#authority === '') return null;
    } else if (!this.#validTarget()) return null;
    if (!AUTHORITY.test(this.#authority)) return null;
    if (end && this.contentLength > 0) return null;
    const authority = this.#has(KIND.authority) ? this.#authority : this.#host;
    if (authority === '' || !AUTHORITY.test(authority)) return null;
    const head = new RequestHead(this.#method, this.#path, authority, this.headers);
    head.protocol = 'HTTP/2';
    head.contentLength = end ? 0 : this.contentLength;
    head.expectContinue = this.#expectContinue && !end && !connect;
    if (connect) head.contentLength = -1;
    if (extended) {
      // RFC 8441: inside it looks like the HTTP/1 upgrade that it stands for.
      head.method = 'GET';
      head.upgrade = this.#protocol.toLowerCase();
      head.headers.push('upgrade', this.#protocol);
    }
    return head;
  }

  #validTarget(): boolean {
    const path = this.#path;
    if (this.#has(KIND.path) && !PATH.test(path)) this.malformed = true;
    if (path.charCodeAt(0) !== 47 && !(path === '*' && this.#method === 'OPTIONS')) return false;
    if (this.#has(KIND.scheme) && !SCHEME.test(this.#scheme)) this.malformed = true;
    return this.#has(KIND.scheme) && !this.malformed;
  }

  /** The response, or null when it is malformed. */
  response(): ResponseHead | null {
    if (this.malformed || this.tooLarge || this.tooMany) return null;
    if (this.#pseudo !== 1 << KIND.status || !/^[1-9][0-9][0-9]$/.test(this.#status)) return null;
    const status = +this.#status;
    // RFC 9113 §8.6.
    if (status === 101) return null;
    const head = new ResponseHead(status, this.headers);
    head.protocol = 'HTTP/2';
    head.contentLength = this.contentLength;
    // Of a response `host` has no meaning, but it is a field as any other.
    if (this.#host !== '') this.headers.push('host', this.#host);
    return head;
  }

  /** The trailers, or null when they are malformed. */
  trailers(): Headers | null {
    return this.malformed || this.tooLarge || this.tooMany || this.#pseudo !== 0 ? null : this.headers;
  }
}

const NONE: Headers = [];
