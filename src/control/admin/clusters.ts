import { formatAddress } from '../../net/address.ts';
import { inSlices } from '../../stats/slices.ts';
import type { BreakerLimits } from '../../upstream/breaker.ts';
import type { HealthFlagName } from '../../upstream/host.ts';
import type { HostStatsStatus, HostStatus } from '../../upstream/status.ts';
import { addressJson } from './address-json.ts';
import type { AdminContext, ClusterStatus, JsonObject } from './context.ts';
import { type AdminReply, type AdminRequest, type Endpoint, JSON_TYPE, textReply } from './endpoint.ts';
import { jsonText } from './json-text.ts';
import { compileNameFilter } from './name-filter.ts';

export const clustersEndpoint: Endpoint = {
  path: '/clusters',
  help: 'upstream cluster status',
  mutates: false,
  parameters: {
    format: 'one of text, json',
    filter: 'RE2 expression that a cluster name must match somewhere',
  },
  handle: showClusters,
};

const GAUGES: readonly (keyof HostStatsStatus)[] = ['cx_active', 'rq_active', 'rq_pending_active'];
const COUNTERS: readonly (keyof HostStatsStatus)[] = [
  'cx_connect_fail',
  'cx_total',
  'rq_error',
  'rq_success',
  'rq_timeout',
  'rq_total',
];

async function showClusters(request: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const source = request.query.get('filter');
  const accepts = source === null ? undefined : compileNameFilter(source);
  const clusters = (await context.clusters())
    .filter((cluster) => accepts?.(cluster.name) !== false)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (request.query.get('format') === 'json')
    return { status: 200, contentType: JSON_TYPE, body: inSlices(jsonPieces(clusters)) };
  return textReply(inSlices(textPieces(clusters)));
}

function* textPieces(clusters: readonly ClusterStatus[]): Generator<string> {
  for (const cluster of clusters) yield clusterText(cluster);
}

function* jsonPieces(clusters: readonly ClusterStatus[]): Generator<string> {
  yield '{\n "cluster_statuses": [';
  let before = '';
  for (const cluster of clusters) {
    yield `${before}\n  ${jsonText(clusterJson(cluster), 2)}`;
    before = ',';
  }
  yield `${before === '' ? '' : '\n '}]\n}\n`;
}

function clusterText(cluster: ClusterStatus): string {
  const { name, outlier } = cluster;
  const lines: [string, string | number | boolean][] = [['observability_name', cluster.observabilityName]];
  if (outlier !== undefined) {
    lines.push(
      ['outlier::success_rate_average', outlier.successRateAverage],
      ['outlier::success_rate_ejection_threshold', outlier.successRateEjectionThreshold],
      ['outlier::local_origin_success_rate_average', outlier.localOriginSuccessRateAverage],
      [
        'outlier::local_origin_success_rate_ejection_threshold',
        outlier.localOriginSuccessRateEjectionThreshold,
      ],
    );
  }
  for (const [priority, breaker] of [
    ['default_priority', cluster.defaultPriority],
    ['high_priority', cluster.highPriority],
  ] as const) {
    for (const [limit, value] of Object.entries(breakerJson(breaker)))
      lines.push([`${priority}::${limit}`, value]);
  }
  lines.push(['added_via_api', cluster.addedViaApi]);
  if (cluster.edsServiceName !== undefined) lines.push(['eds_service_name', cluster.edsServiceName]);
  const own = lines.map(([field, value]) => `${name}::${field}::${value}\n`).join('');
  return own + cluster.hosts.map((host) => hostText(name, host)).join('');
}

function hostText(cluster: string, host: HostStatus): string {
  const prefix = `${cluster}::${formatAddress(host.address)}`;
  const fields: [string, string | number | boolean][] = [
    ...[...COUNTERS, ...GAUGES].sort().map((stat): [string, number] => [stat, host.stats[stat]]),
    ['hostname', host.hostname],
    ['health_flags', host.healthFlags.length === 0 ? 'healthy' : `/${host.healthFlags.join('/')}`],
    ['weight', host.weight],
    ['region', host.region],
    ['zone', host.zone],
    ['sub_zone', host.subZone],
    ['canary', host.canary],
    ['priority', host.priority],
    ['success_rate', host.successRate],
    ['local_origin_success_rate', host.localOriginSuccessRate],
    ...Object.entries(host.gauges ?? {}),
  ];
  return fields.map(([field, value]) => `${prefix}::${field}::${value}\n`).join('');
}

/** `envoy.admin.v3.ClusterStatus`; like proto JSON it leaves out what has the default value. */
function clusterJson(cluster: ClusterStatus): JsonObject {
  const { outlier } = cluster;
  const percent = (value: number | undefined) => (value === undefined || value < 0 ? undefined : { value });
  return {
    name: cluster.name,
    added_via_api: cluster.addedViaApi || undefined,
    success_rate_ejection_threshold: percent(outlier?.successRateEjectionThreshold),
    local_origin_success_rate_ejection_threshold: percent(outlier?.localOriginSuccessRateEjectionThreshold),
    host_statuses: cluster.hosts.length === 0 ? undefined : cluster.hosts.map(hostJson),
    circuit_breakers: {
      thresholds: [
        breakerJson(cluster.defaultPriority),
        { priority: 'HIGH', ...breakerJson(cluster.highPriority) },
      ],
    },
    observability_name: cluster.observabilityName,
    eds_service_name: cluster.edsServiceName,
  };
}

function hostJson(host: HostStatus): JsonObject {
  const percent = (value: number) => (value < 0 ? undefined : { value });
  // 64-bit numbers are strings in proto JSON.
  const stat = (name: string, value: number, type?: string): JsonObject => {
    return { type, value: value === 0 ? undefined : String(value), name };
  };
  return {
    address: addressJson(host.address),
    stats: [
      ...COUNTERS.map((name) => stat(name, host.stats[name])),
      ...GAUGES.map((name) => stat(name, host.stats[name], 'GAUGE')),
      // SimpleMetric holds whole numbers only.
      ...Object.entries(host.gauges ?? {}).map(([name, value]) => stat(name, Math.round(value), 'GAUGE')),
    ],
    health_status: healthJson(host.healthFlags),
    success_rate: percent(host.successRate),
    weight: host.weight,
    hostname: host.hostname || undefined,
    priority: host.priority || undefined,
    local_origin_success_rate: percent(host.localOriginSuccessRate),
    locality: {
      region: host.region || undefined,
      zone: host.zone || undefined,
      sub_zone: host.subZone || undefined,
    },
  };
}

function healthJson(flags: readonly HealthFlagName[]): JsonObject {
  const flag = (name: HealthFlagName) => flags.includes(name) || undefined;
  return {
    failed_active_health_check: flag('failed_active_hc'),
    failed_outlier_check: flag('failed_outlier_check'),
    failed_active_degraded_check: flag('degraded_active_hc'),
    eds_health_status: edsHealth(flags),
    pending_dynamic_removal: flag('pending_dynamic_removal'),
    pending_active_hc: flag('pending_active_hc'),
    excluded_via_immediate_hc_fail: flag('excluded_via_immediate_hc_fail'),
    active_hc_timeout: flag('active_hc_timeout'),
  };
}

function edsHealth(flags: readonly HealthFlagName[]): string {
  if (flags.includes('failed_eds_health')) return 'UNHEALTHY';
  if (flags.includes('eds_status_draining')) return 'DRAINING';
  return flags.includes('degraded_eds_health') ? 'DEGRADED' : 'HEALTHY';
}

function breakerJson(breaker: BreakerLimits): Readonly<Record<string, number>> {
  return {
    max_connections: breaker.maxConnections,
    max_pending_requests: breaker.maxPendingRequests,
    max_requests: breaker.maxRequests,
    max_retries: breaker.maxRetries,
  };
}
