import type { RequestHead } from '../http/stream.ts';
import type { PathMatch, RouteCondition } from './match.ts';

export interface RouteEntry<R> {
  readonly path: PathMatch;
  readonly condition: RouteCondition | undefined;
  readonly route: R;
}

interface Node {
  readonly label: string;
  /** By the first character code of the child's label. */
  readonly children: Map<number, Node>;
  /** Routes, in order, whose prefix ends here. */
  readonly routes: number[];
}

/**
 * Finds the first of a virtual host's routes that matches, without trying them one by one: exact paths by Map,
 * prefixes by a radix tree, where expressions sit under the literal text that they begin with (other case: none).
 * Every list is in the order of the routes and is left at the best match so far, so the lowest match is the first.
 */
export class RouteIndex<R> {
  readonly #entries: readonly RouteEntry<R>[];
  readonly #exact = new Map<string, number[]>();
  readonly #root: Node = { label: '', children: new Map(), routes: [] };

  constructor(entries: readonly RouteEntry<R>[]) {
    this.#entries = entries;
    for (const [i, entry] of entries.entries()) {
      if (entry.path.kind === 'exact') {
        const list = this.#exact.get(entry.path.value);
        if (list === undefined) this.#exact.set(entry.path.value, [i]);
        else list.push(i);
      } else if (entry.path.kind === 'prefix') {
        insert(this.#root, entry.path.value, i);
      } else {
        insert(this.#root, entry.path.prefix, i);
      }
    }
  }

  /** `path` without query and fragment. */
  find(path: string, request: RequestHead, random: number): R | undefined {
    let best = this.#entries.length;
    const exact = this.#exact.size === 0 ? undefined : this.#exact.get(path);
    if (exact !== undefined) best = this.#firstOf(exact, best, path, request, random);
    best = this.#findPrefix(path, best, request, random);
    return this.#entries[best]?.route;
  }

  #findPrefix(path: string, limit: number, request: RequestHead, random: number): number {
    let best = this.#firstOf(this.#root.routes, limit, path, request, random);
    let node: Node | undefined = this.#root;
    let at = 0;
    while (at < path.length) {
      node = node.children.get(path.charCodeAt(at));
      if (node === undefined || !path.startsWith(node.label, at)) break;
      at += node.label.length;
      if (node.routes.length === 0) continue;
      const boundary = at === path.length || path.charCodeAt(at) === 0x2f;
      best = this.#firstOf(node.routes, best, path, request, random, boundary);
    }
    return best;
  }

  /** The first route of `list` below `limit` whose other conditions hold, else `limit`. */
  #firstOf(
    list: readonly number[],
    limit: number,
    path: string,
    request: RequestHead,
    random: number,
    boundary = true,
  ): number {
    for (let i = 0; i < list.length; i++) {
      const index = list[i] ?? 0;
      if (index >= limit) return limit;
      const entry = this.#entries[index];
      if (entry === undefined) continue;
      const match = entry.path;
      if (match.kind === 'prefix') {
        if (match.separated && !boundary) continue;
      } else if (match.kind === 'test' && !match.test(path)) {
        continue;
      }
      if (entry.condition === undefined || entry.condition(request, random)) return index;
    }
    return limit;
  }
}

function insert(root: Node, prefix: string, index: number): void {
  let node = root;
  let at = 0;
  while (at < prefix.length) {
    const code = prefix.charCodeAt(at);
    const child = node.children.get(code);
    if (child === undefined) {
      const leaf: Node = { label: prefix.slice(at), children: new Map(), routes: [index] };
      node.children.set(code, leaf);
      return;
    }
    const shared = sharedLength(child.label, prefix, at);
    if (shared < child.label.length) {
      const upper: Node = { label: child.label.slice(0, shared), children: new Map(), routes: [] };
      upper.children.set(child.label.charCodeAt(shared), { ...child, label: child.label.slice(shared) });
      node.children.set(code, upper);
      node = upper;
    } else {
      node = child;
    }
    at += shared;
  }
  node.routes.push(index);
}

function sharedLength(label: string, text: string, from: number): number {
  let n = 0;
  while (n < label.length && label.charCodeAt(n) === text.charCodeAt(from + n)) n++;
  return n;
}
