/**
 * Header list: `[name, value, name, value, …]`, names in lower case, values as latin1 strings without
 * surrounding white space, order and duplicates kept.
 */
export type Headers = string[];

/** How field names are written to HTTP/1 peers that care for upper case. */
export interface NameFormat {
  format(name: string): string;
  /** The reason phrase that was received is written, too. */
  readonly forwardReason: boolean;
}

/** First value of `name` (lower case), or undefined. */
export function getHeader(headers: Headers, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return headers[i + 1];
  return undefined;
}

/** All values of `name` joined by `,`, or undefined. */
export function getAllHeaders(headers: Headers, name: string): string | undefined {
  let all: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name) all = all === undefined ? headers[i + 1] : `${all},${headers[i + 1]}`;
  }
  return all;
}

export function hasHeader(headers: Headers, name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return true;
  return false;
}

/** Replaces the first `name`, removes its duplicates, or appends. */
export function setHeader(headers: Headers, name: string, value: string): void {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue;
    headers[i + 1] = value;
    removeHeaderFrom(headers, name, i + 2);
    return;
  }
  headers.push(name, value);
}

export function addHeader(headers: Headers, name: string, value: string): void {
  headers.push(name, value);
}

export function removeHeader(headers: Headers, name: string): void {
  removeHeaderFrom(headers, name, 0);
}

function removeHeaderFrom(headers: Headers, name: string, from: number): void {
  let to = from;
  for (let i = from; i < headers.length; i += 2) {
    if (headers[i] === name) continue;
    if (to !== i) {
      headers[to] = headers[i] ?? '';
      headers[to + 1] = headers[i + 1] ?? '';
    }
    to += 2;
  }
  headers.length = to;
}
