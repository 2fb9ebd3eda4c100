import { inert, noted, only, type SupportTable } from './table.ts';

/** Messages that many others use. */
export const commonSupport: SupportTable = {
  'envoy.config.core.v3.Address': {
    socket_address: 'implemented',
    pipe: 'implemented',
  },
  'envoy.config.core.v3.SocketAddress': {
    protocol: only('TCP'),
    address: 'implemented',
    port_value: 'implemented',
    ipv4_compat: noted('of listeners'),
  },
  'envoy.config.core.v3.Pipe': {
    path: 'implemented',
  },
  'envoy.config.core.v3.TypedExtensionConfig': {
    name: noted('a label, the type of typed_config decides'),
    typed_config: 'implemented',
  },
  'envoy.config.core.v3.TransportSocket': {
    name: noted('a label, the type of typed_config decides'),
    typed_config: 'implemented',
  },
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': {},
  'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport': {
    config: noted('connections of HTTP pools say LOCAL (V2) or their own ends (V1)'),
    transport_socket: 'implemented',
  },
  'envoy.config.core.v3.ProxyProtocolPassThroughTLVs': {
    match_type: 'implemented',
    tlv_type: 'implemented',
  },
  'envoy.config.core.v3.ProxyProtocolConfig': {
    version: 'implemented',
    pass_through_tlvs: 'implemented',
  },
  'envoy.config.core.v3.DataSource': {
    filename: 'implemented',
    inline_bytes: 'implemented',
    inline_string: 'implemented',
    environment_variable: 'implemented',
  },
  'envoy.config.core.v3.HeaderValueOption': {
    header: 'implemented',
    append: 'implemented',
    append_action: 'implemented',
    keep_empty_value: 'implemented',
  },
  'envoy.config.core.v3.HeaderValue': {
    key: 'implemented',
    value: 'implemented',
  },
  'envoy.config.core.v3.RuntimeUInt32': {
    default_value: 'implemented',
    runtime_key: 'implemented',
  },
  'envoy.config.core.v3.Metadata': {
    filter_metadata: noted('`envoy.lb` chooses subsets, `envoy.transport_socket_match` transport sockets'),
    typed_filter_metadata: inert('nothing reads it'),
  },
  'envoy.config.core.v3.RuntimeDouble': {
    default_value: 'implemented',
    runtime_key: inert('the default value counts'),
  },
  'envoy.config.core.v3.RuntimeFractionalPercent': {
    default_value: 'implemented',
    runtime_key: 'implemented',
  },
  'envoy.type.matcher.v3.RegexMatcher': {
    regex: 'implemented',
    google_re2: inert('expressions run in linear time, without a limit of their own'),
  },
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': {
    pattern: 'implemented',
    substitution: 'implemented',
  },
  'envoy.type.matcher.v3.StringMatcher': {
    exact: 'implemented',
    prefix: 'implemented',
    suffix: 'implemented',
    safe_regex: 'implemented',
    contains: 'implemented',
    ignore_case: 'implemented',
  },
  'envoy.type.v3.FractionalPercent': {
    numerator: 'implemented',
    denominator: 'implemented',
  },
  'envoy.type.v3.Percent': {
    value: 'implemented',
  },
  'envoy.type.v3.Int64Range': {
    start: 'implemented',
    end: 'implemented',
  },
};
