import type { Gauge } from '../../stats/scope.ts';
import type { Host } from '../host.ts';
import { createHostSet, type HostSet, localityKey, type WeighLocality } from '../host-set.ts';
import type { BalancingStats } from './balancing-stats.ts';
import type { LoadBalancer, PickContext } from './load-balancer.ts';
import {
  canonicalJson,
  type MetadataCriterion,
  type MetadataMatch,
  namesId,
  subsetId,
} from './metadata-match.ts';
import { type BalancingParts, compilePriorities } from './priority.ts';

export type SubsetFallback = 'NO_FALLBACK' | 'ANY_ENDPOINT' | 'DEFAULT_SUBSET';

/** Hosts are grouped by the values that they have for these keys. */
export interface SubsetSelector {
  /** Sorted. */
  readonly keys: readonly string[];
  readonly singleHost: boolean;
  /** For requests that name just these keys, when no subset has their values; null: as everybody. */
  readonly fallback: SubsetFallback | 'KEYS_SUBSET' | null;
  /** Keys that KEYS_SUBSET keeps. */
  readonly fallbackKeys: readonly string[];
}

/** `lb_subset_config` */
export interface SubsetOptions {
  readonly fallback: SubsetFallback;
  readonly defaultSubset: readonly Pick<MetadataCriterion, 'name' | 'value'>[];
  readonly selectors: readonly SubsetSelector[];
  readonly localityWeightAware: boolean;
  readonly scaleLocalityWeight: boolean;
  /** When the fallback has no host: any. */
  readonly panicModeAny: boolean;
  /** A list in a host's metadata stands for each of its values. */
  readonly listAsAny: boolean;
  /** A route may name alternatives. */
  readonly fallbackList: boolean;
  /** Keys of a route that no selector has are overlooked. */
  readonly allowRedundantKeys: boolean;
}

interface Members {
  readonly hosts: Host[];
  readonly singleHost: boolean;
}

/** Which hosts are in which subset. Lives as long as its cluster; health makes no difference to it. */
export class SubsetIndex {
  readonly options: SubsetOptions;
  readonly stats: BalancingStats;
  /** Hosts that shared a subset meant for one. */
  readonly #duplicates: Gauge;
  #subsets: ReadonlyMap<string, Members> = new Map();
  #default: readonly Host[] = [];
  readonly #fallbacks = new Map<string, SubsetSelector>();

  constructor(options: SubsetOptions, stats: BalancingStats, duplicates: Gauge) {
    this.#duplicates = duplicates;
    this.options = options;
    this.stats = stats;
    for (const selector of options.selectors) {
      const id = namesId(selector.keys);
      if (selector.fallback !== null && !this.#fallbacks.has(id)) this.#fallbacks.set(id, selector);
    }
  }

  get defaultHosts(): readonly Host[] {
    return this.#default;
  }

  members(id: string): Members | undefined {
    return this.#subsets.get(id);
  }

  /** The selector that has just these keys and says what to do when it has no subset. */
  fallbackOf(keysId: string): SubsetSelector | undefined {
    return this.#fallbacks.get(keysId);
  }

  /** To be called when hosts came, went, or changed their metadata. */
  update(hosts: readonly Host[]): void {
    const subsets = new Map<string, Members>();
    let duplicates = 0;
    for (const host of hosts) {
      const fields = balancerMetadata(host);
      if (fields === undefined) continue;
      for (const selector of this.options.selectors) {
        duplicates += this.#sort(host, fields, selector, subsets);
      }
    }
    this.#duplicates.set(duplicates);
    this.#default = hosts.filter((host) => this.#inDefault(host));
    this.#count(subsets);
    this.#subsets = subsets;
  }

  #sort(host: Host, fields: object, selector: SubsetSelector, subsets: Map<string, Members>): number {
    let duplicates = 0;
    for (const id of idsOf(fields, selector.keys, this.options.listAsAny)) {
      let members = subsets.get(id);
      if (members === undefined) {
        members = { hosts: [], singleHost: selector.singleHost };
        subsets.set(id, members);
      }
      if (members.singleHost && members.hosts.length > 0) duplicates++;
      else if (members.hosts.at(-1) !== host) members.hosts.push(host);
    }
    return duplicates;
  }

  #inDefault(host: Host): boolean {
    const fields = balancerMetadata(host);
    return this.options.defaultSubset.every(({ name, value }) => {
      const own = fields === undefined ? undefined : Reflect.get(fields, name);
      if (own === undefined) return false;
      if (this.options.listAsAny && Array.isArray(own))
        return own.some((one) => canonicalJson(one) === value);
      return canonicalJson(own) === value;
    });
  }

  #count(subsets: ReadonlyMap<string, Members>): void {
    const { stats } = this;
    for (const id of subsets.keys()) if (!this.#subsets.has(id)) stats.lbSubsetsCreated.inc();
    for (const id of this.#subsets.keys()) if (!subsets.has(id)) stats.lbSubsetsRemoved.inc();
    stats.lbSubsetsActive.set(subsets.size);
  }
}

/** The texts of the subsets of `keys` that a host belongs to; none when it lacks a key. */
function idsOf(fields: object, keys: readonly string[], listAsAny: boolean): string[] {
  let lists: Pick<MetadataCriterion, 'name' | 'value'>[][] = [[]];
  for (const name of keys) {
    const value: unknown = Reflect.get(fields, name);
    if (value === undefined) return [];
    const values = listAsAny && Array.isArray(value) ? value.map(canonicalJson) : [canonicalJson(value)];
    lists = lists.flatMap((list) => values.map((one) => [...list, { name, value: one }]));
  }
  return lists.map(subsetId);
}

function balancerMetadata(host: Host): object | undefined {
  const fields = host.metadata?.['envoy.lb'];
  return typeof fields === 'object' && fields !== null ? fields : undefined;
}

/** Envoy's SubsetLoadBalancer over one host set: each subset is balanced like a cluster of its own. */
export class SubsetBalancer implements LoadBalancer {
  readonly #index: SubsetIndex;
  readonly #hostSet: HostSet;
  readonly #parts: BalancingParts;
  /** By the subset's text; filled by the requests that ask for them. */
  readonly #balancers = new Map<string, LoadBalancer>();
  #any: LoadBalancer | null = null;
  #default: LoadBalancer | null = null;
  #originalSizes: Map<string, number> | null = null;

  constructor(index: SubsetIndex, hostSet: HostSet, parts: BalancingParts) {
    this.#index = index;
    this.#hostSet = hostSet;
    this.#parts = parts;
  }

  pick(context: PickContext | null): Host | undefined {
    const match = context === null ? null : context.metadataMatch;
    if (match === null || !this.#index.options.fallbackList) return this.#pick(match, context);
    const { fallbacks } = match;
    if (fallbacks === null) return this.#pick(match, context);
    for (const one of fallbacks) {
      const host = this.#pick(one, context);
      if (host !== undefined) return host;
    }
    return undefined;
  }

  #pick(asked: MetadataMatch | null, context: PickContext | null): Host | undefined {
    const { stats, options } = this.#index;
    if (asked !== null) {
      const match = options.allowRedundantKeys ? this.#known(asked) : asked;
      const subset = this.#find(match);
      if (subset !== undefined) {
        stats.lbSubsetsSelected.inc();
        return subset.pick(context);
      }
      const selector = this.#index.fallbackOf(match.namesId);
      if (selector !== undefined) return this.#fallBack(selector, match, context);
    }
    if (options.fallback === 'NO_FALLBACK') return undefined;
    const host = (options.fallback === 'ANY_ENDPOINT' ? this.#anyHost() : this.#defaultHost()).pick(context);
    if (host !== undefined) {
      stats.lbSubsetsFallback.inc();
      return host;
    }
    if (!options.panicModeAny) return undefined;
    const any = this.#anyHost().pick(context);
    if (any !== undefined) stats.lbSubsetsFallbackPanic.inc();
    return any;
  }

  #fallBack(selector: SubsetSelector, match: MetadataMatch, context: PickContext | null): Host | undefined {
    switch (selector.fallback) {
      case 'ANY_ENDPOINT':
        return this.#anyHost().pick(context);
      case 'DEFAULT_SUBSET':
        return this.#defaultHost().pick(context);
      case 'KEYS_SUBSET':
        // Fewer keys each time: this ends.
        return this.#pick(match.reduceTo(selector.fallbackKeys), context);
      default:
        return undefined;
    }
  }

  /** The criteria of the first selector whose keys are all asked for; all of them when there is none. */
  #known(asked: MetadataMatch): MetadataMatch {
    for (const { keys } of this.#index.options.selectors) {
      const reduced = asked.reduceTo(keys);
      if (reduced.criteria.length === keys.length) return reduced;
    }
    return asked;
  }

  #find(match: MetadataMatch): LoadBalancer | undefined {
    let balancer = this.#balancers.get(match.id);
    if (balancer !== undefined) return balancer;
    const members = this.#index.members(match.id);
    if (members === undefined) return undefined;
    balancer = members.singleHost ? { pick: () => members.hosts[0] } : this.#balance(members.hosts);
    this.#balancers.set(match.id, balancer);
    return balancer;
  }

  #anyHost(): LoadBalancer {
    this.#any ??= this.#balance(this.#hostSet.hosts);
    return this.#any;
  }

  #defaultHost(): LoadBalancer {
    this.#default ??= this.#balance(this.#index.defaultHosts);
    return this.#default;
  }

  #balance(hosts: readonly Host[]): LoadBalancer {
    const { overprovisioningFactor, priorities } = this.#hostSet;
    const set = createHostSet(hosts, overprovisioningFactor, this.#weigh(), priorities.length);
    return compilePriorities(set, this.#parts);
  }

  /** Subsets have their localities' weights only when they are asked to. */
  #weigh(): WeighLocality {
    const { localityWeightAware, scaleLocalityWeight } = this.#index.options;
    if (!localityWeightAware) return () => 0;
    return (members) => {
      const [first] = members;
      if (first === undefined || first.localityWeight === 0) return 0;
      if (!scaleLocalityWeight) return first.localityWeight;
      const all = this.#originalSize(first);
      return Math.max(1, Math.round((members.length * first.localityWeight) / all));
    };
  }

  /** How many hosts the whole cluster has where this one is. */
  #originalSize(host: Host): number {
    if (this.#originalSizes === null) {
      this.#originalSizes = new Map();
      for (const [i, level] of this.#hostSet.priorities.entries()) {
        for (const one of level.localities) {
          this.#originalSizes.set(`${i}\n${localityKey(one)}`, one.hosts.length);
        }
      }
    }
    return this.#originalSizes.get(`${host.priority}\n${localityKey(host.locality)}`) ?? 1;
  }
}
