import type { HeaderMatcher as HeaderMatcherConfig } from '#plain/envoy.config.route.v3.ts';
import { compileRegex } from '../core/regex.ts';
import type { Headers } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import {
  compileExact,
  compilePrefix,
  compileStringMatcher,
  compileSuffix,
  type StringPredicate,
} from './string-matcher.ts';

export type RequestPredicate = (request: RequestHead) => boolean;

/** `envoy.config.route.v3.HeaderMatcher` over a request head. `host` is `:authority`, as in Envoy's header map. */
export function compileHeaderMatcher(config: HeaderMatcherConfig, path: string): RequestPredicate {
  const name = (config.name ?? '').toLowerCase();
  const rule = compileRule(config, path);
  switch (name) {
    case ':path':
      return (r) => matchOne(rule, r.path === '' ? undefined : r.path);
    case ':method':
      return (r) => matchOne(rule, r.method);
    case ':scheme':
      return (r) => matchOne(rule, r.scheme);
    case ':authority':
    case 'host':
      return (r) => matchOne(rule, r.authority);
    case 'upgrade':
      return (r) => (r.upgrade === '' ? matchList(rule, r.headers, name) : matchOne(rule, r.upgrade));
    default:
      return (r) => matchList(rule, r.headers, name);
  }
}

interface HeaderRule {
  /** Undefined: presence alone is asked for. */
  readonly test: StringPredicate | undefined;
  /** Wanted outcome of the test, or of presence. */
  readonly wanted: boolean;
  readonly missingAsEmpty: boolean;
}

function compileRule(config: HeaderMatcherConfig, path: string): HeaderRule {
  const invert = config.invertMatch === true;
  const test = compileValueTest(config, path);
  const wanted = test === undefined ? (config.presentMatch ?? true) !== invert : !invert;
  return { test, wanted, missingAsEmpty: config.treatMissingHeaderAsEmpty === true };
}

function matchOne(rule: HeaderRule, value: string | undefined): boolean {
  if (value === undefined) return matchMissing(rule);
  return rule.test === undefined ? rule.wanted : rule.test(value) === rule.wanted;
}

/** Duplicates are looked at one by one and any of them will do, as Envoy 1.40 does; inverted: none may. */
function matchList(rule: HeaderRule, headers: Headers, name: string): boolean {
  let present = false;
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue;
    if (rule.test === undefined) return rule.wanted;
    if (rule.test(headers[i + 1] ?? '')) return rule.wanted;
    present = true;
  }
  return present ? !rule.wanted : matchMissing(rule);
}

/** Every kind but presence fails on an absent header, inverted or not, unless it is to be taken as empty. */
function matchMissing(rule: HeaderRule): boolean {
  if (rule.test === undefined) return rule.missingAsEmpty === rule.wanted;
  return rule.missingAsEmpty && rule.test('') === rule.wanted;
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
