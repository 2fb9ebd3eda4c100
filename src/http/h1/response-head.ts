import { removeHeader } from '../headers.ts';
import { ResponseHead } from '../stream.ts';
import { BARE_LF, FIELD_LINES, type HeadFields } from './head-fields.ts';
import type { H1ClientOptions } from './options.ts';

const STATUS_LINE = 'HTTP/1\\.[01] [1-9][0-9][0-9](?: [^\\0-\\x08\\x0a-\\x1f\\x7f]*)?\\r\\n';
const RESPONSE_HEAD = new RegExp(`${STATUS_LINE}${FIELD_LINES}\\r\\n`, 'y');
const STATUS_BEGIN = new RegExp(`^${STATUS_LINE}`);

/** Length of the valid head that `text` begins with, 0 when it does not begin with one. */
export function matchResponseHead(text: string): number {
  RESPONSE_HEAD.lastIndex = 0;
  return RESPONSE_HEAD.test(text) ? RESPONSE_HEAD.lastIndex : 0;
}

/** True when a head that has not ended is wrong already. */
export function refusesPartialResponse(text: string): boolean {
  if (!'HTTP/1.'.startsWith(text.slice(0, 7))) return true;
  if (text.includes('\r\n') && !STATUS_BEGIN.test(text)) return true;
  return BARE_LF.test(text);
}

/** Builds the head from `text` of length `end` that matched; null when it breaks a rule or a limit. */
export function parseResponseHead(
  text: string,
  end: number,
  fields: HeadFields,
  options: H1ClientOptions,
): ResponseHead | null {
  const eol = text.indexOf('\r', 12);
  fields.read(text, eol + 2, end, options.maxHeaderCount);
  if (fields.fault !== null) return null;
  const status = +text.slice(9, 12);
  const head = new ResponseHead(status, fields.headers);
  head.reason = eol > 13 ? text.slice(13, eol) : '';
  if (text.charCodeAt(7) === 48) {
    head.protocol = 'HTTP/1.0';
    // RFC 9112 §6.1: transfer-encoding in HTTP/1.0 is faulty framing.
    if (fields.chunked) return null;
    if (!fields.keepAlive) fields.close = true;
  }
  if (fields.chunked && fields.contentLength >= 0) {
    if (!options.allowChunkedLength) return null;
    removeHeader(fields.headers, 'content-length');
    fields.contentLength = -1;
  }
  // RFC 9112 §6.1: no transfer-encoding with 1xx and 204.
  if (fields.chunked && (status < 200 || status === 204)) return null;
  head.contentLength = fields.contentLength;
  if (status === 101) {
    head.upgrade = fields.upgrade.toLowerCase();
    head.headers.push('upgrade', fields.upgrade);
  }
  return head;
}
