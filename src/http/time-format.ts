/** Formats wall-clock milliseconds since the epoch, in UTC. */
export type TimeFormatter = (wallMs: number) => string;

/** Envoy's default for START_TIME. */
export const DEFAULT_TIME_FORMAT = '%Y-%m-%dT%H:%M:%S.%3fZ';

const MILLIS: readonly string[] = Array.from({ length: 1000 }, (_, ms) => String(ms).padStart(3, '0'));
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const p2 = (n: number): string => String(n).padStart(2, '0');
const sp2 = (n: number): string => String(n).padStart(2, ' ');
const hour12 = (d: Date): number => ((d.getUTCHours() + 11) % 12) + 1;
const dayOfYear = (d: Date): number =>
  Math.floor(
    (Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()) - Date.UTC(d.getUTCFullYear(), 0)) /
      86_400_000,
  );
const name = (names: readonly string[], i: number): string => names[i] ?? '';

const SPECIFIERS: Readonly<Record<string, (d: Date) => string>> = {
  Y: (d) => String(d.getUTCFullYear()),
  C: (d) => p2(Math.floor(d.getUTCFullYear() / 100)),
  y: (d) => p2(d.getUTCFullYear() % 100),
  m: (d) => p2(d.getUTCMonth() + 1),
  d: (d) => p2(d.getUTCDate()),
  e: (d) => sp2(d.getUTCDate()),
  j: (d) => String(dayOfYear(d) + 1).padStart(3, '0'),
  H: (d) => p2(d.getUTCHours()),
  k: (d) => sp2(d.getUTCHours()),
  I: (d) => p2(hour12(d)),
  l: (d) => sp2(hour12(d)),
  M: (d) => p2(d.getUTCMinutes()),
  S: (d) => p2(d.getUTCSeconds()),
  s: (d) => String(Math.floor(d.getTime() / 1000)),
  p: (d) => (d.getUTCHours() < 12 ? 'AM' : 'PM'),
  A: (d) => name(DAYS, d.getUTCDay()),
  a: (d) => name(DAYS, d.getUTCDay()).slice(0, 3),
  B: (d) => name(MONTHS, d.getUTCMonth()),
  b: (d) => name(MONTHS, d.getUTCMonth()).slice(0, 3),
  h: (d) => name(MONTHS, d.getUTCMonth()).slice(0, 3),
  u: (d) => String(d.getUTCDay() === 0 ? 7 : d.getUTCDay()),
  w: (d) => String(d.getUTCDay()),
  U: (d) => p2(Math.floor((dayOfYear(d) + 7 - d.getUTCDay()) / 7)),
  W: (d) => p2(Math.floor((dayOfYear(d) + 7 - ((d.getUTCDay() + 6) % 7)) / 7)),
  z: () => '+0000',
  Z: () => 'UTC',
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
};

/** Specifiers that stand for several others. */
const SHORTHANDS: Readonly<Record<string, string>> = {
  T: '%H:%M:%S',
  R: '%H:%M',
  F: '%Y-%m-%d',
  D: '%m/%d/%y',
  r: '%I:%M:%S %p',
  c: '%a %b %e %H:%M:%S %Y',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
};

/**
 * strftime with Envoy's additions: `%f` and `%1f` … `%9f` are digits of the fraction of a second, the width of a
 * `%3s` is ignored. Everything but the fraction is kept for as long as the
 * second lasts, so that a line costs no Date.
 */
export function compileTimeFormat(spec: string): TimeFormatter {
  const source = expand(spec);
  const seconds: ((d: Date) => string)[][] = [[]];
  const digits: number[] = [];
  let last = seconds[0] ?? [];
  for (let i = 0; i < source.length; i++) {
    const c = source.charAt(i);
    if (c !== '%') {
      last.push(() => c);
      continue;
    }
    const fraction = /^(?:E?([1-9])([fsS])|f)/.exec(source.slice(i + 1, i + 4));
    if (fraction?.[2] === 's') {
      last.push((d) => SPECIFIERS.s?.(d) ?? '');
      i += fraction[0].length;
      continue;
    }
    if (fraction !== null) {
      if (fraction[2] === 'S') last.push((d) => `${p2(d.getUTCSeconds())}.`);
      digits.push(fraction[1] === undefined ? 9 : Number(fraction[1]));
      last = [];
      seconds.push(last);
      i += fraction[0].length;
      continue;
    }
    const format = SPECIFIERS[source.charAt(++i)];
    // Envoy prints what it does not know.
    const unknown = source.slice(i - 1, i + 1);
    last.push(format ?? (() => unknown));
  }
  return cacheSecond(seconds, digits);
}

function expand(spec: string): string {
  return spec.replace(/%([a-zA-Z%])/g, (whole, letter: string) => SHORTHANDS[letter] ?? whole);
}

function cacheSecond(
  seconds: readonly (readonly ((d: Date) => string)[])[],
  digits: readonly number[],
): TimeFormatter {
  let cached = Number.NaN;
  let texts: string[] = [];
  return (wallMs) => {
    const second = Math.floor(wallMs / 1000);
    if (second !== cached) {
      const date = new Date(second * 1000);
      texts = seconds.map((formats) => formats.map((f) => f(date)).join(''));
      cached = second;
    }
    let out = texts[0] ?? '';
    for (let i = 0; i < digits.length; i++) {
      out += fractionOf(wallMs - second * 1000, digits[i] ?? 3) + (texts[i + 1] ?? '');
    }
    return out;
  };
}

function fractionOf(ms: number, digits: number): string {
  const whole = MILLIS[Math.floor(ms)] ?? '000';
  if (digits === 3) return whole;
  if (digits < 3) return whole.slice(0, digits);
  const nanos = String(Math.floor((ms % 1) * 1e6)).padStart(6, '0');
  return whole + nanos.slice(0, digits - 3);
}
