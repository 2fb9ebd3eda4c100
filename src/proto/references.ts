import type { AccessLog } from '#plain/envoy.config.accesslog.v3.ts';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { FilterChain, Listener } from '#plain/envoy.config.listener.v3.ts';
import type { RouteAction, RouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { HttpConnectionManager } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import type { TcpProxy } from '#plain/envoy.extensions.filters.network.tcp_proxy.v3.ts';
import type { Any } from '#plain/google.protobuf.ts';
import type { ConfigProblem } from '../core/errors.ts';
import { didYouMean } from '../core/suggest.ts';

export interface ReferenceCheck {
  readonly problems: readonly ConfigProblem[];
  /** Accepted by Envoy, which fails at run time instead. */
  readonly warnings: readonly ConfigProblem[];
}

const http = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const tcp = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const httpProtocolOptions = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Names under which Envoy knows extensions, and the message that configures each. */
const extensions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'network filter': {
    'envoy.filters.network.http_connection_manager': http,
    'envoy.filters.network.tcp_proxy': tcp,
  },
  'HTTP filter': {
    'envoy.filters.http.router': 'envoy.extensions.filters.http.router.v3.Router',
    'envoy.filters.http.header_mutation': 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  },
  'access log': {
    'envoy.access_loggers.file': 'envoy.extensions.access_loggers.file.v3.FileAccessLog',
    'envoy.access_loggers.stdout': 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
    'envoy.access_loggers.stderr': 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
  },
  'load balancing policy': {
    'envoy.load_balancing_policies.round_robin':
      'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
    'envoy.load_balancing_policies.least_request':
      'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
    'envoy.load_balancing_policies.random': 'envoy.extensions.load_balancing_policies.random.v3.Random',
    'envoy.load_balancing_policies.peak_ewma':
      'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
  },
};

/**
 * Finds names that lead nowhere in a static configuration: clusters of routes, extensions without their
 * configuration, protocol options of unknown name; and clusters of the same name.
 */
export function checkReferences(bootstrap: Bootstrap): ReferenceCheck {
  const check = new ReferenceWalk(bootstrap.staticResources?.clusters ?? []);
  check.accessLogs(bootstrap.admin?.accessLog, 'admin.access_log');
  check.clusters('static_resources.clusters');
  check.unique('layer', bootstrap.layeredRuntime?.layers ?? [], 'layered_runtime.layers');
  for (const [i, listener] of (bootstrap.staticResources?.listeners ?? []).entries()) {
    check.listener(listener, `static_resources.listeners[${i}]`);
  }
  return check;
}

class ReferenceWalk implements ReferenceCheck {
  readonly problems: ConfigProblem[] = [];
  readonly warnings: ConfigProblem[] = [];
  readonly #clusters: readonly Cluster[];
  readonly #clusterNames = new Set<string>();

  constructor(clusters: readonly Cluster[]) {
    this.#clusters = clusters;
    for (const { name } of clusters) if (name !== undefined) this.#clusterNames.add(name);
  }

  unique(kind: string, items: readonly { readonly name?: string }[], path: string): void {
    const seen = new Map<string, number>();
    for (const [i, { name = '' }] of items.entries()) {
      const first = seen.get(name);
      if (name === '' || first === undefined) {
        seen.set(name, i);
        continue;
      }
      const message = `duplicate ${kind} "${name}", the first one is ${path}[${first}]`;
      this.problems.push({ path: `${path}[${i}].name`, message });
    }
  }

  clusters(path: string): void {
    this.unique('cluster', this.#clusters, path);
    for (const [i, cluster] of this.#clusters.entries()) {
      const at = `${path}[${i}]`;
      for (const [j, policy] of (cluster.loadBalancingPolicy?.policies ?? []).entries()) {
        const where = `${at}.load_balancing_policy.policies[${j}].typed_extension_config`;
        this.#extension('load balancing policy', policy.typedExtensionConfig ?? {}, where);
      }
      for (const key of Object.keys(cluster.typedExtensionProtocolOptions ?? {})) {
        if (key === httpProtocolOptions) continue;
        const hint = didYouMean(key, [httpProtocolOptions]);
        const where = `${at}.typed_extension_protocol_options[${JSON.stringify(key)}]`;
        this.problems.push({ path: where, message: `no extension is called "${key}"${hint}` });
      }
    }
  }

  listener(listener: Listener, path: string): void {
    this.accessLogs(listener.accessLog, `${path}.access_log`);
    for (const [i, chain] of (listener.filterChains ?? []).entries())
      this.#chain(chain, `${path}.filter_chains[${i}]`);
    if (listener.defaultFilterChain !== undefined) {
      this.#chain(listener.defaultFilterChain, `${path}.default_filter_chain`);
    }
  }

  accessLogs(logs: readonly AccessLog[] | undefined, path: string): void {
    for (const [i, log] of (logs ?? []).entries()) this.#extension('access log', log, `${path}[${i}]`);
  }

  #chain(chain: FilterChain, path: string): void {
    for (const [i, filter] of (chain.filters ?? []).entries()) {
      const at = `${path}.filters[${i}]`;
      this.#extension('network filter', filter, at);
      if (filter.typedConfig?.type === http) {
        this.#http(filter.typedConfig.value as HttpConnectionManager, `${at}.typed_config`);
      } else if (filter.typedConfig?.type === tcp) {
        this.#tcp(filter.typedConfig.value as TcpProxy, `${at}.typed_config`);
      }
    }
  }

  #http(manager: HttpConnectionManager, path: string): void {
    this.accessLogs(manager.accessLog, `${path}.access_log`);
    for (const [i, filter] of (manager.httpFilters ?? []).entries()) {
      this.#extension('HTTP filter', filter, `${path}.http_filters[${i}]`);
    }
    if (manager.routeConfig !== undefined) this.#routes(manager.routeConfig, `${path}.route_config`);
  }

  #tcp(proxy: TcpProxy, path: string): void {
    this.#cluster(proxy.cluster, `${path}.cluster`, this.warnings);
    for (const [i, cluster] of (proxy.weightedClusters?.clusters ?? []).entries()) {
      this.#cluster(cluster.name, `${path}.weighted_clusters.clusters[${i}].name`, this.warnings);
    }
  }

  #routes(config: RouteConfiguration, path: string): void {
    const into = config.validateClusters === false ? this.warnings : this.problems;
    for (const [i, host] of (config.virtualHosts ?? []).entries()) {
      for (const [j, route] of (host.routes ?? []).entries()) {
        if (route.route !== undefined)
          this.#action(route.route, `${path}.virtual_hosts[${i}].routes[${j}].route`, into);
      }
    }
  }

  #action(action: RouteAction, path: string, into: ConfigProblem[]): void {
    this.#cluster(action.cluster, `${path}.cluster`, into);
    for (const [i, cluster] of (action.weightedClusters?.clusters ?? []).entries()) {
      this.#cluster(cluster.name, `${path}.weighted_clusters.clusters[${i}].name`, into);
    }
  }

  #cluster(name: string | undefined, path: string, into: ConfigProblem[]): void {
    if (name === undefined || name === '' || this.#clusterNames.has(name)) return;
    // With a cluster whose name could not be read, any name may be the one.
    if (this.#clusters.some((cluster) => cluster.name === undefined)) return;
    into.push({ path, message: `unknown cluster "${name}"${didYouMean(name, this.#clusterNames)}` });
  }

  /** Envoy finds extensions by the type of their configuration; a name alone leads nowhere. */
  #extension(
    kind: string,
    config: { readonly name?: string; readonly typedConfig?: Any },
    path: string,
  ): void {
    if (config.typedConfig !== undefined) return;
    const known = extensions[kind] ?? {};
    const name = config.name ?? '';
    const type = known[name];
    const message =
      type === undefined
        ? `unknown ${kind} "${name}"${didYouMean(name, Object.keys(known))}; typed_config with its "@type" is missing`
        : `typed_config is missing, expected "@type": type.googleapis.com/${type}`;
    this.problems.push({ path: `${path}.typed_config`, message });
  }
}
