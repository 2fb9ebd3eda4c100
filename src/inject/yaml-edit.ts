import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { applyEdit, type Edit, type Json, type Path, type Source } from './edits.ts';

/**
 * Makes the edits in the text of one YAML (or JSON) document. Only the text of what is added or removed changes:
 * comments, order, quotes and indentation of everything else stay byte for byte, and removing what was added gives the
 * text from before. Throws when a place cannot be edited, such as one behind an alias.
 */
export function editYaml(text: string, edits: readonly Edit[]): string {
  let result = text;
  let document = parse(result);
  for (const edit of edits) {
    const expected = applyEdit(document.toJS() as Json, edit);
    result = editOnce(result, document, edit);
    document = parse(result);
    // The YAML of this world is stranger than any list of cases: nothing is written that does not read back as meant.
    if (document.errors.length > 0 || !same(document.toJS() as Json, expected)) {
      throw new Error(`${edit.path.join('.')} cannot be edited in place: write it as plain block YAML`);
    }
  }
  return result;
}

/** How the member at `path` is written; undefined where it cannot be told. */
export function sourceOf(text: string, document: Document, path: Path): Source | undefined {
  const { pair } = locate(document, path);
  if (pair === undefined) return undefined;
  const start = keyStart(pair);
  return { text: text.slice(start, contentEnd(text, pair)), column: columnAt(text, start) };
}

export function parse(text: string): Document {
  return parseDocument(text, { merge: true, logLevel: 'silent', strict: false });
}

function editOnce(text: string, document: Document, edit: Edit): string {
  if (!text.includes('\r\n') || /(?<!\r)\n/.test(text)) return edited(text, document, edit);
  const unix = text.replaceAll('\r\n', '\n');
  return edited(unix, parse(unix), edit).replaceAll('\n', '\r\n');
}

function edited(text: string, document: Document, edit: Edit): string {
  const { parent, pair, index } = locate(document, edit.path);
  switch (edit.op) {
    case 'insert': {
      if (pair === undefined) throw new Error(`there is no ${edit.path.join('.')}`);
      const list = pair.value;
      if (isSeq(list)) {
        return list.flow === true || list.items.length === 0
          ? intoFlow(text, list, JSON.stringify(edit.value), edit.value, edit.at)
          : intoBlockSeq(text, list, pair, edit.value, edit.at);
      }
      return fillNull(text, parent, pair, [edit.value]);
    }
    case 'set': {
      if (pair !== undefined) return fillNull(text, parent, pair, edit.value);
      const key = String(edit.path.at(-1));
      if (!isMap(parent)) throw new Error(`there is no ${edit.path.slice(0, -1).join('.')} to add to`);
      if (parent.flow === true || parent.items.length === 0) {
        return intoFlow(
          text,
          parent,
          `${JSON.stringify(key)}: ${JSON.stringify(edit.value)}`,
          edit.value,
          'end',
          key,
        );
      }
      const column = columnAt(text, start(parent));
      return insertLines(text, afterBlock(text, parent, column), block({ [key]: edit.value }, column));
    }
    case 'swap': {
      if (pair === undefined || !isMap(parent)) throw new Error(`there is no ${edit.path.join('.')}`);
      const from = keyStart(pair);
      const column = columnAt(text, from);
      return (
        text.slice(0, from) + swapped(edit, column, parent.flow === true) + text.slice(contentEnd(text, pair))
      );
    }
    case 'remove': {
      if (!isCollection(parent)) throw new Error(`there is no ${edit.path.join('.')}`);
      return parent.flow === true ? outOfFlow(text, parent, index) : outOfBlock(text, parent, index);
    }
    default:
      return edit satisfies never;
  }
}

interface Place {
  readonly parent: Node | undefined;
  /** The member, where the parent is a mapping. */
  readonly pair: Pair | undefined;
  readonly index: number;
}

function locate(document: Document, path: Path): Place {
  let node: unknown = document.contents;
  let place: Place = { parent: undefined, pair: undefined, index: -1 };
  for (const [depth, step] of path.entries()) {
    if (isAlias(node))
      throw new Error(`${path.slice(0, depth).join('.')} is an alias, which cannot be edited`);
    if (isMap(node)) {
      const at = node.items.findIndex((item) => isScalar(item.key) && item.key.value === step);
      const pair = node.items[at];
      place = { parent: node, pair, index: at };
      node = pair?.value;
    } else if (isSeq(node) && typeof step === 'number') {
      place = { parent: node, pair: undefined, index: step };
      node = node.items[step];
    } else {
      return { parent: undefined, pair: undefined, index: -1 };
    }
  }
  return place;
}

function start(node: unknown): number {
  const range = isNode(node) ? node.range : undefined;
  if (range === undefined || range === null) throw new Error('a place without a position');
  return range[0];
}

function keyStart(pair: Pair): number {
  return start(pair.key);
}

/** Where an item of a collection begins: the key of a member, or an item of a sequence (after its dash). */
function itemStart(item: unknown): number {
  return isPair(item) ? keyStart(item) : start(item);
}

function columnAt(text: string, offset: number): number {
  return offset - lineStart(text, offset);
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** The end of the last scalar or flow collection inside, without a line break. */
function contentEnd(text: string, item: unknown): number {
  let last: unknown = item;
  let key: unknown;
  for (;;) {
    if (isPair(last)) {
      key = last.key;
      last = last.value;
    } else if (isCollection(last) && last.flow !== true && last.items.length > 0) last = last.items.at(-1);
    else break;
  }
  const range = isNode(last) ? last.range : undefined;
  let end = range?.[1] ?? (isNode(key) ? (key.range?.[1] ?? 0) : 0);
  if (isNode(key) && isScalar(last) && last.source === '') {
    // An empty value has no text of its own: what counts is the colon.
    end = text.indexOf(':', key.range?.[1] ?? end) + 1;
  }
  while (text[end - 1] === '\n') end--;
  return end;
}

/** The beginning of the line after a block collection, behind comments that are indented as its content is. */
function afterBlock(text: string, node: Node, column: number): number {
  let at = nextLine(text, contentEnd(text, node));
  for (;;) {
    const comment = /^( *)#.*(?:\n|$)/.exec(text.slice(at, at + 2_000));
    if (comment === null || (comment[1] ?? '').length < Math.max(column, 1)) return at;
    at += comment[0].length;
  }
}

function nextLine(text: string, offset: number): number {
  const end = text.indexOf('\n', offset);
  return end < 0 ? text.length : end + 1;
}

/** `lines` ends with a line break; the text's last line may not have one, and then has none afterwards either. */
function insertLines(text: string, at: number, lines: string): string {
  if (at === text.length && at > 0 && text[at - 1] !== '\n') return `${text}\n${lines.slice(0, -1)}`;
  return text.slice(0, at) + lines + text.slice(at);
}

function block(value: Json, column: number): string {
  const indent = ' '.repeat(column);
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).replace(/^(?=.)/gm, indent);
}

function intoBlockSeq(text: string, list: YAMLSeq, pair: Pair, value: Json, at: 'start' | 'end'): string {
  const column = columnAt(text, start(list));
  const offset =
    at === 'end'
      ? afterBlock(text, list, column + 1)
      : nextLine(text, isNode(pair.key) ? (pair.key.range?.[1] ?? 0) : 0);
  return insertLines(text, offset, block([value], column));
}

/** `annotations:` with nothing behind it. */
function fillNull(text: string, parent: Node | undefined, pair: Pair, value: Json): string {
  if (isMap(parent) && parent.flow === true) {
    const from = start(pair.value);
    return text.slice(0, from) + JSON.stringify(value) + text.slice(contentEnd(text, pair));
  }
  if (!isScalar(pair.value) || pair.value.value !== null) throw new Error('something is there already');
  const column = columnAt(text, keyStart(pair));
  const end = contentEnd(text, pair);
  // A written null gives way; it is not written again when what replaced it is removed.
  const cut = pair.value.source === '' ? text : text.slice(0, start(pair.value)).trimEnd() + text.slice(end);
  return insertLines(cut, nextLine(cut, keyStart(pair)), block(value, column + 2));
}

function swapped(edit: Extract<Edit, { op: 'swap' }>, column: number, flow: boolean): string {
  if (edit.source !== undefined && edit.source.column === column)
    return edit.source.text.replaceAll('\r\n', '\n');
  if (flow) return `${JSON.stringify(edit.key)}: ${JSON.stringify(edit.value)}`;
  return block({ [edit.key]: edit.value }, column).trim();
}

function intoFlow(
  text: string,
  parent: YAMLMap | YAMLSeq,
  inline: string,
  value: Json,
  at: 'start' | 'end',
  key?: string,
): string {
  const items: readonly unknown[] = parent.items;
  const neighbour = at === 'start' ? items[0] : items.at(-1);
  if (neighbour === undefined) {
    const inside = start(parent) + 1;
    return text.slice(0, inside) + inline + text.slice(inside);
  }
  const begin = itemStart(neighbour);
  const before = text.slice(lineStart(text, begin), begin);
  let written = inline;
  let separator = ', ';
  if (/^\s*$/.test(before)) {
    // One item a line: the new one gets lines of its own, indented as its neighbour.
    const json = JSON.stringify(value, null, indentOf(text)).replaceAll('\n', `\n${before}`);
    written = key === undefined ? json : `${JSON.stringify(key)}: ${json}`;
    separator = `,\n${before}`;
  }
  if (at === 'start') return text.slice(0, begin) + written + separator + text.slice(begin);
  const end = contentEnd(text, neighbour);
  return text.slice(0, end) + separator + written + text.slice(end);
}

function indentOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? '  ';
}

function outOfFlow(text: string, parent: { readonly items: readonly unknown[] }, index: number): string {
  const item = parent.items[index];
  const next = parent.items[index + 1];
  const previous = parent.items[index - 1];
  if (next !== undefined) return text.slice(0, itemStart(item)) + text.slice(itemStart(next));
  const from = previous === undefined ? itemStart(item) : contentEnd(text, previous);
  return text.slice(0, from) + text.slice(contentEnd(text, item));
}

function outOfBlock(text: string, parent: Node, index: number): string {
  const items: readonly unknown[] = isCollection(parent) ? parent.items : [];
  const item = items[index];
  const begin = itemStart(item);
  const from = lineStart(text, isSeq(parent) ? text.lastIndexOf('-', begin - 1) : begin);
  if (!/^[ -]*$/.test(text.slice(from, begin))) throw new Error('it shares a line with something else');
  const end = contentEnd(text, item);
  const to = nextLine(text, end);
  if (to === text.length && text[to - 1] !== '\n' && from > 0) return text.slice(0, from - 1);
  return text.slice(0, from) + text.slice(to);
}

/** Equal as Kubernetes sees it, to which an empty list or mapping and none at all are the same. */
function same(a: Json, b: Json): boolean {
  return isDeepStrictEqual(withoutEmpty(a), withoutEmpty(b));
}

function withoutEmpty(value: Json): Json {
  if (Array.isArray(value)) return value.length === 0 ? null : value.map(withoutEmpty);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value);
  return members.length === 0
    ? null
    : Object.fromEntries(members.map(([key, member]) => [key, withoutEmpty(member)]));
}
