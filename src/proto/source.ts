import {
  type Alias,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { parseJsonSource } from './json-source.ts';

/** A JSON value as it was written, with the place it was written at (−1: nowhere). */
export type SourceNode =
  | { readonly kind: 'null'; readonly offset: number }
  | { readonly kind: 'boolean'; readonly offset: number; readonly value: boolean }
  | { readonly kind: 'number'; readonly offset: number; readonly value: number | bigint }
  /** `plain`: without quotes, so that YAML 1.1's `yes` and `on` can be told from text. */
  | { readonly kind: 'string'; readonly offset: number; readonly value: string; readonly plain: boolean }
  | { readonly kind: 'list'; readonly offset: number; readonly items: readonly SourceNode[] }
  | { readonly kind: 'map'; readonly offset: number; readonly entries: readonly SourceEntry[] };

export interface SourceEntry {
  readonly key: string;
  readonly keyOffset: number;
  readonly value: SourceNode;
}

export interface SourceText {
  readonly root: SourceNode;
  /** Line and column, both from 1, of an offset. */
  locate(offset: number): { readonly line: number; readonly column: number };
}

/** Deeper nesting than protobuf itself accepts is refused. */
export const maxDepth = 100;

/** Nodes that aliases may add; keeps "billion laughs" small. */
const maxAliasedNodes = 100_000;

/**
 * Parses YAML or JSON (a subset of it). Anchors and aliases are followed, within limits.
 * Throws ConfigError with every syntax error, among them duplicate keys and a second document.
 */
export function parseSource(text: string, file: string): SourceText {
  const json = parseJsonSource(text, maxDepth);
  return json === undefined ? parseYamlSource(text, file) : { root: json, locate: locateIn(text) };
}

function locateIn(text: string): SourceText['locate'] {
  let counter: LineCounter | undefined;
  return (offset) => {
    if (counter === undefined) {
      counter = new LineCounter();
      for (let at = 0; at >= 0; at = text.indexOf('\n', at) + 1 || -1) counter.addNewLine(at);
    }
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
}

/** The same by the YAML parser alone, for tests. */
export function parseYamlSource(text: string, file: string): SourceText {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter,
    intAsBigInt: true,
    uniqueKeys: true,
    prettyErrors: false,
  });
  const locate = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: ConfigProblem[] = [];
  const report = (message: string, offset: number) => {
    problems.push({ path: '', message, file, ...locate(offset) });
  };
  for (const error of document.errors) {
    report(
      error.code === 'MULTIPLE_DOCS' ? 'only one YAML document is expected' : error.message,
      error.pos[0],
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const root = new Reader(report, resolveAliases(document.contents)).read(document.contents, 0);
  if (problems.length > 0) throw new ConfigError(problems);
  return { root, locate };
}

/** A JSON value that never was text, such as the content of a TypedStruct. */
export function sourceOf(value: unknown): SourceNode {
  const offset = -1;
  if (value === null || value === undefined) return { kind: 'null', offset };
  if (typeof value === 'boolean') return { kind: 'boolean', offset, value };
  if (typeof value === 'number' || typeof value === 'bigint') return { kind: 'number', offset, value };
  if (Array.isArray(value)) return { kind: 'list', offset, items: value.map(sourceOf) };
  if (typeof value === 'object') {
    const entries = Object.entries(value).map(([key, item]) => ({
      key,
      keyOffset: offset,
      value: sourceOf(item),
    }));
    return { kind: 'map', offset, entries };
  }
  return { kind: 'string', offset, value: String(value), plain: false };
}

type Report = (message: string, offset: number) => void;
type Aliases = ReadonlyMap<Alias, Node>;

/** YAML lets an anchor be defined again; an alias means the last one before it. */
function resolveAliases(root: Node | null): Aliases {
  const byName = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  const define = (_: unknown, node: Node) => {
    if ('anchor' in node && node.anchor !== undefined) byName.set(node.anchor, node);
  };
  visit(root, {
    Map: define,
    Seq: define,
    Scalar: define,
    Alias: (_, alias) => {
      const target = byName.get(alias.source);
      if (target !== undefined) targets.set(alias, target);
    },
  });
  return targets;
}

class Reader {
  readonly #report: Report;
  readonly #aliases: Aliases;
  #aliasDepth = 0;
  #aliasedNodes = 0;

  constructor(report: Report, aliases: Aliases) {
    this.#report = report;
    this.#aliases = aliases;
  }

  read(node: unknown, depth: number): SourceNode {
    const offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    if (depth > maxDepth) return this.#refuse(`nested deeper than ${maxDepth} levels`, offset);
    if (this.#aliasDepth > 0 && ++this.#aliasedNodes > maxAliasedNodes) {
      const first = this.#aliasedNodes === maxAliasedNodes + 1;
      return first ? this.#refuse('aliases expand to too many values', offset) : { kind: 'null', offset };
    }
    if (isAlias(node)) return this.#alias(node, offset, depth);
    if (isMap(node)) {
      const entries = node.items.map(({ key, value }) => {
        const keyOffset = isNode(key) ? (key.range?.[0] ?? offset) : offset;
        return { key: this.#key(key, keyOffset), keyOffset, value: this.read(value, depth + 1) };
      });
      return { kind: 'map', offset, entries };
    }
    if (isSeq(node))
      return { kind: 'list', offset, items: node.items.map((item) => this.read(item, depth + 1)) };
    return isScalar(node) ? this.#scalar(node, offset) : { kind: 'null', offset };
  }

  #alias(node: Alias, offset: number, depth: number): SourceNode {
    const target = this.#aliases.get(node);
    if (target === undefined) return this.#refuse(`no anchor is called "${node.source}"`, offset);
    this.#aliasDepth++;
    const value = this.read(target, depth + 1);
    this.#aliasDepth--;
    return value;
  }

  #scalar(node: Scalar, offset: number): SourceNode {
    const { value } = node;
    if (value === null) return { kind: 'null', offset };
    if (typeof value === 'boolean') return { kind: 'boolean', offset, value };
    if (typeof value === 'number' || typeof value === 'bigint') return { kind: 'number', offset, value };
    if (typeof value === 'string') return { kind: 'string', offset, value, plain: node.type === 'PLAIN' };
    return this.#refuse('not a JSON value', offset);
  }

  /** Keys are text in JSON; `1:` and `true:` of YAML mean "1" and "true". */
  #key(node: unknown, offset: number): string {
    const target = isAlias(node) ? this.#aliases.get(node) : node;
    if (isScalar(target))
      return typeof target.value === 'string' ? target.value : (target.source ?? String(target.value));
    this.#refuse('a key must be text', offset);
    return '';
  }

  #refuse(message: string, offset: number): SourceNode {
    this.#report(message, offset);
    return { kind: 'null', offset };
  }
}
