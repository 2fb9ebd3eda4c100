import type {
  QueryParameterMatcher,
  RouteMatch,
  RouteMatch_TlsContextMatchOptions,
} from '#plain/envoy.config.route.v3.ts';
import type { FractionalPercent } from '#plain/envoy.type.v3.ts';
import type { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import { compileRegex } from '../core/regex.ts';
import { asciiLower, toWire } from '../core/wire.ts';
import { isGrpc } from '../http/grpc.ts';
import { queryParameter } from '../http/query.ts';
import type { RequestHead } from '../http/stream.ts';
import { compileHeaderMatcher, type RequestPredicate } from './header-matcher.ts';
import { compileExact, compilePrefix, compileStringMatcher, type StringPredicate } from './string-matcher.ts';

/**
 * What a route asks of the path, without query and fragment. `exact` and `prefix` can be indexed; `separated`
 * is a prefix that must end at a `/` or at the end. What a `test` accepts begins with its `prefix`.
 */
export type PathMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string; readonly separated: boolean }
  | { readonly kind: 'test'; readonly prefix: string; readonly test: StringPredicate };

/** Everything but the path; `random` is the request's one random number, as Envoy uses it for all draws. */
export type RouteCondition = (request: RequestHead, random: number) => boolean;

/** Looks up a runtime fraction; the Cell is empty while the key is not set. */
export type RuntimeFractions = (key: string) => Cell<FractionalPercent>;

export interface CompiledMatch {
  readonly path: PathMatch;
  readonly condition: RouteCondition | undefined;
  /** The literal or matched prefix that `prefix_rewrite` replaces: length, or −1 for the whole path (regex). */
  readonly rewriteLength: number;
}

export function compileRouteMatch(
  config: RouteMatch,
  path: string,
  fractions?: RuntimeFractions,
): CompiledMatch {
  if (config.dynamicMetadata !== undefined && config.dynamicMetadata.length > 0) {
    throw ConfigError.at(`${path}.dynamic_metadata`, 'matching on dynamic metadata is not supported');
  }
  return {
    path: compilePathMatch(config, path),
    condition: compileCondition(config, path, fractions),
    rewriteLength: rewriteLength(config),
  };
}

function rewriteLength(config: RouteMatch): number {
  const literal = config.prefix ?? config.pathSeparatedPrefix ?? config.path;
  return literal === undefined ? -1 : toWire(literal).length;
}

function compilePathMatch(config: RouteMatch, path: string): PathMatch {
  const fold = config.caseSensitive === false;
  if (config.prefix !== undefined) {
    if (fold) return { kind: 'test', prefix: '', test: compilePrefix(config.prefix, true) };
    return { kind: 'prefix', value: toWire(config.prefix), separated: false };
  }
  if (config.path !== undefined) {
    if (fold) return { kind: 'test', prefix: '', test: compileExact(config.path, true) };
    return { kind: 'exact', value: toWire(config.path) };
  }
  if (config.pathSeparatedPrefix !== undefined) {
    const value = toWire(config.pathSeparatedPrefix);
    if (!/^[^?#]+[^?#/]$/.test(value)) {
      throw ConfigError.at(`${path}.path_separated_prefix`, 'must not end in / nor contain ? or #');
    }
    if (!fold) return { kind: 'prefix', value, separated: true };
    const folded = asciiLower(value);
    return { kind: 'test', prefix: '', test: (text) => separatedPrefix(asciiLower(text), folded) };
  }
  if (config.safeRegex !== undefined) {
    const regex = compileRegex(config.safeRegex.regex ?? '', `${path}.safe_regex`);
    return { kind: 'test', prefix: regex.prefix, test: regex.matches };
  }
  // A CONNECT has no path, and nothing else is without one.
  if (config.connectMatcher !== undefined) return { kind: 'test', prefix: '', test: (text) => text === '' };
  throw ConfigError.at(path, 'one of prefix, path, safe_regex, path_separated_prefix is required');
}

function separatedPrefix(text: string, prefix: string): boolean {
  return (
    text.startsWith(prefix) && (text.length === prefix.length || text.charCodeAt(prefix.length) === 0x2f)
  );
}

function compileCondition(
  config: RouteMatch,
  path: string,
  fractions?: RuntimeFractions,
): RouteCondition | undefined {
  const tests: RouteCondition[] = [];
  if (config.runtimeFraction !== undefined) tests.push(compileFraction(config.runtimeFraction, fractions));
  if (config.grpc !== undefined) tests.push((request) => isGrpc(request.headers));
  if (config.tlsContext !== undefined) tests.push(...compileTlsContext(config.tlsContext));
  for (const [i, header] of (config.headers ?? []).entries()) {
    tests.push(compileHeaderMatcher(header, `${path}.headers[${i}]`));
  }
  for (const [i, parameter] of (config.queryParameters ?? []).entries()) {
    tests.push(compileQueryParameter(parameter, `${path}.query_parameters[${i}]`));
  }
  if (tests.length <= 1) return tests[0];
  return (request, random) => {
    for (const test of tests) if (!test(request, random)) return false;
    return true;
  };
}

/** What the client showed of itself in the handshake; who came in clear text has shown nothing. */
function compileTlsContext({ presented, validated }: RouteMatch_TlsContextMatchOptions): RequestPredicate[] {
  const tests: RequestPredicate[] = [];
  if (presented !== undefined) tests.push(({ tls }) => ((tls?.peer ?? null) !== null) === presented);
  if (validated !== undefined) tests.push(({ tls }) => (tls?.peerValidated ?? false) === validated);
  return tests;
}

const DENOMINATORS: Readonly<Record<string, number>> = {
  HUNDRED: 100,
  TEN_THOUSAND: 10_000,
  MILLION: 1_000_000,
};

/** `random % denominator < numerator`, the same number for every draw of a request. */
export function inFraction(fraction: FractionalPercent, random: number): boolean {
  return random % (DENOMINATORS[fraction.denominator ?? 'HUNDRED'] ?? 100) < (fraction.numerator ?? 0);
}

/** Whether a request is in the fraction, by its random number; the runtime key's value wins over the config's. */
export function compileFraction(
  config: NonNullable<RouteMatch['runtimeFraction']>,
  fractions?: RuntimeFractions,
): RouteCondition {
  const fallback = config.defaultValue ?? {};
  if (fractions === undefined || config.runtimeKey === undefined || config.runtimeKey === '') {
    return (_request, random) => inFraction(fallback, random);
  }
  const cell = fractions(config.runtimeKey);
  return (_request, random) => inFraction(cell.value ?? fallback, random);
}

function compileQueryParameter(config: QueryParameterMatcher, path: string): RequestPredicate {
  const name = toWire(config.name ?? '');
  if (config.stringMatch !== undefined) {
    const test = compileStringMatcher(config.stringMatch, `${path}.string_match`);
    return (request) => {
      const value = queryParameter(request.path, name);
      return value !== undefined && test(value);
    };
  }
  const wanted = config.presentMatch ?? true;
  return (request) => (queryParameter(request.path, name) !== undefined) === wanted;
}
