/**
 * Every field that inox calls implemented must be set to a non-default value in at least one case: prints the
 * fields that are not, and ends with 1 when there are any.
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { parse } from 'yaml';

import { envoyRegistry, requireMessage } from '../../../src/proto/registry.ts';
import type { FieldSupport, Tier } from '../../../src/proto/support/table.ts';
import { xdsSupport } from '../../../src/proto/support/xds.ts';
import { support } from '../../../src/proto/support.ts';
import { bootstrapFor } from './bootstrap.ts';
import type { Group } from './case.ts';
import { GROUPS } from './cases/index.ts';

/** Fields that no differential case can set, and why. */
const EXEMPT: Readonly<Record<string, string>> = {
  'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma.decay_time': 'not in the Envoy binary',
  'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma.default_rtt':
    'not in the Envoy binary',
  ...Object.fromEntries(
    ['max_failures', 'min_penalty', 'max_penalty', 'jitter_ratio'].map((field) => [
      `inox.outlier_detection_monitors.failure_accrual.v1.FailureAccrual.${field}`,
      "inox's own",
    ]),
  ),
  // A control plane stands behind these: npm run test:xds runs both proxies against one; reports and LEDS: test/xds.
  ...Object.fromEntries(
    [
      ...Object.entries(xdsSupport).flatMap(([message, fields]) =>
        Object.keys(fields).map((field) => `${message}.${field}`),
      ),
      'envoy.config.bootstrap.v3.Bootstrap.dynamic_resources',
      'envoy.config.bootstrap.v3.Bootstrap.hds_config',
      'envoy.config.bootstrap.v3.ClusterManager.load_stats_config',
      'envoy.config.endpoint.v3.LocalityLbEndpoints.leds_cluster_locality_config',
      'envoy.config.bootstrap.v3.RuntimeLayer.rtds_layer',
      'envoy.config.route.v3.RouteConfiguration.vhds',
      'envoy.config.listener.v3.Filter.config_discovery',
      'envoy.config.listener.v3.ListenerFilter.config_discovery',
      'envoy.config.cluster.v3.Cluster.eds_cluster_config',
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.rds',
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.scoped_routes',
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.config_discovery',
    ].map((field) => [field, 'npm run test:xds']),
  ),
  'envoy.config.cluster.v3.OutlierDetection.monitors': "inox's own monitor is the only one",
};

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

const registry = envoyRegistry();
const bootstrap = requireMessage(registry, 'envoy.config.bootstrap.v3.Bootstrap');
const seen = new Set<string>();
for (const group of GROUPS) collect(bootstrap, parse(textOf(group)) as Json);

const missing: string[] = [];
let implemented = 0;
for (const [message, fields] of Object.entries(support)) {
  for (const [field, tier] of Object.entries(fields)) {
    if (tierOf(tier) !== 'implemented' || onlyDefault(message, field, tier)) continue;
    implemented += 1;
    const name = `${message}.${field}`;
    if (!seen.has(name) && EXEMPT[name] === undefined) missing.push(name);
  }
}
for (const name of missing) console.log(`no case sets ${name}`);
console.log(`${implemented} implemented fields, ${missing.length} without a case`);
if (missing.length > 0) process.exitCode = 1;

function tierOf(tier: Tier | FieldSupport): Tier {
  return typeof tier === 'string' ? tier : tier.tier;
}

/** An enum of which only the zero value is taken has no other value to set. */
function onlyDefault(message: string, field: string, tier: Tier | FieldSupport): boolean {
  const values = typeof tier === 'string' ? undefined : tier.values;
  const desc = requireMessage(registry, message).fields.find((one) => one.name === field);
  return values?.length === 1 && desc?.fieldKind === 'enum' && desc.enum.values[0]?.name === values[0];
}

function textOf(group: Group): string {
  const placed = group.cases.map((spec, index) => ({
    case: spec,
    id: `${group.name}_${index}`,
    port: 1,
    log: '/dev/null',
    data: '/dev/null',
    backends: Object.fromEntries(Object.keys(spec.backends ?? { backend: 1 }).map((name) => [name, 1])),
  }));
  return bootstrapFor(group, placed, 1);
}

/** Notes the fields that a message sets, and those of the messages in it. */
function collect(message: DescMessage, value: Json): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  if (message.typeName === 'google.protobuf.Any') {
    const type = value['@type'];
    const inner =
      typeof type === 'string' ? registry.getMessage(type.slice(type.lastIndexOf('/') + 1)) : undefined;
    if (inner !== undefined) collect(inner, value);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    const field = message.fields.find((one) => one.name === key || one.jsonName === key);
    if (field === undefined || isDefault(field, inner)) continue;
    seen.add(`${message.typeName}.${field.name}`);
    for (const [nested, part] of partsOf(field, inner)) collect(nested, part);
  }
}

/** Wrappers, such as BoolValue, are messages: `false` is not their default. */
function isDefault(field: DescField, value: Json): boolean {
  if (field.fieldKind === 'message') return value === null;
  if (Array.isArray(value)) return value.length === 0;
  if (field.fieldKind === 'enum') return value === field.enum.values[0]?.name;
  return value === null || value === false || value === 0 || value === '';
}

function partsOf(field: DescField, value: Json): [DescMessage, Json][] {
  if (field.fieldKind === 'message') return [[field.message, value]];
  if (field.fieldKind === 'list' && field.message !== undefined && Array.isArray(value)) {
    const nested = field.message;
    return value.map((item) => [nested, item]);
  }
  if (
    field.fieldKind === 'map' &&
    field.message !== undefined &&
    typeof value === 'object' &&
    value !== null
  ) {
    const nested = field.message;
    return Object.values(value).map((item) => [nested, item]);
  }
  return [];
}
