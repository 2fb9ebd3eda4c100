export interface Difference {
  /** Where, like `client[0].responses[0].start`. */
  readonly path: string;
  readonly left: string;
  readonly right: string;
}

/** All places where two JSON values differ. Lists of different length differ as a whole. */
export function compare(left: unknown, right: unknown, path = ''): Difference[] {
  if (JSON.stringify(left) === JSON.stringify(right)) return [];
  if (isHeaderList(left) && isHeaderList(right)) return compareSets(left, right, path);
  if (Array.isArray(left) && Array.isArray(right) && left.length === right.length) {
    return left.flatMap((item, index) => compare(item, right[index], `${path}[${index}]`));
  }
  if (isObject(left) && isObject(right)) {
    const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
    return keys.flatMap((key) => compare(left[key], right[key], path === '' ? key : `${path}.${key}`));
  }
  return [{ path, left: show(left), right: show(right) }];
}

/** Headers and log lines read best as what only one side has. */
function compareSets(left: readonly string[], right: readonly string[], path: string): Difference[] {
  const onlyLeft = without(left, right);
  const onlyRight = without(right, left);
  if (onlyLeft.length === 0 && onlyRight.length === 0) {
    return [{ path: `${path} (order)`, left: show(left), right: show(right) }];
  }
  return [{ path, left: onlyLeft.join(' ⏎ ') || '-', right: onlyRight.join(' ⏎ ') || '-' }];
}

function without(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((item) => {
    const at = left.indexOf(item);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function isHeaderList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return value === undefined ? '<absent>' : (JSON.stringify(value) ?? '<absent>');
}
