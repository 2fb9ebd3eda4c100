import type { StringMatcher as StringMatcherConfig } from '#plain/envoy.type.matcher.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { compileRegex } from '../core/regex.ts';
import { asciiLower, toWire } from '../core/wire.ts';

/** Takes a wire (latin1) string. */
export type StringPredicate = (text: string) => boolean;

/** `envoy.type.matcher.v3.StringMatcher`; `ignore_case` folds ASCII letters and never touches `safe_regex`. */
export function compileStringMatcher(config: StringMatcherConfig, path: string): StringPredicate {
  const fold = config.ignoreCase === true;
  const { exact, prefix, suffix, contains, safeRegex } = config;
  if (exact !== undefined) return compileExact(exact, fold);
  if (prefix !== undefined) return compilePrefix(prefix, fold);
  if (suffix !== undefined) return compileSuffix(suffix, fold);
  if (contains !== undefined) {
    const wanted = fold ? asciiLower(toWire(contains)) : toWire(contains);
    return fold ? (text) => asciiLower(text).includes(wanted) : (text) => text.includes(wanted);
  }
  if (safeRegex !== undefined) {
    if (fold) throw ConfigError.at(`${path}.ignore_case`, 'ignore_case has no effect for safe_regex');
    return compileRegex(safeRegex.regex ?? '', `${path}.safe_regex`).matches;
  }
  throw ConfigError.at(path, 'one of exact, prefix, suffix, contains, safe_regex is required');
}

export function compileExact(value: string, fold: boolean): StringPredicate {
  const wanted = fold ? asciiLower(toWire(value)) : toWire(value);
  if (!fold) return (text) => text === wanted;
  return (text) => text.length === wanted.length && asciiLower(text) === wanted;
}

export function compilePrefix(value: string, fold: boolean): StringPredicate {
  const wanted = fold ? asciiLower(toWire(value)) : toWire(value);
  if (!fold) return (text) => text.startsWith(wanted);
  return (text) => asciiLower(text.slice(0, wanted.length)) === wanted;
}

export function compileSuffix(value: string, fold: boolean): StringPredicate {
  const wanted = fold ? asciiLower(toWire(value)) : toWire(value);
  if (!fold) return (text) => text.endsWith(wanted);
  return (text) => text.length >= wanted.length && asciiLower(text.slice(-wanted.length)) === wanted;
}
