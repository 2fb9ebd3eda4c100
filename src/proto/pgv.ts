/**
 * Interprets the `(validate.rules)` that Envoy's protos carry (protoc-gen-validate). Rules are turned into
 * closures once per field; the text of a violation is the one that Envoy prints.
 *
 * Values come in their plain form (durations in milliseconds, 64-bit integers as numbers), enums as numbers.
 */
import { RE2JS } from 're2js';
import { goDuration, stringFormats, wellKnownPattern } from './pgv-formats.ts';
import type { Rules, RuleValue } from './pgv-rules.ts';

/** Returns what is wrong with a value, or undefined. */
export type Check = (value: unknown) => string | undefined;

/** The rules of one field, of the items of a list, or of the keys or values of a map. */
export interface CompiledRules {
  /** The message must be present. */
  readonly required: boolean;
  /** Rules inside the message are not enforced. */
  readonly skip: boolean;
  readonly check?: Check;
  readonly items?: CompiledRules;
  readonly keys?: CompiledRules;
  readonly values?: CompiledRules;
}

/** `definedNumbers`: the numbers of the field's enum, when it has one. */
export function compileRules(rules: Rules, definedNumbers: ReadonlySet<number>): CompiledRules {
  const message = asRules(rules.message);
  const type = Object.keys(rules).find((name) => name !== 'message');
  const own = type === undefined ? undefined : asRules(rules[type]);
  const base = {
    required: message?.required === true || own?.required === true,
    skip: message?.skip === true,
  };
  if (type === undefined || own === undefined) return base;
  const nested = (name: string) => {
    const inner = asRules(own[name]);
    return inner === undefined ? undefined : compileRules(inner, definedNumbers);
  };
  switch (type) {
    case 'repeated':
      return { ...base, check: all(own, isEmptyList, repeatedChecks(own)), items: nested('items') };
    case 'map':
      return {
        ...base,
        check: all(own, isEmptyMap, mapChecks(own)),
        keys: nested('keys'),
        values: nested('values'),
      };
    case 'string':
      return { ...base, check: all(own, (value) => value === '', stringChecks(own)) };
    case 'bytes':
      return { ...base, check: all(own, (value) => bytesOf(value).length === 0, bytesChecks(own)) };
    case 'enum':
      return { ...base, check: all(own, () => false, enumChecks(own, definedNumbers)) };
    case 'any':
      return { ...base, check: all(own, () => false, anyChecks(own)) };
    case 'bool':
      return { ...base, check: all(own, () => false, constCheck(own, String)) };
    case 'duration':
      return {
        ...base,
        check: all(own, () => false, numberChecks(own, goDuration)),
      };
    case 'timestamp':
      return { ...base, check: all(own, () => false, timestampChecks(own)) };
    default:
      return { ...base, check: all(own, (value) => value === 0, numberChecks(own, String)) };
  }
}

function all(
  rules: Rules,
  isEmpty: (value: unknown) => boolean,
  checks: readonly Check[],
): Check | undefined {
  if (checks.length === 0) return undefined;
  const ignoreEmpty = rules.ignore_empty === true;
  return (value) => {
    if (ignoreEmpty && isEmpty(value)) return undefined;
    for (const check of checks) {
      const wrong = check(value);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

function constCheck(rules: Rules, show: (value: never) => string): Check[] {
  const constant = rules.const;
  return constant === undefined
    ? []
    : [(value) => failUnless(value === constant, `value must equal ${show(constant as never)}`)];
}

function numberChecks(rules: Rules, show: (value: number) => string): Check[] {
  const { lt, lte, gt, gte } = rules as Readonly<Record<string, number | undefined>>;
  const checks = [...constCheck(rules, show), ...listChecks(rules, (value) => show(value as number))];
  const high = lt ?? lte;
  const low = gt ?? gte;
  const belowHigh = (value: number) => (lt !== undefined ? value < lt : lte === undefined || value <= lte);
  const aboveLow = (value: number) => (gt !== undefined ? value > gt : gte === undefined || value >= gte);
  const add = (holds: (value: number) => boolean, message: string) => {
    checks.push((value) => failUnless(holds(Number(value)), message));
  };
  if (high !== undefined && low !== undefined && high > low) {
    const range = `${gt !== undefined ? '(' : '['}${show(low)}, ${show(high)}${lt !== undefined ? ')' : ']'}`;
    add((value) => belowHigh(value) && aboveLow(value), `value must be inside range ${range}`);
  } else if (high !== undefined && low !== undefined) {
    // Bounds in reverse order exclude what lies between them.
    const range = `${lt !== undefined ? '[' : '('}${show(high)}, ${show(low)}${gt !== undefined ? ']' : ')'}`;
    add((value) => belowHigh(value) || aboveLow(value), `value must be outside range ${range}`);
  } else if (high !== undefined) {
    add(belowHigh, `value must be less than ${lt === undefined ? 'or equal to ' : ''}${show(high)}`);
  } else if (low !== undefined) {
    add(aboveLow, `value must be greater than ${gt === undefined ? 'or equal to ' : ''}${show(low)}`);
  }
  return checks;
}

function listChecks(rules: Rules, show: (value: RuleValue) => string): Check[] {
  const checks: Check[] = [];
  const allowed = asList(rules.in);
  const refused = asList(rules.not_in);
  const list = (values: readonly RuleValue[]) => `[${values.map(show).join(' ')}]`;
  if (allowed.length > 0) {
    checks.push((value) =>
      failUnless(
        allowed.some((one) => same(one, value)),
        `value must be in list ${list(allowed)}`,
      ),
    );
  }
  if (refused.length > 0) {
    checks.push((value) =>
      failUnless(!refused.some((one) => same(one, value)), `value must not be in list ${list(refused)}`),
    );
  }
  return checks;
}

function timestampChecks(rules: Rules): Check[] {
  const checks = numberChecks(rules, (ms) => new Date(ms).toISOString());
  const within = rules.within;
  const near = (value: number) => typeof within !== 'number' || Math.abs(value - Date.now()) <= within;
  if (rules.lt_now === true) {
    checks.push((value) =>
      failUnless(Number(value) < Date.now() && near(Number(value)), 'value must be less than now'),
    );
  } else if (rules.gt_now === true) {
    checks.push((value) =>
      failUnless(Number(value) > Date.now() && near(Number(value)), 'value must be greater than now'),
    );
  } else if (typeof within === 'number') {
    checks.push((value) =>
      failUnless(near(Number(value)), `value must be within ${goDuration(within)} of now`),
    );
  }
  return checks;
}

function enumChecks(rules: Rules, definedNumbers: ReadonlySet<number>): Check[] {
  const checks = [...constCheck(rules, String), ...listChecks(rules, String)];
  if (rules.defined_only === true) {
    checks.push((value) =>
      failUnless(definedNumbers.has(Number(value)), 'value must be one of the defined enum values'),
    );
  }
  return checks;
}

function anyChecks(rules: Rules): Check[] {
  const names = (name: string) =>
    asList(rules[name]).map((url) => String(url).slice(String(url).lastIndexOf('/') + 1));
  const typeOf = (value: unknown) => (value as { readonly type: string }).type;
  const checks: Check[] = [];
  const allowed = names('in');
  const refused = names('not_in');
  if (allowed.length > 0)
    checks.push((value) => failUnless(allowed.includes(typeOf(value)), 'type URL must be in list'));
  if (refused.length > 0) {
    checks.push((value) => failUnless(!refused.includes(typeOf(value)), 'type URL must not be in list'));
  }
  return checks;
}

function repeatedChecks(rules: Rules): Check[] {
  const checks = countChecks(rules, 'items', (value) => (value as readonly unknown[]).length);
  if (rules.unique === true) {
    checks.push((value) => {
      const items = (value as readonly unknown[]).map((item) =>
        item instanceof Uint8Array ? binary(item) : item,
      );
      return failUnless(new Set(items).size === items.length, 'repeated value must contain unique items');
    });
  }
  return checks;
}

function mapChecks(rules: Rules): Check[] {
  return countChecks(rules, 'pairs', (value) => Object.keys(value as object).length);
}

function countChecks(rules: Rules, unit: 'items' | 'pairs', count: (value: unknown) => number): Check[] {
  const least = rules[`min_${unit}`];
  const most = rules[`max_${unit}`];
  const name = `${unit.slice(0, -1)}(s)`;
  if (least !== undefined && least === most) {
    return [(value) => failUnless(count(value) === least, `value must contain exactly ${least} ${name}`)];
  }
  const checks: Check[] = [];
  if (typeof least === 'number') {
    checks.push((value) => failUnless(count(value) >= least, `value must contain at least ${least} ${name}`));
  }
  if (typeof most === 'number') {
    checks.push((value) =>
      failUnless(count(value) <= most, `value must contain no more than ${most} ${name}`),
    );
  }
  return checks;
}

function stringChecks(rules: Rules): Check[] {
  const quote = (value: unknown) => JSON.stringify(value);
  const checks: Check[] = [
    ...constCheck(rules, quote),
    ...listChecks(rules, String),
    ...lengthChecks(rules, ['len', 'min_len', 'max_len'], 'characters', (value) => [...String(value)].length),
    ...lengthChecks(rules, ['len_bytes', 'min_bytes', 'max_bytes'], 'bytes', (value) =>
      Buffer.byteLength(String(value)),
    ),
    ...partChecks(rules, (value) => String(value), quote),
  ];
  for (const [name, [article, holds]] of Object.entries(stringFormats)) {
    if (rules[name] === true)
      checks.push((value) => failUnless(holds(String(value)), `value must be ${article}`));
  }
  const known = wellKnownPattern(rules.well_known_regex, rules.strict !== false);
  if (known !== undefined) {
    checks.push((value) =>
      failUnless(known.test(String(value)), `value does not match regex pattern ${quote(known.source)}`),
    );
  }
  return checks;
}

function bytesChecks(rules: Rules): Check[] {
  const show = (value: unknown) => JSON.stringify(binary(value));
  const constant = rules.const;
  const checks: Check[] = [
    ...(constant === undefined
      ? []
      : [(value: unknown) => failUnless(same(constant, value), `value must equal ${show(constant)}`)]),
    ...listChecks(rules, show),
    ...lengthChecks(rules, ['len', 'min_len', 'max_len'], 'bytes', (value) => bytesOf(value).length),
    ...partChecks(rules, binary, show),
  ];
  const sizes: Readonly<Record<string, readonly [readonly number[], string]>> = {
    ip: [[4, 16], 'a valid IP address'],
    ipv4: [[4], 'a valid IPv4 address'],
    ipv6: [[16], 'a valid IPv6 address'],
  };
  for (const [name, [lengths, article]] of Object.entries(sizes)) {
    if (rules[name] === true) {
      checks.push((value) => failUnless(lengths.includes(bytesOf(value).length), `value must be ${article}`));
    }
  }
  return checks;
}

function lengthChecks(
  rules: Rules,
  names: readonly string[],
  unit: string,
  length: (value: unknown) => number,
): Check[] {
  const [exact, least, most] = names.map((name) => rules[name]);
  const checks: Check[] = [];
  if (typeof exact === 'number') {
    checks.push((value) => failUnless(length(value) === exact, `value length must be ${exact} ${unit}`));
  }
  if (least !== undefined && least === most) {
    checks.push((value) => failUnless(length(value) === least, `value length must be ${least} ${unit}`));
    return checks;
  }
  if (typeof least === 'number') {
    checks.push((value) =>
      failUnless(length(value) >= least, `value length must be at least ${least} ${unit}`),
    );
  }
  if (typeof most === 'number') {
    checks.push((value) => failUnless(length(value) <= most, `value length must be at most ${most} ${unit}`));
  }
  return checks;
}

/** prefix, suffix, contains, not_contains and pattern, over text or over bytes as Latin-1. */
function partChecks(
  rules: Rules,
  text: (value: unknown) => string,
  show: (value: unknown) => string,
): Check[] {
  const checks: Check[] = [];
  const add = (name: string, holds: (value: string, part: string) => boolean, verb: string) => {
    const part = rules[name];
    if (part === undefined) return;
    const wanted = text(part);
    checks.push((value) => failUnless(holds(text(value), wanted), `value ${verb} ${show(part)}`));
  };
  add('prefix', (value, part) => value.startsWith(part), 'does not have prefix');
  add('suffix', (value, part) => value.endsWith(part), 'does not have suffix');
  add('contains', (value, part) => value.includes(part), 'does not contain substring');
  add('not_contains', (value, part) => !value.includes(part), 'contains substring');
  const pattern = rules.pattern;
  if (typeof pattern === 'string') {
    const compiled = RE2JS.compile(pattern);
    const message = `value does not match regex pattern ${JSON.stringify(pattern)}`;
    checks.push((value) => failUnless(compiled.matcher(text(value)).find(), message));
  }
  return checks;
}

function failUnless(holds: boolean, message: string): string | undefined {
  return holds ? undefined : message;
}

function same(a: unknown, b: unknown): boolean {
  return a instanceof Uint8Array || b instanceof Uint8Array ? binary(a) === binary(b) : a === b;
}

function binary(value: unknown): string {
  return typeof value === 'string' ? value : Buffer.from(bytesOf(value)).toString('latin1');
}

function bytesOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isEmptyMap(value: unknown): boolean {
  return Object.keys(value as object).length === 0;
}

function asRules(value: RuleValue | undefined): Rules | undefined {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
    ? (value as Rules)
    : undefined;
}

function asList(value: RuleValue | undefined): readonly RuleValue[] {
  return Array.isArray(value) ? value : [];
}
