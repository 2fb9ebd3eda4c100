import type {
  RetryPolicy_RateLimitedRetryBackOff,
  RetryPolicy as RetryPolicyConfig,
} from '#plain/envoy.config.route.v3.ts';
import { ConfigError } from '../core/errors.ts';
import {
  DEFAULT_RETRY_POLICY,
  type HostPredicate,
  parsePolicyRetryOn,
  type RateLimitedBackOff,
  type RetryPolicy,
} from '../forward/retry-policy.ts';
import { RequestHead, type ResponseHead } from '../http/stream.ts';
import { compileHeaderMatcher } from '../route/header-matcher.ts';
import { type ExtensionRegistry, at as prefixed, typedObject } from './context.ts';

/** Where `retry_host_predicate` and `retry_priority` are found by the type of their configuration. */
export type RetryExtensions = Pick<ExtensionRegistry, 'find'>;

const DEFAULT_RESET_MAX_MS = 300_000;

/** `envoy.config.route.v3.RetryPolicy` */
export function compileRetryPolicy(
  config: RetryPolicyConfig,
  path: string,
  extensions: RetryExtensions | undefined,
): RetryPolicy {
  return {
    on: parsePolicyRetryOn(config.retryOn ?? ''),
    retries: config.numRetries ?? DEFAULT_RETRY_POLICY.retries,
    statusCodes: config.retriableStatusCodes ?? [],
    responseMatches: (config.retriableHeaders ?? []).map((matcher, i) =>
      responseMatch(matcher, `${path}.retriable_headers[${i}]`),
    ),
    requestMatches: (config.retriableRequestHeaders ?? []).map((matcher, i) =>
      compileHeaderMatcher(matcher, `${path}.retriable_request_headers[${i}]`),
    ),
    ...compileBackOff(config, path),
    rateLimited: compileRateLimited(config.rateLimitedRetryBackOff),
    hostPredicates: (config.retryHostPredicate ?? []).map((one, i) =>
      compilePredicate(one.typedConfig, `${path}.retry_host_predicate[${i}]`, extensions),
    ),
    hostAttempts: config.hostSelectionRetryMaxAttempts ?? DEFAULT_RETRY_POLICY.hostAttempts,
    priorityFrequency: compilePriority(config, path, extensions),
  };
}

function compileBackOff(config: RetryPolicyConfig, path: string): Pick<RetryPolicy, 'baseMs' | 'maxMs'> {
  const backOff = config.retryBackOff;
  if (backOff === undefined)
    return { baseMs: DEFAULT_RETRY_POLICY.baseMs, maxMs: DEFAULT_RETRY_POLICY.maxMs };
  // Envoy rounds less than a millisecond up.
  const baseMs = Math.max(1, backOff.baseInterval ?? 0);
  if (backOff.maxInterval === undefined) return { baseMs, maxMs: baseMs * 10 };
  const maxMs = Math.max(1, backOff.maxInterval);
  if (maxMs < baseMs) {
    throw ConfigError.at(`${path}.retry_back_off.max_interval`, 'must be at least base_interval');
  }
  return { baseMs, maxMs };
}

function compileRateLimited(
  config: RetryPolicy_RateLimitedRetryBackOff | undefined,
): RateLimitedBackOff | null {
  if (config === undefined) return null;
  return {
    resetHeaders: (config.resetHeaders ?? []).map((header) => ({
      name: (header.name ?? '').toLowerCase(),
      format: header.format ?? 'SECONDS',
    })),
    maxMs: config.maxInterval ?? DEFAULT_RESET_MAX_MS,
  };
}

/** Header matchers read request heads; of a response they may ask for `:status` and the fields. */
function responseMatch(
  config: Parameters<typeof compileHeaderMatcher>[0],
  path: string,
): (response: ResponseHead) => boolean {
  const matches = compileHeaderMatcher(config, path);
  const status = config.name === ':status';
  return (response) => {
    const headers = status ? [':status', String(response.status)] : response.headers;
    return matches(new RequestHead('', '', '', headers));
  };
}

function compilePredicate(
  typed: { readonly type: string; readonly value: unknown } | undefined,
  path: string,
  extensions: RetryExtensions | undefined,
): HostPredicate {
  if (typed === undefined) throw ConfigError.at(`${path}.typed_config`, 'is required');
  const extension = extensions?.find(typed.type);
  if (extension?.kind !== 'retry-host-predicate') {
    throw ConfigError.at(`${path}.typed_config`, `'${typed.type}' is not a predicate that inox knows`);
  }
  return prefixed(`${path}.typed_config`, () => extension.compile(typedObject(typed.value)));
}

/** Attempts after which the priorities that failed are left out; 0: never. */
function compilePriority(
  config: RetryPolicyConfig,
  path: string,
  extensions: RetryExtensions | undefined,
): number {
  const predicates = config.retryOptionsPredicates ?? [];
  if (predicates.length > 0) {
    throw ConfigError.at(`${path}.retry_options_predicates`, 'there are none that inox knows');
  }
  if (config.retryPriority === undefined) return 0;
  const at = `${path}.retry_priority.typed_config`;
  const typed = config.retryPriority.typedConfig;
  if (typed === undefined) throw ConfigError.at(at, 'is required');
  const extension = extensions?.find(typed.type);
  if (extension?.kind !== 'retry-priority') {
    throw ConfigError.at(at, `'${typed.type}' is not a retry priority that inox knows`);
  }
  return prefixed(at, () => extension.compile(typedObject(typed.value)));
}
