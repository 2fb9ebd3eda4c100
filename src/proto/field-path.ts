/**
 * Where a walk over a message stands, such as `static_resources.clusters[0].metadata.filter_metadata["a.b"]`.
 * One mutable stack for a whole walk: text is only built when there is something to report.
 */
export class FieldPath {
  readonly #segments: string[] = [];

  field(name: string): void {
    this.#segments.push(this.#segments.length === 0 ? name : `.${name}`);
  }

  index(index: number): void {
    this.#segments.push(`[${index}]`);
  }

  key(key: string): void {
    this.#segments.push(`[${JSON.stringify(key)}]`);
  }

  pop(): void {
    this.#segments.pop();
  }

  get depth(): number {
    return this.#segments.length;
  }

  toString(): string {
    return this.#segments.join('');
  }
}

/** `prefix` and a path relative to it as one path. */
export function joinPath(prefix: string, path: string): string {
  if (prefix === '' || path === '') return prefix + path;
  return path.startsWith('[') ? prefix + path : `${prefix}.${path}`;
}

/** Splits a path into segments that join back to it: `a`, `.b`, `[0]`, `["k.k"]`. */
export function splitPath(path: string): string[] {
  return path.match(/\.?[^.[\]]+|\[(?:"(?:[^"\\]|\\.)*"|\d+)\]/g) ?? [];
}

/** The path of what `path` is written in, '' at the top. */
export function parentPath(path: string): string {
  return splitPath(path).slice(0, -1).join('');
}
