import type {
  Cluster_SlowStartConfig,
  Cluster as ClusterConfig,
  LoadBalancingPolicy,
} from '#plain/envoy.config.cluster.v3.ts';
import type {
  LocalityLbConfig,
  SlowStartConfig,
} from '#plain/envoy.extensions.load_balancing_policies.common.v3.ts';
import type { LeastRequest } from '#plain/envoy.extensions.load_balancing_policies.least_request.v3.ts';
import type { Maglev } from '#plain/envoy.extensions.load_balancing_policies.maglev.v3.ts';
import type { PeakEwma } from '#plain/envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.ts';
import type { Random as RandomConfig } from '#plain/envoy.extensions.load_balancing_policies.random.v3.ts';
import type { RingHash } from '#plain/envoy.extensions.load_balancing_policies.ring_hash.v3.ts';
import type { RoundRobin } from '#plain/envoy.extensions.load_balancing_policies.round_robin.v3.ts';
import type { Subset } from '#plain/envoy.extensions.load_balancing_policies.subset.v3.ts';
import type { WrrLocality } from '#plain/envoy.extensions.load_balancing_policies.wrr_locality.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { CompiledBalancing } from '../upstream/cluster.ts';
import type { ClusterContext } from '../upstream/context.ts';
import { compileLeastRequest, DEFAULT_LEAST_REQUEST } from '../upstream/lb/least-request.ts';
import type { CreateLoadBalancer } from '../upstream/lb/load-balancer.ts';
import { compilePeakEwma, DEFAULT_DECAY_MS, DEFAULT_RTT_MS } from '../upstream/lb/peak-ewma.ts';
import { PeakEwmaSettings } from '../upstream/lb/peak-ewma-estimator.ts';
import { compileRandom } from '../upstream/lb/random.ts';
import { compileRoundRobin } from '../upstream/lb/round-robin.ts';
import type { SlowStart } from '../upstream/lb/slow-start.ts';
import type { SubsetOptions } from '../upstream/lb/subset.ts';
import { compileAggregate, isAggregate } from './cluster-aggregate.ts';
import { hashesHostnames, maglev, ringHash } from './cluster-hashing.ts';
import { isOriginalDst } from './cluster-original-dst.ts';
import { compileSubsets } from './cluster-subsets.ts';
import { at } from './context.ts';

/** Runtime key that balances LEAST_REQUEST clusters by Peak-EWMA; no control plane sends the typed policy. */
export const PROMOTE_RUNTIME_KEY = 'inox.load_balancing.promote_least_request_to_peak_ewma';
/** Environment variable that does the same. */
export const PROMOTE_ENVIRONMENT = 'INOX_LB_PEAK_EWMA';

const POLICIES = 'envoy.extensions.load_balancing_policies.';
const DEFAULT_PANIC_THRESHOLD = 50;
const DEFAULT_MIN_CLUSTER_SIZE = 6;
const DEFAULT_MIN_WEIGHT_PERCENT = 10;

/** What the choice of the algorithm decides; the rest is common to all. */
interface Algorithm extends Pick<CompiledBalancing, 'create' | 'peakEwma' | 'slowStart'> {
  /** Localities and zones, from the cluster or from the typed policy. */
  readonly localities: LocalityLbConfig | undefined;
  readonly subsets: SubsetOptions | null;
  /** A request's hash decides, wherever the host is. */
  readonly ignoresZones?: boolean;
}

/** Whether LEAST_REQUEST means Peak-EWMA here: the runtime key decides when it is set, else the environment. */
export function promotesLeastRequest(runtime: boolean | undefined, environment: string | undefined): boolean {
  return runtime ?? (environment === '1' || environment?.toLowerCase() === 'true');
}

/** `lb_policy` with its options, or `load_balancing_policy`, which wins as in Envoy. */
export function compileBalancing(config: ClusterConfig, context: ClusterContext): CompiledBalancing {
  const common = config.commonLbConfig;
  const threshold = common?.healthyPanicThreshold;
  const { create, peakEwma, slowStart, localities, subsets, ignoresZones } = compileAlgorithm(
    config,
    context,
  );
  const zones = localities?.zoneAwareLbConfig;
  const local = context.localPeers ?? null;
  return {
    create,
    peakEwma,
    slowStart,
    subsets,
    aggregate: compileAggregate(config, context),
    priorities: {
      panicThreshold: Math.min(
        100,
        threshold === undefined ? DEFAULT_PANIC_THRESHOLD : (threshold.value ?? 0),
      ),
      failTrafficOnPanic: zones?.failTrafficOnPanic ?? false,
      localityWeighted: localities?.localityWeightedLbConfig !== undefined,
      zoneAware:
        local === null || ignoresZones === true
          ? null
          : {
              local,
              routingEnabled: zones?.routingEnabled === undefined ? 100 : (zones.routingEnabled.value ?? 0),
              minClusterSize: zones?.minClusterSize ?? DEFAULT_MIN_CLUSTER_SIZE,
            },
    },
  };
}

function compileAlgorithm(config: ClusterConfig, context: ClusterContext): Algorithm {
  if (config.loadBalancingPolicy !== undefined) {
    const { loadBalancingPolicy, commonLbConfig: common } = config;
    if (common?.zoneAwareLbConfig !== undefined || common?.localityWeightedLbConfig !== undefined) {
      const where = 'common_lb_config';
      throw ConfigError.at(where, 'localities and zones of a load_balancing_policy belong into the policy');
    }
    return at('load_balancing_policy', () => compileTyped(loadBalancingPolicy, context));
  }
  const older: Algorithm = { ...compileOlder(config, context), localities: config.commonLbConfig };
  // Envoy does without subsets when there is no selector, whatever else is said about them.
  if ((config.lbSubsetConfig?.subsetSelectors?.length ?? 0) === 0) return older;
  const subsets = config.lbSubsetConfig ?? {};
  return { ...older, subsets: at('lb_subset_config', () => compileSubsets(subsets, false)) };
}

function compileOlder(config: ClusterConfig, context: ClusterContext): Algorithm {
  const policy = config.lbPolicy ?? 'ROUND_ROBIN';
  // Their hosts are chosen by other means.
  if (isAggregate(config) || isOriginalDst(config)) return plain(() => NOBODY, undefined);
  switch (policy) {
    case 'ROUND_ROBIN':
      return roundRobin(config.roundRobinLbConfig?.slowStartConfig, undefined, context);
    case 'RANDOM':
      return plain(compileRandom(context.random), undefined);
    case 'LEAST_REQUEST':
      return leastRequest(config.leastRequestLbConfig ?? {}, false, context);
    case 'RING_HASH': {
      const useHostname = hashesHostnames(config);
      const { ringHashLbConfig = {} } = config;
      return hashing(
        at('ring_hash_lb_config', () => ringHash(ringHashLbConfig, useHostname, context.random)),
      );
    }
    case 'MAGLEV': {
      const useHostname = hashesHostnames(config);
      const { maglevLbConfig = {} } = config;
      return hashing(at('maglev_lb_config', () => maglev(maglevLbConfig, useHostname, context.random)));
    }
    case 'LOAD_BALANCING_POLICY_CONFIG':
      throw ConfigError.at('load_balancing_policy', 'is required by lb_policy LOAD_BALANCING_POLICY_CONFIG');
    default:
      throw ConfigError.at('lb_policy', `${policy} is not supported yet`);
  }
}

const NOBODY = { pick: () => undefined };

/** The first policy of the list that is known here. */
function compileTyped(config: LoadBalancingPolicy, context: ClusterContext): Algorithm {
  const names: string[] = [];
  for (const [i, policy] of (config.policies ?? []).entries()) {
    const any = policy.typedExtensionConfig?.typedConfig;
    names.push(policy.typedExtensionConfig?.name ?? '');
    const path = `policies[${i}].typed_extension_config.typed_config`;
    const algorithm = at(path, () => compilePolicy(any?.type ?? '', any?.value, context));
    if (algorithm !== null) return algorithm;
  }
  const known = names.map((name) => `'${name}'`).join(', ');
  throw ConfigError.at('policies', `none of the policies is supported: ${known}`);
}

/** Null when the policy is not known here. */
function compilePolicy(type: string, value: unknown, context: ClusterContext): Algorithm | null {
  switch (type) {
    case `${POLICIES}round_robin.v3.RoundRobin`: {
      const options = value as RoundRobin;
      return roundRobin(options.slowStartConfig, options.localityLbConfig, context);
    }
    case `${POLICIES}random.v3.Random`:
      return plain(compileRandom(context.random), (value as RandomConfig).localityLbConfig);
    case `${POLICIES}least_request.v3.LeastRequest`: {
      const options = value as LeastRequest;
      const scan = options.selectionMethod === 'FULL_SCAN' || options.enableFullScan === true;
      return { ...leastRequest(options, scan, context), localities: options.localityLbConfig };
    }
    case `${POLICIES}peak_ewma.v3alpha.PeakEwma`: {
      const options = value as PeakEwma;
      return peakEwma(options.defaultRtt, options.decayTime, context);
    }
    case `${POLICIES}ring_hash.v3.RingHash`: {
      const options = value as RingHash;
      const useHostname =
        options.consistentHashingLbConfig?.useHostnameForHashing ?? options.useHostnameForHashing ?? false;
      return hashing(ringHash(options, useHostname, context.random));
    }
    case `${POLICIES}maglev.v3.Maglev`: {
      const options = value as Maglev;
      const useHostname = options.consistentHashingLbConfig?.useHostnameForHashing ?? false;
      return hashing(maglev(options, useHostname, context.random));
    }
    case `${POLICIES}wrr_locality.v3.WrrLocality`: {
      const inner = compileInner(
        (value as WrrLocality).endpointPickingPolicy,
        'endpoint_picking_policy',
        context,
      );
      return { ...inner, localities: { localityWeightedLbConfig: {} } };
    }
    case `${POLICIES}subset.v3.Subset`: {
      const options = value as Subset;
      const inner = compileInner(options.subsetLbPolicy, 'subset_lb_policy', context);
      return { ...inner, subsets: compileSubsets(options, options.allowRedundantKeys ?? false) };
    }
    default:
      return null;
  }
}

function compileInner(
  config: LoadBalancingPolicy | undefined,
  path: string,
  context: ClusterContext,
): Algorithm {
  const inner = at(path, () => compileTyped(config ?? {}, context));
  if (inner.subsets !== null) throw ConfigError.at(path, 'subsets within subsets are not supported');
  return inner;
}

function plain(create: CreateLoadBalancer, localities: LocalityLbConfig | undefined): Algorithm {
  return { create, peakEwma: null, slowStart: null, subsets: null, localities };
}

function hashing(create: CreateLoadBalancer): Algorithm {
  return { ...plain(create, undefined), ignoresZones: true };
}

function roundRobin(
  slowStartConfig: SlowStartConfig | Cluster_SlowStartConfig | undefined,
  localities: LocalityLbConfig | undefined,
  context: ClusterContext,
): Algorithm {
  const slowStart = compileSlowStart(slowStartConfig, context);
  return { ...plain(compileRoundRobin(context.random, slowStart), localities), slowStart };
}

function leastRequest(
  { choiceCount, activeRequestBias, slowStartConfig }: LeastRequest,
  fullScan: boolean,
  context: ClusterContext,
): Algorithm {
  const slowStart = compileSlowStart(slowStartConfig, context);
  const bias = activeRequestBias?.defaultValue;
  // New hosts start with the default round trip there, which spares them the rush.
  if (context.promoteLeastRequest) return peakEwma(undefined, undefined, context);
  const options = {
    choiceCount: choiceCount ?? DEFAULT_LEAST_REQUEST.choiceCount,
    activeRequestBias: bias ?? DEFAULT_LEAST_REQUEST.activeRequestBias,
    fullScan,
    slowStart,
  };
  return { ...plain(compileLeastRequest(context.random, options), undefined), slowStart };
}

function compileSlowStart(
  config: SlowStartConfig | Cluster_SlowStartConfig | undefined,
  context: ClusterContext,
): SlowStart | null {
  const windowMs = config?.slowStartWindow ?? 0;
  if (windowMs === 0) return null;
  const percent = config?.minWeightPercent;
  return {
    windowMs,
    aggression: Math.max(0, config?.aggression?.defaultValue ?? 1) || 1,
    minWeight: (percent === undefined ? DEFAULT_MIN_WEIGHT_PERCENT : (percent.value ?? 0)) / 100,
    clock: context.clock,
  };
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
  return { ...plain(compilePeakEwma(context.random, settings), undefined), peakEwma: settings };
}
