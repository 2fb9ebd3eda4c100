import { type Case, type Connection, type Group, get } from '../case.ts';

/** Who the client is taken to be: X-Forwarded-For, trusted hops, x-envoy-* from outside. */
function origin(
  name: string,
  hcm: string,
  connections: readonly Connection[] = ASKED,
  more: Partial<Case> = {},
): Case {
  return {
    name: `origin: ${name}`,
    hcm,
    connections,
    format:
      '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(X-FORWARDED-FOR)% %REQ(X-ENVOY-INTERNAL)%',
    ...more,
  };
}

const ASKED: readonly Connection[] = [
  get('/'),
  get('/', 'X-Forwarded-For: 1.2.3.4'),
  get('/', 'X-Forwarded-For: 1.2.3.4, 10.0.0.1'),
  get('/', 'X-Forwarded-For: 10.0.0.2'),
  get('/', 'X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7'),
  get('/', 'X-Forwarded-For: nonsense'),
  get('/', 'X-Forwarded-For: 2001:db8::1'),
  get('/', 'X-Forwarded-For: 1.1.1.1', 'X-Forwarded-For: 2.2.2.2'),
  get(
    '/',
    'X-Envoy-Internal: true',
    'X-Envoy-Max-Retries: 1',
    'X-Envoy-External-Address: 6.6.6.6',
    'X-Envoy-Upstream-Alt-Stat-Name: s',
    'X-Envoy-Decorator-Operation: o',
    'X-Envoy-Ip-Tags: t',
    'X-Envoy-Original-Path: /p',
    'X-Envoy-Hedge-On-Per-Try-Timeout: true',
  ),
  get(
    '/',
    'X-Forwarded-For: 10.0.0.2',
    'X-Envoy-Max-Retries: 1',
    'X-Envoy-Upstream-Rq-Timeout-Ms: 700',
    'X-Envoy-Retry-On: 5xx',
  ),
  get('/', 'X-Forwarded-Proto: https'),
  get('/', 'X-Forwarded-Proto: ftp', 'X-Forwarded-Host: h', 'X-Forwarded-Port: 99'),
  get('/', 'X-Forwarded-Client-Cert: By=spiffe://x', 'Forwarded: for=1.2.3.4', 'X-Real-Ip: 3.3.3.3'),
  { ...get('/'), from: '127.0.0.7' },
];

const INSIDE =
  'internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: 127.0.0.0, prefix_len: 8}]}';

const cases: readonly Case[] = [
  origin('by default', '{}'),
  origin('use_remote_address', 'use_remote_address: true'),
  origin('use_remote_address with one trusted hop', 'use_remote_address: true\nxff_num_trusted_hops: 1'),
  origin('use_remote_address with two trusted hops', 'use_remote_address: true\nxff_num_trusted_hops: 2'),
  origin('one trusted hop', 'xff_num_trusted_hops: 1'),
  origin('two trusted hops', 'xff_num_trusted_hops: 2'),
  origin('skip_xff_append', 'use_remote_address: true\nskip_xff_append: true'),
  origin('internal addresses', INSIDE),
  origin('internal addresses with use_remote_address', `use_remote_address: true\n${INSIDE}`),
  origin('unix_sockets are internal', 'internal_address_config: {unix_sockets: true}'),
  origin(
    'represent_ipv4_remote_address_as_ipv4_mapped_ipv6',
    'use_remote_address: true\nrepresent_ipv4_remote_address_as_ipv4_mapped_ipv6: true',
  ),
  origin(
    'xff extension',
    'original_ip_detection_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, xff_num_trusted_hops: 1}}]',
  ),
  origin(
    'custom header extension',
    'original_ip_detection_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig, header_name: x-real-ip}}]',
  ),
  origin('append_x_forwarded_port', 'append_x_forwarded_port: true'),
  origin('scheme_header_transformation', 'scheme_header_transformation: {scheme_to_overwrite: https}', [
    get('/'),
    get('/', 'X-Forwarded-Proto: http'),
  ]),
  ...['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'].map((mode) =>
    origin(`forward_client_cert_details ${mode}`, `forward_client_cert_details: ${mode}`, [
      get('/', 'X-Forwarded-Client-Cert: By=spiffe://x'),
    ]),
  ),
  origin(
    'internal_only_headers of the route table',
    '{}',
    [get('/', 'X-Own: 1'), get('/', 'X-Own: 1', 'X-Forwarded-For: 10.0.0.2')],
    {
      hcm: INSIDE,
      routeConfig: 'internal_only_headers: [x-own]',
    },
  ),
  origin('vhost include_request_attempt_count', '{}', [get('/'), get('/', 'X-Envoy-Attempt-Count: 7')], {
    vhost: 'include_request_attempt_count: true\ninclude_attempt_count_in_response: true',
  }),
  origin('vhost include_is_timeout_retry_header', '{}', [get('/')], {
    vhost: 'include_is_timeout_retry_header: true',
  }),
];

export const origins: readonly Group[] = [{ name: 'origin', cases }];
