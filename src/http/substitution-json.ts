import { isUtf8 } from 'node:buffer';
import { ConfigError } from '../core/errors.ts';
import { toWire } from '../core/wire.ts';
import type { AccessLogInfo } from './access-log-info.ts';
import { type FormatOptions, type Formatter, parseFormat } from './substitution.ts';

/** Writes one JSON value; undefined: leave the property out. */
type JsonPart = (x: AccessLogInfo) => string | undefined;

/**
 * Compiles a `json_format`: the structure is kept, strings are formats. A string that is one operator alone keeps
 * the operator's type (numbers stay numbers, no value is null). Properties come out sorted by name, as Envoy
 * writes them.
 */
export function compileJsonFormat(config: object, path: string, options: FormatOptions = {}): Formatter {
  const part = compileValue(config, path, options.omitEmpty === true);
  return (x) => `${part(x) ?? '{}'}\n`;
}

function compileValue(value: unknown, path: string, omit: boolean): JsonPart {
  if (typeof value === 'string') return compileString(value, path, omit);
  if (value === null && omit) return () => undefined;
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
    const text = JSON.stringify(value);
    return () => text;
  }
  if (Array.isArray(value)) {
    const items = value.map((item, i) => compileValue(item, `${path}[${i}]`, omit));
    return (x) => {
      let out = '';
      for (let i = 0; i < items.length; i++) {
        const text = items[i]?.(x);
        if (text !== undefined) out += out === '' ? text : `,${text}`;
      }
      return `[${out}]`;
    };
  }
  if (typeof value === 'object') return compileObject(value, path, omit);
  throw ConfigError.at(path, `a ${typeof value} has no place in a JSON format`);
}

function compileObject(value: object, path: string, omit: boolean): JsonPart {
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const keys = entries.map(([key]) => `${quote(toWire(key))}:`);
  const parts = entries.map(([key, item]) => compileValue(item, `${path}.${key}`, omit));
  return (x) => {
    let out = '';
    for (let i = 0; i < parts.length; i++) {
      const text = parts[i]?.(x);
      if (text === undefined) continue;
      out += (out === '' ? '' : ',') + (keys[i] ?? '') + text;
    }
    return `{${out}}`;
  };
}

function compileString(source: string, path: string, omit: boolean): JsonPart {
  const { literals, operators } = parseFormat(source, path);
  const only = operators[0];
  if (only === undefined) {
    const text = quote(literals[0] ?? '');
    return () => text;
  }
  const missing = omit ? undefined : 'null';
  if (operators.length === 1 && literals[0] === '' && literals[1] === '') {
    const { number, text } = only;
    if (number !== undefined) {
      return (x) => {
        const n = number(x);
        return n === undefined ? missing : String(n);
      };
    }
    return (x) => {
      const value = text(x);
      return value === undefined ? missing : quote(value);
    };
  }
  const empty = omit ? '' : '-';
  const parts = literals.map(escapeText);
  return (x) => {
    let out = `"${parts[0] ?? ''}`;
    for (let i = 0; i < operators.length; i++) {
      out += escapeText(operators[i]?.text(x) ?? empty) + (parts[i + 1] ?? '');
    }
    return `${out}"`;
  };
}

const SPECIAL = /["\\\x00-\x1f\x80-\xff]/;
const UNSAFE = /["\\\x00-\x1f\x80-\xff]/g;
const NON_ASCII = /[\x80-\xff]/;

/** The inside of a JSON string. UTF-8 passes through; in a value that is none, every unsafe byte is escaped. */
function escapeText(text: string): string {
  if (!SPECIAL.test(text)) return text;
  if (!NON_ASCII.test(text) || isUtf8(Buffer.from(text, 'latin1'))) return JSON.stringify(text).slice(1, -1);
  return text.replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function quote(text: string): string {
  return `"${escapeText(text)}"`;
}
