import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { TypedExtensionConfig } from '#plain/envoy.config.core.v3.ts';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import type { RouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { Secret } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import type { Runtime } from '#plain/envoy.service.runtime.v3.ts';
import { at } from '../../config/context.ts';
import { flattenRuntime } from '../../config/runtime.ts';
import type { Logger } from '../../core/log.ts';
import type { StatScope } from '../../stats/scope.ts';
import type { RawResource } from '../protocol/discovery.ts';
import { timedSources } from './applied-time.ts';
import { fromBootstrap, isDynamicCluster } from './bootstrap.ts';
import { Clusters } from './clusters.ts';
import type { DryCompiler } from './dry-compile.ts';
import { type OpenSource, ResourceHub } from './hub.ts';
import { Listeners } from './listeners.ts';
import { LocalityEndpoints } from './locality-endpoints.ts';
import { OnDemand } from './on-demand.ts';
import type { Publisher } from './publisher.ts';
import {
  clustersOf,
  extensionsOf,
  filterChainsOf,
  managersOf,
  onDemandSourcesOf,
  secretsOf,
} from './references.ts';
import type { Acceptance } from './resource.ts';
import { Routes } from './routes.ts';
import { Secrets } from './secrets.ts';
import { ResourceSet } from './set.ts';
import { leaving, type ResourceStatus, withVersions } from './status.ts';
import type { Unready } from './warming.ts';

export const TYPES = {
  cluster: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'envoy.config.listener.v3.Listener',
  routes: 'envoy.config.route.v3.RouteConfiguration',
  secret: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  runtime: 'envoy.service.runtime.v3.Runtime',
  extension: 'envoy.config.core.v3.TypedExtensionConfig',
} as const;

export interface ModelParts {
  readonly bootstrap: Bootstrap;
  readonly open: OpenSource;
  readonly acceptance: Acceptance;
  readonly dry: DryCompiler;
  readonly publisher: Publisher;
  readonly stats: StatScope;
  readonly log: Logger;
  /** How long a listener that was replaced or removed drains, milliseconds. */
  readonly drainMs: number;
  /** The last good configuration of an earlier run. */
  readonly saved?: {
    find(type: string, name: string): RawResource | undefined;
    all(type: string): RawResource[];
  };
  /** The control plane has said something about clusters or listeners. */
  readonly onAnswer: () => void;
  /** What a demand of that key asked for is in force, or does not exist. */
  readonly onDemandSettled?: (key: string) => void;
  /** Everything that the start waits for is in force. */
  readonly onLive: () => void;
}

/**
 * What the control plane wants, as far as it is known: it goes out as whole steps once what it needs is there. The
 * order at the start is Envoy's: runtime, clusters with their endpoints, then listeners with their routes.
 */
export class XdsModel {
  readonly #parts: ModelParts;
  readonly #hubs: {
    readonly endpoints: ResourceHub<ClusterLoadAssignment>;
    readonly routes: ResourceHub<RouteConfiguration>;
    readonly secrets: ResourceHub<Secret>;
    readonly extensions: ResourceHub<TypedExtensionConfig>;
    readonly runtime: ResourceHub<Runtime>;
  };
  readonly #routes: Routes;
  readonly #clusters: Clusters;
  /** What requests wait for. */
  readonly onDemand: OnDemand;
  readonly #listeners: Listeners;
  readonly #layers = new Map<string, object>();
  #cds: ResourceSet<Cluster> | null = null;
  #lds: ResourceSet<Listener> | null = null;
  #phase: 'runtime' | 'clusters' | 'listeners' | 'live' = 'runtime';
  #waits = new Set<string>();
  #named: ReadonlySet<string> | null = null;

  constructor(parts: ModelParts) {
    const { acceptance, publisher, dry, stats, log, drainMs } = parts;
    const applied = stats.scope('control_plane').histogram('update_applied_time', 'milliseconds');
    const open = timedSources(parts.open, publisher, applied);
    this.#parts = { ...parts, open };
    const hub = <T>(type: string, statPrefix: string, check: (config: T) => void, keepRemoved: boolean) =>
      new ResourceHub<T>(
        {
          type,
          statPrefix: () => statPrefix,
          check,
          keepRemoved,
          saved: (name) => parts.saved?.find(type, name),
        },
        open,
        acceptance,
      );
    const localities = new LocalityEndpoints({ bootstrap: parts.bootstrap, open, acceptance });
    const checkEndpoints = (config: ClusterLoadAssignment): void => localities.check(config);
    this.#hubs = {
      endpoints: hub(TYPES.endpoints, 'cluster_manager.eds', checkEndpoints, true),
      routes: hub(TYPES.routes, 'http.rds', (config: RouteConfiguration) => dry.routes(config), true),
      secrets: hub(TYPES.secret, 'sds', checkNothing, false),
      extensions: hub(TYPES.extension, 'extension_config_discovery', checkNothing, true),
      runtime: hub(TYPES.runtime, 'runtime', checkNothing, false),
    };
    const secrets = new Secrets(this.#hubs.secrets, publisher);
    this.#routes = new Routes({
      hub: this.#hubs.routes,
      open,
      acceptance,
      publisher,
      checkVirtualHost: (config) => dry.routes({ name: 'virtual host', virtualHosts: [config] }),
      checkScope: checkNothing,
    });
    const warmingClusters = stats.scope('cluster_manager').gauge('warming_clusters');
    this.#clusters = new Clusters({
      endpoints: this.#hubs.endpoints,
      localities,
      secrets,
      publisher,
      inUse: (name) => this.#isNamed(name),
      onWarmingChanged: (warming) => {
        warmingClusters.set(warming);
        this.#proceed();
      },
    });
    publisher.knowClusters((name) => this.#clusters.readiness(name));
    this.onDemand = new OnDemand({
      hub: hub(
        TYPES.cluster,
        'cluster_manager.odcds',
        (config: Cluster) => this.#checkCluster(config),
        false,
      ),
      clusters: this.#clusters,
      routes: this.#routes,
      publisher,
      onSettled: (key) => parts.onDemandSettled?.(key),
    });
    const warmingListeners = stats.scope('listener_manager').gauge('total_listeners_warming');
    this.#listeners = new Listeners({
      routes: this.#routes,
      secrets,
      extensions: this.#hubs.extensions,
      publisher,
      drainMs,
      check: (config) => dry.listener(config, this.#clusters),
      onWarmingChanged: (warming) => {
        warmingListeners.set(warming);
        this.#proceed();
      },
      onProblem: (message) => log.log('warning', 'config', message),
    });
  }

  start(): void {
    this.#startRuntime();
    this.#proceed();
  }

  /** Everything that is known, or that is known of a type. */
  status(type?: string): ResourceStatus[] {
    const wanted = (one: string): boolean => type === undefined || type === one;
    const all: ResourceStatus[] = [];
    if (wanted(TYPES.cluster))
      for (const one of this.#clusterStatus()) all.push(withVersions(one, this.#clusters));
    if (wanted(TYPES.listener)) {
      for (const one of this.#lds?.status() ?? []) all.push(withVersions(one, this.#listeners));
      for (const held of this.#listeners.leaving()) all.push(leaving(held));
    }
    for (const hub of Object.values(this.#hubs)) if (wanted(hub.type)) all.push(...hub.status());
    const routes = wanted(TYPES.routes) ? all.map((one) => this.#withHosts(one)) : all;
    return [...routes, ...this.#routes.status().filter((one) => wanted(one.type))];
  }

  /** Newest version of what is asked for as a whole. */
  versions(): Record<string, string> {
    return { [TYPES.cluster]: this.#cds?.version ?? '', [TYPES.listener]: this.#lds?.version ?? '' };
  }

  /** Who waits, and what for, under Envoy's names. */
  unready(): Unready[] {
    const targets = this.#waits.size === 0 ? [] : [...this.#waits].map((what) => `target ${what}`);
    return [
      ...(targets.length === 0 ? [] : [{ name: 'init manager Server', targets }]),
      ...this.#clusters.unready(),
      ...this.#listeners.unready(),
    ];
  }

  /** What the start still waits for, in words. */
  waitsFor(): string[] {
    const { warming: clusters } = this.#clusters;
    const { warming: listeners } = this.#listeners;
    return [
      ...this.#waits,
      ...(clusters > 0 ? [`${clusters} clusters that warm`] : []),
      ...(listeners > 0 ? [`${listeners} listeners that warm`] : []),
    ];
  }

  /** Those that came because a request asked for them, too. */
  *#clusterStatus(): Generator<ResourceStatus> {
    const all = this.#cds?.status() ?? [];
    yield* all;
    const there = new Set(all.map(({ name }) => name));
    for (const one of this.onDemand.status()) if (!there.has(one.name)) yield one;
  }

  #withHosts(one: ResourceStatus): ResourceStatus {
    if (one.type !== TYPES.routes) return one;
    const hosts = this.#routes.hostsOf(one.name);
    return hosts.length === 0 ? one : { ...one, hosts };
  }

  #startRuntime(): void {
    const { layeredRuntime } = this.#parts.bootstrap;
    for (const [i, { rtdsLayer }] of (layeredRuntime?.layers ?? []).entries()) {
      if (rtdsLayer?.rtdsConfig === undefined) continue;
      const { name = '', rtdsConfig } = rtdsLayer;
      const wait = `runtime layer '${name}'`;
      this.#waits.add(wait);
      at(`layered_runtime.layers[${i}].rtds_layer.rtds_config`, () =>
        this.#hubs.runtime.watch(rtdsConfig, name, {
          onResource: (held) => {
            this.#layers.set(name, (held?.config.layer ?? {}) as object);
            this.#parts.publisher.runtime(flattenRuntime(layeredRuntime, this.#layers));
            this.#waits.delete(wait);
            this.#proceed();
          },
        }),
      );
    }
  }

  /** Goes on with the start once nothing of the present phase is missing. */
  #proceed(): void {
    if (this.#waits.size > 0) return;
    if (this.#phase === 'runtime') {
      this.#phase = 'clusters';
      this.#startClusters();
      this.#proceed();
    } else if (this.#phase === 'clusters' && this.#clusters.warming === 0) {
      this.#phase = 'listeners';
      this.#startListeners();
      this.#proceed();
    } else if (this.#phase === 'listeners' && this.#listeners.warming === 0) {
      this.#phase = 'live';
      void this.#parts.publisher.settled().then(this.#parts.onLive);
    }
  }

  #startClusters(): void {
    const { bootstrap, open, acceptance } = this.#parts;
    // What is not wanted yet must not look as if nothing were.
    this.#waits.add('clusters of the bootstrap');
    for (const config of bootstrap.staticResources?.clusters ?? []) {
      if (isDynamicCluster(config)) this.#clusters.set(fromBootstrap(config), true);
      else this.#clusters.addStatic(config.name ?? '');
    }
    this.#waits.delete('clusters of the bootstrap');
    const cdsConfig = bootstrap.dynamicResources?.cdsConfig;
    if (cdsConfig === undefined) return;
    const wait = 'clusters (CDS)';
    this.#waits.add(wait);
    this.#cds = at('dynamic_resources.cds_config', () => {
      return new ResourceSet<Cluster>(
        {
          type: TYPES.cluster,
          name: '*',
          statPrefix: 'cluster_manager.cds',
          check: (config) => this.#checkCluster(config),
          onSet: (held) => this.#clusters.set(held),
          onRemoved: (name) => this.#clusters.remove(name),
          onAnswer: () => {
            this.#hubs.endpoints.pause();
            this.#parts.onAnswer();
          },
          onSettled: () => {
            this.#hubs.endpoints.resume();
            if (this.#waits.delete(wait)) this.#proceed();
          },
        },
        cdsConfig,
        open,
        acceptance,
      );
    });
    this.#seed(this.#cds, TYPES.cluster);
  }

  /** Throws a ConfigError. */
  #checkCluster(config: Cluster): void {
    const { open, dry } = this.#parts;
    dry.cluster(config);
    const source = config.edsClusterConfig?.edsConfig;
    if (source !== undefined) at('eds_cluster_config.eds_config', () => open(source));
    for (const { sdsConfig } of secretsOf([config.transportSocket, config.transportSocketMatches]))
      if (sdsConfig !== undefined) open(sdsConfig);
  }

  #startListeners(): void {
    const { bootstrap, open, acceptance } = this.#parts;
    this.#waits.add('listeners of the bootstrap');
    for (const config of bootstrap.staticResources?.listeners ?? [])
      this.#listeners.set(fromBootstrap(config), true);
    this.#waits.delete('listeners of the bootstrap');
    const ldsConfig = bootstrap.dynamicResources?.ldsConfig;
    if (ldsConfig === undefined) return;
    const wait = 'listeners (LDS)';
    this.#waits.add(wait);
    this.#lds = at('dynamic_resources.lds_config', () => {
      return new ResourceSet<Listener>(
        {
          type: TYPES.listener,
          name: '*',
          statPrefix: 'listener_manager.lds',
          check: (config) => this.#checkListener(config),
          onSet: (held) => this.#listeners.set(held),
          onRemoved: (name) => this.#listeners.remove(name),
          onAnswer: () => {
            this.#hubs.routes.pause();
            this.#parts.onAnswer();
          },
          onSettled: () => {
            this.#hubs.routes.resume();
            if (this.#waits.delete(wait)) this.#proceed();
          },
        },
        ldsConfig,
        open,
        acceptance,
      );
    });
    this.#seed(this.#lds, TYPES.listener);
  }

  #seed(set: { seed(resources: readonly RawResource[]): void }, type: string): void {
    const saved = this.#parts.saved?.all(type) ?? [];
    if (saved.length > 0) set.seed(saved);
  }

  /** Throws a ConfigError. A filter whose configuration comes by itself is judged with it. */
  #checkListener(config: Listener): void {
    const { open, dry } = this.#parts;
    for (const { rds, scopedRoutes } of managersOf(config)) {
      for (const source of [
        rds?.configSource,
        scopedRoutes?.rdsConfigSource,
        scopedRoutes?.scopedRds?.scopedRdsConfigSource,
      ]) {
        if (source !== undefined) open(source);
      }
    }
    for (const { sdsConfig } of secretsOf(filterChainsOf(config)))
      if (sdsConfig !== undefined) open(sdsConfig);
    for (const source of onDemandSourcesOf(filterChainsOf(config))) open(source);
    const extensions = extensionsOf(config);
    for (const { configSource } of extensions) open(configSource);
    if (extensions.length === 0) dry.listener(config, this.#clusters);
  }

  #isNamed(cluster: string): boolean {
    if (this.#named === null) {
      const named = new Set<string>();
      for (const { held } of this.#hubs.routes.status())
        for (const name of clustersOf(held?.config)) named.add(name);
      for (const { config } of this.#lds?.values() ?? [])
        for (const name of clustersOf(config)) named.add(name);
      this.#named = named;
      setImmediate(() => {
        this.#named = null;
      });
    }
    return this.#named.has(cluster);
  }
}

function checkNothing(): void {
  // Read where it is used.
}
