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
