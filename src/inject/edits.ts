/** A value of JSON, which is all that a manifest can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** Keys and indices from the root of a document. */
export type Path = readonly (string | number)[];

/**
 * One change of a manifest. The same list is sent to Kubernetes as a JSON patch (webhook) and written into the text
 * of a file (command line).
 *
 * `set` adds a member that is missing or null to a mapping; `insert` puts an item into a sequence, at its beginning
 * or its end; `swap` puts a member `key` in the place of another one, where `source` is the text that it had before;
 * `remove` takes a member or an item away.
 */
export type Edit =
  | { readonly op: 'set'; readonly path: Path; readonly value: Json }
  | { readonly op: 'insert'; readonly path: Path; readonly at: 'start' | 'end'; readonly value: Json }
  | {
      readonly op: 'swap';
      readonly path: Path;
      readonly key: string;
      readonly value: Json;
      readonly source?: Source;
    }
  | { readonly op: 'remove'; readonly path: Path };

/** How a member was written: its text from the key on, and the column (from 0) in which the key stood. */
export type Source = { readonly text: string; readonly column: number };

export interface JsonPatchOperation {
  readonly op: 'add' | 'remove' | 'replace';
  readonly path: string;
  readonly value?: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** The value at a path, undefined where there is none. */
export function valueAt(root: Json, path: Path): Json | undefined {
  let value: Json | undefined = root;
  for (const step of path) {
    if (isArray(value) && typeof step === 'number') value = value[step];
    else if (isObject(value) && Object.hasOwn(value, step)) value = value[step];
    else return undefined;
  }
  return value;
}

/** The edits as RFC 6902 has them. */
export function toJsonPatch(edits: readonly Edit[]): JsonPatchOperation[] {
  return edits.flatMap((edit): JsonPatchOperation[] => {
    const path = pointer(edit.path);
    switch (edit.op) {
      case 'set':
        return [{ op: 'add', path, value: edit.value }];
      case 'insert':
        return [{ op: 'add', path: `${path}/${edit.at === 'start' ? '0' : '-'}`, value: edit.value }];
      case 'remove':
        return [{ op: 'remove', path }];
      case 'swap': {
        if (edit.path.at(-1) === edit.key) return [{ op: 'replace', path, value: edit.value }];
        const added = pointer([...edit.path.slice(0, -1), edit.key]);
        return [
          { op: 'remove', path },
          { op: 'add', path: added, value: edit.value },
        ];
      }
      default:
        return edit satisfies never;
    }
  });
}

/** RFC 6901. */
function pointer(path: Path): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** A copy of `root` with one edit made; the judge of what was written into a text. */
export function applyEdit(root: Json, edit: Edit): Json {
  const [last] = edit.path.slice(-1);
  if (edit.op === 'insert') {
    return changed(root, edit.path, (list) => {
      const items = isArray(list) ? list : [];
      return edit.at === 'start' ? [edit.value, ...items] : [...items, edit.value];
    });
  }
  return changed(root, edit.path.slice(0, -1), (parent) => {
    if (isArray(parent)) return parent.filter((_, index) => index !== last);
    const members = Object.entries(isObject(parent) ? parent : {});
    const at = members.findIndex(([key]) => key === last);
    if (edit.op === 'remove') members.splice(at, at < 0 ? 0 : 1);
    else {
      const member: [string, Json] = [edit.op === 'swap' ? edit.key : String(last), edit.value];
      members.splice(at < 0 ? members.length : at, at < 0 ? 0 : 1, member);
    }
    return Object.fromEntries(members);
  });
}

function changed(root: Json | undefined, path: Path, change: (value: Json | undefined) => Json): Json {
  const [step, ...rest] = path;
  if (step === undefined) return change(root);
  if (isArray(root)) return root.map((item, index) => (index === step ? changed(item, rest, change) : item));
  const object = isObject(root) ? root : {};
  return { ...object, [step]: changed(object[step], rest, change) };
}
