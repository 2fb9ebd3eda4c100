import { RE2JS } from 're2js';
import { ConfigError } from './errors.ts';
import { toWire } from './wire.ts';

/**
 * An RE2 expression over wire (latin1) strings; linear in the length of the input. As in Envoy, `.` is one byte:
 * it compiles its expressions as Latin-1.
 */
export interface Regex {
  readonly source: string;
  readonly groups: number;
  /** Literal text that every match of `matches` begins with, '' when nothing is known. */
  readonly prefix: string;
  /** The whole of `text` matches, as Envoy's `safe_regex` wants it. */
  matches(text: string): boolean;
  /** Replaces every match as RE2's GlobalReplace does. */
  replace(text: string, substitution: Substitution): string;
}

/** A rewrite such as `/a/\1`: literal, group, literal, group, …, literal. */
export interface Substitution {
  readonly literals: readonly string[];
  readonly groups: readonly number[];
}

/** Results remembered per expression; paths of a mesh repeat, and a look-up costs a tenth of a match. */
const CACHE_ENTRIES = 256;
const CACHE_KEY_LENGTH = 512;

export function compileRegex(source: string, path: string): Regex {
  let re: RE2JS;
  try {
    re = RE2JS.compile(toWire(source));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path, message: `invalid RE2 expression: ${message}` }], { cause });
  }
  const literal = literalPrefix(toWire(source));
  const prefix = literal.text;
  const cache = new Map<string, boolean>();

  const matches = (text: string): boolean => {
    if (literal.whole) return text === prefix;
    if (!text.startsWith(prefix)) return false;
    const known = cache.get(text);
    if (known !== undefined) return known;
    const found = re.testExact(text);
    if (text.length <= CACHE_KEY_LENGTH) {
      if (cache.size >= CACHE_ENTRIES) cache.clear();
      cache.set(text, found);
    }
    return found;
  };
  const replace = (text: string, substitution: Substitution): string => globalReplace(re, text, substitution);
  return { source, groups: re.groupCount(), prefix, matches, replace };
}

/** Parses `\0` … `\9` and `\\`; anything else after a backslash is an error, as in RE2::CheckRewriteString. */
export function compileSubstitution(text: string, regex: Regex, path: string): Substitution {
  const source = toWire(text);
  const literals: string[] = [];
  const groups: number[] = [];
  let literal = '';
  for (let i = 0; i < source.length; i++) {
    const c = source.charAt(i);
    if (c !== '\\') {
      literal += c;
      continue;
    }
    const next = source.charAt(++i);
    if (next === '\\') {
      literal += next;
    } else if (next >= '0' && next <= '9') {
      if (Number(next) > regex.groups) {
        throw ConfigError.at(path, `\\${next} is used but the pattern has ${regex.groups} groups`);
      }
      literals.push(literal);
      groups.push(Number(next));
      literal = '';
    } else {
      throw ConfigError.at(path, `a backslash must be followed by a digit or a backslash`);
    }
  }
  literals.push(literal);
  return { literals, groups };
}

function globalReplace(re: RE2JS, text: string, substitution: Substitution): string {
  const matcher = re.matcher(text);
  let out = '';
  let at = 0;
  let lastEnd = -1;
  while (at <= text.length && matcher.find(at)) {
    const start = matcher.start();
    const end = matcher.end();
    out += text.slice(at, start);
    if (start === end && start === lastEnd) {
      // RE2 takes no empty match right behind a match: one character is copied and the search goes on.
      out += text.charAt(start);
      at = start + 1;
      continue;
    }
    out += substitution.literals[0] ?? '';
    for (let i = 0; i < substitution.groups.length; i++) {
      out += matcher.group(substitution.groups[i] ?? 0) ?? '';
      out += substitution.literals[i + 1] ?? '';
    }
    at = end;
    lastEnd = end;
  }
  return at < text.length ? out + text.slice(at) : out;
}

const META = new Set('\\^$.|?*+()[]{}');

/** The literal text that every match must begin with; `whole` when there is nothing else. */
function literalPrefix(source: string): { text: string; whole: boolean } {
  // An alternation can make the first branch optional; `(?` may set flags: neither is worth more analysis.
  if (source.includes('|') || source.includes('(?')) return { text: '', whole: false };
  let i = source.startsWith('^') ? 1 : 0;
  let text = '';
  for (; i < source.length; i++) {
    const c = source.charAt(i);
    if (c === '\\' && META.has(source.charAt(i + 1))) {
      text += source.charAt(++i);
    } else if (c === '\\' && '/-_~&=:;,!@#%"\''.includes(source.charAt(i + 1)) && i + 1 < source.length) {
      text += source.charAt(++i);
    } else if (META.has(c)) {
      break;
    } else {
      text += c;
    }
  }
  const next = source.charAt(i);
  const whole = i >= source.length || (next === '$' && i === source.length - 1);
  // `ab?`, `ab*` and `ab{0,1}` do not need their `b`.
  if ('?*{'.includes(next) && next !== '') text = text.slice(0, -1);
  return { text, whole };
}
