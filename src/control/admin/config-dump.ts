import type { HostStatus } from '../../upstream/status.ts';
import { addressJson } from './address-json.ts';
import type { AdminContext, ClusterStatus, ConfigDumpSource, Json, JsonObject } from './context.ts';
import {
  type AdminReply,
  type AdminRequest,
  BadRequest,
  type Endpoint,
  hasFlag,
  jsonReply,
} from './endpoint.ts';
import { applyFieldMask, maskApplies } from './field-mask.ts';
import { compileNameFilter } from './name-filter.ts';
import { redactSecrets } from './redact.ts';

export const configDumpEndpoint: Endpoint = {
  path: '/config_dump',
  help: 'dump current configuration, secrets redacted',
  mutates: false,
  parameters: {
    resource: 'show one repeated field only, e.g. static_clusters; inert_settings lists what has no effect',
    mask: 'FieldMask of what to keep; with a resource it applies to each element',
    name_regex: 'RE2 expression that the whole name of a resource must match',
    include_eds: 'show endpoints too',
  },
  handle: showConfigDump,
};

const ADMIN = 'type.googleapis.com/envoy.admin.v3.';

/** Repeated fields of the dump's messages; those that are empty are answered, others are unknown. */
const RESOURCES: ReadonlySet<string> = new Set([
  'static_clusters',
  'dynamic_active_clusters',
  'dynamic_warming_clusters',
  'static_listeners',
  'dynamic_listeners',
  'static_route_configs',
  'dynamic_route_configs',
  'inline_scoped_route_configs',
  'dynamic_scoped_route_configs',
  'static_endpoint_configs',
  'dynamic_endpoint_configs',
  'static_secrets',
  'dynamic_active_secrets',
  'dynamic_warming_secrets',
]);

type NameTest = ((name: string) => boolean) | undefined;

async function showConfigDump(request: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const { query } = request;
  const resource = query.get('resource');
  const mask = query.get('mask');
  const nameRegex = query.get('name_regex');
  const source = context.configDump();
  if (resource === 'inert_settings') return jsonReply({ inert_settings: source.inert });
  const accepts = nameRegex === null ? undefined : compileNameFilter(nameRegex, true);
  const wantsEndpoints = hasFlag(request, 'include_eds') || resource?.includes('endpoint_configs') === true;
  const clusters = wantsEndpoints ? await context.clusters() : undefined;
  const sections = buildSections(source, clusters, accepts);
  if (resource !== null) return showResource(sections, resource, mask);
  if (mask === null) return jsonReply({ configs: sections });
  const masked = sections.filter((section) => maskApplies(section, mask));
  if (masked.length === 0) {
    throw new BadRequest(`FieldMask ${mask} could not be successfully applied to any configs.`);
  }
  return jsonReply({ configs: masked.map((section) => applyFieldMask(section, mask)) });
}

function showResource(sections: readonly JsonObject[], resource: string, mask: string | null): AdminReply {
  for (const section of sections) {
    const found = section[resource];
    if (found === undefined) continue;
    if (!Array.isArray(found)) {
      throw new BadRequest(
        `${resource} is not a repeated field. Use ?mask=${resource} to get only this field`,
      );
    }
    const type = `${String(section['@type'])}.${RESOURCE_TYPES[resource] ?? ''}`;
    const items = found.map((item: JsonObject) => ({ '@type': type, ...item }));
    return jsonReply({ configs: mask === null ? items : items.map((item) => applyFieldMask(item, mask)) });
  }
  if (!RESOURCES.has(resource)) throw new BadRequest(`${resource} not found in config dump`, 404);
  return jsonReply({});
}

/** The message types of the elements, which clients such as istioctl decode by. */
const RESOURCE_TYPES: Readonly<Record<string, string>> = {
  static_clusters: 'StaticCluster',
  static_listeners: 'StaticListener',
  static_route_configs: 'StaticRouteConfig',
  static_endpoint_configs: 'StaticEndpointConfig',
  static_secrets: 'StaticSecret',
};

/** The sections in Envoy's order. Clients expect each of them, also when it is empty. */
function buildSections(
  source: ConfigDumpSource,
  clusters: readonly ClusterStatus[] | undefined,
  accepts: NameTest,
): JsonObject[] {
  const last_updated = source.loadedAt.toISOString();
  const wrap = (field: string, type: string, resources: readonly JsonObject[]): Json[] | undefined => {
    const wrapped = resources
      .filter((resource) => accepts?.(String(resource.name ?? '')) !== false)
      .map((resource) => {
        const typed = { '@type': `type.googleapis.com/${type}`, ...resource };
        return { [field]: redactSecrets(typed), last_updated };
      });
    return wrapped.length === 0 ? undefined : wrapped;
  };
  const { bootstrap, staticClusters, staticListeners, staticRoutes } = source;
  const byName = [...staticClusters].sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
  return [
    { '@type': `${ADMIN}BootstrapConfigDump`, bootstrap: redactSecrets(bootstrap), last_updated },
    {
      '@type': `${ADMIN}ClustersConfigDump`,
      static_clusters: wrap('cluster', 'envoy.config.cluster.v3.Cluster', byName),
    },
    ...(clusters === undefined ? [] : [endpointsSection(clusters, accepts)]),
    {
      '@type': `${ADMIN}ListenersConfigDump`,
      static_listeners: wrap('listener', 'envoy.config.listener.v3.Listener', staticListeners),
    },
    { '@type': `${ADMIN}ScopedRoutesConfigDump` },
    {
      '@type': `${ADMIN}RoutesConfigDump`,
      static_route_configs: wrap('route_config', 'envoy.config.route.v3.RouteConfiguration', staticRoutes),
    },
    secretsSection(source.staticSecrets ?? [], accepts),
  ];
}

function secretsSection(secrets: readonly JsonObject[], accepts: NameTest): JsonObject {
  const shown = secrets
    .filter(({ name }) => accepts?.(String(name ?? '')) !== false)
    .map((secret) => ({
      name: secret.name,
      secret: redactSecrets({
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
        ...secret,
      }),
    }));
  return { '@type': `${ADMIN}SecretsConfigDump`, static_secrets: shown.length === 0 ? undefined : shown };
}

function endpointsSection(clusters: readonly ClusterStatus[], accepts: NameTest): JsonObject {
  const shown = clusters
    .filter((cluster) => accepts?.(cluster.name) !== false)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const configs = shown.map((cluster) => ({
    endpoint_config: {
      '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
      cluster_name: cluster.name,
      endpoints: localities(cluster.hosts),
      policy: { overprovisioning_factor: 140 },
    },
  }));
  return {
    '@type': `${ADMIN}EndpointsConfigDump`,
    static_endpoint_configs: configs.length === 0 ? undefined : configs,
  };
}

function localities(hosts: readonly HostStatus[]): JsonObject[] {
  const groups = new Map<string, HostStatus[]>();
  for (const host of hosts) {
    const key = JSON.stringify([host.priority, host.region, host.zone, host.subZone]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [host]);
    else group.push(host);
  }
  return [...groups.values()].map((group) => ({
    locality: {
      region: group[0]?.region || undefined,
      zone: group[0]?.zone || undefined,
      sub_zone: group[0]?.subZone || undefined,
    },
    lb_endpoints: group.map(endpointJson),
    priority: group[0]?.priority || undefined,
    load_balancing_weight: 0,
  }));
}

function endpointJson(host: HostStatus): JsonObject {
  return {
    endpoint: {
      address: addressJson(host.address),
      health_check_config: {},
      hostname: host.hostname || undefined,
    },
    health_status: host.healthFlags.length === 0 ? 'HEALTHY' : 'UNHEALTHY',
    load_balancing_weight: host.weight,
  };
}
