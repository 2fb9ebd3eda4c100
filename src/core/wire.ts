/**
 * Configuration strings are Unicode, bytes on the wire are latin1 strings (one character per byte). ASCII,
 * the usual case, is both.
 */
const NON_ASCII = /[^\x00-\x7f]/;

/** UTF-8 bytes of `text` as a latin1 string. */
export function toWire(text: string): string {
  return NON_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** Lower case of A-Z alone: other bytes belong to multi-byte characters. */
export function asciiLower(text: string): string {
  return NON_ASCII.test(text) ? text.replace(/[A-Z]+/g, (s) => s.toLowerCase()) : text.toLowerCase();
}

/** Without line breaks and other controls, which would begin another header or log line: `_` in their place. */
export function printable(text: string): string {
  return CONTROLS.test(text) ? text.replace(/[\0-\x08\x0a-\x1f\x7f]/g, '_') : text;
}

const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;

/** A server name as its client said it; one that is no name of a host is marked, as in Envoy. */
export function hostName(text: string): string {
  return NO_HOST.test(text) ? `invalid:${text.replace(/[^A-Za-z0-9.-]/g, '_')}` : text;
}

const NO_HOST = /[^A-Za-z0-9.-]/;
