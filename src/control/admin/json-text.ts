import { Gathered } from '../../stats/slices.ts';
import type { Json, JsonObject } from './context.ts';

/** A message of `configs`: its own fields, then its repeated ones, which come in slices. */
export interface DumpSection {
  /** Short name below `envoy.admin.v3`. */
  readonly type: string;
  readonly fields: JsonObject;
  readonly lists: readonly DumpList[];
}

export interface DumpList {
  readonly name: string;
  /** Short name of the elements' message below the section's. */
  readonly element: string;
  /** Only elements behind the token of one, where there is a token. */
  items(after?: string): AsyncIterable<readonly DumpItem[]>;
}

export interface DumpItem {
  readonly json: JsonObject;
  /** Where a page that ends here goes on. */
  readonly token: string;
}

export const ADMIN_TYPE = 'type.googleapis.com/envoy.admin.v3.';

/** The text of `{configs: [...]}` as Envoy prints it: one space for each level, empty lists left out. */
export async function* sectionsText(sections: readonly DumpSection[]): AsyncGenerator<string> {
  const out = new Gathered();
  let comma = '';
  out.add('{\n "configs": [');
  for (const { type, fields, lists } of sections) {
    out.add(`${comma}\n  {\n   "@type": "${ADMIN_TYPE}${type}"`);
    for (const [name, value] of Object.entries(fields))
      if (value !== undefined) out.add(`,\n   "${name}": ${jsonText(value, 3)}`);
    for (const list of lists) {
      let before = `,\n   "${list.name}": [`;
      for await (const items of list.items()) {
        for (const { json } of items) {
          out.add(`${before}\n    ${jsonText(json, 4)}`);
          before = ',';
          if (out.full) yield* out.take();
        }
      }
      if (before === ',') out.add('\n   ]');
    }
    out.add('\n  }');
    comma = ',';
  }
  out.add('\n ]\n}\n');
  yield* out.take();
}

/** The same for the elements of one list; `end` is asked for what stands behind them. */
export async function* itemsText(
  items: AsyncIterable<JsonObject>,
  end: () => JsonObject,
): AsyncGenerator<string> {
  const out = new Gathered();
  let before = '{\n "configs": [';
  for await (const item of items) {
    out.add(`${before}\n  ${jsonText(item, 2)}`);
    before = ',';
    if (out.full) yield* out.take();
  }
  const more = Object.entries(end()).map(([name, value]) => `,\n "${name}": ${JSON.stringify(value)}`);
  out.add(before === ',' ? `\n ]${more.join('')}\n}\n` : '{}\n');
  yield* out.take();
}

/** Elements of a list that is there already, in slices. */
export async function* slicesOf<T>(list: readonly T[], size = 100): AsyncGenerator<readonly T[]> {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size);
}

/** Printed as Envoy does, as it stands at that depth. */
export function jsonText(value: Json, depth: number): string {
  // A line break in a text is an escape: those that are there are the printer's.
  return JSON.stringify(value, undefined, 1).replaceAll('\n', `\n${' '.repeat(depth)}`);
}
