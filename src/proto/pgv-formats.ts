import { isIP, isIPv4, isIPv6 } from 'node:net';

const hostname =
  /^(?=.{1,253}\.?$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?$/i;
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const uriCharacters = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;

/** Formats of string rules: what a value must be, and whether it is. */
export const stringFormats: Readonly<Record<string, readonly [string, (value: string) => boolean]>> = {
  email: ['a valid email address', isEmail],
  hostname: ['a valid hostname', (value) => hostname.test(value)],
  ip: ['a valid IP address', (value) => isIP(value) !== 0],
  ipv4: ['a valid IPv4 address', (value) => isIPv4(value)],
  ipv6: ['a valid IPv6 address', (value) => isIPv6(value)],
  uri: [
    'a valid absolute URI',
    (value) => /^[A-Za-z][A-Za-z0-9+.-]*:/.test(value) && uriCharacters.test(value),
  ],
  uri_ref: ['a valid URI', (value) => uriCharacters.test(value)],
  address: ['a valid hostname, or ip address', (value) => hostname.test(value) || isIP(value) !== 0],
  uuid: ['a valid UUID', (value) => uuid.test(value)],
};

function isEmail(value: string): boolean {
  const at = value.lastIndexOf('@');
  const local = value.slice(0, at);
  return (
    value.length <= 254 &&
    at > 0 &&
    local.length <= 64 &&
    !/[\s<>]/.test(local) &&
    hostname.test(value.slice(at + 1))
  );
}

/** `well_known_regex`. Numbers of validate.KnownRegex: 1 header name, 2 header value. */
export function wellKnownPattern(known: unknown, strict: boolean): RegExp | undefined {
  if (known !== 1 && known !== 2) return undefined;
  if (!strict) return /^[^\u0000\u000A\u000D]*$/;
  return known === 1 ? /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~\x60]+$/ : /^[^\u0000-\u0008\u000A-\u001F\u007F]*$/;
}

/** Milliseconds as Go prints durations, which is how Envoy prints them: `1ms`, `500ms`, `5m0s`. */
export function goDuration(ms: number): string {
  const sign = ms < 0 ? '-' : '';
  const abs = Math.abs(ms);
  if (abs === 0) return '0s';
  if (abs < 1e-3) return `${sign}${Math.round(abs * 1e6)}ns`;
  if (abs < 1) return `${sign}${tidy(abs * 1e3)}\u00b5s`;
  if (abs < 1000) return `${sign}${tidy(abs)}ms`;
  const minutes = Math.floor(abs / 60_000);
  const seconds = `${tidy((abs - minutes * 60_000) / 1000)}s`;
  if (minutes === 0) return sign + seconds;
  return minutes < 60
    ? `${sign}${minutes}m${seconds}`
    : `${sign}${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

function tidy(value: number): string {
  return String(Number(value.toFixed(9)));
}
