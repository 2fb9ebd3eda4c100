import type { HeaderValueOption } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { printable } from '../core/wire.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import { addHeader, type Headers, hasHeader, removeHeader, setHeader } from '../http/headers.ts';
import { compileFormat, type Formatter } from '../http/substitution.ts';

/** One level's `*_headers_to_add` and `*_headers_to_remove`. */
export interface HeaderMutations {
  readonly remove: readonly string[];
  readonly overwrite: readonly HeaderAddition[];
  readonly add: readonly HeaderAddition[];
}

interface HeaderAddition {
  readonly name: string;
  readonly value: Formatter;
  readonly keepEmpty: boolean;
  readonly condition: 'always' | 'absent' | 'present';
}

/** Undefined when there is nothing to do. */
export function compileHeaderMutations(
  toAdd: readonly HeaderValueOption[] | undefined,
  toRemove: readonly string[] | undefined,
  path: string,
  kind: 'request' | 'response',
): HeaderMutations | undefined {
  if (toAdd === undefined && toRemove === undefined) return undefined;
  const remove = (toRemove ?? []).map((name, i) => checkName(name, `${path}${kind}_headers_to_remove[${i}]`));
  const overwrite: HeaderAddition[] = [];
  const add: HeaderAddition[] = [];
  for (const [i, option] of (toAdd ?? []).entries()) {
    const at = `${path}${kind}_headers_to_add[${i}]`;
    if (option.append !== undefined && option.appendAction !== undefined) {
      throw ConfigError.at(`${at}.append`, 'append and append_action exclude each other');
    }
    const action = actionOf(option);
    const addition: HeaderAddition = {
      name: checkName(option.header?.key ?? '', `${at}.header.key`),
      value: compileValue(option.header?.value ?? '', `${at}.header.value`),
      keepEmpty: option.keepEmptyValue === true,
      condition:
        action === 'ADD_IF_ABSENT' ? 'absent' : action === 'OVERWRITE_IF_EXISTS' ? 'present' : 'always',
    };
    if (action === 'APPEND_IF_EXISTS_OR_ADD' || action === 'ADD_IF_ABSENT') add.push(addition);
    else overwrite.push(addition);
  }
  if (remove.length + overwrite.length + add.length === 0) return undefined;
  return { remove, overwrite, add };
}

/** What clients put into operators begins no other header; text without them is looked at once. */
function compileValue(text: string, path: string): Formatter {
  const format = compileFormat(printable(text), path, { omitEmpty: true });
  return text.includes('%') ? (x) => printable(format(x)) : format;
}

function actionOf(option: HeaderValueOption): NonNullable<HeaderValueOption['appendAction']> {
  if (option.append === undefined) return option.appendAction ?? 'APPEND_IF_EXISTS_OR_ADD';
  return option.append ? 'APPEND_IF_EXISTS_OR_ADD' : 'OVERWRITE_IF_EXISTS_OR_ADD';
}

function checkName(name: string, path: string): string {
  const lower = name.toLowerCase();
  if (lower === '' || lower.startsWith(':') || lower === 'host') {
    throw ConfigError.at(path, `'${name}': pseudo headers and host may not be modified`);
  }
  return lower;
}

/**
 * Applies one level: removals, then overwrites, then additions. Conditions and values see the headers as they
 * were after the removals, as in Envoy.
 */
export function applyHeaderMutations(mutations: HeaderMutations, headers: Headers, x: AccessLogInfo): void {
  for (const name of mutations.remove) removeHeader(headers, name);
  for (const addition of mutations.overwrite) {
    if (addition.condition === 'present' && !hasHeader(headers, addition.name)) continue;
    const value = addition.value(x);
    if (value !== '' || addition.keepEmpty) setHeader(headers, addition.name, value);
  }
  for (const addition of mutations.add) {
    if (addition.condition === 'absent' && hasHeader(headers, addition.name)) continue;
    const value = addition.value(x);
    if (value !== '' || addition.keepEmpty) addHeader(headers, addition.name, value);
  }
}

/** All levels that concern one route, in the order in which they apply. */
export function orderMutations(
  mostSpecificFirst: readonly (HeaderMutations | undefined)[],
  mostSpecificWins: boolean,
): readonly HeaderMutations[] {
  const levels = mostSpecificFirst.filter((level) => level !== undefined);
  return mostSpecificWins ? levels.reverse() : levels;
}
