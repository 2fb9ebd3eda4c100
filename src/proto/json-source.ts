import type { SourceEntry, SourceNode } from './source.ts';

/** Text that is not JSON as plain as can be: what is wrong with it, if anything, is for the YAML parser to say. */
class NotPlain extends Error {}

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
/** Up to the quote that ends it; what is inside is checked by JSON.parse. */
const STRING = /"[^"\\\p{Cc}]*(?:\\.[^"\\\p{Cc}]*)*"/uy;
const SPACE = /[ \t\n\r]*/y;

/**
 * Reads JSON with places, as the YAML parser would, in a tenth of its time. Undefined for whatever is not plain JSON: then the YAML
 * parser has its say, and its messages.
 */
export function parseJsonSource(text: string, maxDepth: number): SourceNode | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return new JsonReader(text, maxDepth).readAll();
  } catch (error) {
    // SyntaxError: an escape that JSON does not know.
    if (error instanceof NotPlain || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

class JsonReader {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  readAll(): SourceNode {
    this.#skipSpace();
    const root = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) throw new NotPlain();
    return root;
  }

  #value(depth: number): SourceNode {
    if (depth > this.#maxDepth) throw new NotPlain();
    const offset = this.#at;
    switch (this.#text[offset]) {
      case '{':
        return { kind: 'map', offset, entries: this.#entries(depth) };
      case '[':
        return { kind: 'list', offset, items: this.#items(depth) };
      case '"':
        return { kind: 'string', offset, value: this.#string(), plain: false };
      case 't':
        return this.#word('true', { kind: 'boolean', offset, value: true });
      case 'f':
        return this.#word('false', { kind: 'boolean', offset, value: false });
      case 'n':
        return this.#word('null', { kind: 'null', offset });
      default:
        return { kind: 'number', offset, value: this.#number() };
    }
  }

  #entries(depth: number): SourceEntry[] {
    const entries: SourceEntry[] = [];
    const keys = new Set<string>();
    this.#list('}', () => {
      const keyOffset = this.#at;
      const key = this.#string();
      if (keys.has(key)) throw new NotPlain();
      keys.add(key);
      this.#skipSpace();
      this.#expect(':');
      this.#skipSpace();
      entries.push({ key, keyOffset, value: this.#value(depth + 1) });
    });
    return entries;
  }

  #items(depth: number): SourceNode[] {
    const items: SourceNode[] = [];
    this.#list(']', () => items.push(this.#value(depth + 1)));
    return items;
  }

  #list(end: string, read: () => void): void {
    this.#at++;
    this.#skipSpace();
    if (this.#text[this.#at] === end) {
      this.#at++;
      return;
    }
    for (;;) {
      read();
      this.#skipSpace();
      if (this.#text[this.#at] === end) break;
      this.#expect(',');
      this.#skipSpace();
    }
    this.#at++;
  }

  #string(): string {
    const quoted = this.#take(STRING);
    return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
  }

  #number(): number | bigint {
    const digits = this.#take(NUMBER);
    return /[.eE]/.test(digits) ? Number(digits) : BigInt(digits);
  }

  #word(word: string, node: SourceNode): SourceNode {
    for (const letter of word) this.#expect(letter);
    return node;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw new NotPlain();
    this.#at += found.length;
    return found;
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) throw new NotPlain();
    this.#at++;
  }

  #skipSpace(): void {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
  }
}
