/**
 * Configuration strings are Unicode, bytes on the wire are latin1 strings (one character per byte). These
 * convert between the two; ASCII, the usual case, is returned as it is.
 */
const NON_ASCII = /[^\x00-\x7f]/;

/** UTF-8 bytes of `text` as a latin1 string. */
export function toWire(text: string): string {
  return NON_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** Reads the bytes of a latin1 string as UTF-8; bytes that are none become U+FFFD. */
export function fromWire(bytes: string): string {
  return NON_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes;
}

/** Lower case of A-Z alone: other bytes belong to multi-byte characters. */
export function asciiLower(text: string): string {
  return NON_ASCII.test(text) ? text.replace(/[A-Z]+/g, (s) => s.toLowerCase()) : text.toLowerCase();
}
