import { RE2JS } from 're2js';
import { BadRequest } from './endpoint.ts';

/** Compiles an RE2 expression from a query; it may match anywhere in the name. */
export function compileNameFilter(source: string): (name: string) => boolean {
  const expression = compile(source, (reason) => `Invalid re2 regex: ${reason}\n`);
  return (name) => expression.test(name);
}

/** The same for `/config_dump`: it must match the whole name; nothing lets everything through. */
export function compileDumpFilter(source: string | undefined): (name: string) => boolean {
  if (source === undefined) return () => true;
  const expression = compile(
    source,
    (reason) =>
      `INVALID_ARGUMENT: Error while parsing name_regex from ${source}: ${reason.replace('error parsing regexp: ', '')}`,
  );
  return (name) => expression.testExact(name);
}

function compile(source: string, explain: (reason: string) => string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (cause) {
    throw new BadRequest(explain(cause instanceof Error ? cause.message : String(cause)), 400, { cause });
  }
}
