import { RE2JS } from 're2js';
import { BadRequest } from './endpoint.ts';

/** Compiles an RE2 expression from a query; it may match anywhere in the name unless `whole`. */
export function compileNameFilter(source: string, whole = false): (name: string) => boolean {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BadRequest(`Invalid re2 regex: ${reason}\n`, 400, { cause });
  }
  return (name) => (whole ? expression.testExact(name) : expression.test(name));
}
