import type {
  DirectResponseAction,
  RouteAction,
  Route as RouteConfig,
  RouteConfiguration,
  VirtualHost as VirtualHostConfig,
  WeightedCluster,
  WeightedCluster_ClusterWeight,
} from '#plain/envoy.config.route.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';
import { toWire } from '../core/wire.ts';
import { getHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import type { ClusterPick, DirectRoute, ForwardRoute, Route, RouteBase } from '../route/action.ts';
import { compileHeaderMutations, type HeaderMutations, orderMutations } from '../route/policy.ts';
import { compileLocation, REDIRECT_STATUS } from '../route/redirect.ts';
import { compileRewrite } from '../route/rewrite.ts';
import { ANY_HOST, type PickContext } from '../upstream/lb/load-balancer.ts';
import { MetadataMatch } from '../upstream/lb/metadata-match.ts';
import { readText } from './data-source.ts';
import {
  compileForwardPolicy,
  compileStreamDuration,
  type ForwardContext,
  knownCluster,
} from './forward-policy.ts';
import { compileHashPolicy } from './hash-policy.ts';
import type { CompileRouteFilters, PerFilterLevel } from './per-filter-config.ts';

/** What compiling routes needs from outside. */
export interface RouteContext<C = unknown> extends ForwardContext<C> {
  /** Given: routes may configure and disable filters. */
  readonly routeFilters?: CompileRouteFilters;
  /** Hears what is wrong with a virtual host that is compiled when its first request comes. */
  readonly onLate?: (error: unknown) => void;
}

/** What a route's action takes over from the levels around it. */
export interface RouteLevel {
  readonly path: string;
  readonly matchedLength: number;
  readonly tableConfig: RouteConfiguration;
  readonly virtualHostConfig: VirtualHostConfig;
  /** Most specific first. */
  readonly request: readonly (HeaderMutations | undefined)[];
  readonly response: readonly (HeaderMutations | undefined)[];
  /** `typed_per_filter_config` of the route and around it, most specific first. */
  readonly filterLevels: readonly PerFilterLevel[];
}

export function compileRoute<C>(config: RouteConfig, level: RouteLevel, ctx: RouteContext<C>): Route<C> {
  const { path, tableConfig, virtualHostConfig } = level;
  const wins = tableConfig.mostSpecificHeaderMutationsWins === true;
  const base: RouteBase = {
    name: toWire(config.name ?? ''),
    virtualHost: toWire(virtualHostConfig.name ?? ''),
    statPrefix: config.statPrefix ?? '',
    filters: ctx.routeFilters?.(level.filterLevels) ?? null,
    requestMutations: orderMutations(level.request, wins),
    responseMutations: orderMutations(level.response, wins),
  };
  if (config.route !== undefined) return compileForward(config.route, config, base, level, ctx);
  if (config.redirect !== undefined) {
    const { redirect } = config;
    const status = REDIRECT_STATUS[redirect.responseCode ?? 'MOVED_PERMANENTLY'];
    const location = compileLocation(redirect, level.matchedLength, `${path}.redirect`);
    return { kind: 'redirect', ...base, status, location };
  }
  if (config.directResponse !== undefined) {
    const at = `${path}.direct_response`;
    const limit = tableConfig.maxDirectResponseBodySizeBytes ?? 4096;
    return { kind: 'direct', ...base, ...compileDirect(config.directResponse, limit, at) };
  }
  const field = config.filterAction !== undefined ? 'filter_action' : 'non_forwarding_action';
  if (config.filterAction !== undefined || config.nonForwardingAction !== undefined) {
    throw ConfigError.at(`${path}.${field}`, 'this action is not supported');
  }
  throw ConfigError.at(path, 'one of route, redirect, direct_response is required');
}

function compileDirect(
  config: DirectResponseAction,
  limit: number,
  path: string,
): Pick<DirectRoute, 'status' | 'body' | 'location'> {
  const status = config.status ?? 0;
  if (status < 200 || status > 599) throw ConfigError.at(`${path}.status`, 'must be from 200 to 599');
  const body = config.body === undefined ? '' : readText(config.body, `${path}.body`);
  const size = Buffer.byteLength(body);
  if (size > limit) {
    throw ConfigError.at(`${path}.body`, `the body is ${size} bytes long, ${limit} are allowed`);
  }
  const redirects = status === 201 || (status >= 300 && status < 400);
  return { status, body, location: redirects ? compileLocation({}, 0, path) : undefined };
}

import { compileRouteUpgrades } from './upgrades.ts';

const NOT_FOUND_STATUS: Readonly<Record<NonNullable<RouteAction['clusterNotFoundResponseCode']>, number>> = {
  SERVICE_UNAVAILABLE: 503,
  NOT_FOUND: 404,
  INTERNAL_SERVER_ERROR: 500,
};

function compileForward<C>(
  config: RouteAction,
  routeConfig: RouteConfig,
  base: RouteBase,
  level: RouteLevel,
  ctx: RouteContext<C>,
): ForwardRoute<C> {
  const at = `${level.path}.route`;
  return {
    kind: 'forward',
    ...base,
    pickCluster: compilePick(config, base, level, ctx),
    clusterNotFoundStatus: NOT_FOUND_STATUS[config.clusterNotFoundResponseCode ?? 'SERVICE_UNAVAILABLE'],
    forward: compileForwardPolicy(config, routeConfig, level, ctx),
    maxStreamDuration: compileStreamDuration(config),
    upgrades: compileRouteUpgrades(config.upgradeConfigs, `${at}.upgrade_configs`),
    idleTimeoutMs: config.idleTimeout,
    hash: compileHashPolicy(config.hashPolicy, `${at}.hash_policy`),
    rewrite: compileRewrite(config, level.matchedLength, at),
    autoHostRewrite: config.autoHostRewrite === true,
    appendXForwardedHost: config.appendXForwardedHost === true,
    priority: config.priority ?? 'DEFAULT',
    config,
    virtualHostConfig: level.virtualHostConfig,
  };
}

type PickCluster<C> = ForwardRoute<C>['pickCluster'];

function compilePick<C>(
  config: RouteAction,
  base: RouteBase,
  level: RouteLevel,
  ctx: RouteContext<C>,
): PickCluster<C> {
  const path = `${level.path}.route`;
  const match = MetadataMatch.merge(null, config.metadataMatch?.filterMetadata?.[BALANCER_METADATA]);
  const shared: PickParts = {
    ...base,
    ownRequestMutations: undefined,
    hostRewriteLiteral: '',
    hosts: pickContext(match),
  };
  if (config.cluster !== undefined) {
    const pick = pickOf(knownCluster(config.cluster, `${path}.cluster`, level, ctx), ctx, shared);
    return () => pick;
  }
  if (config.clusterHeader !== undefined) return pickByHeader(config.clusterHeader, ctx, shared);
  if (config.weightedClusters !== undefined) {
    return pickByWeight(config.weightedClusters, match, base, level, ctx);
  }
  if (config.clusterSpecifierPlugin !== undefined || config.inlineClusterSpecifierPlugin !== undefined) {
    throw ConfigError.at(path, 'cluster specifier plugins are not supported');
  }
  throw ConfigError.at(path, 'one of cluster, cluster_header, weighted_clusters is required');
}

/** The part of `metadata_match` that chooses a subset of hosts. */
const BALANCER_METADATA = 'envoy.lb';

function pickContext(metadataMatch: MetadataMatch | null): PickContext | null {
  return metadataMatch === null ? null : { ...ANY_HOST, metadataMatch };
}

type PickParts = Pick<
  ClusterPick,
  | 'ownRequestMutations'
  | 'requestMutations'
  | 'responseMutations'
  | 'hostRewriteLiteral'
  | 'filters'
  | 'hosts'
>;

function pickOf<C>(name: string, ctx: RouteContext<C>, parts: PickParts): ClusterPick<C> {
  return {
    name: toWire(name),
    cell: name === '' ? new Cell<C>() : ctx.cluster(name),
    ownRequestMutations: parts.ownRequestMutations,
    requestMutations: parts.requestMutations,
    responseMutations: parts.responseMutations,
    hostRewriteLiteral: parts.hostRewriteLiteral,
    filters: parts.filters,
    hosts: parts.hosts,
  };
}

/** The one look-up by name while serving; a request without the header gets a pick without a cluster. */
function pickByHeader<C>(header: string, ctx: RouteContext<C>, parts: PickParts): PickCluster<C> {
  const name = header.toLowerCase();
  return (_random, request) => pickOf(clusterHeader(request, name), ctx, parts);
}

function clusterHeader(request: RequestHead, name: string): string {
  if (name === ':authority' || name === 'host') return request.authority;
  return getHeader(request.headers, name) ?? '';
}

function pickByWeight<C>(
  config: WeightedCluster,
  match: MetadataMatch | null,
  base: RouteBase,
  level: RouteLevel,
  ctx: RouteContext<C>,
): PickCluster<C> {
  const path = `${level.path}.route.weighted_clusters`;
  const picks: PickCluster<C>[] = [];
  const limits: number[] = [];
  let total = 0;
  for (const [i, entry] of (config.clusters ?? []).entries()) {
    total += entry.weight ?? 0;
    limits.push(total);
    picks.push(compileWeight(entry, `${path}.clusters[${i}]`, match, base, level, ctx));
  }
  if (total === 0) throw ConfigError.at(path, 'the sum of the weights must be greater than 0');
  if (total > 0xffff_ffff) throw ConfigError.at(path, 'the sum of the weights must fit into 32 bits');
  const header = config.headerName?.toLowerCase();
  return (random, request) => {
    const drawn = (header === undefined ? random : drawOf(request, header, random)) % total;
    let i = 0;
    while (i < limits.length - 1 && drawn >= (limits[i] ?? 0)) i++;
    return picks[i]?.(random, request) ?? NO_CLUSTER;
  };
}

const NO_CLUSTER: ClusterPick<never> = {
  name: '',
  cell: new Cell<never>(),
  ownRequestMutations: undefined,
  requestMutations: [],
  responseMutations: [],
  hostRewriteLiteral: '',
  filters: null,
  hosts: null,
};

function compileWeight<C>(
  config: WeightedCluster_ClusterWeight,
  path: string,
  match: MetadataMatch | null,
  base: RouteBase,
  level: RouteLevel,
  ctx: RouteContext<C>,
): PickCluster<C> {
  const own = config.metadataMatch?.filterMetadata?.[BALANCER_METADATA];
  const { requestHeadersToAdd, requestHeadersToRemove, responseHeadersToAdd, responseHeadersToRemove } =
    config;
  const request = compileHeaderMutations(requestHeadersToAdd, requestHeadersToRemove, `${path}.`, 'request');
  const response = compileHeaderMutations(
    responseHeadersToAdd,
    responseHeadersToRemove,
    `${path}.`,
    'response',
  );
  const parts: PickParts = {
    ownRequestMutations: request,
    requestMutations: base.requestMutations,
    responseMutations:
      response === undefined ? base.responseMutations : [response, ...base.responseMutations],
    hostRewriteLiteral: toWire(config.hostRewriteLiteral ?? ''),
    hosts: pickContext(MetadataMatch.merge(match, own)),
    filters:
      config.typedPerFilterConfig === undefined
        ? base.filters
        : (ctx.routeFilters?.([{ config: config.typedPerFilterConfig, path }, ...level.filterLevels]) ??
          null),
  };
  if (config.clusterHeader !== undefined && config.clusterHeader !== '') {
    if (config.name !== undefined && config.name !== '') {
      throw ConfigError.at(path, 'name and cluster_header exclude each other');
    }
    return pickByHeader(config.clusterHeader, ctx, parts);
  }
  if (config.name === undefined || config.name === '') {
    throw ConfigError.at(path, 'one of name and cluster_header is required');
  }
  const pick = pickOf(knownCluster(config.name, `${path}.name`, level, ctx), ctx, parts);
  return () => pick;
}

/** A number in the header replaces the random one, so that one client's requests stay together. */
function drawOf(request: RequestHead, header: string, random: number): number {
  const value = getHeader(request.headers, header);
  if (value === undefined || !/^\d{1,19}$/.test(value)) return random;
  const n = Number(value);
  return Number.isSafeInteger(n) ? n : random;
}
