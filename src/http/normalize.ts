/** Path rules of an HTTP connection manager, Envoy's fields of the same names. */
export interface PathRules {
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep' | 'reject' | 'unescape-and-redirect' | 'unescape-and-forward';
}

export type NormalizedPath =
  | { readonly kind: 'ok'; readonly path: string }
  /** 400 with these details. */
  | { readonly kind: 'reject'; readonly details: string }
  /** 307 to `path`, with these details. */
  | { readonly kind: 'redirect'; readonly path: string; readonly details: string };

/** What `normalizePath` returns for a path that stays as it is, without its text: nothing was allocated. */
export const UNCHANGED: NormalizedPath = { kind: 'ok', path: '' };

const REJECT: NormalizedPath = { kind: 'reject', details: 'path_normalization_failed' };

/** What canonicalisation could change: 1 by itself, 2 `/` and 3 `.` behind a `/`; 4 is where the query begins. */
const CLASS = new Uint8Array(256);
for (let code = 0; code < 256; code++) {
  const c = String.fromCharCode(code);
  if (c === '/') CLASS[code] = 2;
  else if (c === '.') CLASS[code] = 3;
  else if (c === '?') CLASS[code] = 4;
  else if (/[%\\"<>^`{|}]|[^\x21-\x7e]/.test(c)) CLASS[code] = 1;
}

function isSuspect(path: string): boolean {
  let afterSlash = false;
  for (let i = 0; i < path.length; i++) {
    const kind = CLASS[path.charCodeAt(i)];
    if (kind === 0) afterSlash = false;
    else if (kind === 4) return false;
    else if (kind === 1 || afterSlash) return true;
    else afterSlash = kind === 2;
  }
  return false;
}

const ESCAPED_SLASH = /%2[fF]|%5[cC]/;

/**
 * Path normalisation as Envoy does it: escaped slashes first, then the canonical form of a URL (dot segments,
 * `\` to `/`, escapes of unreserved characters undone), then slashes merged; the query is left alone. Gives
 * UNCHANGED when the path stays as it is. Paths that do not begin with `/` (`*`, CONNECT) are not looked at:
 * the caller refuses them, as Envoy does with `absolute_path_rejected`.
 */
export function normalizePath(path: string, rules: PathRules): NormalizedPath {
  if (path.includes('#')) return REJECT;
  if (!isSuspect(path) || !path.startsWith('/')) return UNCHANGED;
  const query = path.indexOf('?');
  let result = query < 0 ? path : path.slice(0, query);
  let redirect = false;
  if (rules.escapedSlashes !== 'keep' && ESCAPED_SLASH.test(result)) {
    if (rules.escapedSlashes === 'reject') return REJECT;
    result = result.replace(/%2[fF]/g, '/').replace(/%5[cC]/g, '\\');
    redirect = rules.escapedSlashes === 'unescape-and-redirect';
  }
  if (rules.normalizePath) {
    const canonical = canonicalPath(result);
    if (canonical === undefined) return REJECT;
    result = canonical;
  }
  if (rules.mergeSlashes) result = mergeSlashes(result);
  if (query >= 0) result += path.slice(query);
  if (redirect) return { kind: 'redirect', path: result, details: 'path_normalization_failed' };
  return result === path ? UNCHANGED : { kind: 'ok', path: result };
}

/** Envoy keeps two slashes of a path that is slashes alone. */
function mergeSlashes(path: string): string {
  if (!path.includes('//')) return path;
  return path.replace(/\/{2,}/g, (run) => (run.length === path.length ? '//' : '/'));
}

/** Undefined when there is an escaped NUL in the path. */
function canonicalPath(path: string): string | undefined {
  const segments = (path.includes(';') ? path.replace(DOT_PARAMETERS, '/$1') : path).split(/[/\\]/);
  const kept: string[] = [];
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] ?? '';
    const dots = DOT_SEGMENT.exec(segment);
    if (dots === null) {
      const canonical = CLEAN.test(segment) ? segment : canonicalSegment(segment);
      if (canonical === undefined) return undefined;
      kept.push(canonical);
      continue;
    }
    if (dots[1] !== undefined) kept.pop();
    if (i === segments.length - 1) kept.push('');
  }
  return `/${kept.join('/')}`;
}

/** `.` and `..`, escaped or not. */
const DOT_SEGMENT = /^(?:\.|%2[eE])(\.|%2[eE])?$/;
/** Parameters of a dot segment, which vanish with it so that `/..;x/` climbs too; `\` does not end them. */
const DOT_PARAMETERS = /\/(\.\.?);[^/]*/g;
const CLEAN = /^[!$&'()*+,\-.0-9:;=?@A-Z[\]_a-z~]*$/;

/** Undoes escapes of unreserved characters and escapes what has no place in a path. */
function canonicalSegment(segment: string): string | undefined {
  let text = '';
  let stray = -4;
  for (let i = 0; i < segment.length; i++) {
    const c = segment.charAt(i);
    if (c !== '%') {
      text += MUST_ESCAPE.test(c) ? escapeByte(c) : c;
      continue;
    }
    const code = hexByte(segment, i + 1);
    if (code === 0) return undefined;
    const plain = code < 0 ? '' : String.fromCharCode(code);
    if (UNRESERVED.test(plain)) {
      i += 2;
      text += plain;
      if (stray >= text.length - 3) text = escapeStray(text, stray, segment.charAt(i + 1));
    } else {
      if (code < 0) stray = text.length;
      text += c;
    }
  }
  return text;
}

/**
 * A `%` that began no escape must not become one because what follows was unescaped (`%0%41` would turn into
 * `%0A`): then it is escaped itself.
 */
function escapeStray(text: string, stray: number, next: string): string {
  const after = text.slice(stray + 1);
  const isEscape = hexByte(after.length < 2 ? after + next : after, 0) >= 0;
  return isEscape ? `${text.slice(0, stray)}%25${after}` : text;
}

const UNRESERVED = /[A-Za-z0-9._~-]/;
const MUST_ESCAPE = /["<>^`{|}]|[^\x21-\x7e]/;

function escapeByte(c: string): string {
  return `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

function hexByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at));
  const low = hexDigit(text.charCodeAt(at + 1));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Host rules of an HTTP connection manager. */
export interface HostRules {
  /** Any port, only the listener's own, or none. */
  readonly stripPort: 'any' | 'matching' | 'none';
  readonly stripTrailingDot: boolean;
}

/** The authority after `strip_any_host_port`, `strip_matching_host_port` and `strip_trailing_host_dot`. */
export function normalizeHost(host: string, rules: HostRules, listenerPort: number): string {
  let result = host;
  if (rules.stripTrailingDot) result = stripTrailingDot(result);
  if (rules.stripPort === 'none') return result;
  const start = portStart(result);
  if (start < 0) return result;
  const port = result.slice(start + 1);
  if (!/^\d{1,10}$/.test(port)) return result;
  if (rules.stripPort === 'matching' && Number(port) !== listenerPort) return result;
  return result.slice(0, start);
}

/** Host and port as both HTTP versions take them; '' passes. */
export const AUTHORITY =
  /^(?:\[[0-9a-fA-F:.]+(?:%25[0-9A-Za-z\-._~%]+)?\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?$/;

/** Index of the colon before a port, −1 without one; colons inside the brackets of an IPv6 address are none. */
export function portStart(host: string): number {
  const colon = host.lastIndexOf(':');
  return colon > host.lastIndexOf(']') ? colon : -1;
}

function stripTrailingDot(host: string): string {
  const dot = host.lastIndexOf('.');
  if (dot < 0) return host;
  if (dot === host.length - 1) return host.slice(0, dot);
  return portStart(host) === dot + 1 ? host.slice(0, dot) + host.slice(dot + 1) : host;
}
