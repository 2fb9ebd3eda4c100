/** What makes up the configuration in force on the control thread: who finds members, who watches them, who tells. */
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileClientTransport } from '../config/client-transport.ts';
import { type ClientTransportContext, ExtensionRegistry } from '../config/context.ts';
import { compileOutlierLogPath } from '../config/health-check.ts';
import type { SecretStore } from '../config/tls-secrets.ts';
import { systemClock } from '../core/clock.ts';
import { EXTENSIONS } from '../extensions/index.ts';
import { formatAddress } from '../net/address.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import { ClusterScopes } from './cluster-scopes.ts';
import { createConfigStats } from './config-stats.ts';
import { Discovery } from './discovery.ts';
import { HealthManager } from './health/health-manager.ts';
import { LiveConfig } from './live-config.ts';
import type { ControlPlane } from './serve.ts';

export function createDiscovery(
  control: ControlPlane,
  onHosts: (cluster: string, hosts: ClusterHosts) => void,
): Discovery {
  const { log } = control.options;
  return new Discovery({
    resolver: control.bootstrap.typedDnsResolverConfig,
    stats: control.store.root,
    onHosts,
    onFailure: (cluster, name, error) => {
      log.log('debug', 'upstream', `cluster '${cluster}': '${name}' cannot be resolved: ${error}`);
    },
  });
}

export function createLiveConfig(
  control: ControlPlane,
  discovery: Discovery,
  secrets: SecretStore,
): LiveConfig {
  const { log, concurrency } = control.options;
  return new LiveConfig({
    concurrency,
    stats: createConfigStats(control.store.root, control.options.drainMs),
    discovery,
    health: () => control.health,
    clusterScopes: new ClusterScopes(control.store.root),
    setSecret: (key, secret) => secrets.set(key, secret),
    setRuntime: (values) => {
      control.runtime = values;
    },
    update: async (update) => {
      const outcome = await control.supervisor.update(update);
      for (const key of update.removedSecrets ?? []) secrets.remove(key);
      return outcome;
    },
    broadcastHosts: (cluster, hosts) => {
      control.supervisor.broadcast({ type: 'hosts', cluster, hosts });
      if (!log.enabled('debug')) return;
      const members = hosts.hosts.map((host) => formatAddress(host.address)).join(', ');
      log.log('debug', 'upstream', `cluster '${cluster}' has ${hosts.hosts.length} hosts: ${members}`);
    },
    broadcastHealth: (cluster, hosts) => control.supervisor.broadcast({ type: 'health', cluster, hosts }),
    onProblem: (message) => log.log('warning', 'config', message),
    onWarmed: (cluster) => control.xds?.clusterWarmed(cluster),
  });
}

export function createHealth(
  control: ControlPlane,
  clusters: readonly ClusterConfig[],
  tls: Pick<ClientTransportContext, 'secrets' | 'ticketSecret'>,
): HealthManager {
  const { log, concurrency } = control.options;
  const { aggregator, store } = control;
  return new HealthManager(clusters, {
    workers: concurrency,
    runtime: (key) => control.runtime[key],
    outlierLogPath: compileOutlierLogPath(control.bootstrap),
    compileTransport: (config, clusterScope, field) =>
      compileClientTransport(
        config,
        {
          dry: false,
          stats: store.root,
          clusterScope,
          extensions: new ExtensionRegistry(EXTENSIONS),
          clock: systemClock,
          log,
          ...tls,
        },
        field,
      ),
    stats: store.root,
    hasTraffic: (cluster) => (aggregator.value(`cluster.${cluster}.upstream_cx_total`) ?? 0) > 0,
    publishHosts: (cluster, hosts) => control.live.publishHosts(cluster, hosts),
    publishHealth: (cluster, hosts) => control.live.publishHealth(cluster, hosts),
    onProblem: (message) => log.log('warning', 'config', message),
    onFileError: (path, error) => log.log('error', 'upstream', `event log ${path}: ${error.message}`),
  });
}
