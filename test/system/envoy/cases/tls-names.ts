import type { Case, Connection, Group } from '../case.ts';
import { OTHER_ROOT, ROOT, shows } from '../tls-files.ts';

// Which names are asked for and checked in handshakes with hosts, and what ALPN makes of them. The host is a listener
// of the same proxy; it answers with what it was asked for.

const TYPES = 'type.googleapis.com/envoy.extensions';
const TLS = `${TYPES}.transport_sockets.tls.v3`;
const MANAGER = `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const ROUTER = `{name: router, typed_config: {"@type": ${TYPES}.filters.http.router.v3.Router}}`;

interface Names {
  readonly name: string;
  /** Of `UpstreamHttpProtocolOptions`. */
  readonly http?: string;
  /** In the cluster itself, as before there was HttpProtocolOptions. */
  readonly older?: true;
  /** How the host is spoken to; HTTP/1.1 when left out. */
  readonly protocol?: string;
  /** Of `UpstreamTlsContext`. */
  readonly tls?: string;
  /** Of its `CommonTlsContext`. */
  readonly common?: string;
  /** ALPN of the host. */
  readonly alpn?: string;
  /** Of the host's `DownstreamTlsContext`. */
  readonly server?: string;
  readonly serverCertificates?: string;
  /** Name of the host in the cluster. */
  readonly hostname?: string;
  readonly route?: string;
  readonly requests: readonly Connection[];
}

const TRUSTED = `validation_context: {trusted_ca: {filename: ${ROOT}}}`;
const to = (host: string, ...headers: readonly string[]): Connection => ({
  acts: [`GET / HTTP/1.1\r\nHost: ${host}\r\n${headers.map((one) => `${one}\r\n`).join('')}\r\n`],
});

function caseOf(names: Names): Case {
  const {
    http = '',
    protocol = 'explicit_http_config: {http_protocol_options: {}}',
    tls = '',
    common = TRUSTED,
  } = names;
  const options = `{"@type": ${TYPES}.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {max_requests_per_connection: 1}, upstream_http_protocol_options: {${http}}, ${protocol}}`;
  const written =
    names.older === true
      ? `upstream_http_protocol_options: {${http}}, common_http_protocol_options: {max_requests_per_connection: 1}`
      : `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: ${options}}`;
  const socket = `{name: tls, typed_config: {"@type": ${TLS}.UpstreamTlsContext, common_tls_context: {${common}}${tls === '' ? '' : `, ${tls}`}}}`;
  const certificates = names.serverCertificates ?? shows('server');
  const alpn = names.alpn === undefined ? '' : `, alpn_protocols: [${names.alpn}]`;
  const server = `{name: tls, typed_config: {"@type": ${TLS}.DownstreamTlsContext, common_tls_context: {tls_certificates: [${certificates}]${alpn}}${names.server === undefined ? '' : `, ${names.server}`}}}`;
  const hostname = names.hostname === undefined ? '' : `hostname: ${names.hostname}, `;
  return {
    name: `tls names: ${names.name}`,
    cluster: `{load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {${hostname}address: {socket_address: {address: 127.0.0.1, port_value: {{tls}}}}}}]}]}, ${written}, transport_socket: ${socket}}`,
    routes: `[{match: {prefix: /}, route: {cluster: "{{id}}"${names.route === undefined ? '' : `, ${names.route}`}}}]`,
    listeners: `[{name: "{{id}}_tls", stat_prefix: "{{id}}_tls", address: {socket_address: {address: 127.0.0.1, port_value: {{tls}}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": ${MANAGER}, stat_prefix: "{{id}}_tls", http_filters: [${ROUTER}], route_config: {virtual_hosts: [{name: all, domains: ["*"], response_headers_to_add: [{header: {key: x-asked, value: "by %PROTOCOL% for %REQUESTED_SERVER_NAME%."}}], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}}}], transport_socket: ${server}}]}]`,
    backends: { tls: { kind: 'refused' } },
    connections: names.requests,
    format: '%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_PROTOCOL%',
    counters: [
      'cluster.{{id}}.ssl.handshake',
      'cluster.{{id}}.ssl.fail_verify_san',
      'cluster.{{id}}.ssl.fail_verify_error',
      'cluster.{{id}}.upstream_cx_http1_total',
      'cluster.{{id}}.upstream_cx_http2_total',
      'cluster.{{id}}.upstream_cx_connect_fail',
    ],
  };
}

const HOSTS = [
  to('server.example'),
  to('server.example:8443'),
  to('SERVER.example'),
  to('a.wild.example'),
  to('a.b.wild.example'),
  to('other.example'),
  to('127.0.0.1:80'),
  to('127.0.0.2'),
  to('[::1]:80'),
];
const AUTO_SNI = 'auto_sni: true';
const AUTO_SAN = 'auto_san_validation: true';
const HEADER = 'override_auto_sni_header: x-name';

const cases: readonly Names[] = [
  { name: 'auto_sni', http: AUTO_SNI, requests: HOSTS },
  { name: 'auto_sni before sni', http: AUTO_SNI, tls: 'sni: configured.example', requests: HOSTS },
  { name: 'auto_san_validation', http: `${AUTO_SNI}, ${AUTO_SAN}`, requests: HOSTS },
  { name: 'the older fields', older: true, http: `${AUTO_SNI}, ${AUTO_SAN}`, requests: HOSTS },
  {
    name: 'auto_san_validation without auto_sni',
    http: AUTO_SAN,
    tls: 'sni: configured.example',
    requests: HOSTS,
  },
  { name: 'auto_san_validation without a trusted CA', http: AUTO_SAN, common: '', requests: HOSTS },
  {
    name: 'auto_san_validation beside names of the context',
    http: AUTO_SAN,
    common: `validation_context: {trusted_ca: {filename: ${ROOT}}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a.wild.example}}]}`,
    requests: HOSTS,
  },
  {
    name: 'override_auto_sni_header',
    http: `${AUTO_SNI}, ${AUTO_SAN}, ${HEADER}`,
    requests: [
      to('x.example', 'x-name: server.example'),
      to('server.example', 'x-name: x.example'),
      to('server.example', 'x-name: '),
      to('server.example'),
      to('x.example', 'x-name: server.example:99'),
      to('x.example', 'x-name: server.example', 'x-name: a.wild.example'),
    ],
  },
  {
    name: 'after a host rewrite',
    http: `${AUTO_SNI}, ${AUTO_SAN}`,
    route: 'host_rewrite_literal: server.example',
    requests: [to('x.example'), to('server.example')],
  },
  {
    name: 'after a host rewrite by a header',
    http: `${AUTO_SNI}, ${AUTO_SAN}`,
    route: 'host_rewrite_header: x-host',
    requests: [to('x.example', 'x-host: server.example'), to('server.example', 'x-host: x.example')],
  },
  {
    name: 'before an automatic host rewrite',
    http: `${AUTO_SNI}, ${AUTO_SAN}`,
    route: 'auto_host_rewrite: true',
    hostname: 'server.example',
    requests: [to('x.example'), to('server.example'), to('a.wild.example')],
  },
  {
    name: 'in retries',
    http: `${AUTO_SNI}, ${AUTO_SAN}`,
    route: 'retry_policy: {retry_on: connect-failure, num_retries: 2}',
    requests: [to('x.example'), to('server.example')],
  },
  {
    name: 'auto_host_sni',
    tls: 'auto_host_sni: true, sni: x.example',
    hostname: 'host.example',
    requests: HOSTS,
  },
  {
    name: 'auto_host_sni of a host without a name',
    tls: 'auto_host_sni: true, sni: x.example',
    requests: [to('a')],
  },
  {
    name: 'auto_host_sni and auto_sni',
    tls: 'auto_host_sni: true',
    hostname: 'host.example',
    http: AUTO_SNI,
    requests: [to('a.example'), to('10.0.0.1')],
  },
  ...(['server.example', 'a.wild.example', 'x.example', 'SERVER.example'] as const).map((sni) => ({
    name: `auto_sni_san_validation, ${sni}`,
    tls: `auto_sni_san_validation: true, sni: ${sni}`,
    requests: [to('a')],
  })),
  {
    name: 'auto_sni_san_validation instead of names of the context',
    tls: 'auto_sni_san_validation: true, sni: server.example',
    common: `validation_context: {trusted_ca: {filename: ${ROOT}}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: x.example}}]}`,
    requests: [to('a')],
  },
  {
    name: 'auto_sni_san_validation and auto_sni',
    tls: 'auto_sni_san_validation: true',
    http: AUTO_SNI,
    requests: HOSTS,
  },
  {
    name: 'auto_sni_san_validation with another CA',
    tls: 'auto_sni_san_validation: true, sni: server.example',
    common: `validation_context: {trusted_ca: {filename: ${OTHER_ROOT}}}`,
    requests: [to('a')],
  },
  {
    name: 'auto_sni_san_validation and auto_host_sni',
    tls: 'auto_sni_san_validation: true, auto_host_sni: true',
    hostname: 'server.example',
    requests: [to('a')],
  },
  {
    name: 'auto_sni_san_validation without SNI',
    tls: 'auto_sni_san_validation: true',
    requests: [to('server.example')],
  },
  ...(
    [
      ['both', 'h2, http/1.1'],
      ['HTTP/1.1', 'http/1.1'],
      ['h2', 'h2'],
      ['something else', 'foo'],
      ['nothing', undefined],
    ] as const
  ).map(([what, alpn]) => ({
    name: `auto_config, the host offers ${what}`,
    protocol: 'auto_config: {http_protocol_options: {}, http2_protocol_options: {}}',
    ...(alpn === undefined ? {} : { alpn }),
    requests: [to('a'), to('a')],
  })),
  ...(['h2', 'http/1.1', '"http/1.1", h2', 'foo'] as const).map((own) => ({
    name: `auto_config with alpn_protocols ${own}`,
    protocol: 'auto_config: {}',
    common: `${TRUSTED}, alpn_protocols: [${own}]`,
    alpn: 'h2, http/1.1',
    requests: [to('a'), to('a')],
  })),
  {
    name: 'prefer_client_ciphers',
    server: 'prefer_client_ciphers: true',
    common: `${TRUSTED}, tls_params: {cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256]}`,
    requests: [to('a')],
  },
];

export const tlsNames: readonly Group[] = [{ name: 'tls-names', cases: cases.map(caseOf) }];
