export type CheckResult = 'success' | 'warning' | 'error' | 'skipped';

/** One line of `inox check`. */
export interface Check {
  /** What holds when all is well: `no port is taken`. */
  readonly description: string;
  readonly result: CheckResult;
  /** What was found instead, or why it could not be looked at. */
  readonly found?: string;
  /** What to do about it. */
  readonly hint?: string;
}

export interface Category {
  readonly name: string;
  readonly checks: readonly Check[];
}

export function success(description: string, found?: string): Check {
  return { description, result: 'success', ...(found === undefined ? {} : { found }) };
}

export function skipped(description: string, found: string): Check {
  return { description, result: 'skipped', found };
}

export function warning(description: string, found: string, hint: string): Check {
  return { description, result: 'warning', found, hint };
}

export function failure(description: string, found: string, hint: string): Check {
  return { description, result: 'error', found, hint };
}

const TICKS: Readonly<Record<CheckResult, string>> = { success: '√', warning: '‼', error: '×', skipped: '-' };
const COLOURS: Readonly<Record<CheckResult, number>> = { success: 32, warning: 33, error: 31, skipped: 90 };

/** In Linkerd's style. */
export function renderText(categories: readonly Category[], colour: boolean): string {
  const tick = (result: CheckResult): string =>
    colour ? `\u001b[${COLOURS[result]}m${TICKS[result]}\u001b[0m` : TICKS[result];
  const lines: string[] = [];
  for (const { name, checks } of categories) {
    if (checks.length === 0) continue;
    lines.push(name, '-'.repeat(name.length));
    for (const { description, result, found, hint } of checks) {
      const beside = result === 'success' && found !== undefined ? ` (${found})` : '';
      lines.push(`${tick(result)} ${description}${beside}`);
      if (result !== 'success' && found !== undefined) lines.push(...indented(found));
      if (hint !== undefined) lines.push(...indented(`→ ${hint}`));
    }
    lines.push('');
  }
  lines.push(`Status check results are ${tick(verdict(categories))}`);
  return `${lines.join('\n')}\n`;
}

/** With the field names of `linkerd check -o json`. */
export function renderJson(categories: readonly Category[]): string {
  const json = {
    success: verdict(categories) !== 'error',
    categories: categories.map(({ name, checks }) => ({
      categoryName: name,
      checks: checks.map(({ description, result, found, hint }) => ({
        description,
        result,
        error: result === 'success' ? undefined : found,
        found,
        hint,
      })),
    })),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

export function verdict(categories: readonly Category[]): CheckResult {
  const results = categories.flatMap(({ checks }) => checks.map(({ result }) => result));
  return results.includes('error') ? 'error' : results.includes('warning') ? 'warning' : 'success';
}

function indented(text: string): string[] {
  return text.split('\n').map((line) => `    ${line}`);
}
