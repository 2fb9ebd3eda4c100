import type { Resource } from './resources.ts';
import { type JsonRecord, type JsonValue, record, text } from './source.ts';
import { paint } from './table.ts';

export interface FieldChange {
  /** `virtual_hosts[api].routes[0].route.cluster` */
  readonly path: string;
  readonly from?: JsonValue;
  readonly to?: JsonValue;
}

export interface ResourceChange {
  readonly change: 'added' | 'removed' | 'changed';
  readonly kind: string;
  readonly name: string;
  readonly fields: readonly FieldChange[];
}

/** What is different in the second; versions, times and the health of endpoints do not count. */
export function diffResources(a: readonly Resource[], b: readonly Resource[]): ResourceChange[] {
  const before = byKey(a);
  const after = byKey(b);
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort();
  return keys.flatMap((key): ResourceChange[] => {
    const from = before.get(key);
    const to = after.get(key);
    if (from === undefined && to !== undefined) return [{ change: 'added', ...idOf(to), fields: [] }];
    if (to === undefined && from !== undefined) return [{ change: 'removed', ...idOf(from), fields: [] }];
    if (from === undefined || to === undefined) return [];
    const fields: FieldChange[] = [];
    compare(from.config, to.config, '', fields);
    return fields.length === 0 ? [] : [{ change: 'changed', ...idOf(to), fields }];
  });
}

function idOf({ kind, name }: Resource): Pick<ResourceChange, 'kind' | 'name'> {
  return { kind, name };
}

/** What is in force of each name, or warms where nothing is. */
function byKey(resources: readonly Resource[]): Map<string, Resource> {
  const found = new Map<string, Resource>();
  for (const one of resources) {
    if (rank(one) === 0) continue;
    const key = `${one.kind} ${one.name}`;
    const known = found.get(key);
    if (known === undefined || rank(one) > rank(known)) found.set(key, one);
  }
  return found;
}

function rank({ state }: Resource): number {
  if (state === 'active' || state === 'static') return 2;
  return state === 'warming' ? 1 : 0;
}

/** Of the moment, not of the configuration. */
const IGNORED: ReadonlySet<string> = new Set([
  'health_status',
  'last_updated',
  'version_info',
  'client_status',
  'error_state',
]);

function compare(
  from: JsonValue | undefined,
  to: JsonValue | undefined,
  path: string,
  out: FieldChange[],
): void {
  if (from === to) return;
  if (Array.isArray(from) && Array.isArray(to)) {
    compareLists(from, to, path, out);
    return;
  }
  if (isRecord(from) && isRecord(to)) {
    for (const field of new Set([...Object.keys(from), ...Object.keys(to)])) {
      if (!IGNORED.has(field)) compare(from[field], to[field], path === '' ? field : `${path}.${field}`, out);
    }
    return;
  }
  out.push({ path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
}

/** By name or address where all elements have one of their own, so that one in front moves no others. */
function compareLists(
  from: readonly JsonValue[],
  to: readonly JsonValue[],
  path: string,
  out: FieldChange[],
): void {
  const before = keyed(from);
  const after = keyed(to);
  if (before !== null && after !== null) {
    for (const key of new Set([...before.keys(), ...after.keys()]))
      compare(before.get(key), after.get(key), `${path}[${key}]`, out);
    return;
  }
  for (let i = 0; i < Math.max(from.length, to.length); i++) compare(from[i], to[i], `${path}[${i}]`, out);
}

function keyed(list: readonly JsonValue[]): Map<string, JsonValue> | null {
  const found = new Map<string, JsonValue>();
  for (const one of list) {
    const key = keyOf(one);
    if (key === '' || found.has(key)) return null;
    found.set(key, one);
  }
  return found;
}

function keyOf(one: JsonValue): string {
  const { name, endpoint } = record(one);
  if (name !== undefined) return text(name);
  const { socket_address, pipe } = record(record(endpoint).address);
  const { address, port_value } = record(socket_address);
  return address === undefined ? text(record(pipe).path) : `${text(address)}:${text(port_value)}`;
}

function isRecord(value: JsonValue | undefined): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const RED = 31;
const GREEN = 32;
const YELLOW = 33;
const MAX_VALUE = 100;

/** `+ clusters b`, `- clusters a`, `~ routes r` with a line for each field. */
export function renderDiff(changes: readonly ResourceChange[], colour: boolean): string {
  const lines = changes.flatMap(({ change, kind, name, fields }) => {
    const [sign, code] =
      change === 'added' ? ['+', GREEN] : change === 'removed' ? ['-', RED] : ['~', YELLOW];
    return [
      paint({ text: `${sign} ${kind} ${name}`, colour: code as number }, colour),
      ...fields.map(({ path, from, to }) => {
        if (from === undefined) return `    ${path}: + ${shown(to)}`;
        return to === undefined
          ? `    ${path}: - ${shown(from)}`
          : `    ${path}: ${shown(from)} → ${shown(to)}`;
      }),
    ];
  });
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function shown(value: JsonValue | undefined): string {
  const json = typeof value === 'string' ? value : JSON.stringify(value);
  return json.length > MAX_VALUE ? `${json.slice(0, MAX_VALUE)}… (${json.length} characters)` : json;
}
