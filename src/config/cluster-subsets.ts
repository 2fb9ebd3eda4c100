import type { Cluster_LbSubsetConfig } from '#plain/envoy.config.cluster.v3.ts';
import type {
  Subset,
  Subset_LbSubsetSelector,
} from '#plain/envoy.extensions.load_balancing_policies.subset.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { canonicalJson } from '../upstream/lb/metadata-match.ts';
import type { SubsetOptions, SubsetSelector } from '../upstream/lb/subset.ts';

/** `lb_subset_config`, or the typed policy, which says the same. */
export function compileSubsets(
  config: Cluster_LbSubsetConfig | Subset,
  allowRedundantKeys: boolean,
): SubsetOptions {
  const defaults = Object.entries(config.defaultSubset ?? {});
  return {
    fallback: config.fallbackPolicy ?? 'NO_FALLBACK',
    defaultSubset: defaults.map(([name, value]) => ({ name, value: canonicalJson(value) })),
    selectors: (config.subsetSelectors ?? [])
      .map((selector, i) => compileSelector(selector, `subset_selectors[${i}]`))
      // Envoy takes one without keys, which makes no subset.
      .filter(({ keys }) => keys.length > 0),
    localityWeightAware: config.localityWeightAware ?? false,
    scaleLocalityWeight: config.scaleLocalityWeight ?? false,
    panicModeAny: config.panicModeAny ?? false,
    listAsAny: config.listAsAny ?? false,
    fallbackList: config.metadataFallbackPolicy === 'FALLBACK_LIST',
    allowRedundantKeys,
  };
}

function compileSelector(config: Subset_LbSubsetSelector, path: string): SubsetSelector {
  const keys = [...new Set(config.keys ?? [])].sort();
  const fallback = config.fallbackPolicy ?? 'NOT_DEFINED';
  const fallbackKeys = [...new Set(config.fallbackKeysSubset ?? [])].sort();
  if (config.singleHostPerSubset === true && keys.length > 1) {
    throw ConfigError.at(`${path}.single_host_per_subset`, 'needs a selector with exactly one key');
  }
  if (fallback === 'KEYS_SUBSET') {
    const where = `${path}.fallback_keys_subset`;
    if (fallbackKeys.length === 0) throw ConfigError.at(where, 'must not be empty for KEYS_SUBSET');
    if (!fallbackKeys.every((key) => keys.includes(key))) {
      throw ConfigError.at(where, 'must be a subset of the keys of the selector');
    }
    if (fallbackKeys.length === keys.length)
      throw ConfigError.at(where, 'must not be all keys of the selector');
  }
  return {
    keys,
    singleHost: config.singleHostPerSubset ?? false,
    fallback: fallback === 'NOT_DEFINED' ? null : fallback,
    fallbackKeys,
  };
}
