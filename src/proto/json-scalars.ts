import { type DescEnum, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import { didYouMean } from '../core/suggest.ts';
import type { SourceNode } from './source.ts';

/** Called with what is wrong; the reader then returns undefined. */
export type Complain = (message: string) => undefined;

interface IntegerRange {
  readonly name: string;
  readonly lowest: bigint;
  readonly highest: bigint;
}

const int32: IntegerRange = { name: 'a 32-bit integer', lowest: -(2n ** 31n), highest: 2n ** 31n - 1n };
const uint32: IntegerRange = { name: 'an unsigned 32-bit integer', lowest: 0n, highest: 2n ** 32n - 1n };
const int64: IntegerRange = { name: 'a 64-bit integer', lowest: -(2n ** 63n), highest: 2n ** 63n - 1n };
const uint64: IntegerRange = { name: 'an unsigned 64-bit integer', lowest: 0n, highest: 2n ** 64n - 1n };

const integers: ReadonlyMap<ScalarType, IntegerRange> = new Map([
  [ScalarType.INT32, int32],
  [ScalarType.SINT32, int32],
  [ScalarType.SFIXED32, int32],
  [ScalarType.UINT32, uint32],
  [ScalarType.FIXED32, uint32],
  [ScalarType.INT64, int64],
  [ScalarType.SINT64, int64],
  [ScalarType.SFIXED64, int64],
  [ScalarType.UINT64, uint64],
  [ScalarType.FIXED64, uint64],
]);

const maxFloat = 3.4028234663852886e38;
const maxDurationSeconds = 315_576_000_000;

/** Reads a scalar as canonical proto JSON has it. */
export function readScalar(type: ScalarType, node: SourceNode, complain: Complain): JsonValue | undefined {
  switch (type) {
    case ScalarType.BOOL:
      return readBool(node, complain);
    case ScalarType.STRING:
      return readString(node, complain);
    case ScalarType.BYTES:
      return readBytes(node, complain);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return readFloat(type === ScalarType.FLOAT ? maxFloat : Number.MAX_VALUE, node, complain);
    default:
      return readInteger(type, node, complain);
  }
}

/** Names in any case; numbers pass as protobuf allows them, known or not. */
export function readEnum(type: DescEnum, node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind === 'number' && Number.isSafeInteger(Number(node.value))) return Number(node.value);
  if (node.kind === 'string' && /^\d{1,9}$/.test(node.value)) return Number(node.value);
  if (node.kind !== 'string') return complain(`expected one of ${enumNames(type)}, found ${describe(node)}`);
  const names = type.values.map((value) => value.name);
  // Envoy's reader does not mind the case.
  const upper = node.value.toUpperCase();
  const exact = names.includes(node.value) ? node.value : names.find((name) => name.toUpperCase() === upper);
  if (exact !== undefined) return exact;
  const hint = didYouMean(node.value, names);
  return complain(`"${node.value}" is none of ${enumNames(type)}${hint}`);
}

/** Seconds with an `s`, up to nine digits after the point. */
export function readDuration(node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind !== 'string') {
    const hint = node.kind === 'number' ? `, did you mean "${node.value}s"?` : '';
    return complain(`expected a duration such as "0.25s", found ${describe(node)}${hint}`);
  }
  const text = node.value;
  if (/^-?\d+(\.\d{1,9})?s$/.test(text)) {
    const inRange = Math.abs(Number(text.slice(0, -1))) <= maxDurationSeconds;
    return inRange ? text : complain(`"${text}" is longer than a duration may be`);
  }
  return complain(`"${text}" is not a duration such as "0.25s"${durationHint(text)}`);
}

/** The text of a duration that is given in parts, or undefined when they do not make one. */
export function durationText(seconds: number, nanos: number): string | undefined {
  if (Math.abs(seconds) > maxDurationSeconds || Math.abs(nanos) > 999_999_999 || seconds * nanos < 0)
    return undefined;
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}.${String(Math.abs(nanos)).padStart(9, '0')}s`;
}

/** RFC 3339 in UTC or with an offset, years 1 to 9999. */
export function readTimestamp(node: SourceNode, complain: Complain): JsonValue | undefined {
  const pattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;
  if (node.kind === 'string' && pattern.test(node.value) && !Number.isNaN(Date.parse(node.value)))
    return node.value;
  return complain(`expected a time such as "2026-01-31T12:00:00Z", found ${describe(node)}`);
}

/** The value as plain JSON, for Struct and Value. */
export function toJson(node: SourceNode): JsonValue {
  switch (node.kind) {
    case 'null':
      return null;
    case 'number':
      return Number(node.value);
    case 'boolean':
    case 'string':
      return node.value;
    case 'list':
      return node.items.map(toJson);
    case 'map':
      return Object.fromEntries(node.entries.map(({ key, value }) => [key, toJson(value)]));
  }
}

/** What stands there, for messages. */
export function describe(node: SourceNode): string {
  switch (node.kind) {
    case 'null':
      return 'nothing';
    case 'list':
      return 'a list';
    case 'map':
      return 'an object';
    case 'string':
      return node.value.length > 60 ? 'text' : JSON.stringify(node.value);
    default:
      return String(node.value);
  }
}

function readBool(node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind === 'boolean') return node.value;
  // Envoy's YAML reader takes these spellings of YAML 1.1, unless they are quoted.
  if (node.kind === 'string' && node.plain) {
    if (/^(y|yes|on)$/i.test(node.value)) return true;
    if (/^(n|no|off)$/i.test(node.value)) return false;
  }
  return complain(`expected true or false, found ${describe(node)}`);
}

function readString(node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind === 'string') {
    return node.value.isWellFormed() ? node.value : complain('text holds half of a surrogate pair');
  }
  const quote = node.kind === 'number' || node.kind === 'boolean' ? '; put it in quotes' : '';
  return complain(`expected text, found ${describe(node)}${quote}`);
}

function readBytes(node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind === 'string' && /^[A-Za-z0-9+/_-]*={0,2}$/.test(node.value)) {
    const standard = node.value.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
    if (standard.length % 4 !== 1) return standard.padEnd(Math.ceil(standard.length / 4) * 4, '=');
  }
  return complain(`expected bytes in base64, found ${describe(node)}`);
}

function readFloat(limit: number, node: SourceNode, complain: Complain): JsonValue | undefined {
  if (node.kind === 'string' && /^(NaN|-?Infinity)$/.test(node.value)) return node.value;
  const value = numberOf(node);
  if (value === undefined) return complain(`expected a number, found ${describe(node)}`);
  // YAML's .inf and .nan arrive as numbers, which JSON cannot write.
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) <= limit ? value : complain(`${value} does not fit into the field`);
}

function readInteger(type: ScalarType, node: SourceNode, complain: Complain): JsonValue | undefined {
  const { name, lowest, highest } = integers.get(type) ?? int64;
  const value = integerOf(node);
  if (value === undefined) return complain(`expected ${name}, found ${describe(node)}`);
  if (value < lowest || value > highest) return complain(`${value} is out of range for ${name}`);
  return highest > uint32.highest ? value.toString() : Number(value);
}

function integerOf(node: SourceNode): bigint | undefined {
  if (node.kind === 'number' && typeof node.value === 'bigint') return node.value;
  if (node.kind === 'string' && /^-?\d{1,30}$/.test(node.value)) return BigInt(node.value);
  const value = numberOf(node);
  return value !== undefined && Number.isInteger(value) ? BigInt(value) : undefined;
}

function numberOf(node: SourceNode): number | undefined {
  if (node.kind === 'number') return Number(node.value);
  if (node.kind === 'string' && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(node.value)) return Number(node.value);
  return undefined;
}

function enumNames(type: DescEnum): string {
  const names = type.values.map((value) => value.name);
  return names.length <= 12 ? names.join(', ') : `the values of ${type.name}`;
}

const unitSeconds: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  ms: 1e-3,
  m: 60,
  h: 3600,
  d: 86_400,
};

/** Other tools write `100ms` or `1m`. */
function durationHint(text: string): string {
  const match = /^(-?\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)?$/.exec(text);
  if (match === null) return '';
  const seconds = Number(match[1]) * (unitSeconds[match[2] ?? 's'] ?? 1);
  return `, did you mean "${seconds.toFixed(9).replace(/\.?0+$/, '')}s"?`;
}
