import { join } from 'node:path';
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import t from 'tap';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { checkConfig } from '../../src/control/check-config.ts';
import { loadBootstrap } from '../../src/proto/bootstrap.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import type { FieldSupport, Tier } from '../../src/proto/support/table.ts';
import { xdsSupport } from '../../src/proto/support/xds.ts';
import { support } from '../../src/proto/support.ts';

const registry = envoyRegistry();
type Plain = Readonly<Record<string, unknown>>;

/** Implemented fields that compiling does not look at, and who does. */
const readElsewhere: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(xdsSupport).flatMap(([message, fields]) =>
      Object.keys(fields).map((field) => [`${message}.${field}`, 'the xds thread; test/xds']),
    ),
  ),
  'envoy.config.bootstrap.v3.Bootstrap.dynamic_resources': 'the xds thread; test/xds',
  'envoy.config.bootstrap.v3.ClusterManager.load_stats_config': 'the xds thread; test/xds',
  'envoy.config.bootstrap.v3.Bootstrap.hds_config': 'the xds thread; test/xds',
  'envoy.config.bootstrap.v3.RuntimeLayer.rtds_layer': 'the xds thread; test/xds',
  'envoy.config.route.v3.RouteConfiguration.vhds': 'the xds thread; test/xds',
  'envoy.config.listener.v3.Filter.config_discovery': 'the xds thread; test/xds',
  'envoy.config.listener.v3.ListenerFilter.config_discovery': 'the xds thread; test/xds',
  'envoy.config.cluster.v3.Cluster.eds_cluster_config': 'the xds thread; test/xds',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.config_discovery':
    'the xds thread; test/xds',
  'envoy.config.bootstrap.v3.Bootstrap.admin': 'the control thread',
  'envoy.config.bootstrap.v3.Bootstrap.typed_dns_resolver_config': 'the control thread',
  'envoy.config.bootstrap.v3.Admin.address': 'the control thread',
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources.secrets': 'the control thread',
  'envoy.extensions.transport_sockets.tls.v3.Secret.name': 'the control thread',
  'envoy.extensions.transport_sockets.tls.v3.Secret.tls_certificate': 'handshakes, once the secret is there',
  'envoy.extensions.transport_sockets.tls.v3.Secret.validation_context':
    'handshakes, once the secret is there',
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext.default_validation_context':
    'handshakes, once the secret it is merged with is there',
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.ocsp_staple_policy':
    'the table: there is one value',
  'envoy.config.listener.v3.FilterChain.filter_chain_match': 'the table: all its fields are rejected',
  'envoy.config.listener.v3.FilterChain.transport_socket': 'the table: raw_buffer is the only known type',
  'envoy.config.cluster.v3.Cluster.round_robin_lb_config': 'the table: all its fields are rejected',
  'envoy.config.route.v3.QueryParameterMatcher.present_match': 'being the last member of its oneof',
  'envoy.type.v3.FractionalPercent.numerator': 'the closure that draws',
  'envoy.type.v3.FractionalPercent.denominator': 'the closure that draws',
};

/** Wraps a plain message so that the names of fields that are read end up in `reads`. */
function spy(value: unknown, desc: DescMessage | undefined, reads: Set<string>): unknown {
  if (typeof value !== 'object' || value === null || desc === undefined) return value;
  if (desc.typeName === 'google.protobuf.Any') {
    const any = value as { readonly type: string; readonly value: unknown };
    return { type: any.type, value: spy(any.value, registry.getMessage(any.type), reads) };
  }
  if (desc.typeName.startsWith('google.protobuf.')) return value;
  return new Proxy(value as Plain, {
    get(target, key) {
      const field = desc.fields.find((candidate) => candidate.jsonName === key);
      if (field === undefined) return undefined;
      reads.add(`${desc.typeName}.${field.name}`);
      return spyField(target[field.jsonName], field, reads);
    },
  });
}

function spyField(value: unknown, field: DescField, reads: Set<string>): unknown {
  if (value === undefined || field.message === undefined) return value;
  if (field.fieldKind === 'message') return spy(value, field.message, reads);
  if (Array.isArray(value)) return value.map((item) => spy(item, field.message, reads));
  return Object.fromEntries(
    Object.entries(value as Plain).map(([key, item]) => [key, spy(item, field.message, reads)]),
  );
}

function isClaimed(row: Tier | FieldSupport): boolean {
  return typeof row === 'string'
    ? row === 'implemented'
    : row.tier === 'implemented' && !row.note?.startsWith('a label');
}

t.test(
  'every field that the table calls implemented is read when the configuration is compiled',
  async (t) => {
    const reads = new Set<string>();
    const config = loadBootstrap({ file: join(import.meta.dirname, 'every-message.yaml') });
    const desc = requireMessage(registry, 'envoy.config.bootstrap.v3.Bootstrap');
    checkConfig({ ...config, bootstrap: spy(config.bootstrap, desc, reads) as Bootstrap });
    const claimed = Object.entries(support).flatMap(([message, rows]) =>
      Object.entries(rows).flatMap(([field, row]) => (isClaimed(row) ? [`${message}.${field}`] : [])),
    );
    t.ok(claimed.length > 200);
    t.same(
      claimed.filter((field) => !reads.has(field) && readElsewhere[field] === undefined),
      [],
      'a new row needs code that reads it; is the message in every-message.yaml?',
    );
  },
);
