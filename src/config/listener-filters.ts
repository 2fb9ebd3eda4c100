import type {
  ListenerFilter as FilterConfig,
  ListenerFilterChainMatchPredicate as Predicate,
} from '#plain/envoy.config.listener.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { Accepted, ListenerFilter } from '../net/listener-filter.ts';
import { at, type ListenerContext, typedObject } from './context.ts';

/** `listener_filters`, in their order; `filter_disabled` is asked per connection. */
export function compileListenerFilters(
  configs: readonly FilterConfig[],
  ctx: ListenerContext,
): ListenerFilter[] {
  return configs.map((config, i) => at(`listener_filters[${i}]`, () => compileFilter(config, ctx)));
}

function compileFilter(config: FilterConfig, ctx: ListenerContext): ListenerFilter {
  const typed = config.typedConfig;
  if (typed === undefined) {
    throw ConfigError.at('typed_config', `filter '${config.name ?? ''}' has no typed_config`);
  }
  const extension = ctx.extensions.find(typed.type);
  if (extension === undefined || extension.kind !== 'listener') {
    throw ConfigError.at('typed_config', `'${typed.type}' is not a listener filter that inox knows`);
  }
  const filter = at('typed_config', () => extension.compile(typedObject(typed.value), ctx));
  if (config.filterDisabled === undefined) return filter;
  const disabled = compilePredicate(config.filterDisabled, 'filter_disabled');
  return { inspect: (accepted, bytes) => (disabled(accepted) ? 'done' : filter.inspect(accepted, bytes)) };
}

type Test = (accepted: Accepted) => boolean;

/** `envoy.config.listener.v3.ListenerFilterChainMatchPredicate` */
function compilePredicate(config: Predicate, path: string): Test {
  const { orMatch, andMatch, notMatch, anyMatch, destinationPortRange: range } = config;
  const all = (rules: readonly Predicate[] | undefined, member: string): Test[] =>
    (rules ?? []).map((rule, i) => compilePredicate(rule, `${path}.${member}.rules[${i}]`));
  if (orMatch !== undefined) {
    const tests = all(orMatch.rules, 'or_match');
    return (accepted) => tests.some((test) => test(accepted));
  }
  if (andMatch !== undefined) {
    const tests = all(andMatch.rules, 'and_match');
    return (accepted) => tests.every((test) => test(accepted));
  }
  if (notMatch !== undefined) {
    const test = compilePredicate(notMatch, `${path}.not_match`);
    return (accepted) => !test(accepted);
  }
  if (anyMatch !== undefined) return () => anyMatch;
  if (range === undefined) throw ConfigError.at(path, 'needs one of its rules');
  const { start = 0, end = 0 } = range;
  // A Unix socket has no port, and matches no range.
  return ({ local }) => local.path === '' && local.port >= start && local.port < end;
}
