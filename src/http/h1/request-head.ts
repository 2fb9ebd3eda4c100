import { removeHeader } from '../headers.ts';
import { AUTHORITY } from '../normalize.ts';
import { RequestHead } from '../stream.ts';
import { BARE_LF, FAULT, FIELD_LINES, type HeadFault, type HeadFields } from './head-fields.ts';
import type { HeadResult } from './head-reader.ts';
import type { H1ServerOptions } from './options.ts';

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
const METHOD = `${TOKEN}{1,64}`;

const REQUEST_HEAD = new RegExp(`${METHOD} [\\x21-\\x7e]+ HTTP/1\\.[01]\\r\\n${FIELD_LINES}\\r\\n`, 'y');
const REQUEST_LINE = new RegExp(`^${METHOD} [\\x21-\\x7e]+ HTTP/1\\.[01]\\r\\n`);
const HTTP_09_LINE = new RegExp(`^${METHOD} [\\x21-\\x7e]+\\r\\n`);
const METHOD_BEGIN = new RegExp(`^${TOKEN}{0,64}(?: |$)`);
const BAD_VALUE = new RegExp(`\\r\\n${TOKEN}+:[^\\r\\n]*[\\0-\\x08\\x0b-\\x1f\\x7f][^\\r\\n]*\\r\\n`);
const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+\-.]*):\/\/([^/?#]*)(.*)$/;

/** Length of the valid head that `text` begins with, 0 when it does not begin with one. */
export function matchRequestHead(text: string): number {
  REQUEST_HEAD.lastIndex = 0;
  return REQUEST_HEAD.test(text) ? REQUEST_HEAD.lastIndex : 0;
}

/** What is wrong with `text` when a head was read with `result`; null when nothing is yet. */
export function headFault(result: HeadResult, text: string): HeadFault | null {
  if (result === 'too-large') return FAULT.headersTooLarge;
  if (result === 'malformed') return diagnoseRequestHead(text);
  return result === 'incomplete' && text !== '' ? diagnosePartialRequest(text) : null;
}

/** What is wrong with a whole head that did not match. */
function diagnoseRequestHead(text: string): HeadFault {
  const line = REQUEST_LINE.exec(text);
  if (line === null) return HTTP_09_LINE.test(text) ? FAULT.lowVersion : FAULT.codec;
  if (!BARE_LF.test(text) && BAD_VALUE.test(text)) return FAULT.invalidCharacters;
  return FAULT.codec;
}

/** A head that has not ended: what can be refused already, so that nonsense does not wait for more. */
function diagnosePartialRequest(text: string): HeadFault | null {
  const eol = text.indexOf('\r\n');
  if (eol >= 0) {
    if (!REQUEST_LINE.test(text)) return diagnoseRequestHead(text);
  } else if (!METHOD_BEGIN.test(text.slice(0, 65))) return FAULT.codec;
  return BARE_LF.test(text) ? FAULT.codec : null;
}

/** Builds the head from `text` of length `end` that matched; `fields.fault` is set when it must be refused. */
export function parseRequestHead(
  text: string,
  end: number,
  fields: HeadFields,
  options: H1ServerOptions,
): RequestHead {
  const afterMethod = text.indexOf(' ');
  const afterTarget = text.indexOf(' ', afterMethod + 1);
  const minor = text.charCodeAt(afterTarget + 8);
  fields.read(text, afterTarget + 11, end, options.maxHeaderCount);
  const head = new RequestHead(
    text.slice(0, afterMethod),
    text.slice(afterMethod + 1, afterTarget),
    fields.host,
    fields.headers,
  );
  if (minor === 48) {
    head.protocol = 'HTTP/1.0';
    if (!options.acceptHttp10) {
      fields.fault = FAULT.lowVersion;
      return head;
    }
  }
  if (fields.fault !== null) return head;
  fields.fault = checkRequest(head, fields, options);
  return head;
}

/** What Envoy 1.40 knows (Balsa); RFC 9110 §9.1 lets any token be a method. */
const ENVOY_METHODS: ReadonlySet<string> = new Set(
  (
    'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH ' +
    'NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE ' +
    'UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
);

function checkRequest(head: RequestHead, fields: HeadFields, options: H1ServerOptions): HeadFault | null {
  if (options.envoyStrict) {
    if (!ENVOY_METHODS.has(head.method)) return FAULT.codec;
  } else if (fields.expectUnknown) return FAULT.expectation;
  if (options.headersWithUnderscoresAction !== 'ALLOW') {
    const fault = applyUnderscores(fields.headers, options.headersWithUnderscoresAction === 'DROP_HEADER');
    if (fault !== null) return fault;
  }
  if (fields.nominated !== '' && !fields.removeNominated()) return FAULT.connectionRejected;
  const framing = checkFraming(head, fields, options);
  if (framing !== null) return framing;
  if (head.path.charCodeAt(0) !== 47 || head.method === 'CONNECT') {
    const fault = resolveTarget(head, fields, options);
    if (fault !== null) return fault;
  }
  if (!fields.hasHost) {
    if (head.protocol === 'HTTP/1.0' && options.defaultHostForHttp10 !== '') {
      head.authority = options.defaultHostForHttp10;
    } else head.hostMissing = true;
  }
  if (!AUTHORITY.test(head.authority)) return FAULT.invalidAuthority;
  if (fields.upgrade !== '') applyUpgrade(head, fields);
  return null;
}

function checkFraming(head: RequestHead, fields: HeadFields, options: H1ServerOptions): HeadFault | null {
  if (fields.chunked) {
    if (head.method === 'CONNECT') return FAULT.transferEncoding;
    if (head.protocol === 'HTTP/1.0') return FAULT.transferEncodingNotAllowed;
    if (fields.contentLength >= 0) {
      if (!options.allowChunkedLength) return FAULT.lengthAndChunked;
      removeHeader(fields.headers, 'content-length');
    }
    head.contentLength = -1;
  } else if (head.method === 'CONNECT') {
    if (fields.contentLength > 0) return FAULT.bodyDisallowed;
    if (fields.contentLength === 0) removeHeader(fields.headers, 'content-length');
    head.contentLength = -1;
  } else if (fields.contentLength > 0) head.contentLength = fields.contentLength;
  // RFC 9110 §10.1.1: no 100 to HTTP/1.0. Envoy gives it also where no body follows.
  head.expectContinue = fields.expectContinue && head.protocol !== 'HTTP/1.0' && head.method !== 'CONNECT';
  return null;
}

/** RFC 9112 §3.2: every target but the origin form. Fragments are left to path normalisation, which refuses them. */
function resolveTarget(head: RequestHead, fields: HeadFields, options: H1ServerOptions): HeadFault | null {
  const target = head.path;
  if (head.method === 'CONNECT') {
    if (!/:[0-9]+$/.test(target)) return FAULT.invalidUrl;
    head.authority = target;
    head.path = '';
    fields.hasHost = true;
    return null;
  }
  if (target === '*') return head.method === 'OPTIONS' ? null : FAULT.invalidUrl;
  const parts = ABSOLUTE.exec(target);
  if (parts === null) return FAULT.invalidUrl;
  // As in Envoy it stays the path, which the connection manager answers with 404.
  if (!options.allowAbsoluteUrl) return null;
  const scheme = (parts[1] ?? '').toLowerCase();
  const rest = parts[3] ?? '';
  if (scheme !== 'http' && scheme !== 'https') return FAULT.invalidScheme;
  if (parts[2] === '') return FAULT.invalidUrl;
  // The scheme is what the client came with, not what it says (Envoy's x-forwarded-proto): it stays as it was.
  head.authority = parts[2] ?? '';
  fields.hasHost = true;
  head.path = rest.charCodeAt(0) === 47 ? rest : `/${rest}`;
  return null;
}

/**
 * An upgrade counts when the connection header names it and the version knows it; what follows is no body then
 * (RFC 9110 §7.8 lets a server ignore the rest); h2c is never taken, as in Envoy.
 */
function applyUpgrade(head: RequestHead, fields: HeadFields): void {
  const wanted = fields.upgrade.toLowerCase();
  if (!fields.upgradeNominated || wanted === 'h2c' || head.protocol === 'HTTP/1.0') return;
  head.upgrade = wanted;
  head.contentLength = -1;
  head.headers.push('upgrade', fields.upgrade);
}

function applyUnderscores(headers: string[], drop: boolean): HeadFault | null {
  let to = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.includes('_')) {
      if (!drop) return FAULT.underscore;
      continue;
    }
    headers[to] = name;
    headers[to + 1] = headers[i + 1] ?? '';
    to += 2;
  }
  headers.length = to;
  return null;
}
