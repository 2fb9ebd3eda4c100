import { parentPath, splitPath } from './field-path.ts';
import type { CheckedJson } from './json-check.ts';
import type { SourceText } from './source.ts';

export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One text that went into a configuration. */
export interface CheckedSource {
  readonly file: string;
  readonly text: SourceText;
  readonly checked: CheckedJson;
}

/**
 * Where the fields of a configuration are written, when later texts were merged over earlier ones: their
 * list items come after those that were there, so the paths of a later text shift.
 */
export class SourcePositions {
  readonly #places = new Map<string, { readonly source: CheckedSource; readonly offset: number }>();
  readonly #lengths = new Map<string, number>();
  readonly #files: string[] = [];

  add(source: CheckedSource): void {
    this.#files.push(source.file);
    const { offsets, listLengths } = source.checked;
    for (const [path, offset] of offsets) this.#places.set(this.shift(path), { source, offset });
    const lengths = [...listLengths].map(([path, length]) => [this.shift(path), length] as const);
    for (const [path, length] of lengths) this.#lengths.set(path, (this.#lengths.get(path) ?? 0) + length);
  }

  /** The path in the merged configuration of what a text that is about to be added calls `path`. */
  shift(path: string): string {
    if (this.#lengths.size === 0) return path;
    let shifted = '';
    for (const segment of splitPath(path)) {
      const index = /^\[(\d+)\]$/.exec(segment);
      shifted += index === null ? segment : `[${Number(index[1]) + (this.#lengths.get(shifted) ?? 0)}]`;
    }
    return shifted;
  }

  /** Whether the field itself is written somewhere. */
  has(path: string): boolean {
    return this.#places.has(path);
  }

  /** Position of the field, or of the nearest enclosing one that is written. */
  find(path: string): SourcePosition | undefined {
    for (let at = path; ; at = parentPath(at)) {
      const place = this.#places.get(at);
      if (place !== undefined) return positionIn(place.source.text, place.source.file, place.offset);
      if (at === '') return undefined;
    }
  }

  /** Orders positions as the texts were given. */
  compare(a: Partial<SourcePosition>, b: Partial<SourcePosition>): number {
    const rank = (position: Partial<SourcePosition>) => {
      const index = this.#files.indexOf(position.file ?? '');
      return index < 0 ? this.#files.length : index;
    };
    return rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
  }
}

export function positionIn(text: SourceText, file: string, offset: number): SourcePosition {
  return { file, ...text.locate(Math.max(0, offset)) };
}
