import type { XdsResource } from '../../core/xds-protocol.ts';
import type { HostStatus } from '../../upstream/status.ts';
import { addressJson } from './address-json.ts';
import type { AdminContext, ClusterStatus, JsonObject } from './context.ts';
import { outcomeJson, TYPES, time } from './dump-dynamic.ts';
import { type DumpItem, type DumpSection, slicesOf } from './json-text.ts';

/** Members of clusters as the workers have them, with their health. `accepts` is asked for names of assignments. */
export function endpointsSection(context: AdminContext, accepts: (name: string) => boolean): DumpSection {
  let all: Promise<readonly ClusterStatus[]> | null = null;
  const chosen = async (viaApi: boolean): Promise<ClusterStatus[]> => {
    all ??= context.clusters();
    return (await all)
      .filter((cluster) => cluster.addedViaApi === viaApi && accepts(nameOf(cluster)))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  };
  const fixed = async function* (after?: string) {
    for await (const slice of slicesOf(await chosen(false))) yield items(slice, after, configJson);
  };
  const dynamic = async function* (after?: string) {
    const clusters = await chosen(true);
    const known = clusters.length === 0 ? new Map() : await assignments(context);
    for await (const slice of slicesOf(clusters)) {
      yield items(slice, after, (cluster) => ({
        ...configJson(cluster),
        ...origin(known.get(nameOf(cluster))),
      }));
    }
  };
  return {
    type: 'EndpointsConfigDump',
    fields: {},
    lists: [
      { name: 'static_endpoint_configs', element: 'StaticEndpointConfig', items: fixed },
      { name: 'dynamic_endpoint_configs', element: 'DynamicEndpointConfig', items: dynamic },
    ],
  };
}

function items(
  clusters: readonly ClusterStatus[],
  after: string | undefined,
  json: (cluster: ClusterStatus) => JsonObject,
): DumpItem[] {
  return clusters
    .filter((cluster) => after === undefined || cluster.name > after)
    .map((cluster) => ({ token: cluster.name, json: json(cluster) }));
}

/** What is known of the assignments that came from control planes, by name. */
async function assignments(context: AdminContext): Promise<Map<string, XdsResource>> {
  const known = new Map<string, XdsResource>();
  const slices = context.dynamic()?.resources({ type: TYPES.endpoints, withConfig: false }) ?? [];
  for await (const slice of slices) for (const one of slice) known.set(one.name, one);
  return known;
}

function origin(one: XdsResource | undefined): JsonObject {
  if (one === undefined) return {};
  const { active } = one;
  return {
    version_info: active?.version || undefined,
    last_updated: active === undefined ? undefined : time(active.updatedAt),
    ...outcomeJson(one),
  };
}

function nameOf(cluster: ClusterStatus): string {
  return cluster.edsServiceName ?? cluster.name;
}

function configJson(cluster: ClusterStatus): JsonObject {
  return {
    endpoint_config: {
      '@type': `type.googleapis.com/${TYPES.endpoints}`,
      cluster_name: nameOf(cluster),
      endpoints: cluster.hosts.length === 0 ? undefined : localities(cluster.hosts),
      policy: { overprovisioning_factor: 140 },
    },
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
