import type { HeaderMatcher as HeaderMatcherConfig } from '#plain/envoy.config.route.v3.ts';
import { compileRegex } from '../core/regex.ts';
import type { Headers } from '../http/headers.ts';
import { getAllHeaders } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import {
  compileExact,
  compilePrefix,
  compileStringMatcher,
  compileSuffix,
  type StringPredicate,
} from './string-matcher.ts';

export type HeaderGetter = (request: RequestHead) => string | undefined;
export type RequestPredicate = (request: RequestHead) => boolean;

/** Reads a header or pseudo header; duplicates come joined by `,`. `host` is `:authority`, as in Envoy's header map. */
export function requestHeaderGetter(name: string): HeaderGetter {
  const lower = name.toLowerCase();
  switch (lower) {
    case ':path':
      return (r) => (r.path === '' ? undefined : r.path);
    case ':method':
      return (r) => r.method;
    case ':scheme':
      return (r) => r.scheme;
    case ':authority':
    case 'host':
      return (r) => r.authority;
    case 'upgrade':
      return (r) => (r.upgrade === '' ? getAllHeaders(r.headers, 'upgrade') : r.upgrade);
    default:
      return (r) => getAllHeaders(r.headers, lower);
  }
}

/** `envoy.config.route.v3.HeaderMatcher` over a request head. */
export function compileHeaderMatcher(config: HeaderMatcherConfig, path: string): RequestPredicate {
  const get = requestHeaderGetter(config.name ?? '');
  const test = compileHeaderValue(config, path);
  return (request) => test(get(request));
}

/** The same over a bare header list (responses, trailers). */
export function compileHeaderListMatcher(
  config: HeaderMatcherConfig,
  path: string,
): (headers: Headers) => boolean {
  const name = (config.name ?? '').toLowerCase();
  const test = compileHeaderValue(config, path);
  return (headers) => test(getAllHeaders(headers, name));
}

/**
 * Every kind but presence fails on an absent header, inverted or not, unless it is to be taken as empty
 * (Envoy: HeaderUtility::HeaderData).
 */
function compileHeaderValue(
  config: HeaderMatcherConfig,
  path: string,
): (value: string | undefined) => boolean {
  const invert = config.invertMatch === true;
  const missingAsEmpty = config.treatMissingHeaderAsEmpty === true;
  const test = compileValueTest(config, path);
  if (test === undefined) {
    const wanted = (config.presentMatch ?? true) !== invert;
    return (value) => (value !== undefined || missingAsEmpty) === wanted;
  }
  return (value) => {
    if (value === undefined) return missingAsEmpty && test('') !== invert;
    return test(value) !== invert;
  };
}

/** Undefined for a presence match, which is also what a matcher without a specifier is. */
function compileValueTest(config: HeaderMatcherConfig, path: string): StringPredicate | undefined {
  if (config.stringMatch !== undefined) {
    return compileStringMatcher(config.stringMatch, `${path}.string_match`);
  }
  if (config.exactMatch !== undefined) return compileExact(config.exactMatch, false);
  if (config.prefixMatch !== undefined) return compilePrefix(config.prefixMatch, false);
  if (config.suffixMatch !== undefined) return compileSuffix(config.suffixMatch, false);
  if (config.containsMatch !== undefined) {
    return compileStringMatcher({ contains: config.containsMatch }, path);
  }
  if (config.safeRegexMatch !== undefined) {
    return compileRegex(config.safeRegexMatch.regex ?? '', `${path}.safe_regex_match`).matches;
  }
  if (config.rangeMatch !== undefined) {
    const start = config.rangeMatch.start ?? 0;
    const end = config.rangeMatch.end ?? 0;
    return (text) => inRange(text, start, end);
  }
  return undefined;
}

/** absl::SimpleAtoi accepts a sign and surrounding white space, nothing else; the range is half open. */
function inRange(text: string, start: number, end: number): boolean {
  if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) return false;
  const n = Number(text);
  return n >= start && n < end;
}
