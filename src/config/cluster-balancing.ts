import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { LeastRequest } from '#plain/envoy.extensions.load_balancing_policies.least_request.v3.ts';
import type { PeakEwma } from '#plain/envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.ts';
import { ConfigError } from '../core/errors.ts';
import type { CompiledBalancing } from '../upstream/cluster.ts';
import type { ClusterContext } from '../upstream/context.ts';
import {
  compileLeastRequest,
  DEFAULT_LEAST_REQUEST,
  type LeastRequestOptions,
} from '../upstream/lb/least-request.ts';
import type { CreateLoadBalancer } from '../upstream/lb/load-balancer.ts';
import { compilePeakEwma, DEFAULT_DECAY_MS, DEFAULT_RTT_MS } from '../upstream/lb/peak-ewma.ts';
import { PeakEwmaSettings } from '../upstream/lb/peak-ewma-estimator.ts';
import { compileRandom } from '../upstream/lb/random.ts';
import { compileRoundRobin } from '../upstream/lb/round-robin.ts';

/** Runtime key that balances LEAST_REQUEST clusters by Peak-EWMA; no control plane sends the typed policy. */
export const PROMOTE_RUNTIME_KEY = 'inox.load_balancing.promote_least_request_to_peak_ewma';
/** Environment variable that does the same. */
export const PROMOTE_ENVIRONMENT = 'INOX_LB_PEAK_EWMA';

const POLICIES = 'envoy.extensions.load_balancing_policies.';

type Algorithm = Pick<CompiledBalancing, 'create' | 'peakEwma'>;

/** Whether LEAST_REQUEST means Peak-EWMA here: the runtime key decides when it is set, else the environment. */
export function promotesLeastRequest(runtime: boolean | undefined, environment: string | undefined): boolean {
  return runtime ?? (environment === '1' || environment?.toLowerCase() === 'true');
}

/** `lb_policy` with its options, or `load_balancing_policy`, which wins as in Envoy. */
export function compileBalancing(config: ClusterConfig, context: ClusterContext): CompiledBalancing {
  const common = config.commonLbConfig;
  if (config.lbSubsetConfig?.subsetSelectors !== undefined) {
    throw ConfigError.at('lb_subset_config', 'subset balancing is not supported yet');
  }
  return {
    ...compileAlgorithm(config, context),
    priorities: {
      panicThreshold: Math.min(
        100,
        common?.healthyPanicThreshold?.value ?? (common?.healthyPanicThreshold ? 0 : 50),
      ),
      failTrafficOnPanic: common?.zoneAwareLbConfig?.failTrafficOnPanic ?? false,
    },
  };
}

function compileAlgorithm(config: ClusterConfig, context: ClusterContext): Algorithm {
  if (config.loadBalancingPolicy !== undefined) return compileTyped(config, context);
  const policy = config.lbPolicy ?? 'ROUND_ROBIN';
  switch (policy) {
    case 'ROUND_ROBIN':
      return plain(compileRoundRobin(context.random));
    case 'RANDOM':
      return plain(compileRandom(context.random));
    case 'LEAST_REQUEST': {
      const options = config.leastRequestLbConfig;
      return leastRequest(options?.choiceCount, options?.activeRequestBias?.defaultValue, false, context);
    }
    case 'LOAD_BALANCING_POLICY_CONFIG':
      throw ConfigError.at('load_balancing_policy', 'is required by lb_policy LOAD_BALANCING_POLICY_CONFIG');
    default:
      throw ConfigError.at('lb_policy', `${policy} is not supported yet`);
  }
}

/** The first policy of the list that is known here. */
function compileTyped(config: ClusterConfig, context: ClusterContext): Algorithm {
  const names: string[] = [];
  for (const policy of config.loadBalancingPolicy?.policies ?? []) {
    const any = policy.typedExtensionConfig?.typedConfig;
    names.push(policy.typedExtensionConfig?.name ?? '');
    switch (any?.type) {
      case `${POLICIES}round_robin.v3.RoundRobin`:
        return plain(compileRoundRobin(context.random));
      case `${POLICIES}random.v3.Random`:
        return plain(compileRandom(context.random));
      case `${POLICIES}least_request.v3.LeastRequest`: {
        const options = any.value as LeastRequest;
        const scan = options.selectionMethod === 'FULL_SCAN' || options.enableFullScan === true;
        return leastRequest(options.choiceCount, options.activeRequestBias?.defaultValue, scan, context);
      }
      case `${POLICIES}peak_ewma.v3alpha.PeakEwma`: {
        const options = any.value as PeakEwma;
        return peakEwma(options.defaultRtt, options.decayTime, context);
      }
      default:
    }
  }
  const known = names.map((name) => `'${name}'`).join(', ');
  throw ConfigError.at('load_balancing_policy.policies', `none of the policies is supported: ${known}`);
}

function plain(create: CreateLoadBalancer): Algorithm {
  return { create, peakEwma: null };
}

function leastRequest(
  choiceCount: number | undefined,
  bias: number | undefined,
  fullScan: boolean,
  context: ClusterContext,
): Algorithm {
  if (context.promoteLeastRequest) return peakEwma(undefined, undefined, context);
  const options: LeastRequestOptions = {
    choiceCount: choiceCount ?? DEFAULT_LEAST_REQUEST.choiceCount,
    activeRequestBias: bias ?? DEFAULT_LEAST_REQUEST.activeRequestBias,
    fullScan,
  };
  return plain(compileLeastRequest(context.random, options));
}

function peakEwma(
  defaultRttMs: number | undefined,
  decayMs: number | undefined,
  context: ClusterContext,
): Algorithm {
  const settings = new PeakEwmaSettings(
    defaultRttMs ?? DEFAULT_RTT_MS,
    decayMs ?? DEFAULT_DECAY_MS,
    context.clock,
  );
  return { create: compilePeakEwma(context.random, settings), peakEwma: settings };
}
