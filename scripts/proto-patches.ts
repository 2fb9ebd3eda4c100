/** One change to a packaged proto, wherever `find` stands; it must occur, else the build fails and the patch is looked at again. */
export interface ProtoPatch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A field that Envoy 1.40 has and the packaged protos have not. */
function addField(file: string, message: string, field: string): ProtoPatch {
  const find = `message ${message} {`;
  return { file, find, replace: `${find}\n  ${field};` };
}

const base = 'envoy/config/core/v3/base.proto';
const cares = 'envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.proto';
const routes = 'envoy/config/route/v3/route_components.proto';
const tls = 'envoy/extensions/transport_sockets/tls/v3/tls.proto';
const manager = 'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto';

/** Where the packaged protos are behind Envoy 1.40. */
export const protoPatches: readonly ProtoPatch[] = [
  // Envoy's protos use it in string rules, the packaged validate.proto does not declare it.
  addField('validate/validate.proto', 'StringRules', 'optional bool ignore_empty = 26'),
  // Rules that were lifted: a runtime key may be left out, and so may resolvers.
  {
    file: base,
    find: 'string runtime_key = 2 [(validate.rules).string = {min_len: 1}];',
    replace: 'string runtime_key = 2;',
  },
  {
    file: base,
    find: 'string runtime_key = 3 [(validate.rules).string = {min_len: 1}];',
    replace: 'string runtime_key = 3;',
  },
  {
    file: cares,
    find: 'resolvers = 1 [(validate.rules).repeated = {min_items: 1}];',
    replace: 'resolvers = 1;',
  },
  {
    file: 'envoy/config/accesslog/v3/accesslog.proto',
    find: 'in: "DR"',
    replace: 'in: "DR"\n        in: "UDO"',
  },
  addField(
    cares,
    'CaresDnsResolverConfig',
    'google.protobuf.UInt64Value query_timeout_seconds = 6 [(validate.rules).uint64 = {gte: 1}]',
  ),
  addField(
    cares,
    'CaresDnsResolverConfig',
    'google.protobuf.UInt32Value query_tries = 7 [(validate.rules).uint32 = {gte: 1}]',
  ),
  addField(cares, 'CaresDnsResolverConfig', 'bool rotate_nameservers = 8'),
  addField(
    'envoy/config/bootstrap/v3/bootstrap.proto',
    'Bootstrap',
    'google.protobuf.Duration stats_eviction_interval = 42',
  ),
  addField('envoy/config/cluster/v3/cluster.proto', 'Cluster', 'google.protobuf.Duration dns_jitter = 58'),
  addField(
    'envoy/config/core/v3/protocol.proto',
    'HttpProtocolOptions',
    'google.protobuf.UInt32Value max_response_headers_kb = 7',
  ),
  addField(
    'envoy/config/core/v3/protocol.proto',
    'Http2ProtocolOptions',
    'google.protobuf.UInt64Value max_metadata_size = 17',
  ),
  addField(
    'envoy/config/core/v3/protocol.proto',
    'Http2ProtocolOptions',
    'google.protobuf.BoolValue enable_huffman_encoding = 18',
  ),
  addField(
    'envoy/config/core/v3/protocol.proto',
    'Http2ProtocolOptions',
    'google.protobuf.UInt32Value max_header_field_size_kb = 19',
  ),
  addField('envoy/config/listener/v3/listener.proto', 'Listener', 'core.v3.TcpKeepalive tcp_keepalive = 37'),
  addField(tls, 'UpstreamTlsContext', 'bool auto_host_sni = 6'),
  addField(tls, 'UpstreamTlsContext', 'bool auto_sni_san_validation = 7'),
  addField(tls, 'DownstreamTlsContext', 'bool prefer_client_ciphers = 11'),
  addField(routes, 'RouteAction', 'google.protobuf.Duration flush_timeout = 42'),
  addField(routes, 'VirtualHost', 'google.protobuf.UInt64Value request_body_buffer_limit = 25'),
  addField(routes, 'Route', 'google.protobuf.UInt64Value request_body_buffer_limit = 20'),
  addField(manager, 'HttpConnectionManager', 'google.protobuf.Duration stream_flush_timeout = 59'),
];
