import { listenAddress } from '../config/listener.ts';
import { flattenLayers } from '../config/runtime.ts';
import { LOG_LEVELS } from '../core/log.ts';
import { inoxVersion } from '../core/version.ts';
import { type ClusterStatus, mergeClusterStatuses } from '../upstream/status.ts';
import type {
  ClusterStatus as AdminClusterStatus,
  AdminContext,
  ConfigDumpSource,
  DynamicConfig,
  JsonObject,
  RuntimeStatus,
} from './admin/context.ts';
import type { ControlPlane } from './serve.ts';
import { VERSION_LINE } from './version-line.ts';

/** What the admin interface may see and do of a running process. */
export function createAdminContext(control: ControlPlane): AdminContext {
  const { options, aggregator, exposition } = control;
  return {
    aggregator,
    exposition,
    texts: control.texts,
    refreshStats: () => control.serverStats.refresh(),
    state: () => control.shownState,
    waitsFor: async () => (await control.xds?.status())?.waitsFor ?? [],
    staleSince: () => control.staleSince,
    serverInfo: () => ({
      version: VERSION_LINE,
      startedAt: control.startedAt,
      commandLineOptions: { ...options.commandLine, concurrency: options.concurrency },
      node: nodeJson(options.config.json),
    }),
    configDump: () => configDump(control),
    fileSecrets: () => control.secretFiles?.published() ?? [],
    dynamic: () => dynamicConfig(control),
    listeners: () =>
      control.listeners.map((listener) => ({
        name: listener.name ?? '',
        addresses: [listenAddress(listener.address)],
      })),
    clusters: async () => {
      const answers = (await control.supervisor.query('clusters')) as ClusterStatus[][];
      return mergeClusterStatuses(answers).map((cluster) =>
        withOrigin(control.health.annotate(cluster), control),
      );
    },
    runtime: () => runtimeStatus(control),
    certificates: () => control.certificates.json(Date.now()),
    loggers: () => LOGGERS.map((name) => [name, options.log.level] as const),
    setLogLevel: (_logger, level) => {
      if (LOG_LEVELS.includes(level)) control.setLogLevel(level);
    },
    setHealthCheckFailed: (failed) => control.setHealthCheckFailed(failed),
    drainListeners: (drain) => control.drainListeners(drain),
    reopenLogs: () => control.reopenLogs(),
    quit: () => void control.exitNow(0),
  };
}

/** One level governs all: inox has no loggers of their own per component yet. */
const LOGGERS = ['admin', 'config', 'http', 'main', 'upstream'] as const;

function object(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function list(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.map(object) : [];
}

function nodeJson(bootstrap: unknown): JsonObject {
  return {
    ...object(object(bootstrap).node),
    user_agent_name: 'inox',
    user_agent_build_version: { version: versionNumbers(), metadata: {} },
  };
}

function versionNumbers(): JsonObject {
  const [major = 0, minor = 0, patch = 0] = inoxVersion.split('.').map(Number);
  return { major_number: major, minor_number: minor, patch };
}

function configDump(control: ControlPlane): ConfigDumpSource {
  const bootstrap = object(control.options.config.json);
  const resources = object(bootstrap.static_resources);
  return {
    bootstrap,
    loadedAt: control.startedAt,
    staticClusters: list(resources.clusters),
    staticListeners: list(resources.listeners),
    staticSecrets: list(resources.secrets),
    inert: control.options.config.inert.map((field) => field.path),
  };
}

/** Workers do not know where a cluster came from. */
function withOrigin(cluster: AdminClusterStatus, { live, bootstrap }: ControlPlane): AdminClusterStatus {
  const service = live.clusters.get(cluster.name)?.edsClusterConfig?.serviceName ?? '';
  const isStatic = bootstrap.staticResources?.clusters?.some(({ name }) => name === cluster.name) === true;
  return {
    ...cluster,
    addedViaApi: !isStatic,
    ...(service === '' ? {} : { edsServiceName: service }),
  };
}

function dynamicConfig({ xds, live }: ControlPlane): DynamicConfig | null {
  if (xds === null) return null;
  return {
    status: () => xds.status(),
    resources: (query) => xds.resources(query),
    warms: (cluster) => live.isWarming(cluster),
  };
}

function runtimeStatus(control: ControlPlane): RuntimeStatus {
  const { layeredRuntime } = control.bootstrap;
  const layers = (layeredRuntime?.layers ?? []).map((layer) => layer.name ?? '');
  const values = flattenLayers(layeredRuntime);
  const entries: Record<string, { layerValues: readonly string[]; finalValue: string }> = {};
  for (const [key, value] of Object.entries(control.runtime)) {
    entries[key] = {
      layerValues: values.map((layer) => (key in layer ? runtimeText(layer[key]) : '')),
      finalValue: runtimeText(value),
    };
  }
  return { layers, entries };
}

function runtimeText(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
